"""What is told in the room itself, because it changes where the incident stands: back, resolved, archived."""

from __future__ import annotations

from datetime import datetime

from airflow_incident_provider.messages.blocks import sections
from airflow_incident_provider.messages.escaping import (
    Mrkdwn,
    bold,
    code_span,
    inline,
    join,
    link,
    moment,
)
from airflow_incident_provider.messages.limits import Message, fallback
from airflow_incident_provider.messages.times import between, clock, duration
from airflow_incident_provider.models import Incident, Model, UtcDatetime
from airflow_incident_provider.text import one_line

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_TITLE = 200


def ordinal(number: int) -> str:
    """Return ``third`` for 3; from eleven on ``11th``, with the ending that English has for it."""
    if 1 <= number <= len(_ORDINALS):
        return _ORDINALS[number - 1]
    endings = {1: "st", 2: "nd", 3: "rd"}
    is_teen = number // 10 % 10 == 1
    return f"{number}{'th' if is_teen else endings.get(number % 10, 'th')}"


class Return(Model):
    """
    That an incident fires again.

    :param times: how often it has fired now, the first time included.
    :param since: when it fired first.
    :param at: when it came back.
    :param over_at: when it had last been over, if that is known.
    :param what: the alert that brought it back. Hostile text.
    :param old_room: the room that it had, if that is archived, with its address.
    """

    times: int
    since: UtcDatetime
    at: UtcDatetime
    over_at: UtcDatetime | None = None
    what: str | None = None
    brief_url: str | None = None
    old_room: str | None = None
    old_room_url: str | None = None


def back_message(back: Return) -> Message:
    """Return that the incident is back, for the room that it comes back to."""
    count = f"{ordinal(back.times)} time since {clock(back.since, seconds=False, seen_from=back.at)} UTC"
    pause = f", after {duration(max(0, between(back.over_at, back.at)))} of quiet" if back.over_at else ""
    facts = join(
        [
            inline(back.what or "", _TITLE),
            Mrkdwn(f"fires again since {moment(back.at)}{pause}"),
            link(back.brief_url, "Brief") if back.brief_url else Mrkdwn(""),
        ]
    )
    return _message(f"This is back: {count}", facts, *_moved(back))


def _moved(back: Return) -> list[Mrkdwn]:
    """Return why it does not go on where it was."""
    if back.old_room is None:
        return []
    name = f"#{back.old_room}"
    room = link(back.old_room_url, name) if back.old_room_url else inline(name)
    return [Mrkdwn(f"Its room {room} was archived, and an app cannot open a channel again: it goes on here")]


class Resolution(Model):
    """
    That an incident is resolved.

    :param by: the person who said so, if it was one. Hostile text.
    :param first_at: when it fired first.
    :param recovered_at: when its last alert recovered, if all did.
    :param firing: how many of its alerts fire all the same.
    :param back_until: until when an alert brings it back to its room, if one does.
    :param archive_at: when its room will be archived, if it will be.
    :param doubts: probes that found something failing when it had recovered.
    """

    at: UtcDatetime
    by: str | None = None
    first_at: UtcDatetime
    recovered_at: UtcDatetime | None = None
    firing: int = 0
    times: int = 1
    back_until: UtcDatetime | None = None
    archive_at: UtcDatetime | None = None
    summary_url: str | None = None
    doubts: tuple[str, ...] = ()


def resolved_message(end: Resolution) -> Message:
    """Return that the incident is resolved, and what becomes of the room."""
    facts = join([*_quiet(end), Mrkdwn(f"fired {end.times} times" if end.times > 1 else "")])
    doubts = [Mrkdwn(f"Failing at the last check: {', '.join(map(code_span, end.doubts))}")] if end.doubts else []
    summary = [link(end.summary_url, "Summary, brought up to date")] if end.summary_url else []
    what_next = join([_reopening(end), _archiving(end)])
    return _message(f"Resolved at {clock(end.at)} UTC{_by(end.by)}", facts, *doubts, *summary, what_next)


def _quiet(end: Resolution) -> list[Mrkdwn]:
    """Return how long nothing has fired; or that something fires all the same."""
    if end.recovered_at is None:
        alerts = "1 alert" if end.firing == 1 else f"{end.firing} alerts"
        return [Mrkdwn(f"Not recovered by its alerts: {alerts} firing")] if end.firing else []
    return [
        Mrkdwn(f"Quiet for {duration(max(0, between(end.recovered_at, end.at)))} since it recovered"),
        Mrkdwn(f"recovered {duration(max(0, between(end.first_at, end.recovered_at)))} after the first alert"),
    ]


def _reopening(end: Resolution) -> Mrkdwn:
    if end.back_until is None:
        return Mrkdwn("")
    return Mrkdwn(f"An alert within {duration(max(0, between(end.at, end.back_until)))} brings it back here")


def _by(person: str | None) -> str:
    return f" by {person}" if person else ""


def _archiving(end: Resolution) -> Mrkdwn:
    if end.archive_at is None:
        return Mrkdwn("")
    in_time = duration(max(0, between(end.at, end.archive_at)))
    return Mrkdwn(f"this room will be archived in {in_time}, at {moment(end.archive_at, seen_from=end.at)}")


def archive_warning(*, now: datetime, at: datetime) -> Message:
    """Return the warning that the room is about to be archived."""
    return _message(
        f"This room will be archived in {duration(max(0, between(now, at)))}",
        Mrkdwn(f"At {moment(at, seen_from=now)}. What is written here can still be read and found after that"),
        Mrkdwn("To keep it open, remove this app from the channel"),
    )


def archived_message(*, at: datetime, by: str | None) -> Message:
    """Return that a person has the room archived now.

    :param by: who. Hostile text.
    """
    return _message(
        f"Archived at {clock(at)} UTC{_by(by)}",
        Mrkdwn("What is written here can still be read and found. An app cannot open the room again"),
    )


def room_of_its_own_message(room_name: str, room_url: str | None) -> Message:
    """Return that an incident in a thread has got a room."""
    name = f"#{room_name}"
    return _message("This has a room of its own now", link(room_url, name) if room_url else inline(name))


def thread_message(incident: Incident, status: str) -> Message:
    """Return the incident as one line in the triage channel; its updates go under it."""
    place = [*map(code_span, incident.services[:3]), *([code_span(incident.env)] if incident.env else [])]
    facts = join([bold(incident.severity.value.capitalize()), inline(status, 80), join(place, " ")])
    since = Mrkdwn(f"Since {moment(incident.occurred_at)}")
    return _message(incident.title, join([facts, since]))


def over_message(at: datetime, status: str, *, by: str | None = None) -> Message:
    """Return that an incident in a thread is over.

    :param by: who said so, if a person did. Hostile text.
    """
    return _message(f"{status.capitalize()} at {clock(at)} UTC{_by(by)}")


def _message(headline: str, *lines: Mrkdwn) -> Message:
    """Return a short message: a headline in bold, and a line each for what there is to say."""
    words = one_line(headline) or "(no title)"
    return Message(fallback(words), tuple(sections([bold(words), *lines])))
