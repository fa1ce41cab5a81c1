"""What a container left behind becomes a finding."""

from __future__ import annotations

from datetime import datetime

from airflow_incident_provider.models import Finding, ProbeRun, Verdict
from airflow_incident_provider.probes.catalogue import get_probe
from airflow_incident_provider.probes.declaration import MissingFactError, Probe, ProbeOutput, Reading
from airflow_incident_provider.probes.output import ContainerOutput, split_output
from airflow_incident_provider.text import redact

OUR_SIDE = "our own side"
"""What a probe without a target looks at."""

# busybox `timeout` reports the signal that ended the script: TERM, or KILL after the grace time.
_ENDED_BY_TIMEOUT = frozenset({128 + 15, 128 + 9})
_COMPLETE = "complete"
_REFUSED = "target_refused"


def interpret(run: ProbeRun, output: ContainerOutput) -> Finding:
    """Return what the container of this run showed.

    The verdict is ``unknown`` whenever the script did not come to its end: no engine, no image, no time, no
    memory, output cut off, or a fact missing. It is ``skipped`` when the script would not touch the target.
    """
    probe = get_probe(run.probe)
    facts, evidence = split_output(output.stdout)
    reading = _reading(run, probe, output, facts)
    return Finding(
        probe=run.probe,
        target=_target(run),
        verdict=reading.verdict,
        summary=redact(reading.summary),
        facts=dict(reading.facts),
        evidence=evidence,
        command=_shown_command(run, probe),
        exit_code=output.exit_code,
        started_at=output.started_at,
        duration_ms=output.duration_ms,
        image=probe.image,
        image_digest=output.image_digest,
        host=output.host,
    )


def unknown_finding(
    run: ProbeRun, reason: str, *, started_at: datetime, duration_ms: int = 0, host: str | None = None
) -> Finding:
    """Return the finding of a probe that could not run, for ``reason``."""
    failed = ContainerOutput(started_at=started_at, duration_ms=duration_ms, error=reason, host=host)
    return interpret(run, failed)


def skipped_finding(run: ProbeRun, *, started_at: datetime) -> Finding:
    """Return the finding of a run whose target was refused when it was planned."""
    return Finding(
        probe=run.probe,
        target=_target(run),
        verdict=Verdict.SKIPPED,
        summary=redact(run.refused or "not run"),
        started_at=started_at,
    )


def _target(run: ProbeRun) -> str:
    return redact(str(run.target)) if run.target is not None else OUR_SIDE


def _shown_command(run: ProbeRun, probe: Probe) -> tuple[str, ...]:
    """Return what was run as a person would write it: the script by name, not its text."""
    variables = (f"{name}={redact(value)}" for name, value in probe.environment(run).items())
    return (*variables, "sh", f"{probe.name}.sh")


def _reading(run: ProbeRun, probe: Probe, output: ContainerOutput, facts: dict[str, str]) -> Reading:
    if reason := _why_incomplete(probe, output, facts):
        return Reading(verdict=Verdict.UNKNOWN, summary=reason)
    if refusal := facts.get(_REFUSED):
        return Reading(verdict=Verdict.SKIPPED, summary=f"refused: {refusal}", facts={_REFUSED: refusal})
    try:
        return probe.parse(run, ProbeOutput(facts=facts, at=output.started_at))
    except MissingFactError as error:
        return Reading(verdict=Verdict.UNKNOWN, summary=f"the probe did not say what it had to: no {error}")


def _why_incomplete(probe: Probe, output: ContainerOutput, facts: dict[str, str]) -> str | None:
    if output.error:
        return f"the probe could not run: {output.error}"
    if output.oom_killed:
        return "the probe ran out of memory"
    if output.timed_out or output.exit_code in _ENDED_BY_TIMEOUT:
        return f"the probe did not finish within {probe.timeout_s} s"
    if output.truncated:
        return "the probe printed more than is read"
    if output.exit_code != 0 or _COMPLETE not in facts:
        return f"the probe did not come to its end (exit code {output.exit_code})"
    return None
