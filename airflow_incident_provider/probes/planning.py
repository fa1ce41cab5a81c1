"""
Which probes run against what.

The routing table's targets come first, then the alert's, then its hosts. A target that must not be touched
becomes one run that says why, and is never started.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_incident_provider.models import Incident, ProbeRun, Route, Target
from airflow_incident_provider.probes.catalogue import catalogue
from airflow_incident_provider.probes.declaration import CONTROL, Probe
from airflow_incident_provider.probes.safety import internal_networks, is_literal, refuse_target
from airflow_incident_provider.probes.targets import endpoint, incident_targets

MAX_RUNS = 10
"""How many runs, and so how many containers, one incident has at most."""


def plan_probes(incident: Incident) -> tuple[ProbeRun, ...]:
    """Return the runs of an incident, the control first, at most :data:`MAX_RUNS`, none of them twice."""
    runs: dict[tuple[str, str], ProbeRun] = {}
    for run in _all_runs(incident):
        runs.setdefault((run.probe, str(run.target)), run)
    return tuple(runs.values())[:MAX_RUNS]


def _all_runs(incident: Incident) -> Iterator[ProbeRun]:
    yield ProbeRun(probe=CONTROL)
    names = incident.route.probes
    selected = [probe for probe in catalogue() if not names or probe.name in names]
    yield from (ProbeRun(probe=probe.name) for probe in selected if probe.aim is None)
    for target in incident_targets(incident):
        yield from _runs_against(target, selected, incident.route)
    yield from _runs_of_unknown_probes(incident.route)


def _runs_against(target: Target, selected: list[Probe], route: Route) -> Iterator[ProbeRun]:
    networks = _networks(target, route)
    if reason := _why_not(target, networks):
        yield ProbeRun(probe=_most_telling(target), target=target, refused=reason)
        return
    for probe in selected:
        if probe.aim is not None and (part := probe.aim(target)) is not None:
            yield ProbeRun(probe=probe.name, target=part, allowed_networks=networks)


def _most_telling(target: Target) -> str:
    """Return the probe that a refused target is reported under."""
    if target.url is not None:
        return "http"
    return "dns" if target.port is None else "tcp"


def _networks(target: Target, route: Route) -> tuple[str, ...]:
    """Return where a target may lie. One that the routing table names may lie in any private network."""
    if not target.trusted:
        return route.allowed_networks
    return tuple(dict.fromkeys((*route.allowed_networks, *internal_networks())))


def _why_not(target: Target, networks: tuple[str, ...]) -> str | None:
    if reason := refuse_target(target, networks):
        return reason
    parts = endpoint(target)
    if parts and not target.trusted and "." not in parts.host.rstrip(".") and not is_literal(parts.host):
        return "a short name means something else on every network: name it in the routing table to probe it"
    return None


def _runs_of_unknown_probes(route: Route) -> Iterator[ProbeRun]:
    known = {probe.name for probe in catalogue()}
    for name in route.probes:
        if name not in known:
            yield ProbeRun(probe=name, refused=f"no such probe; there are {', '.join(sorted(known))}")
