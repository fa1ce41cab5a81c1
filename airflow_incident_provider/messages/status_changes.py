"""
Messages in the room about the incident's status: reopened, recovered, resolved, archived.

A recovery message compares the probe results of the first investigation with those after the recovery, because the
alerts may have recovered while probes still fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.messages.blocks import (
    LINE_LIMIT,
    Message,
    fallback_text,
    first_few,
    sections,
    split_into_messages,
)
from airflow_incident_provider.messages.findings import (
    VERDICT_SYMBOLS,
    headline,
    own_network_failure,
    probe_name,
    subject,
)
from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    between,
    bold,
    clock,
    code_span,
    decode_mrkdwn,
    duration,
    inline,
    is_user_id,
    join,
    link,
    mention,
    utc_and_local,
    wrap,
)
from airflow_incident_provider.messages.updates import LeftRoom, left_room_lines
from airflow_incident_provider.models import Finding, Incident, Model, UtcDatetime, Verdict
from airflow_incident_provider.text import one_line

_TITLE = 200
_TEENS = range(11, 14)
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}
_SAME_AS_OPEN = frozenset({"active", "open"})


def ordinal(number: int) -> str:
    """Return ``3rd`` for 3."""
    ending = "th" if number % 100 in _TEENS else _ENDINGS.get(number % 10, "th")
    return f"{number}{ending}"


def status_text(record: IncidentRecord) -> str:
    """Return ``open``, ``open, 3rd time``, ``open, stable in Datadog``, ``recovered`` or ``resolved``."""
    if record.status is Status.ARCHIVED:
        return str(Status.RESOLVED)
    if record.status is not Status.OPEN:
        return str(record.status)
    words = ["open"]
    if record.reopened:
        words.append(f"{ordinal(record.reopened + 1)} time")
    if record.source_status and record.source_status.casefold() not in _SAME_AS_OPEN:
        words.append(f"{record.source_status} in Datadog")
    return ", ".join(words)


# --- reopened ---------------------------------------------------------------------------------------------


class Reopening(Model):
    """
    An incident that fires again, or that a person reopens.

    :param by: the person who reopens it; absent if it fires again. Untrusted text.
    :param firing: how many of its alerts fire.
    :param times: how often it has fired, the first time included.
    :param since: when it fired first.
    :param at: when it fired again.
    :param over_at: when it had last recovered or been resolved, if known.
    :param what: the title of the alert that reopened it. Untrusted text.
    :param left: its previous room, if it cannot continue there.
    """

    by: str | None = None
    firing: int = 0
    times: int
    since: UtcDatetime
    at: UtcDatetime
    over_at: UtcDatetime | None = None
    what: str | None = None
    brief_url: str | None = None
    left: LeftRoom | None = None


def reopened_message(reopening: Reopening) -> Message:
    """Return that the incident is open again, and why, for the room where it continues."""
    brief = link(reopening.brief_url, "Brief") if reopening.brief_url else Mrkdwn("")
    if reopening.by is not None:
        facts = join([_by_mention(reopening.by), _firing(reopening.firing), brief])
        heading = f"Reopened at {clock(reopening.at, seconds=False)} UTC{_by(reopening.by)}"
        return _message(heading, facts, *left_room_lines(reopening.left))
    since = clock(reopening.since, seconds=False, seen_from=reopening.at)
    pause = f", after {duration(max(0, between(reopening.over_at, reopening.at)))}" if reopening.over_at else ""
    facts = join(
        [
            inline(reopening.what or "", _TITLE),
            Mrkdwn(f"firing again since {utc_and_local(reopening.at)}{pause}"),
            brief,
        ]
    )
    heading = f"Reopened ({ordinal(reopening.times)} time since {since} UTC)"
    return _message(heading, facts, *left_room_lines(reopening.left))


def _firing(alerts: int) -> Mrkdwn:
    if not alerts:
        return Mrkdwn("no alert is firing")
    return Mrkdwn("1 alert is firing" if alerts == 1 else f"{alerts} alerts are firing")


# --- resolved ---------------------------------------------------------------------------------------------


class ResolvedIncident(Model):
    """
    An incident that is resolved.

    :param by: the person who resolved it, if one did. Untrusted text.
    :param title: the incident's title. Untrusted text.
    :param first_at: when it fired first.
    :param recovered_at: when its last alert recovered, if all did.
    :param firing: how many of its alerts still fire.
    :param times: how often it has fired.
    :param back_until: until when an alert reopens it in its room, if one does.
    :param archive_at: when its room will be archived, if it will be.
    :param doubts: the probes that still failed at the last check.
    """

    at: UtcDatetime
    by: str | None = None
    title: str | None = None
    first_at: UtcDatetime
    recovered_at: UtcDatetime | None = None
    firing: int = 0
    times: int = 1
    back_until: UtcDatetime | None = None
    archive_at: UtcDatetime | None = None
    summary_url: str | None = None
    doubts: tuple[str, ...] = ()


def resolved_message(end: ResolvedIncident) -> Message:
    """Return that the incident is resolved, how long it lasted, what still fails, and what becomes of the room."""
    facts = join(
        [
            inline(end.title or "", _TITLE),
            _by_mention(end.by),
            Mrkdwn(f"lasted *{duration(max(0, between(end.first_at, end.at)))}*"),
            *_recovery(end),
            Mrkdwn(f"fired {end.times} times" if end.times > 1 else ""),
        ]
    )
    probes = join([code_span(probe_name(name), 80) for name in end.doubts], ", ")
    doubts = [Mrkdwn(f"⚠️ Still failing at the last check: {probes}")] if probes else []
    summary = [link(end.summary_url, "Updated summary")] if end.summary_url else []
    archived = f"this room is archived {_when(end.archive_at, end.at)}" if end.archive_at else ""
    next_steps = join([_reopening(end), Mrkdwn(archived)])
    return _message(f"Resolved at {clock(end.at)} UTC{_by(end.by)}", facts, *doubts, *summary, next_steps)


def _recovery(end: ResolvedIncident) -> list[Mrkdwn]:
    """Return when the last alert recovered, or that alerts still fire."""
    if end.recovered_at is None:
        alerts = "1 alert is" if end.firing == 1 else f"{end.firing} alerts are"
        return [Mrkdwn(f"resolved while {alerts} still firing")] if end.firing else []
    return [Mrkdwn(f"no alert has fired since {clock(end.recovered_at, seconds=False, seen_from=end.at)} UTC")]


def _reopening(end: ResolvedIncident) -> Mrkdwn:
    if end.back_until is None:
        return Mrkdwn("")
    until = clock(end.back_until, seconds=False, seen_from=end.at)
    return Mrkdwn(f"If it fires again before {until} UTC, this room reopens")


def _by(person: str | None) -> str:
    return f" by {person}" if person and not is_user_id(person) else ""


def _by_mention(person: str | None) -> Mrkdwn:
    """Return a mention of the person whose Slack id is known; a heading cannot hold one."""
    return Mrkdwn(f"by {mention(person, person)}") if person and is_user_id(person) else Mrkdwn("")


def _when(at: datetime, now: datetime) -> Mrkdwn:
    """Return ``at 13:54 UTC`` or ``tomorrow at 13:54 UTC``; further ahead with the date."""
    if at.date() - now.date() == timedelta(days=1):
        return Mrkdwn(f"tomorrow at {utc_and_local(at)}")
    return Mrkdwn(f"at {utc_and_local(at, seen_from=now)}")


# --- archived ---------------------------------------------------------------------------------------------


def archive_warning(*, now: datetime, at: datetime) -> Message:
    """Return the warning that the room is about to be archived."""
    return _message(
        f"This room will be archived in {duration(max(0, between(now, at)))}",
        Mrkdwn(f"At {utc_and_local(at, seen_from=now)}. Its messages remain readable and searchable"),
        Mrkdwn("To keep it open, remove this app from the channel"),
    )


def archived_message(*, at: datetime, by: str | None) -> Message:
    """Return that a person archives the room.

    :param by: who. Untrusted text.
    """
    rest = Mrkdwn("Its messages remain readable and searchable. Only a person can unarchive it")
    return _message(f"Archived at {clock(at)} UTC{_by(by)}", rest)


# --- incidents without a room of their own ----------------------------------------------------------------


def room_opened_message(room_name: str, room_url: str | None) -> Message:
    """Return that an incident in the triage channel now has a room."""
    name = f"#{room_name}"
    return _message("This incident now has a room", link(room_url, name) if room_url else inline(name))


def triage_message(incident: Incident, status: str) -> Message:
    """Return the incident as one line in the triage channel; its updates are posted in the thread."""
    place = [*map(code_span, incident.services[:3]), *([code_span(incident.env)] if incident.env else [])]
    facts = join([bold(incident.severity.value.capitalize()), inline(status, 80), join(place, " ")])
    since = Mrkdwn(f"Since {utc_and_local(incident.occurred_at)}")
    return _message(incident.title, join([facts, since]))


def closed_message(at: datetime, status: str, *, by: str | None = None) -> Message:
    """Return that an incident in the triage channel is over.

    :param by: the person who closed it, if one did. Untrusted text.
    """
    return _message(f"{status.capitalize()} at {clock(at)} UTC{_by(by)}", _by_mention(by))


def _message(heading: str, *lines: Mrkdwn) -> Message:
    """Return a short message: a heading in bold and further lines."""
    words = one_line(heading) or "(no title)"
    return Message(fallback_text(words), tuple(sections([bold(words), *lines])))


# --- recovered --------------------------------------------------------------------------------------------

_SUMMARY = 160
_WORST_FIRST = (Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN, Verdict.OK, Verdict.SKIPPED)


class Recovery(Model):
    """
    An incident none of whose alerts fires any more.

    :param first_at: when it fired first.
    :param times: how often it has fired, the first time included.
    :param resolve_at: when it resolves itself unless an alert fires first; ``None`` if it does not.
    :param over: false if an alert fires again by now.
    """

    at: UtcDatetime
    first_at: UtcDatetime
    times: int = 1
    resolve_at: UtcDatetime | None = None
    over: bool = True


@dataclass(frozen=True)
class _Pair:
    """The findings of a probe about a target, before and now; either may be missing."""

    before: Finding | None
    now: Finding | None

    @property
    def verdict(self) -> Verdict:
        """The verdict now; unknown if the probe did not run again."""
        return self.now.verdict if self.now else Verdict.UNKNOWN

    @property
    def finding(self) -> Finding:
        """The newest finding."""
        found = self.now or self.before
        assert found is not None
        return found

    @property
    def is_unchanged(self) -> bool:
        """Whether the verdict is the same as before."""
        return self.before is not None and self.now is not None and self.before.verdict is self.now.verdict

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """The sort key: failing first, then changed, then the worst."""
        return (self.verdict is not Verdict.FAIL, self.is_unchanged, _WORST_FIRST.index(self.verdict))


def recovery_started_messages(recovery: Recovery) -> list[Message]:
    """Return the recovery while its probes run."""
    lines = [*_recovery_head(recovery, ()), Mrkdwn("⏳ The same checks run again now")]
    return split_into_messages(_recovery_heading(recovery, ()), sections(lines))


def recovery_messages(recovery: Recovery, before: Sequence[Finding], now: Sequence[Finding]) -> list[Message]:
    """Return the recovery with both results of each probe and what follows from them.

    :param before: the findings of the first investigation; empty if they are not available any more.
    :param now: the findings after the recovery.
    """
    pairs = _paired(before, now)
    advice = _advice(recovery, pairs)
    words = decode_mrkdwn(advice, {}).replace("*", "").replace("`", "")
    blocks = sections([*_recovery_head(recovery, now), *_comparison(pairs), advice])
    return split_into_messages(f"{_recovery_heading(recovery, now)}\n{words}", blocks)


def failing_probes(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return the names of the failing probes, each once; none if our own network fails."""
    if own_network_failure(findings):
        return ()
    failing = (f for f in findings if f.verdict is Verdict.FAIL and not f.is_control)
    return tuple(dict.fromkeys(finding.probe for finding in failing))


