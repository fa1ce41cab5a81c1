"""The control: the state of our own side, so that a reader can tell a broken target from a broken vantage point."""

from __future__ import annotations

from airflow_incident_provider.models import ProbeRun, Vantage, Verdict
from airflow_incident_provider.probes.dns import KNOWN, Reply, ReplyCode
from airflow_incident_provider.probes.output import (
    ContainerOutput,
    Measurements,
    MissingMeasurementError,
    engine_ahead_s,
    read_measurements,
)
from airflow_incident_provider.probes.probe import Assessment, FactValue
from airflow_incident_provider.probes.reachability import read_replies, read_vantage

BUSY_LOAD_PER_CPU = 4.0
"""From which load (1 min, for each CPU) on measured times say little about a target."""

LITTLE_MEMORY_PERCENT = 5
CLOCK_SKEW_S = 60
"""Seconds between the clocks of the worker and of the engine from which on expiry dates are doubtful."""


def assess_control(_run: ProbeRun, output: ContainerOutput) -> Assessment:
    """Return what of our own side works and what does not; it claims nothing about what it did not check."""
    measured = read_measurements(output.stdout)
    vantage = read_vantage(measured, output.network)
    replies = tuple(reply for reply in read_replies(measured) if reply.query == KNOWN)
    faults, doubts = _faults(vantage, replies), []
    facts: dict[str, FactValue] = {
        "addresses": " ".join(vantage.addresses),
        "families": " ".join(vantage.families) or "none",
        "resolvers": ", ".join(f"{reply.server} {reply.code}" for reply in replies) or "none",
    }
    doubts += [f"resolver {each.server} does not answer" for each in replies if not _answers(each)]
    for fault in _proxy_faults(measured, facts):
        faults.append(fault)
    doubts += _load(measured, facts)
    doubts += _clock(measured, output, facts)
    if faults:
        return Assessment(verdict=Verdict.FAIL, summary="; ".join(faults), facts=facts, vantage=vantage)
    summary = _in_order(vantage, replies, facts)
    if doubts:
        verdict, summary = Verdict.WARN, f"{'; '.join(doubts)}; {summary}"
    else:
        verdict = Verdict.OK
    return Assessment(verdict=verdict, summary=summary, facts=facts, vantage=vantage)


def _answers(reply: Reply) -> bool:
    """Return whether a resolver is there: any DNS reply shows that, also one that declines the question."""
    return reply.code not in {ReplyCode.TIMEOUT, ReplyCode.MALFORMED}


def _faults(vantage: Vantage, replies: tuple[Reply, ...]) -> list[str]:
    faults = []
    if not vantage.addresses:
        faults.append("the container has no address")
    if not vantage.families:
        faults.append("the container has no route")
    if not any(_answers(reply) for reply in replies):
        servers = ", ".join(vantage.resolvers) or "none is configured"
        faults.append(f"no resolver answers ({servers})")
    return faults


def _in_order(vantage: Vantage, replies: tuple[Reply, ...], facts: dict[str, FactValue]) -> str:
    working = ", ".join(reply.server for reply in replies if _answers(reply))
    proxy = "; the proxy answers" if "proxy" in facts else ""
    families = " and ".join(vantage.families)
    return (
        f"resolver {working} answers; routes for {families}{proxy}; load {facts['load_1m']} on {facts['cpus']} CPUs"
    )


def _proxy_faults(measured: Measurements, facts: dict[str, FactValue]) -> list[str]:
    if not measured.has("proxy"):
        return []
    answer = measured.json("proxy")
    facts["proxy"] = int(answer.get("http_code") or 0)
    return [] if answer.get("http_code") else ["the proxy that leads out of the network does not answer"]


def _load(measured: Measurements, facts: dict[str, FactValue]) -> list[str]:
    """Return what makes measured times doubtful.

    :raises MissingMeasurementError: the container could not read its own state.
    """
    rows = measured.rows("load")
    try:
        load, cpus = float(rows[0][0]), int(rows[1][0])
        memory = {row[0]: int(row[1]) for row in rows[2:]}
        free = round(100 * memory["MemAvailable:"] / max(memory["MemTotal:"], 1))
    except (IndexError, KeyError, ValueError) as error:
        raise MissingMeasurementError("load") from error
    facts |= {"load_1m": load, "cpus": cpus, "memory_available_percent": free}
    doubts = [f"the machine is busy (load {load} on {cpus} CPUs)"] if load > BUSY_LOAD_PER_CPU * cpus else []
    return [*doubts, *([f"the machine has {free}% of its memory left"] if free < LITTLE_MEMORY_PERCENT else [])]


def _clock(measured: Measurements, output: ContainerOutput, facts: dict[str, FactValue]) -> list[str]:
    ahead = engine_ahead_s(measured, output)
    facts["clock_ahead_s"] = ahead
    if abs(ahead) < CLOCK_SKEW_S:
        return []
    return [f"the engine's clock is {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} the worker's"]
