"""What a container left behind becomes a finding."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from airflow_incident_provider.models import Finding, ProbeRun, Stage, StageName, Target, Verdict
from airflow_incident_provider.probes.builtin import BUILTIN_PROBES, get_probe
from airflow_incident_provider.probes.exchange import NOT_FOLLOWED, graver, shown_location
from airflow_incident_provider.probes.output import (
    ContainerOutput,
    MissingMeasurementError,
    evidence_text,
    read_measurements,
)
from airflow_incident_provider.probes.probe import Assessment, Probe
from airflow_incident_provider.probes.safety import refuse_target
from airflow_incident_provider.probes.targets import Endpoint, endpoint, read_target
from airflow_incident_provider.text import redact

_REDIRECTED_TO = "redirected_to"
"""The fact that names what the redirects of a target led to, if they were followed."""

OUR_SIDE = "our own side"
"""What the control checks."""

MAX_REDIRECTS = 5
_NOT_RUN = {126: "the command could not be executed", 127: "the command was not found"}
"""Exit codes by which every shell says that it did not run what it was asked to."""

_FAULTS = (Verdict.FAIL, Verdict.WARN)


def interpret(run: ProbeRun, output: ContainerOutput) -> Finding:
    """Return what the container of this run showed.

    The verdict is ``unknown`` whenever the probe did not come to its end: no engine, no image, no time, no memory,
    output cut off, or a measurement missing. It is ``skipped`` when the target must not be contacted.
    """
    probe = get_probe(run.probe)
    assessment = _assessment(run, probe, output)
    return Finding(
        probe=probe.name,
        target=_target(run),
        verdict=assessment.verdict,
        summary=redact(assessment.summary),
        stages=tuple(stage.model_copy(update={"summary": redact(stage.summary)}) for stage in assessment.stages),
        facts={name: redact(v) if isinstance(v, str) else v for name, v in assessment.facts.items()},
        evidence=assessment.evidence,
        command=tuple(redact(part) for part in assessment.command),
        started_at=output.started_at,
        duration_ms=output.duration_ms,
        image=probe.image,
        image_digest=output.image_digest,
        host=output.host,
        vantage=assessment.vantage,
        redirect=assessment.redirect,
    )


def unknown_finding(
    run: ProbeRun, reason: str, *, started_at: datetime, duration_ms: int = 0, host: str | None = None
) -> Finding:
    """Return the finding of a probe that could not run, for ``reason``."""
    failed = ContainerOutput(started_at=started_at, duration_ms=duration_ms, error=reason, host=host)
    return interpret(run, failed)


def skipped_finding(run: ProbeRun, *, started_at: datetime) -> Finding:
    """Return the finding of a run whose target was refused when it was planned."""
    target, summary = _target(run), redact(run.refused or "not run")
    return Finding(probe=run.probe, target=target, verdict=Verdict.SKIPPED, summary=summary, started_at=started_at)


def custom_finding(output: ContainerOutput, *, name: str, image: str, command: tuple[str, ...]) -> Finding:
    """Return the finding of an image of the caller's own, by its exit code.

    :param name: the task; it is what was checked, whatever the image is called.
    """
    if (failure := output.failure) is not None:
        verdict, summary = Verdict.UNKNOWN, failure
    elif output.exit_code in _NOT_RUN:
        verdict, summary = Verdict.UNKNOWN, f"{_NOT_RUN[output.exit_code]} (exit code {output.exit_code})"
    else:
        verdict = Verdict.OK if output.exit_code == 0 else Verdict.FAIL
        summary = f"exit code {output.exit_code}"
    return Finding(
        probe=name,
        target="",
        verdict=verdict,
        summary=summary,
        evidence=evidence_text(output.stdout),
        command=tuple(redact(part) for part in command),
        exit_code=output.exit_code,
        started_at=output.started_at,
        duration_ms=output.duration_ms,
        image=image,
        image_digest=output.image_digest,
        host=output.host,
    )


def redirected_run(run: ProbeRun, finding: Finding) -> ProbeRun | None:
    """Return the run that follows a redirect, if the routing table wants the target's redirects to be followed.

    The new target is validated like the first one. Headers and the client certificate stay with the first host.
    """
    expected = run.target.expect if run.target else None
    location, status = finding.redirect, finding.facts.get("status")
    if expected is None or not expected.follow_redirects or not location or run.target is None:
        return None
    if not isinstance(status, int) or not 300 <= status < 400:  # noqa: PLR2004 - redirects
        return None
    target = Target(url=location, trusted=run.target.trusted, expect=expected)
    here, there = endpoint(run.target), endpoint(target)
    if here is None or there is None or here.host != there.host or here.port != there.port:
        kept = expected.model_copy(update={"headers": (), "client_certificate": None})
        target = target.model_copy(update={"expect": kept})
    refused = refuse_target(target, run.allowed_networks)
    return run.model_copy(update={"target": target, "refused": refused})


def after_redirect(first: Finding, last: Finding) -> Finding:
    """Return the finding of a target whose redirects were followed: what the last of them showed.

    A fault on the way there, such as an expired certificate or an address that answers 503, is not forgotten.
    """
    verdict = Verdict.UNKNOWN if last.verdict is Verdict.SKIPPED else last.verdict
    # That the redirect was not followed is no longer true.
    faults = [
        stage.model_copy(update={"summary": stage.summary.replace(NOT_FOLLOWED, "")})
        for stage in first.stages
        if stage.verdict in _FAULTS
    ]
    there = shown_location(last.target)
    evidence = f"{first.evidence}\n--- {last.target}\n{last.evidence}" if last.evidence else first.evidence
    return last.model_copy(
        update={
            "target": first.target,
            "verdict": min((verdict, *(stage.verdict for stage in faults)), key=list(Verdict).index),
            "summary": "; ".join((*(stage.summary for stage in faults), f"redirects to {there}: {last.summary}")),
            "stages": _with_faults(last.stages, faults),
            # The stages and facts are about what the redirects led to.
            "facts": {**last.facts, _REDIRECTED_TO: last.facts.get(_REDIRECTED_TO, last.target)},
            "evidence": evidence_text(evidence.encode()),
            "command": first.command,
            "started_at": first.started_at,
            "duration_ms": first.duration_ms + last.duration_ms,
        }
    )


def measured_endpoint(finding: Finding) -> Endpoint | None:
    """Return what the stages of a finding are about: its target, or where the target's redirects led."""
    return endpoint(read_target(str(finding.facts.get(_REDIRECTED_TO, finding.target))))