def _is_doubtful(now: Sequence[Finding]) -> bool:
    """Return whether a check fails, or none could reach the service."""
    return bool(failing_probes(now) or own_network_failure(now))


def _recovery_heading(recovery: Recovery, now: Sequence[Finding]) -> str:
    """Return the first line, which is what a phone's notification shows: it must not hide failing checks."""
    again = " again" if recovery.times > 1 else ""
    at = f"{clock(recovery.at)} UTC"
    if not recovery.over:
        return f"Alerts recovered{again} at {at}, but fire again by now"
    if _is_doubtful(now):
        fails = headline(now)
        return f"Alerts recovered{again} at {at}, but {fails[:1].lower()}{fails[1:]}"
    return f"Recovered{again} at {at}: no alert is firing"


def _recovery_head(recovery: Recovery, now: Sequence[Finding]) -> list[Mrkdwn]:
    symbol = "🟢" if recovery.over and not _is_doubtful(now) else "🔶"
    after = duration(max(0, between(recovery.first_at, recovery.at)))
    times = f" · fired {recovery.times} times" if recovery.times > 1 else ""
    heading = bold(_recovery_heading(recovery, now))
    return [Mrkdwn(f"{symbol} {heading}"), Mrkdwn(f"{after} after the first alert{times}")]


