"""
Messages in the room about the incident's status: reopened, recovered, resolved, archived.

A recovery message compares the probe results of the first investigation with those after the recovery, because the
alerts may have recovered while probes still fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.messages.blocks import (
    LINE_LIMIT,
    Message,
    fallback_text,
    first_few,
    sections,
    split_into_messages,
)
from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    between,
    bold,
    clock,
    code_span,
    duration,
    inline,
    join,
    link,
    utc_and_local,
    wrap,
)
from airflow_incident_provider.messages.plain import decode_mrkdwn
from airflow_incident_provider.models import Finding, Incident, Model, UtcDatetime, Verdict
from airflow_incident_provider.probes.declaration import CONTROL
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


class Reopening(Model):
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


def reopened_message(back: Reopening) -> Message:
    """Return that the incident is back, for the room that it comes back to."""
    count = f"{ordinal(back.times)} time since {clock(back.since, seconds=False, seen_from=back.at)} UTC"
    pause = f", after {duration(max(0, between(back.over_at, back.at)))} of quiet" if back.over_at else ""
    facts = join(
        [
            inline(back.what or "", _TITLE),
            Mrkdwn(f"fires again since {utc_and_local(back.at)}{pause}"),
            link(back.brief_url, "Brief") if back.brief_url else Mrkdwn(""),
        ]
    )
    return _message(f"This is back: {count}", facts, *_moved(back))


def _moved(back: Reopening) -> list[Mrkdwn]:
    """Return why it does not go on where it was."""
    if back.old_room is None:
        return []
    name = f"#{back.old_room}"
    room = link(back.old_room_url, name) if back.old_room_url else inline(name)
    return [Mrkdwn(f"Its room {room} was archived, and an app cannot open a channel again: it goes on here")]


class ResolvedIncident(Model):
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


def resolved_message(end: ResolvedIncident) -> Message:
    """Return that the incident is resolved, and what becomes of the room."""
    facts = join([*_quiet(end), Mrkdwn(f"fired {end.times} times" if end.times > 1 else "")])
    doubts = [Mrkdwn(f"Failing at the last check: {', '.join(map(code_span, end.doubts))}")] if end.doubts else []
    summary = [link(end.summary_url, "Summary, brought up to date")] if end.summary_url else []
    what_next = join([_reopening(end), _archiving(end)])
    return _message(f"Resolved at {clock(end.at)} UTC{_by(end.by)}", facts, *doubts, *summary, what_next)


def _quiet(end: ResolvedIncident) -> list[Mrkdwn]:
    """Return how long nothing has fired; or that something fires all the same."""
    if end.recovered_at is None:
        alerts = "1 alert" if end.firing == 1 else f"{end.firing} alerts"
        return [Mrkdwn(f"Not recovered by its alerts: {alerts} firing")] if end.firing else []
    return [
        Mrkdwn(f"Quiet for {duration(max(0, between(end.recovered_at, end.at)))} since it recovered"),
        Mrkdwn(f"recovered {duration(max(0, between(end.first_at, end.recovered_at)))} after the first alert"),
    ]


def _reopening(end: ResolvedIncident) -> Mrkdwn:
    if end.back_until is None:
        return Mrkdwn("")
    return Mrkdwn(f"An alert within {duration(max(0, between(end.at, end.back_until)))} brings it back here")


def _by(person: str | None) -> str:
    return f" by {person}" if person else ""


def _archiving(end: ResolvedIncident) -> Mrkdwn:
    if end.archive_at is None:
        return Mrkdwn("")
    in_time = duration(max(0, between(end.at, end.archive_at)))
    return Mrkdwn(f"this room will be archived in {in_time}, at {utc_and_local(end.archive_at, seen_from=end.at)}")


def archive_warning(*, now: datetime, at: datetime) -> Message:
    """Return the warning that the room is about to be archived."""
    return _message(
        f"This room will be archived in {duration(max(0, between(now, at)))}",
        Mrkdwn(
            f"At {utc_and_local(at, seen_from=now)}. What is written here can still be read and found after that"
        ),
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


def room_opened_message(room_name: str, room_url: str | None) -> Message:
    """Return that an incident in a thread has got a room."""
    name = f"#{room_name}"
    return _message("This has a room of its own now", link(room_url, name) if room_url else inline(name))


def triage_message(incident: Incident, status: str) -> Message:
    """Return the incident as one line in the triage channel; its updates go under it."""
    place = [*map(code_span, incident.services[:3]), *([code_span(incident.env)] if incident.env else [])]
    facts = join([bold(incident.severity.value.capitalize()), inline(status, 80), join(place, " ")])
    since = Mrkdwn(f"Since {utc_and_local(incident.occurred_at)}")
    return _message(incident.title, join([facts, since]))


def closed_message(at: datetime, status: str, *, by: str | None = None) -> Message:
    """Return that an incident in a thread is over.

    :param by: who said so, if a person did. Hostile text.
    """
    return _message(f"{status.capitalize()} at {clock(at)} UTC{_by(by)}")


def _message(headline: str, *lines: Mrkdwn) -> Message:
    """Return a short message: a headline in bold, and a line each for what there is to say."""
    words = one_line(headline) or "(no title)"
    return Message(fallback_text(words), tuple(sections([bold(words), *lines])))


_SAYS_NO_MORE_THAN_OPEN = frozenset({"active", "open"})


def status_text(record: IncidentRecord) -> str:
    """Return ``open``, ``open, third time``, ``open, stable in Datadog``, ``recovered`` or ``resolved``."""
    if record.status is Status.ARCHIVED:
        return str(Status.RESOLVED)
    if record.status is not Status.OPEN:
        return str(record.status)
    words = ["open"]
    if record.reopened:
        words.append(f"{ordinal(record.reopened + 1)} time")
    if record.source_status and record.source_status.casefold() not in _SAYS_NO_MORE_THAN_OPEN:
        words.append(f"{record.source_status} in Datadog")
    return ", ".join(words)


_SUMMARY = 160
_WORST_FIRST = (Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN, Verdict.OK, Verdict.SKIPPED)
_SHOWN_AS = {Verdict.FAIL: "FAIL", Verdict.WARN: "WARN", Verdict.UNKNOWN: "UNKNOWN", Verdict.OK: "ok"}


class Recovery(Model):
    """
    That no alert of an incident fires any more.

    :param first_at: when it fired first.
    :param times: how often it has fired, the first time included.
    :param resolve_at: when it will be resolved unless an alert fires before.
    :param over: false if an alert fires again by the time this is told.
    """

    at: UtcDatetime
    first_at: UtcDatetime
    times: int = 1
    resolve_at: UtcDatetime | None = None
    over: bool = True


@dataclass(frozen=True)
class _Pair:
    """What one probe of one target saw, then and now; either may be missing."""

    before: Finding | None
    now: Finding | None

    @property
    def verdict(self) -> Verdict:
        """What it concludes now; unknown where it was not run again."""
        return self.now.verdict if self.now else Verdict.UNKNOWN

    @property
    def is_control(self) -> bool:
        """Whether it looked at our own side, without which the others tell nothing."""
        one = self.now or self.before
        return one is not None and one.probe == CONTROL

    @property
    def is_same(self) -> bool:
        """Whether it concludes now what it concluded when the incident began."""
        return self.before is not None and self.now is not None and self.before.verdict is self.now.verdict

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """Where it stands in the list: what fails first, then what changed, then the worst."""
        return (self.verdict is not Verdict.FAIL, self.is_same, _WORST_FIRST.index(self.verdict))

    @property
    def subject(self) -> Mrkdwn:
        """The probe and its target."""
        one = self.now or self.before
        assert one is not None
        return join([code_span(one.probe, 80), code_span(one.target) if one.target else Mrkdwn("")], " ")


def recovery_started_messages(recovery: Recovery) -> list[Message]:
    """Return the recovery while its probes run."""
    return split_into_messages(
        _headline(recovery), sections([*_head(recovery), Mrkdwn("The same probes run again now …")])
    )


def recovery_messages(recovery: Recovery, before: Sequence[Finding], now: Sequence[Finding]) -> list[Message]:
    """Return the recovery with both results of each probe, and the proposal that follows from them.

    :param before: what the first investigation found; empty if that is not known any more.
    :param now: what the same probes found after the recovery.
    """
    pairs = _paired(before, now)
    proposal = _proposal(recovery, pairs)
    words = decode_mrkdwn(proposal, {}).replace("*", "").replace("`", "")
    return split_into_messages(
        f"{_headline(recovery)}\n{words}", sections([*_head(recovery), *_comparison(pairs), proposal])
    )


def failing_probes(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return the probes that found something failing, each once; none if our own network failed."""
    failing = dict.fromkeys(finding.probe for finding in findings if finding.verdict is Verdict.FAIL)
    return () if CONTROL in failing else tuple(failing)


