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
from airflow_incident_provider.messages.times import between, clock, duration
from airflow_incident_provider.models import Finding, Model, UtcDatetime, Verdict

_SUMMARY = 160
_WORST_FIRST = (Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN, Verdict.OK, Verdict.SKIPPED)
_SHOWN_AS = {Verdict.FAIL: "FAIL", Verdict.WARN: "WARN", Verdict.UNKNOWN: "UNKNOWN", Verdict.OK: "ok"}


class Recovery(Model):
    """
    That no alert of an incident fires any more.

    :param first_at: when it fired first.
    :param times: how often it has fired, the first time included.
    :param resolve_at: when it will be resolved unless an alert fires before.
    """

    at: UtcDatetime
    first_at: UtcDatetime
    times: int = 1
    resolve_at: UtcDatetime | None = None


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
    def was_fine(self) -> bool:
        """Whether it was fine when the incident began; what had not been checked then was not."""
        return self.before is not None and self.before.verdict is Verdict.OK

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
    words = f"{_headline(recovery)}\n{proposal.replace('*', '').replace('`', '')}"
    return fit(words, sections([*_head(recovery), *_comparison(pairs), proposal]))


def doubts(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return the probes that found something failing, each once."""
    return tuple(dict.fromkeys(finding.probe for finding in findings if finding.verdict is Verdict.FAIL))


def _headline(recovery: Recovery) -> str:
    again = " again" if recovery.times > 1 else ""
    return f"Recovered{again} at {clock(recovery.at)} UTC: no alert is firing any more"


def _head(recovery: Recovery) -> list[Mrkdwn]:
    after = duration(max(0, between(recovery.first_at, recovery.at)))
    times = f" · fired {recovery.times} times" if recovery.times > 1 else ""
    return [bold(_headline(recovery)), Mrkdwn(f"{after} after the first alert{times}")]


def _paired(before: Sequence[Finding], now: Sequence[Finding]) -> list[_Pair]:
    """Return what was seen before and now, by probe and target, the worst now first."""
    then = {(finding.probe, finding.target): finding for finding in before}
    again = {(finding.probe, finding.target): finding for finding in now}
    pairs = [_Pair(then.get(key), again.get(key)) for key in dict.fromkeys((*then, *again))]
    seen = (pair for pair in pairs if _was_checked(pair.before) or _was_checked(pair.now))
    return sorted(seen, key=lambda pair: _WORST_FIRST.index(pair.verdict))


def _was_checked(finding: Finding | None) -> bool:
    return finding is not None and finding.verdict is not Verdict.SKIPPED


def _comparison(pairs: Sequence[_Pair]) -> list[Mrkdwn]:
    """Return a line for each probe that is not fine, or was not; the others run together."""
    fine = [pair for pair in pairs if pair.was_fine and pair.verdict is Verdict.OK]
    told = [
        Mrkdwn(f"{pair.subject}: {_side(pair.before)} → {_side(pair.now)}") for pair in pairs if pair not in fine
    ]
    lines = [Mrkdwn("*Probes, when it began → now*"), *told] if told else []
    if fine:
        lines += flow(
            [Mrkdwn(f"fine then and now: {fine[0].subject}"), *(p.subject for p in fine[1:])], LINE_LIMIT, ", "
        )
    return lines


def _side(finding: Finding | None) -> Mrkdwn:
    if finding is None:
        return Mrkdwn("not checked")
    mark = _SHOWN_AS.get(finding.verdict, "not checked")
    return Mrkdwn(f"{mark} {inline(finding.summary, _SUMMARY)}")


def _proposal(recovery: Recovery, pairs: Sequence[_Pair]) -> Mrkdwn:
    """Return whether to call it over, and what happens if nobody says anything."""
    failing = [pair.subject for pair in pairs if pair.verdict is Verdict.FAIL]
    unknown = [pair.subject for pair in pairs if pair.verdict is Verdict.UNKNOWN]
    if failing:
        advice = f"*Look again before you call it over*: {few(failing)} {_verb(failing, 'fail')}"
    elif unknown or not pairs:
        what = few(unknown) if unknown else Mrkdwn("nothing")
        said = f"{what} could not be checked" if unknown else "no probe could be run"
        advice = f"*Proposed: resolve it*, by the word of the alerts; {said}"
    else:
        advice = "*Proposed: resolve it*, no probe fails any more"
    return Mrkdwn(f"{advice}. {_what_follows(recovery)}" if recovery.resolve_at else f"{advice}.")


def _verb(subjects: Sequence[object], verb: str) -> str:
    return verb if len(subjects) > 1 else f"{verb}s"


def _what_follows(recovery: Recovery) -> str:
    assert recovery.resolve_at is not None
    at = moment(recovery.resolve_at, seen_from=recovery.at)
    return f"Unless an alert fires before, it is marked resolved at {at}."