def _paired(before: Sequence[Finding], now: Sequence[Finding]) -> list[_Pair]:
    """Return the findings before and now, by probe and target."""
    old, new = _by_subject(before), _by_subject(now)
    pairs = (_Pair(old.get(key), new.get(key)) for key in dict.fromkeys((*new, *old)))
    return sorted(pairs, key=lambda pair: pair.rank)


def _by_subject(findings: Sequence[Finding]) -> dict[tuple[str, str], Finding]:
    """Return what was checked, by probe and target; of two findings about the same, the worse."""
    checked = [finding for finding in findings if finding.verdict is not Verdict.SKIPPED]
    best_first = sorted(checked, key=lambda finding: _WORST_FIRST.index(finding.verdict), reverse=True)
    return {(finding.probe, finding.target): finding for finding in best_first}


def _comparison(pairs: Sequence[_Pair]) -> list[Mrkdwn]:
    """Return a line for each probe that does not pass, or did not before; the others are listed together.

    Our own network is mentioned only if it does not work: it is no evidence.
    """
    shown = [pair for pair in pairs if not pair.finding.is_control or pair.verdict is not Verdict.OK]
    passing = [pair for pair in shown if pair.is_unchanged and pair.verdict is Verdict.OK]
    changed = [_pair_line(pair) for pair in shown if pair not in passing]
    lines = [Mrkdwn("*Checks: first look → now*"), *changed] if shown else []
    if passing:
        first, *rest = (subject(pair.finding) for pair in passing)
        lines += wrap([Mrkdwn(f"{VERDICT_SYMBOLS[Verdict.OK]} still passing: {first}"), *rest], LINE_LIMIT, ", ")
    return lines


