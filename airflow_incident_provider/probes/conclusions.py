"""
What may be said about an incident, given what the probes saw.

A sentence restates one finding, with its target and probe; no sentence draws a conclusion from several, except that
two of them contradict each other. No finding suppresses another: the control says what our own side looks like, and
leaves the rest to the reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from airflow_incident_provider.models import CONTROL_PROBES, Finding, Incident, StageName, Statement, Verdict
from airflow_incident_provider.probes.interpretation import measured_endpoint
from airflow_incident_provider.probes.planning import MAX_RUNS, all_runs
from airflow_incident_provider.probes.targets import incident_targets

_KNOWN = (Verdict.FAIL, Verdict.WARN, Verdict.OK)
"""The verdicts of findings that say something about their target, the worst first."""

_PART_WORDS = {StageName.NAME: "name", StageName.CONNECTION: "connection", StageName.TLS: "TLS"}


@dataclass(frozen=True, kw_only=True)
class Conclusions:
    """What is known, each sentence with the findings it cites, and what is not."""

    known: tuple[Statement, ...]
    unknown: tuple[str, ...]


def conclude(incident: Incident, findings: Sequence[Finding]) -> Conclusions:
    """Return what the findings say, the worst first, and what they leave open."""
    return Conclusions(known=tuple(_known(findings)), unknown=tuple(_unknown(incident, findings)))


def _known(findings: Sequence[Finding]) -> Iterator[Statement]:
    checks = [finding for finding in findings if not finding.is_control]
    for verdict in _KNOWN:
        yield from (restate(finding) for finding in checks if finding.verdict is verdict)
    yield from contradictions(checks)
    for control in findings:
        if control.is_control and control.verdict in {Verdict.FAIL, Verdict.WARN}:
            text = f"our own side: {control.summary}"
            yield Statement(text=text, probes=(control.probe,), verdict=control.verdict)


def restate(finding: Finding) -> Statement:
    """Return the sentence that says what one finding saw."""
    text = f"{finding.target or finding.probe}: {finding.summary}"
    if finding.verdict in {Verdict.FAIL, Verdict.WARN} and (fine := _stages_in_order(finding)):
        text = f"{text}; in order: {', '.join(fine)}"
    return Statement(text=text, probes=(finding.probe,), targets=(finding.target,), verdict=finding.verdict)


def _stages_in_order(finding: Finding) -> list[str]:
    """Return the stages that were reached and showed no fault."""
    return [
        _PART_WORDS[stage.name]
        for stage in finding.stages
        if stage.name in _PART_WORDS and stage.verdict is Verdict.OK
    ]


def contradictions(findings: Sequence[Finding]) -> Iterator[Statement]:
    """Return the pairs of findings about one host and port of which one found it open and the other did not."""
    located = [(finding, where) for finding in findings if (where := _location(finding)) is not None]
    for (one, here), (other, there) in combinations(located, 2):
        if here != there or {_connected(one), _connected(other)} != {True, False}:
            continue
        # What a check found and what it found when it was repeated may both be true.
        repeated = (one.probe, one.target) == (other.probe, other.target) and one.started_at != other.started_at
        what = "a repeated check differs" if repeated else "the findings contradict each other"
        form = "%H:%M:%S" if one.started_at.date() == other.started_at.date() else "%Y-%m-%d %H:%M:%S"
        text = f"{here}: {what}: {_about_connection(one, form)}; {_about_connection(other, form)}"
        yield Statement(text=text, probes=(one.probe, other.probe), targets=(one.target, other.target))


def _about_connection(finding: Finding, form: str) -> str:
    summary = next(stage.summary for stage in finding.stages if stage.name is StageName.CONNECTION)
    return f"{finding.probe} at {finding.started_at:{form}} found {summary}"


def _connected(finding: Finding) -> bool | None:
    """Return whether the port accepted a connection; ``None`` if that was not found out."""
    stage = next((stage for stage in finding.stages if stage.name is StageName.CONNECTION), None)
    if stage is None or stage.verdict in {Verdict.UNKNOWN, Verdict.SKIPPED}:
        return None
    return stage.verdict is not Verdict.FAIL


def _location(finding: Finding) -> str | None:
    """Return the host and port of a finding whose stages say something about them."""
    if not finding.stages or finding.probe == "dns":
        return None
    parts = measured_endpoint(finding)
    return parts.authority if parts is not None and parts.port is not None else None


# --- what is left open ---------------------------------------------------------------------------------


def _unknown(incident: Incident, findings: Sequence[Finding]) -> Iterator[str]:
    checks = [finding for finding in findings if not finding.is_control]
    yield from _nothing_checked(incident, checks)
    for finding in checks:
        if finding.verdict in {Verdict.UNKNOWN, Verdict.SKIPPED}:
            yield f"{finding.probe} of {finding.target or 'this task'}: {finding.summary}"
    left_out = list(_not_run(incident, findings))
    yield from left_out
    yield from _our_side(findings)
    if checks and all(finding.verdict is Verdict.OK for finding in checks):
        passed = "every check that ran passed" if left_out else "every check passed"
        yield f"why the alert was raised: {passed}"


def _nothing_checked(incident: Incident, checks: Sequence[Finding]) -> Iterator[str]:
    """Say that nothing was checked, and how to change that."""
    if any(finding.verdict in _KNOWN for finding in checks):
        return
    subject = ", ".join(incident.services[:3]) or "this incident"
    if incident_targets(incident) or checks:
        yield f"how {subject} answers: nothing could be checked"
        return
    rules = ", ".join(incident.route.matched)
    where = f"rule {rules} of the routing table" if rules else "a rule of the routing table"
    yield f"how {subject} answers: nothing was checked, for no target is known; add one under targets in {where}"


def _not_run(incident: Incident, findings: Sequence[Finding]) -> Iterator[str]:
    """Return the planned runs without a finding, and the runs that the limit cut."""
    found = {(finding.probe, finding.target) for finding in findings}
    runs = all_runs(incident)
    for run in runs[:MAX_RUNS]:
        if (run.probe, str(run.target)) not in found and run.probe not in CONTROL_PROBES:
            yield f"{run.probe} of {run.target}: planned, but it left no finding"
    for run in runs[MAX_RUNS:]:
        yield f"{run.probe} of {run.target}: not run, because one incident starts at most {MAX_RUNS} containers"


def _our_side(findings: Sequence[Finding]) -> Iterator[str]:
    """Return what the control leaves open about the other findings."""
    controls = [finding for finding in findings if finding.is_control]
    if not any(control.verdict in _KNOWN for control in controls):
        yield "the state of our own side: the control did not run to its end"
    for control in controls:
        failing = any(f.verdict is Verdict.FAIL for f in findings if not f.is_control)
        if control.verdict is Verdict.FAIL and failing:
            yield f"whether the failures are the targets' or ours: {control.summary}"
