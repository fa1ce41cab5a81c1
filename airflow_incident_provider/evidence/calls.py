"""The calls of Datadog's API that evidence is made of, as values: what is asked, and what was answered.

Source: https://docs.datadoghq.com/api/latest/ for each path. The client in :mod:`airflow_incident_provider.datadog`
makes the calls; nothing here does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from airflow_incident_provider.evidence.metric_query import group_tags, grouped, narrowed
from airflow_incident_provider.evidence.model import ApiCall, CallOutcome
from airflow_incident_provider.evidence.request import EvidenceRequest

LOGS_LIMIT = 1000
EVENTS_LIMIT = 200
DEPLOYMENTS_LIMIT = 200
GROUPS_LIMIT = 200


class Endpoint(StrEnum):
    """An endpoint: what budgets are kept by. The value is what the room calls it."""

    MONITOR = "monitor"
    METRIC_QUERY = "metric query"
    TIMESERIES = "timeseries query"
    MONITOR_GROUPS = "monitor groups search"
    DOWNTIMES = "monitor downtimes"
    DEPLOYMENTS = "deployments"
    EVENTS = "events search"
    LOGS = "logs search"
    ERROR_TRACKING = "error tracking search"
    ENTITIES = "catalog entities"
    RELATIONS = "catalog relations"


SCOPES: Mapping[Endpoint, str] = {
    Endpoint.MONITOR: "monitors_read",
    Endpoint.METRIC_QUERY: "timeseries_query",
    Endpoint.TIMESERIES: "timeseries_query",
    Endpoint.MONITOR_GROUPS: "monitors_read",
    Endpoint.DOWNTIMES: "monitors_downtime",
    Endpoint.DEPLOYMENTS: "dora_metrics_read",
    Endpoint.EVENTS: "events_read",
    Endpoint.LOGS: "logs_read_data",
    Endpoint.ERROR_TRACKING: "error_tracking_read",
    Endpoint.ENTITIES: "apm_service_catalog_read",
    Endpoint.RELATIONS: "apm_service_catalog_read",
}
"""The scope of the application key that an endpoint needs."""


@dataclass(frozen=True)
class Call:
    """One call to make.

    :param name: what the checks know its answer by, unique in one collection.
    :param subject: what it asks for, for people.
    """

    name: str
    endpoint: Endpoint
    method: str
    path: str
    subject: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


def member(value: Any, *keys: str) -> Any:
    """Return a nested member of an object, ``None`` where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True)