def _pair_line(pair: _Pair) -> Mrkdwn:
    before = "still" if pair.is_unchanged else f"{_side(pair.before)} →"
    return Mrkdwn(f"{subject(pair.finding)}: {before} {_side(pair.now)}")


def _side(finding: Finding | None) -> Mrkdwn:
    if finding is None:
        return Mrkdwn(f"{VERDICT_SYMBOLS[Verdict.SKIPPED]} not checked")
    return Mrkdwn(f"{VERDICT_SYMBOLS[finding.verdict]} {inline(finding.summary, _SUMMARY)}")


def _advice(recovery: Recovery, pairs: Sequence[_Pair]) -> Mrkdwn:
    """Return whether it can be resolved, and what happens if nobody does."""
    if not recovery.over:
        return Mrkdwn("The incident stays open")
    if own_network_failure([pair.now for pair in pairs if pair.now is not None]):
        text = "*No alert is firing, but our own network fails: no check reached the service.*"
        return Mrkdwn(f"{text} {_what_follows(recovery)}")
    service = [pair for pair in pairs if not pair.finding.is_control]
    failing = [subject(pair.finding) for pair in service if pair.verdict is Verdict.FAIL]
    unknown = [subject(pair.finding) for pair in service if pair.verdict is Verdict.UNKNOWN]
    if failing:
        verb = "fails" if len(failing) == 1 else "fail"
        text = f"*Check before you resolve it:* {first_few(failing)} {verb}."
        return Mrkdwn(f"{text} It is not resolved automatically while a check fails.")
    if unknown:
        text = f"*You can resolve it.* No alert is firing, but {first_few(unknown)} could not be checked."
    elif not service:
        text = "*You can resolve it.* No alert is firing, but nothing could be checked."
    else:
        text = "*You can resolve it.* No alert is firing and no check fails."
    return Mrkdwn(f"{text} {_what_follows(recovery)}")


def _what_follows(recovery: Recovery) -> str:
    if recovery.resolve_at is None:
        return ""
    at = utc_and_local(recovery.resolve_at, seen_from=recovery.at)
    return f"It resolves itself at {at} unless an alert fires."