def _headline(recovery: Recovery) -> str:
    again = " again" if recovery.times > 1 else ""
    still = ": no alert is firing any more" if recovery.over else ", and fires again by now"
    return f"Recovered{again} at {clock(recovery.at)} UTC{still}"


def _head(recovery: Recovery) -> list[Mrkdwn]:
    after = duration(max(0, between(recovery.first_at, recovery.at)))
    times = f" · fired {recovery.times} times" if recovery.times > 1 else ""
    return [bold(_headline(recovery)), Mrkdwn(f"{after} after the first alert{times}")]


def _paired(before: Sequence[Finding], now: Sequence[Finding]) -> list[_Pair]:
    """Return what was seen before and now, by probe and target."""
    then, again = _by_subject(before), _by_subject(now)
    pairs = (_Pair(then.get(key), again.get(key)) for key in dict.fromkeys((*again, *then)))
    return sorted(pairs, key=lambda pair: pair.rank)


def _by_subject(findings: Sequence[Finding]) -> dict[tuple[str, str], Finding]:
    """Return what was checked, by probe and target; of two findings about the same, the worse."""
    checked = [finding for finding in findings if finding.verdict is not Verdict.SKIPPED]
    best_first = sorted(checked, key=lambda finding: _WORST_FIRST.index(finding.verdict), reverse=True)
    return {(finding.probe, finding.target): finding for finding in best_first}