def _with_faults(stages: Sequence[Stage], faults: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the stages with the faults of an earlier request in those of the same name."""
    found = {stage.name: stage for stage in stages}
    for fault in faults:
        later = found.get(fault.name)
        if later is None or later.verdict is Verdict.SKIPPED:
            found[fault.name] = fault
        else:
            verdict, summary = graver(fault.verdict, later.verdict), f"{fault.summary}; {later.summary}"
            found[fault.name] = later.model_copy(update={"verdict": verdict, "summary": summary})
    return tuple(sorted(found.values(), key=lambda stage: list(StageName).index(stage.name)))


def _target(run: ProbeRun) -> str:
    return redact(str(run.target)) if run.target is not None else OUR_SIDE


def _assessment(run: ProbeRun, probe: Probe, output: ContainerOutput) -> Assessment:
    if (failure := output.failure) is not None:
        return Assessment(verdict=Verdict.UNKNOWN, summary=failure, evidence=_partial(probe, output))
    if probe in BUILTIN_PROBES and not (output.exit_code == 0 and read_measurements(output.stdout).complete):
        summary = f"the probe did not come to its end (exit code {output.exit_code})"
        return Assessment(verdict=Verdict.UNKNOWN, summary=summary)
    try:
        return probe.assess(run, output)
    except MissingMeasurementError as error:
        return Assessment(verdict=Verdict.UNKNOWN, summary=f"the probe did not measure: {error}")
    except Exception as error:  # noqa: BLE001 - whatever a server sent, or an added probe got wrong: no finding is worse
        summary = f"the output of the probe could not be assessed ({type(error).__name__})"
        return Assessment(verdict=Verdict.UNKNOWN, summary=summary, evidence=_partial(probe, output))


def _partial(probe: Probe, output: ContainerOutput) -> str:
    return "" if probe in BUILTIN_PROBES else evidence_text(output.stdout)
