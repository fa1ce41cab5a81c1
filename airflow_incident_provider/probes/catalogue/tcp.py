"""Whether something listens on the target's port."""

from __future__ import annotations

from statistics import median

from airflow_incident_provider.models import ProbeRun, Verdict
from airflow_incident_provider.probes.connection import port_environment, port_target, unresolved
from airflow_incident_provider.probes.declaration import CURL_IMAGE, FactValue, Probe, ProbeOutput, Reading

_OUTCOMES = {
    "refused": "connection refused",
    "timeout": "no connection within 2 s",
    "unreachable": "no route to the host",
    "failed": "could not connect",
}


def _parse(run: ProbeRun, output: ProbeOutput) -> Reading:
    if (nothing := unresolved(output)) is not None:
        return nothing
    tries, opened = output.number("tries"), output.number("open")
    counts = {name: output.number(name) for name in _OUTCOMES}
    facts: dict[str, FactValue] = {"tries": tries, "open": opened, "addresses": output.text("addresses")}
    facts.update({name: count for name, count in counts.items() if count})
    worst = next((words for name, words in _OUTCOMES.items() if counts[name]), "could not connect")
    if opened == 0:
        return Reading(verdict=Verdict.FAIL, summary=worst, facts=facts)
    output.required("open_ms")
    facts["median_ms"] = round(median(output.numbers("open_ms")), 1)
    port = run.target.port if run.target else None
    summary = f"{port} open, median {_shown(float(facts['median_ms']))} ms of {opened}"
    if opened == tries:
        return Reading(verdict=Verdict.OK, summary=summary, facts=facts)
    facts["not_open"] = output.text("not_open")
    summary = f"{summary}; {tries - opened} of {tries} tries failed: {worst} ({facts['not_open']})"
    return Reading(verdict=Verdict.WARN, summary=summary, facts=facts)


def _shown(ms: float) -> str:
    return f"{ms:.0f}" if ms >= 1 else f"{ms:.1f}"


PROBE = Probe(
    name="tcp",
    title="connection to the port",
    image=CURL_IMAGE,
    aim=port_target,
    environment=port_environment,
    parse=_parse,
)