class Answer:
    """A recorded call with what it answered; ``body`` is the decoded JSON, absent unless (partially) answered."""

    call: ApiCall
    body: Any = None

    @property
    def complete(self) -> bool:
        """Whether what is not in the answer does not exist."""
        return self.call.outcome is CallOutcome.ANSWERED

    @property
    def usable(self) -> bool:
        """Whether what is in the answer exists."""
        return self.call.outcome in {CallOutcome.ANSWERED, CallOutcome.PARTIAL}

    def at(self, *keys: str) -> Any:
        """Return a member of the body, ``None`` where there is none."""
        return member(self.body, *keys)

    def rows(self, *keys: str) -> list[Mapping[str, Any]]:
        """Return the objects of a list in the body."""
        found = self.at(*keys)
        return [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []


Answers = Mapping[str, Answer]

VERSIONS = "versions"
SERVICES = "services"
SIGNALS = "signals"
HOSTS = "hosts"


def first_calls(request: EvidenceRequest) -> list[Call]:
    """Return the calls that depend on nothing but the request: all can be made at once."""
    calls: list[Call] = []
    if request.monitor_id:
        calls += [monitor(request.monitor_id), downtimes(request.monitor_id)]
    if request.metric_query:
        calls += metric_calls(request, request.metric_query)
    if request.service is None:
        return [*calls, monitor_groups(request)]
    calls += [
        trace_metrics(request, VERSIONS, request.selector(), "version"),
        trace_metrics(request, SERVICES, f"{{env:{request.env}}}" if request.env else "{*}", "service"),
        trace_metrics(request, HOSTS, request.selector(), "host"),
        signals(request),
        deployments(request, request.service),
        events(request, request.service),
        monitor_groups(request),
        errors(request),
        *logs(request),
        entity(request.service),
        relations(request.service),
    ]
    return calls


def monitor(monitor_id: str) -> Call:
    """Return the call for a monitor with its groups."""
    query = {"group_states": "all", "with_downtimes": "true"}
    return Call("monitor", Endpoint.MONITOR, "GET", f"/api/v1/monitor/{monitor_id}", f"monitor {monitor_id}", query)


def downtimes(monitor_id: str) -> Call:
    """Return the call for the downtimes that cover a monitor now."""
    path = f"/api/v2/monitor/{monitor_id}/downtime_matches"
    return Call("downtimes", Endpoint.DOWNTIMES, "GET", path, f"downtimes of monitor {monitor_id}")


def metric_calls(request: EvidenceRequest, query: str) -> list[Call]:
    """Return the calls for the alert's metric, as a whole and by host."""
    scope = dict(tag.split(":", 1) for tag in request.scope if ":" in tag)
    rest = {key: value for key, value in scope.items() if key not in {"host", *group_tags(query)}}
    whole, by_host = narrowed(grouped(query, ()), scope), narrowed(grouped(query, ("host",)), rest)
    return [metric_query(request, "metric", whole), metric_query(request, "groups", by_host)]


def metric_query(request: EvidenceRequest, name: str, query: str) -> Call:
    """Return the call for a metric expression."""
    bounds: dict[str, str | int] = {"from": request.start, "to": request.end, "query": query}
    return Call(name, Endpoint.METRIC_QUERY, "GET", "/api/v1/query", query, bounds)


def timeseries(request: EvidenceRequest, name: str, queries: Mapping[str, str]) -> Call:
    """Return one call for several metrics, in steps of a minute."""
    attributes = {
        "from": request.start * 1000,
        "to": request.end * 1000,
        "interval": 60_000,
        "queries": [{"data_source": "metrics", "name": key, "query": query} for key, query in queries.items()],
        "formulas": [{"formula": key} for key in queries],
    }
    body = {"data": {"type": "timeseries_request", "attributes": attributes}}
    subject = "; ".join(queries.values())
    return Call(name, Endpoint.TIMESERIES, "POST", "/api/v2/query/timeseries", subject, body=body)


def trace_metrics(request: EvidenceRequest, name: str, scope: str, tag: str) -> Call:
    """Return the call for the requests, errors and durations in a scope, by a tag and trace operation."""
    queries = {}
    for index, operation in enumerate(request.all_operations):
        for what in ("hits", "errors"):
            queries[f"{what}{index}"] = f"sum:trace.{operation}.{what}{scope} by {{{tag}}}.as_count()"
        queries[f"duration{index}"] = f"avg:trace.{operation}{scope} by {{{tag}}}"
    return timeseries(request, name, queries)


def signals(request: EvidenceRequest) -> Call:
    """Return the call for the metrics that distinguish the causes of this kind of alert."""
    queries = (signal.query.replace("{scope}", request.selector()) for signal in request.all_signals)
    return timeseries(request, SIGNALS, {f"signal{index}": query for index, query in enumerate(queries)})


def deployments(request: EvidenceRequest, service: str, *, name: str = "deployments") -> Call:
    """Return the call for the deployments of a service."""
    asked = {"query": request.search(service), **_span(request.start, request.end + 60)}
    attributes = {**asked, "limit": DEPLOYMENTS_LIMIT, "sort": "-started_at"}
    body = {"data": {"type": "dora_deployments_list_request", "attributes": attributes}}
    subject = f"deployments of {service}"
    return Call(name, Endpoint.DEPLOYMENTS, "POST", "/api/v2/dora/deployments", subject, body=body)


def events(request: EvidenceRequest, service: str, *, name: str = "events") -> Call:
    """Return the call for the events of a service."""
    asked = {"query": request.search(service), **_span(request.start, request.end + 60)}
    body = {"filter": asked, "sort": "-timestamp", "page": {"limit": EVENTS_LIMIT}}
    return Call(name, Endpoint.EVENTS, "POST", "/api/v2/events/search", f"events of {service}", body=body)


def monitor_groups(request: EvidenceRequest) -> Call:
    """Return the call for what else alerts in the environment."""
    query = f"group_status:alert {request.search(None)}".rstrip()
    bounds: dict[str, str | int] = {"query": query, "per_page": GROUPS_LIMIT}
    path = "/api/v1/monitor/groups/search"
    return Call("monitor_groups", Endpoint.MONITOR_GROUPS, "GET", path, query, bounds)


def errors(request: EvidenceRequest) -> Call:
    """Return the call for the errors of the service."""
    attributes = {
        "query": request.search(request.service),
        "from": request.window_start * 1000,
        "to": (request.end + 60) * 1000,
        "track": "trace",
        "order_by": "TOTAL_COUNT",
    }
    body = {"data": {"type": "search_request", "attributes": attributes}}
    path = "/api/v2/error-tracking/issues/search"
    subject = f"errors of {request.service}"
    return Call("errors", Endpoint.ERROR_TRACKING, "POST", path, subject, {"include": "issue"}, body)


def logs(request: EvidenceRequest) -> list[Call]:
    """Return the calls for error logs: of the window, and of as long before it."""
    start, end = request.window_start, request.end + 60
    spans = {"logs": _span(start, end), "logs_before": _span(2 * start - end, start)}
    asked = {"query": f"{request.search(request.service)} status:error", "indexes": ["*"]}
    paging = {"sort": "-timestamp", "page": {"limit": LOGS_LIMIT}}
    path, subject = "/api/v2/logs/events/search", f"error logs of {request.service}"
    return [
        Call(name, Endpoint.LOGS, "POST", path, subject, body={"filter": {**asked, **span}, **paging})
        for name, span in spans.items()
    ]


def entity(service: str, *, name: str = "entity") -> Call:
    """Return the call for a service's entry in the catalog."""
    query: dict[str, str | int] = {
        "filter[name]": service,
        "filter[kind]": "service",
        "include": "schema",
        "page[limit]": 5,
    }
    return Call(name, Endpoint.ENTITIES, "GET", "/api/v2/catalog/entity", f"catalog entry of {service}", query)


def relations(service: str) -> Call:
    """Return the call for what a service depends on, including edges that were discovered."""
    query: dict[str, str | int] = {
        "filter[from_ref]": f"service:default/{service}",
        "filter[type]": "RelationTypeDependsOn",
        "includeDiscovered": "true",
        "page[limit]": 100,
    }
    path = "/api/v2/catalog/relation"
    return Call(relations_name(service), Endpoint.RELATIONS, "GET", path, f"dependencies of {service}", query)


def relations_name(service: str) -> str:
    """Return the name of the call for a service's dependencies."""
    return f"relations:{service}"


def _span(start: int, end: int) -> dict[str, str]:
    """Return the bounds of a search, from Unix seconds."""
    bounds = {"from": start, "to": end}
    return {key: f"{datetime.fromtimestamp(at, tz=UTC):%Y-%m-%dT%H:%M:%SZ}" for key, at in bounds.items()}
