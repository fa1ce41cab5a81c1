"""
What people did, as lines of an update; reminders; and the digest for stakeholders.

A person is shown by a mention where their Slack id is known. Everything that they wrote is untrusted text.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from airflow_incident_provider.lifecycle.coordination import MAX_UPDATE_TEXT, Coordination, ReminderKind, Role
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status, UpdateItem, UpdateKind
from airflow_incident_provider.messages.blocks import Message, fallback_text, sections
from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    bold,
    clock,
    decode_mrkdwn,
    duration,
    inline,
    join,
    link,
    mention,
    quote,
)
from airflow_incident_provider.models import Model, UtcDatetime
from airflow_incident_provider.text import shorten

_NAME = 80
ROLE_NAMES = {Role.COMMANDER: "Lead", Role.COMMUNICATIONS: "Communications", Role.SCRIBE: "Scribe"}


def person(reference: str) -> Mrkdwn:
    """Return a person by a Slack id or a name."""
    return mention(reference, reference[:_NAME]) if reference else Mrkdwn("nobody")


def action_lines(items: Iterable[UpdateItem], *, since: datetime) -> list[Mrkdwn]:
    """Return a line, or a few, for each action of a person among the items.

    :param since: a moment whose date the reader knows.
    """
    lines: list[Mrkdwn] = []
    for item in items:
        by = person(item.actor or "")
        match item.kind:
            case UpdateKind.STATUS_UPDATE:
                lines.append(join([Mrkdwn(f"*Update* from {by}"), _next_update(item.next_at, since)]))
                lines += quote(item.text or "", MAX_UPDATE_TEXT)
            case UpdateKind.ROLE if item.alert in set(Role):
                role = ROLE_NAMES[Role(item.alert)]
                lines.append(Mrkdwn(f"*{role}*: {person(item.before or '')} → {person(item.after or '')}"))
            case UpdateKind.ITEM:
                lines.append(Mrkdwn(f"*Action item* from {by}: {inline(item.text or '')}"))
            case _:
                continue
    return lines


def _next_update(at: datetime | None, since: datetime) -> Mrkdwn:
    return Mrkdwn(f"next update by {clock(at, seconds=False, seen_from=since)} UTC" if at is not None else "")


def roles_line(coordination: Coordination) -> Mrkdwn:
    """Return the roles that are taken, on one line; empty if none is."""
    return join(
        Mrkdwn(f"*{ROLE_NAMES[role]}* {person(holder.slack_id or holder.name)}")
        for role, holder in coordination.roles.items()
    )


class ReminderText(Model):
    """What a reminder says.

    :param number: how often this reason has been reminded of, this time included.
    :param commander: the Slack id or name of the commander, if there is one.
    """

    kind: ReminderKind
    number: int
    since: UtcDatetime
    now: UtcDatetime
    commander: str | None = None
    severity: str


def reminder_message(reminder: ReminderText) -> Message:
    """Return the reminder; from the third time on it says for how long, and addresses everybody who is here."""
    elapsed = duration(round((reminder.now - reminder.since).total_seconds() * 1000))
    who = person(reminder.commander) if reminder.commander else Mrkdwn("everybody here")
    match reminder.kind:
        case ReminderKind.NO_COMMANDER:
            severity = inline(reminder.severity)
            text = Mrkdwn(f"*Nobody leads this {severity} incident* for {elapsed}. Who takes command?")
            how = Mrkdwn("Press *I'll lead* in the brief, or write `/incident lead`.")
        case ReminderKind.UPDATE_DUE:
            text = Mrkdwn(f"{who}: *an update is due.* The last one is {elapsed} old.")
            how = Mrkdwn("Press *Update* in the brief, or write `/incident update`.")
        case ReminderKind.STALLED:
            text = Mrkdwn(f"{who}: the alerts recovered {elapsed} ago. *Is it over?*")
            how = Mrkdwn("Press *Resolve* in the brief, or write `/incident resolve`.")
    if reminder.number > 2:  # noqa: PLR2004 - twice politely
        text = Mrkdwn(f"{text} This is reminder {reminder.number}.")
    return Message(fallback_text(decode_mrkdwn(text, {}).replace("*", "")), tuple(sections([text, how])))


def digest_message(
    record: IncidentRecord, *, room_url: str | None, now: datetime, no_room: str | None = None
) -> Message:
    """Return the one message about an incident in the announcement channel; it is edited in place.

    :param no_room: why the incident has no room.
    """
    status = (Status.RESOLVED if record.status is Status.ARCHIVED else record.status).capitalize()
    services = ", ".join(record.services) or "no service named"
    title = shorten(record.title, 150)
    since = Mrkdwn(f"since {clock(record.opened_at, seconds=False, seen_from=now)} UTC")
    lines = [
        join([bold(status), inline(record.severity), link(room_url, title) if room_url else bold(title)]),
        join([inline(services, 150), since, roles_line(record.coordination)]),
    ]
    if room_url is None and no_room is not None:
        lines.append(Mrkdwn(f"*No room:* {inline(no_room)}"))
    if updates := record.coordination.updates:
        lines += quote(updates[-1].text, MAX_UPDATE_TEXT)
    return Message(fallback_text(f"{status}: {record.severity} {record.title}"), tuple(sections(lines)))
