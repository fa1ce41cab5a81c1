"""
Which probes run against what: one container for the control and one for each target.

The routing table's targets come first, then the alert's, then its host names. Each gets the check that goes through
most stages. A target that must not be contacted becomes one run that says why, and is never started.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_incident_provider.models import Incident, ProbeRun, Target
from airflow_incident_provider.probes.builtin import BUILTIN_PROBES, FORMER_NAMES, catalogue
from airflow_incident_provider.probes.probe import CONTROL, Probe
from airflow_incident_provider.probes.safety import INTERNAL_NETWORKS, literal_address, refuse_target
from airflow_incident_provider.probes.targets import alert_hosts, endpoint, incident_targets

MAX_RUNS = 10
"""How many runs, and so how many containers, one incident has at most."""


def plan_probes(incident: Incident) -> tuple[ProbeRun, ...]:
    """Return the runs of an incident, the control first, at most :data:`MAX_RUNS`, none of them twice."""
    return all_runs(incident)[:MAX_RUNS]


def all_runs(incident: Incident) -> tuple[ProbeRun, ...]:
    """Return every run that an incident calls for, those beyond :data:`MAX_RUNS` included."""
    runs: dict[tuple[str, str], ProbeRun] = {}
    for run in _runs(incident):
        runs.setdefault((run.probe, str(run.target)), run)
    return tuple(runs.values())


def _runs(incident: Incident) -> Iterator[ProbeRun]:
    yield ProbeRun(probe=CONTROL)
    names = {FORMER_NAMES.get(name, name) for name in incident.route.probes}
    known, problem = _known_probes(names)
    for name in sorted(names - known.keys()):
        yield ProbeRun(probe=name, refused=problem or f"no such probe; there are {', '.join(known)}")
    selected = [probe for probe in known.values() if not names or probe.name in names]
    yield from (ProbeRun(probe=probe.name) for probe in selected if probe.select is None and probe.name != CONTROL)
    networks = incident.route.allowed_networks
    targets = incident_targets(incident)
    for target in targets:
        yield from _runs_against(target, selected, networks)
    covered = {parts.host for target in targets if (parts := endpoint(target)) is not None}
    for host in alert_hosts(incident):
        parts = endpoint(host)
        if parts is None or parts.host not in covered:
            runs = _runs_against(host, selected, networks)
            yield from (run.model_copy(update={"identifier": True}) for run in runs)


def _known_probes(names: set[str]) -> tuple[dict[str, Probe], str | None]:
    """Return the probes by name, and why those of other packages cannot be loaded, if they are wanted."""
    builtin = {probe.name: probe for probe in BUILTIN_PROBES}
    if names <= builtin.keys():
        return builtin, None
    try:
        return {probe.name: probe for probe in catalogue()}, None
    except Exception as error:  # noqa: BLE001 - code of others, which must not cost the built-in checks
        return builtin, f"the probes of other packages cannot be loaded: {error}"


def _runs_against(target: Target, selected: Sequence[Probe], allowed: tuple[str, ...]) -> Iterator[ProbeRun]:
    """Return the run of the deepest built-in check of a target, and those of added probes that apply to it."""
    networks = tuple(dict.fromkeys((*allowed, *INTERNAL_NETWORKS))) if target.trusted else allowed
    if reason := _refusal(target, networks):
        yield ProbeRun(probe=_closest_probe(target), target=target, refused=reason)
        return
    checks = [
        ProbeRun(probe=probe.name, target=part, allowed_networks=networks)
        for probe in selected
        if probe.select is not None and (part := probe.select(target)) is not None
    ]
    builtin = {probe.name for probe in BUILTIN_PROBES}
    deepest = [run for run in checks if run.probe in builtin][:1]
    runs = [*deepest, *(run for run in checks if run.probe not in builtin)]
    if not runs:
        names = ", ".join(probe.name for probe in selected if probe.name != CONTROL) or "none is selected"
        reason = f"no selected probe is for such a target ({names})"
        yield ProbeRun(probe=_closest_probe(target), target=target, refused=reason)
    yield from runs


def _closest_probe(target: Target) -> str:
    """Return the probe that a target is reported under that is not checked."""
    parts = endpoint(target)
    scheme = parts.scheme if parts is not None else ""
    if target.url is not None:
        return scheme if scheme in {"grpc", "tls", "tcp"} else "http"
    return "dns" if target.port is None else "tcp"


def _refusal(target: Target, networks: tuple[str, ...]) -> str | None:
    if reason := refuse_target(target, networks):
        return reason
    parts = endpoint(target)
    if parts and not target.trusted and "." not in parts.host and literal_address(parts.host) is None:
        return "a short name means something else on every network: name it in the routing table to probe it"
    return None
