"""What the target's URL answers, and how fast."""

from __future__ import annotations

from airflow_incident_provider.models import ProbeRun, Target, Verdict
from airflow_incident_provider.probes.connection import (
    STOPPED_READING,
    TIMED_OUT,
    connection_failure,
    milliseconds,
    unresolved,
    url_environment,
)
from airflow_incident_provider.probes.declaration import CURL_IMAGE, FactValue, Probe, ProbeOutput, Reading
from airflow_incident_provider.probes.targets import endpoint

SLOW_MS = 2_000
"""From how many milliseconds on an answer is a warning."""

_CONNECT_S, _TOTAL_S = 4, 10
_SERVER_ERROR, _CLIENT_ERROR = 500, 400


def _aim(target: Target) -> Target | None:
    return target if target.url is not None and endpoint(target) is not None else None


def _parse(_run: ProbeRun, output: ProbeOutput) -> Reading:
    if (nothing := unresolved(output)) is not None:
        return nothing
    status, exit_code = output.number("status"), output.number("curl_exit_code")
    facts: dict[str, FactValue] = {"addresses": output.text("addresses"), "curl_exit_code": exit_code}
    if status == 0:
        failure = connection_failure(output, (_CONNECT_S, _TOTAL_S))
        if output.has("connect_failure"):
            facts["connect_failure"] = output.text("connect_failure")
        return Reading(verdict=Verdict.FAIL, summary=failure, facts=facts)
    facts |= {"status": status, "http_version": output.text("http_version"), **_phases(output)}
    facts |= {name: output.text(name) for name in ("content_type", "location") if output.has(name)}
    return _judge(status, exit_code, facts)


def _phases(output: ProbeOutput) -> dict[str, FactValue]:
    """Return how many milliseconds each part took, and all of it together with the name's resolution."""
    connected, agreed, first_byte, end = milliseconds(output)
    name = output.number("lookup_ms") if output.has("lookup_ms") else 0
    phases: dict[str, FactValue] = {"name_ms": name, "connect_ms": connected}
    if agreed:
        phases["tls_ms"] = agreed - connected
    phases["first_byte_ms"] = first_byte - max(agreed, connected)
    phases["total_ms"] = name + end
    return phases


def _judge(status: int, exit_code: int, facts: dict[str, FactValue]) -> Reading:
    summary = f"HTTP {status} after {facts['total_ms']} ms ({_words(facts)})"
    if "location" in facts:
        summary = f"{summary}; redirects to {facts['location']} (not followed)"
    if exit_code == TIMED_OUT:
        summary = f"{summary}; the answer did not end within {_TOTAL_S} s"
    elif exit_code == STOPPED_READING:
        summary = f"{summary}; only the beginning was read"
    elif exit_code != 0:
        summary = f"{summary}; the answer broke off"
    return Reading(verdict=_verdict(status, exit_code, int(facts["total_ms"])), summary=summary, facts=facts)


def _verdict(status: int, exit_code: int, total_ms: int) -> Verdict:
    if status >= _SERVER_ERROR:
        return Verdict.FAIL
    if status >= _CLIENT_ERROR or total_ms > SLOW_MS or exit_code not in {0, STOPPED_READING}:
        return Verdict.WARN
    return Verdict.OK


def _words(facts: dict[str, FactValue]) -> str:
    names = {"name_ms": "name", "connect_ms": "connect", "tls_ms": "TLS", "first_byte_ms": "first byte"}
    return ", ".join(f"{words} {facts[name]}" for name, words in names.items() if name in facts)


PROBE = Probe(
    name="http",
    title="answer of the URL",
    image=CURL_IMAGE,
    aim=_aim,
    environment=url_environment,
    parse=_parse,
)
