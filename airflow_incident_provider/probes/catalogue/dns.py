"""Whether the target's name has addresses."""

from __future__ import annotations

from ipaddress import ip_address

from airflow_incident_provider.models import ProbeRun, Target, Verdict
from airflow_incident_provider.probes.connection import host_environment, resolution_failure
from airflow_incident_provider.probes.declaration import (
    ALPINE_IMAGE,
    FactValue,
    MissingFactError,
    Probe,
    ProbeOutput,
    Reading,
)
from airflow_incident_provider.probes.safety import ALWAYS_REFUSED, AddressKind, classify, is_literal
from airflow_incident_provider.probes.targets import endpoint


def _aim(target: Target) -> Target | None:
    parts = endpoint(target)
    if parts is None or is_literal(parts.host):
        return None
    return Target(host=parts.host, trusted=target.trusted)


def _parse(_run: ProbeRun, output: ProbeOutput) -> Reading:
    addresses = output.words("addresses")
    resolution = output.required("resolution")
    facts: dict[str, FactValue] = {"resolution": resolution, "addresses": " ".join(addresses)}
    if output.has("canonical_name"):
        facts["canonical_name"] = output.text("canonical_name")
    if not addresses:
        return Reading(verdict=Verdict.FAIL, summary=resolution_failure(resolution), facts=facts)
    facts["lookup_ms"] = output.number("lookup_ms")
    summary = f"{len(addresses)} address{'es' if len(addresses) > 1 else ''}, {facts['lookup_ms']} ms"
    for address in addresses:
        if (kind := _kind(address)) in ALWAYS_REFUSED:
            warning = f"{summary}; at {address} ({kind.words}) no service should be"
            return Reading(verdict=Verdict.WARN, summary=warning, facts=facts)
    return Reading(verdict=Verdict.OK, summary=summary, facts=facts)


def _kind(address: str) -> AddressKind:
    try:
        return classify(ip_address(address))
    except ValueError as error:
        raise MissingFactError("readable addresses") from error


PROBE = Probe(
    name="dns",
    title="name resolution",
    image=ALPINE_IMAGE,
    aim=_aim,
    environment=host_environment,
    parse=_parse,
)
