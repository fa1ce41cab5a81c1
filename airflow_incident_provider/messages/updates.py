"""
Messages in the thread under the brief: incident updates, notes of a DAG author, and failures of other DAGs.

An update says what happened since the last one, most important first. Repeated notifications of a noisy monitor are
one line with counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_incident_provider.lifecycle.closing import EXPIRES_AFTER
from airflow_incident_provider.lifecycle.records import UpdateItem, UpdateKind
from airflow_incident_provider.messages.blocks import (
    LINE_LIMIT,
    Message,
    TruncatedList,
    fallback_text,
    first_few,
    sections,
    split_into_messages,
)
from airflow_incident_provider.messages.coordination import action_lines
from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    bold,
    clock,
    code_span,
    decode_mrkdwn,
    escape,
    escaped_length,
    inline,
    is_user_id,
    join,
    link,
    mention,
    plain_length,
    split_line,
    unformatted,
)
from airflow_incident_provider.messages.people import (
    invited_entries,
    mention_names,
    not_invited_entries,
    suggestion_controls,
)
from airflow_incident_provider.models import Invitation, Model, NotInvited, UtcDatetime
from airflow_incident_provider.text import clean

_TITLE = 150
_TITLES_SHOWN = 3
_FALLBACK_LINES = 5
_REPEATED = "Repeated"
_REPEATS = {
    "Triggered": "Triggered again",
    "Re-Triggered": "Re-triggered",
    "Warn": "Warning",
    "Re-Warn": "Still warning",
    "No Data": "No data",
    "Re-No Data": "Still no data",
    "Renotify": "Still firing",
    "incident updated": "Changed in Datadog",
    "manual": "Reported again",
}
"""Words for the transition of a repeated notification."""

_ALERTS = {
    UpdateKind.JOINED: ("*Another alert*", "*{} more alerts*"),
    UpdateKind.FIRING_AGAIN: ("*Firing again*", "*{} alerts fire again*"),
    UpdateKind.ALERT_RECOVERED: ("Recovered", "{} alerts recovered"),
}
"""How the line about one alert, and about several, begins."""

_SUPERSEDE_REPEATS = frozenset(
    {UpdateKind.SEVERITY, UpdateKind.STATUS, UpdateKind.COMMANDER, UpdateKind.TITLE, UpdateKind.RESPONDERS}
)


class LeftRoom(Model):
    """
    A room in which an incident could not continue.

    :param is_archived: whether it is archived; otherwise it was deleted, or the app was removed from it.
    """

    name: str | None = None
    url: str | None = None
    is_archived: bool = True


class IncidentUpdate(Model):
    """
    The content of one update.

    :param dropped: the number of notifications that are in none of the items.
    :param since: when the incident started, a time whose date the reader knows.
    :param alerts: the number of alerts of the incident; the title of a single one is not repeated.
    :param firing: how many of them fire.
    :param invited: people who were invited because of this update.
    :param key: the incident's key where buttons work: suggested people can be invited with one.
    :param left: the previous room, if the incident cannot continue there and no other message reports that.
    """

    items: tuple[UpdateItem, ...] = ()
    dropped: int = 0
    since: UtcDatetime
    alerts: int = 1
    firing: int = 1
    invited: tuple[Invitation, ...] = ()
    not_invited: tuple[NotInvited, ...] = ()
    key: str | None = None
    left: LeftRoom | None = None

    def of(self, kind: UpdateKind) -> tuple[UpdateItem, ...]:
        """Return the items of a kind."""
        return tuple(item for item in self.items if item.kind is kind)


def update_messages(update: IncidentUpdate) -> list[Message]:
    """Return the update as a message, or more if it is long; none if there is nothing to report."""
    lines = [
        *_severity(update),
        *_expired(update),
        *action_lines(update.items, since=update.since),
        *_people(update),
        *_changes(update),
        *_alerts(update),
        *_repeats(update),
        *_dropped(update),
        *left_room_lines(update.left),
    ]
    names = mention_names(update.invited)
    words = "\n".join(decode_mrkdwn(line, names).replace("*", "") for line in lines[:_FALLBACK_LINES])
    blocks = sections(lines)
    if update.key is not None:
        blocks += suggestion_controls(update.key, update.not_invited)
    return split_into_messages(words, blocks, names)


def left_room_lines(left: LeftRoom | None) -> list[Mrkdwn]:
    """Return why the incident does not continue in its previous room."""
    if left is None:
        return []
    name = f"#{left.name}" if left.name else "of this incident"
    room = link(left.url, name) if left.url else inline(name)
    if not left.is_archived:
        return [Mrkdwn(f"The previous room {room} was deleted, or this app was removed from it")]
    return [Mrkdwn(f"The previous room {room} is archived, and only a person can unarchive it")]


def _severity(update: IncidentUpdate) -> list[Mrkdwn]:
    return [
        Mrkdwn(f"*Severity {inline(item.before or '', 40)} → {inline(item.after or '', 40)}*")
        for item in update.of(UpdateKind.SEVERITY)
    ]


def _expired(update: IncidentUpdate) -> list[Mrkdwn]:
    closed = f"*Closed:* nothing has reported on this incident for {EXPIRES_AFTER.days} days."
    return [Mrkdwn(f"{closed} Report it again if it is not over.") for _ in update.of(UpdateKind.EXPIRED)]


def _people(update: IncidentUpdate) -> list[Mrkdwn]:
    lists = (
        TruncatedList(Mrkdwn("*Invited*"), tuple(invited_entries(update.invited)), 12, 900, " "),
        TruncatedList(Mrkdwn("*Missing*"), tuple(not_invited_entries(update.not_invited)), 5, 1_100),
    )
    return [line for listed in lists if (line := listed.short())]


def _changes(update: IncidentUpdate) -> list[Mrkdwn]:
    """Return what changed in the Datadog incident."""
    words = {UpdateKind.STATUS: "Status in Datadog", UpdateKind.COMMANDER: "Commander", UpdateKind.TITLE: "Title"}
    return [
        Mrkdwn(f"{words[kind]}: {_before(kind, item.before)} → {_value(kind, item.after)}")
        for kind in words
        for item in update.of(kind)
    ]


def _before(kind: UpdateKind, value: str | None) -> Mrkdwn:
    return mention(value, value) if value and _is_person(kind, value) else inline(value or "none", _TITLE)


def _value(kind: UpdateKind, value: str | None) -> Mrkdwn:
    return mention(value, value) if value and _is_person(kind, value) else bold(value or "none")


def _is_person(kind: UpdateKind, value: str) -> bool:
    return kind is UpdateKind.COMMANDER and is_user_id(value)


def _alerts(update: IncidentUpdate) -> list[Mrkdwn]:
    """Return one line each for the alerts that joined, that fire again, and that recovered."""
    lines = []
    for kind, (one, several) in _ALERTS.items():
        if items := update.of(kind):
            titles = first_few([inline(item.title or "(no title)", _TITLE) for item in items], _TITLES_SHOWN)
            recovered = kind is UpdateKind.ALERT_RECOVERED
            remaining = f" · {update.firing} still firing" if recovered and update.firing else ""
            lines.append(Mrkdwn(f"{one if len(items) == 1 else several.format(len(items))}: {titles}{remaining}"))
    return lines


def _repeats(update: IncidentUpdate) -> list[Mrkdwn]:
    """Return how often alerts were repeated and since when; of several alerts also which."""
    items = update.of(UpdateKind.REPEATED)
    kinds = {item.kind for item in update.items}
    # That a Datadog incident changed is said by the item about what changed.
    if not items or (kinds & _SUPERSEDE_REPEATS and all(item.after == "incident updated" for item in items)):
        return []
    verbs = {_REPEATS.get(item.after or "", _REPEATED) for item in items}
    verb = verbs.pop() if len(verbs) == 1 else _REPEATED
    line = f"{verb} {_how_often(items, update)}"
    if update.alerts > 1:
        most_frequent = sorted(items, key=lambda item: item.count, reverse=True)
        line += f": {first_few([_alert(item) for item in most_frequent], _TITLES_SHOWN)}"
    return [Mrkdwn(line)]


def _how_often(items: Sequence[UpdateItem], update: IncidentUpdate) -> str:
    """Return ``7 times since 09:41, last 09:47 UTC``, or ``at 09:41 UTC`` for once."""
    count = sum(item.count for item in items)
    first = min(item.first_at or item.at for item in items)
    last = max(item.at for item in items)
    begin, end = (clock(at, seconds=False, seen_from=update.since) for at in (first, last))
    if count == 1:
        return f"at {end} UTC"
    return f"{count} times, all at {end} UTC" if begin == end else f"{count} times since {begin}, last {end} UTC"


def _alert(item: UpdateItem) -> Mrkdwn:
    times = f" ({item.count} times)" if item.count > 1 else ""
    return Mrkdwn(f"{inline(item.title or '(no title)', _TITLE)}{times}")


def _dropped(update: IncidentUpdate) -> list[Mrkdwn]:
    if not update.dropped:
        return []
    notifications = "1 more notification is" if update.dropped == 1 else f"{update.dropped} more notifications are"
    return [Mrkdwn(f"{notifications} counted but not listed")]


def note_messages(text: str, *, markup: bool = False) -> list[Message]:
    """Return the text of a DAG author, complete, as one message, or more if it is long; none if it is empty.

    :param markup: whether the text is Slack's mrkdwn, with its links, mentions and formatting; otherwise it is
        plain text, and shown as it is written.
    """
    measure = plain_length if markup else escaped_length
    pieces = (piece for line in clean(text).splitlines() for piece in split_line(line, LINE_LIMIT, measure))
    shown = (Mrkdwn(piece) if markup else escape(unformatted(piece)) for piece in pieces if piece.strip())
    return split_into_messages(text, sections(shown))


def task_failure(task: str, *, try_number: int, error: str | None, log_url: str | None) -> Mrkdwn:
    """Return a line: a task of another DAG failed for good.

    :param error: an error text without secrets.
    """
    facts = [
        Mrkdwn(f"{bold('Task')} {code_span(task)} {bold('failed')}"),
        Mrkdwn(f"try {try_number}" if try_number > 1 else ""),
        inline(error or ""),
        link(log_url, "Log") if log_url else Mrkdwn(""),
    ]
    return join(facts)


def run_failure(reason: str | None) -> Mrkdwn:
    """Return a line: a run of another DAG failed.

    :param reason: the reason that Airflow gives.
    """
    return join([bold("The run failed"), inline((reason or "").replace("_", " "))])


def failures_message(headline: str, lines: Sequence[Mrkdwn]) -> Message:
    """Return failures of one run as a message.

    :param headline: the notification's text, and a heading if there are several failures.
    """
    heading = [bold(headline)] if len(lines) > 1 else []
    return Message(fallback_text(headline), tuple(sections([*heading, *lines])))
