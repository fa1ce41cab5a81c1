"""
A recovery: what the probes saw when it began and what they see now, side by side, and what follows from it.

The alerts say that it is over. The probes may say otherwise, and then this says so too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_incident_provider.messages.blocks import sections
from airflow_incident_provider.messages.escaping import Mrkdwn, bold, code_span, flow, inline, join, moment
from airflow_incident_provider.messages.limits import Message, fit
from airflow_incident_provider.messages.listing import LINE_LIMIT, few
from airflow_incident_provider.messages.plain import decode
from airflow_incident_provider.messages.times import between, clock, duration
from airflow_incident_provider.models import Finding, Model, UtcDatetime, Verdict
from airflow_incident_provider.probes.declaration import CONTROL

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


def recovery_begun(recovery: Recovery) -> list[Message]:
    """Return the recovery while its probes run."""
    return fit(_headline(recovery), sections([*_head(recovery), Mrkdwn("The same probes run again now …")]))


def recovery_messages(recovery: Recovery, before: Sequence[Finding], now: Sequence[Finding]) -> list[Message]:
    """Return the recovery with both results of each probe, and the proposal that follows from them.

    :param before: what the first investigation found; empty if that is not known any more.
    :param now: what the same probes found after the recovery.
    """
    pairs = _paired(before, now)
    proposal = _proposal(recovery, pairs)
    words = decode(proposal, {}).replace("*", "").replace("`", "")
    return fit(f"{_headline(recovery)}\n{words}", sections([*_head(recovery), *_comparison(pairs), proposal]))


def doubts(findings: Sequence[Finding]) -> tuple[str, ...]:
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
        lines += flow([Mrkdwn(f"fine, as then: {first}"), *rest], LINE_LIMIT, ", ")
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
        advice = f"*Look again before you call it over:* {few(failing)} {_fail(failing)}."
    elif unknown:
        advice = f"*Proposed: resolve it.* The alerts are well, but {few(unknown)} could not be checked."
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
    at = moment(recovery.resolve_at, seen_from=recovery.at)
    return f"Unless an alert fires before, it is marked resolved at {at}."
