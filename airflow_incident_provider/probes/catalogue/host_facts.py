"""The control: whether our own side is in order, so that its faults are not blamed on the target."""

from __future__ import annotations

from airflow_incident_provider.models import ProbeRun, Verdict
from airflow_incident_provider.probes.declaration import ALPINE_IMAGE, FactValue, Probe, ProbeOutput, Reading

# Any of these shows that a resolver is there and heard us.
_ANSWERS = frozenset({"NOERROR", "NXDOMAIN", "REFUSED", "NOTIMP"})


def _parse(_run: ProbeRun, output: ProbeOutput) -> Reading:
    resolver = output.required("resolver")
    facts: dict[str, FactValue] = {
        "addresses": output.text("addresses"),
        "routes": output.number("routes"),
        "default_route": output.required("default_route") == "yes",
        "loopback": output.required("loopback") == "yes",
        "resolver": resolver,
        "resolver_answers": resolver in _ANSWERS,
        "uptime_s": output.number("uptime_s"),
        "load_1m": output.decimal("load_1m"),
        "cpus": output.number("cpus"),
        "memory_available_percent": _memory_percent(output),
    }
    if faults := _faults(facts):
        return Reading(verdict=Verdict.FAIL, summary=f"our own network: {', '.join(faults)}", facts=facts)
    load = f"load {facts['load_1m']} on {facts['cpus']} CPUs, {facts['memory_available_percent']}% memory free"
    return Reading(verdict=Verdict.OK, summary=f"our own network is fine ({load})", facts=facts)


def _faults(facts: dict[str, FactValue]) -> list[str]:
    faults = []
    if not facts["addresses"]:
        faults.append("no address")
    if not facts["routes"]:
        faults.append("no route")
    if not facts["resolver_answers"]:
        faults.append(f"no working name server ({facts['resolver']})")
    return faults


def _memory_percent(output: ProbeOutput) -> int:
    return round(100 * output.number("memory_available_kb") / max(output.number("memory_total_kb"), 1))


PROBE = Probe(
    name="host_facts",
    title="our own side",
    image=ALPINE_IMAGE,
    aim=None,
    environment=lambda _run: {},
    parse=_parse,
)