def _comparison(pairs: Sequence[_Pair]) -> list[Mrkdwn]:
    """Return a line for each probe that is not fine, or was not; the others run together."""
    fine = [pair for pair in pairs if pair.is_same and pair.verdict is Verdict.OK]
    told = [_line(pair) for pair in pairs if pair not in fine]
    lines = [Mrkdwn("*Probes, when it began → now*"), *told] if pairs else []
    if fine:
        first, *rest = (pair.subject for pair in fine)
        lines += wrap([Mrkdwn(f"fine, as then: {first}"), *rest], LINE_LIMIT, ", ")
    return lines


def _line(pair: _Pair) -> Mrkdwn:
    if pair.is_same:
        return Mrkdwn(f"{pair.subject}: still {_side(pair.now)}")
    return Mrkdwn(f"{pair.subject}: {_side(pair.before)} → {_side(pair.now)}")


def _side(finding: Finding | None) -> Mrkdwn:
    if finding is None:
        return Mrkdwn("not checked")
    mark = _SHOWN_AS.get(finding.verdict, "not checked")
    return Mrkdwn(f"{mark} {inline(finding.summary, _SUMMARY)}")


def _proposal(recovery: Recovery, pairs: Sequence[_Pair]) -> Mrkdwn:
    """Return whether to call it over, and what happens if nobody says anything."""
    if not recovery.over:
        return Mrkdwn("Nothing is resolved")
    if any(pair.is_control and pair.verdict is Verdict.FAIL for pair in pairs):
        advice = "*Proposed: resolve it.* The alerts are well; the probes say nothing, for our own network fails."
        return Mrkdwn(f"{advice} {_what_follows(recovery)}")
    failing = [pair.subject for pair in pairs if pair.verdict is Verdict.FAIL]
    unknown = [pair.subject for pair in pairs if pair.verdict is Verdict.UNKNOWN]
    if failing:
        advice = f"*Look again before you call it over:* {first_few(failing)} {_fail(failing)}."
    elif unknown:
        advice = f"*Proposed: resolve it.* The alerts are well, but {first_few(unknown)} could not be checked."
    elif not pairs:
        advice = "*Proposed: resolve it.* The alerts are well, but no probe could be run."
    else:
        failed = any(pair.before is not None and pair.before.verdict is Verdict.FAIL for pair in pairs)
        advice = f"*Proposed: resolve it.* No probe fails{' any more' if failed else ''}."
    return Mrkdwn(f"{advice} {_what_follows(recovery)}")


def _fail(subjects: Sequence[object]) -> str:
    return "fail" if len(subjects) > 1 else "fails"


def _what_follows(recovery: Recovery) -> str:
    if recovery.resolve_at is None:
        return ""
    at = utc_and_local(recovery.resolve_at, seen_from=recovery.at)
    return f"Unless an alert fires before, it is marked resolved at {at}."
