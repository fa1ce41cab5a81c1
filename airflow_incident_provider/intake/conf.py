"""A run's conf becomes an incident: told by its shape, read, and completed from the routing table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from airflow_incident_provider.exceptions import InvalidPayloadError, NotAnIncidentError
from airflow_incident_provider.intake.datadog import looks_like_datadog, read_datadog
from airflow_incident_provider.intake.limits import MAX_RESPONDERS, ParseWarnings, bounded_names, fitted
from airflow_incident_provider.intake.manual import (
    ManualConf,
    flag_misspelt,
    given_links,
    given_targets,
    given_users,
    is_empty,
    parse_manual,
    read_manual,
)
from airflow_incident_provider.intake.notification import Notification
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.intake.urls import distinct_links, make_link
from airflow_incident_provider.models import Incident, Link, LinkKind, Route
from airflow_incident_provider.text import for_error

_DATADOG = "datadog"
_ADDITIONS = frozenset({"users", "targets", "links", "private"})
"""The fields that add to a Datadog payload beside which they stand. The others it says itself."""
_WHAT_A_CONF_HOLDS = (
    'A conf holds either {"datadog": {...}} with the payload that Datadog sent, or the fields of an incident: at'
    ' least "title", best with "severity" and "users".'
)


def read_incident(conf: Mapping[str, object], *, received_at: datetime, routing: RoutingTable) -> Incident:
    """Return the incident that a run's conf tells of.

    The shape of the conf says how to read it: a Datadog payload under ``datadog``, beside which ``users``,
    ``targets``, ``links`` and ``private`` may add to it; a Datadog payload as it is; or the fields of an incident.

    :param conf: the conf, or the merged parameters, of the run; fields that are empty count as not given.
    :param received_at: when the conf reached us (aware); the same again when a run is tried again.
    :param routing: who comes and what is looked at; an empty table adds nothing.
    :raises InvalidPayloadError: if the conf cannot be read, naming the field, its value and what would be right.
    :raises NotAnIncidentError: if it tells that something is well again.
    """
    notification = read_notification(conf, received_at=received_at, routing=routing)
    if notification.over is not None:
        raise NotAnIncidentError(notification.over)
    return notification.incident


def read_notification(conf: Mapping[str, object], *, received_at: datetime, routing: RoutingTable) -> Notification:
    """Return what a conf tells: as :func:`read_incident`, but a recovery is told, too, and not refused.

    :raises InvalidPayloadError: if the conf cannot be read.
    """
    if not isinstance(conf, Mapping):
        raise InvalidPayloadError(f"The conf is {for_error(conf)}, not an object.", fix=_WHAT_A_CONF_HOLDS)
    given = {key: value for key, value in conf.items() if not is_empty(value)}
    if not given:
        raise InvalidPayloadError("The conf is empty.", fix=_WHAT_A_CONF_HOLDS)
    notification, told = _read(given, received_at)
    return replace(notification, incident=fitted(_routed(notification.incident, told, routing)))


def _read(given: Mapping[str, object], received_at: datetime) -> tuple[Notification, ManualConf]:
    """Return what the source tells, and the fields that a person gave."""
    if _DATADOG in given:
        additions = parse_manual({key: given[key] for key in _ADDITIONS & given.keys()})
        notification = read_datadog(given[_DATADOG], received_at=received_at)
        return replace(notification, incident=_with_additions(notification.incident, given, additions)), additions
    if looks_like_datadog(given):
        return read_datadog(given, received_at=received_at), ManualConf()
    if isinstance(given.get("conf"), Mapping) and "title" not in given:
        raise InvalidPayloadError(
            "This is the body of a request to Airflow's API, not a conf.", fix='Pass what is under "conf".'
        )
    warnings = ParseWarnings()
    flag_misspelt(given, warnings)
    told = parse_manual(given)
    incident = read_manual(told, received_at=received_at, warnings=warnings)
    return Notification(incident=incident, group=incident.key, key_inputs={"id": incident.id}), told


def _with_additions(incident: Incident, given: Mapping[str, object], additions: ManualConf) -> Incident:
    warnings = ParseWarnings(incident.flags)
    for name in ManualConf.model_fields:
        if name in given and name not in _ADDITIONS:
            warnings.add(name, given[name], "ignored: the Datadog payload beside it says this")
    links = distinct_links((*incident.links, *given_links(additions, warnings)), warnings=warnings)
    targets = given_targets(additions, warnings)
    return incident.model_copy(update={"links": links, "targets": targets, "flags": warnings.as_tuple()})


def _routed(incident: Incident, told: ManualConf, routing: RoutingTable) -> Incident:
    """Return the incident with what the routing table says of it: how bad it is, and everybody who should come."""
    incident = routing.severity.judged(incident)
    route = routing.route(incident)
    if told.private:
        route = route.model_copy(update={"private": True})
    warnings = ParseWarnings(incident.flags)
    queries = (*given_users(told, warnings), incident.commander or "", *route.responders)
    responders = bounded_names(queries, field="responders", warnings=warnings, count=MAX_RESPONDERS)
    links = distinct_links((_runbook(route, warnings), *incident.links), warnings=warnings)
    return incident.model_copy(
        update={"route": route, "responders": responders, "links": links, "flags": warnings.as_tuple()}
    )


def _runbook(route: Route, warnings: ParseWarnings) -> Link | None:
    """Return the runbook that the routing table names. It comes before any that an alert's text calls one."""
    if route.runbook is None:
        return None
    label = f"Runbook {PurePosixPath(urlsplit(route.runbook).path).name}"
    return make_link(route.runbook, label=label, kind=LinkKind.RUNBOOK, field="route.runbook", warnings=warnings)
