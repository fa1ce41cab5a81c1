"""Datadog's API over HTTP: keys, series, queries, events and the webhooks integration.

Source: https://docs.datadoghq.com/api/latest/
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from incident_sandbox.datadog import catalog, monitors, records, timeseries
from incident_sandbox.datadog.requests import NotFoundError, RejectedError
from incident_sandbox.datadog.state import DatadogState
from incident_sandbox.datadog.world import World
from incident_sandbox.exchange import Exchange, Reply
from incident_sandbox.workspace import Workspace

Json = dict[str, Any]
Body = Any
Act = Callable[[DatadogState, Body, Request], "tuple[int, Any]"]

WEBHOOKS = "/api/v1/integration/webhooks/configuration/webhooks"
VARIABLES = "/api/v1/integration/webhooks/configuration/custom-variables"
SCOPES = {
    "query": "timeseries_query",
    "timeseries": "timeseries_query",
    "monitors.read": "monitors_read",
    "monitors.groups": "monitors_read",
    "monitors.downtimes": "monitors_downtime",
    "deployments": "dora_metrics_read",
    "events.search": "events_read",
    "logs.search": "logs_read_data",
    "errors.search": "error_tracking_read",
    "catalog.entities": "apm_service_catalog_read",
    "catalog.relations": "apm_service_catalog_read",
}
"""The scope of an application key that an endpoint wants; the others want a key with all scopes."""

GZIP_WINDOW = zlib.MAX_WBITS | 16
ANY_QUERY = "*"


class DatadogError(Exception):
    """A refusal: the HTTP status and Datadog's list of errors."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def datadog_router(workspace: Workspace) -> APIRouter:
    """Return the routes that Datadog's clients call; their host is the server's root."""
    router = APIRouter(include_in_schema=False)
    for verb, path, name, needs_app_key, act in ROUTES:
        router.add_api_route(path, _endpoint(workspace, name, act, needs_app_key), methods=[verb])
    return router


def _endpoint(workspace: Workspace, name: str, act: Act, needs_app_key: bool) -> Callable[..., Any]:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()

        def effect() -> Reply:
            state = workspace.datadog
            headers: dict[str, str] = {}
            try:
                _require_keys(state, request, SCOPES.get(name) if needs_app_key else "")
                allowed, headers = state.limits.take(name, workspace.clock())
                if not allowed:
                    raise DatadogError(
                        429, "Rate limit of 300 requests in 3600 seconds reached. Please try again later."
                    )
                if name in state.forbidden:
                    raise DatadogError(403, "Forbidden")
                state.now = workspace.clock()
                status, answer = act(state, _decode(request, raw), request)
            except DatadogError as error:
                status, answer = error.status, {"errors": [error.message]}
            except RejectedError as error:
                status, answer = 400, {"errors": [str(error)]}
            except NotFoundError as error:
                status, answer = 404, {"errors": [str(error)]}
            response = JSONResponse(answer, status_code=status, headers=headers)
            return Reply(response, "ok" if status < 400 else f"http_{status}")  # noqa: PLR2004

        args = {**request.query_params, **request.path_params}
        return await Exchange(workspace, f"datadog.{name}", args, caller=None).run(effect)

    return endpoint


def _require_keys(state: DatadogState, request: Request, scope: str | None) -> None:
    """Refuse keys that may not do this.

    :param scope: of the application key; empty if none is needed, absent if only a key with all scopes will do.
    """
    query, headers = request.query_params, request.headers
    api_key = headers.get("dd-api-key") or query.get("api_key")
    app_key = headers.get("dd-application-key") or query.get("application_key")
    permitted = scope == "" or app_key == state.app_key or scope in state.scoped_app_keys.get(app_key or "", ())
    if api_key != state.api_key or not permitted:
        raise DatadogError(403, "Forbidden")


def _decode(request: Request, raw: bytes) -> Body:
    encoding = request.headers.get("content-encoding", "")
    try:
        if encoding == "deflate":
            raw = zlib.decompress(raw)
        elif encoding == "gzip":
            raw = zlib.decompress(raw, GZIP_WINDOW)
        return json.loads(raw) if raw else {}
    except (zlib.error, ValueError):
        raise DatadogError(400, "Payload is not in the expected format") from None


def _validate(state: DatadogState, body: Body, request: Request) -> tuple[int, Any]:  # noqa: ARG001 - an Act
    return 200, {"valid": True}


def _submit_series(state: DatadogState, body: Body, request: Request) -> tuple[int, Any]:
    series = body.get("series") if isinstance(body, dict) else None
    if not isinstance(series, list) or not all(isinstance(s, dict) and s.get("metric") for s in series):
        raise DatadogError(400, "Payload is not in the expected format")
    version = "v2" if request.url.path.startswith("/api/v2/") else "v1"
    state.series += [{"version": version, **one} for one in series]
    return 202, {"errors": []} if version == "v2" else {"status": "ok"}


def _query(state: DatadogState, body: Body, request: Request) -> tuple[int, Any]:  # noqa: ARG001 - an Act
    query = request.query_params.get("query", "")
    bounds = [request.query_params.get(name, "") for name in ("from", "to")]
    if not query or not all(bound.isdecimal() for bound in bounds):
        raise DatadogError(400, "Missing required parameter: query, from and to")
    start, end = (int(bound) * 1000 for bound in bounds)
    if state.world is not None and query not in state.queries and "query" not in state.empty:
        return 200, timeseries.query_v1(state.world, query, start // 1000, end // 1000, state.now)
    series = state.queries.get(query, state.queries.get(ANY_QUERY, []))
    return 200, {
        "status": "ok",
        "res_type": "time_series",
        "query": query,
        "from_date": start,
        "to_date": end,
        "series": series,
        "message": "",
        "group_by": [],
    }


def _create_event(state: DatadogState, body: Body, request: Request) -> tuple[int, Any]:
    if not isinstance(body, dict) or not body.get("title") or "text" not in body:
        raise DatadogError(400, "Invalid event: title and text are required")
    event = state.add_event(body)
    return 202, {"status": "ok", "event": {**event, "url": f"{request.base_url}event/event?id={event['id']}"}}


def _get_event(state: DatadogState, body: Body, request: Request) -> tuple[int, Any]:  # noqa: ARG001 - an Act
    event_id = request.path_params["event_id"]
    event = state.events.get(int(event_id)) if event_id.isdecimal() else None
    if event is None:
        raise DatadogError(404, "No event matches that event_id")
    return 200, {"event": event}


def _story(read: Callable[[World, DatadogState, Body, Request], Any], empty: Any) -> Act:
    """Return what answers from the story that is being played; without one there is nothing."""

    def act(state: DatadogState, body: Body, request: Request) -> tuple[int, Any]:
        return 200, empty if state.world is None else read(state.world, state, body, request)

    return act


def _nothing_if(name: str, read: Callable[[World, DatadogState, Body, Request], Any], empty: Any) -> Act:
    """Return the same, for an endpoint that a story can empty."""

    def chosen(world: World, state: DatadogState, body: Body, request: Request) -> Any:
        return empty if name in state.empty else read(world, state, body, request)

    return _story(chosen, empty)


_NO_SERIES: Json = {
    "data": {"id": "0", "type": "timeseries_response", "attributes": {"series": [], "times": [], "values": []}}
}
_NO_PAGE: Json = {"data": [], "meta": {"status": "done"}}
_NO_GROUPS: Json = {
    "groups": [],
    "counts": {"status": [], "type": []},
    "metadata": {"page": 0, "page_count": 0, "per_page": 30, "total_count": 0},
}


def _monitor(state: DatadogState, body: Body, request: Request) -> tuple[int, Any]:  # noqa: ARG001 - an Act
    if state.world is None:
        raise DatadogError(404, "Monitor not found")
    with_groups = bool(request.query_params.get("group_states"))
    return 200, monitors.monitor(state.world, request.path_params["monitor_id"], with_groups=with_groups)


_monitors = _story(lambda world, state, body, request: monitors.monitors(world), [])  # noqa: ARG005
_monitor_groups = _story(
    lambda world, state, body, request: monitors.monitor_groups(world, request.query_params.get("query", "")),  # noqa: ARG005
    _NO_GROUPS,
)
_downtimes = _story(
    lambda world, state, body, request: monitors.downtime_matches(world, request.path_params["monitor_id"]),  # noqa: ARG005
    {"data": []},
)
_timeseries = _nothing_if(
    "timeseries",
    lambda world, state, body, request: timeseries.timeseries_v2(world, body, state.now),  # noqa: ARG005
    _NO_SERIES,
)
_events_search = _nothing_if(
    "events.search",
    lambda world, state, body, request: records.events_search(world, body, state.now),  # noqa: ARG005
    _NO_PAGE,
)
_deployments = _nothing_if(
    "deployments",
    lambda world, state, body, request: records.deployments(world, body, state.now),  # noqa: ARG005
    {"data": []},
)
_logs_search = _nothing_if(
    "logs.search",
    lambda world, state, body, request: records.logs_search(  # noqa: ARG005
        world, body, state.now, partial="logs.search" in state.partial
    ),
    _NO_PAGE,
)
_errors_search = _nothing_if(
    "errors.search",
    lambda world, state, body, request: records.error_tracking(
        world, body, state.now, with_issues=request.query_params.get("include") == "issue"
    ),
    {"data": []},
)
_entities = _nothing_if(
    "catalog.entities",
    lambda world, state, body, request: catalog.entities(  # noqa: ARG005
        world,
        request.query_params.get("filter[name]", ""),
        with_schema="schema" in request.query_params.get("include", ""),
    ),
    {"data": []},
)
_relations = _nothing_if(
    "catalog.relations",
    lambda world, state, body, request: catalog.relations(  # noqa: ARG005
        world, request.query_params.get("filter[from_ref]", ""), request.query_params.get("filter[type]", "")
    ),
    {"data": []},
)


def _registry(
    kind: Callable[[DatadogState], dict[str, Json]], required: tuple[str, ...], label: str
) -> dict[str, Act]:
    """Return create, read, replace and delete for one kind of named configuration."""

    def find(state: DatadogState, request: Request) -> Json:
        entry = kind(state).get(request.path_params["name"])
        if entry is None:
            raise DatadogError(404, f"{label} not found")
        return entry

    def create(state: DatadogState, body: Body, request: Request) -> tuple[int, Any]:  # noqa: ARG001 - an Act
        if not isinstance(body, dict) or not all(body.get(member) for member in required):
            raise DatadogError(400, f"{label} needs: {', '.join(required)}")
        if body["name"] in kind(state):
            raise DatadogError(400, f"{label} already exists")
        kind(state)[body["name"]] = dict(body)
        return 201, _public(body)

    def read(state: DatadogState, body: Body, request: Request) -> tuple[int, Any]:  # noqa: ARG001 - an Act
        return 200, _public(find(state, request))

    def replace(state: DatadogState, body: Body, request: Request) -> tuple[int, Any]:
        entry = find(state, request)
        if not isinstance(body, dict):
            raise DatadogError(400, "Payload is not in the expected format")
        del kind(state)[request.path_params["name"]]
        entry.update(body)
        kind(state)[entry["name"]] = entry
        return 200, _public(entry)

    def delete(state: DatadogState, body: Body, request: Request) -> tuple[int, Any]:  # noqa: ARG001 - an Act
        find(state, request)
        del kind(state)[request.path_params["name"]]
        return 200, {}

    return {"create": create, "read": read, "replace": replace, "delete": delete}


def _public(entry: Json) -> Json:
    """Return an entry as it is read back: a secret's value never is."""
    return {name: value for name, value in entry.items() if not (name == "value" and entry.get("is_secret"))}


_webhooks = _registry(lambda state: state.webhooks, ("name", "url"), "Webhook")
_variables = _registry(lambda state: state.custom_variables, ("name", "value"), "Custom variable")

# Verb, path, name in faults and the log, whether the application key is needed, and what it does.
ROUTES: tuple[tuple[str, str, str, bool, Act], ...] = (
    ("GET", "/api/v1/validate", "validate", False, _validate),
    ("POST", "/api/v1/series", "series", False, _submit_series),
    ("POST", "/api/v2/series", "series", False, _submit_series),
    ("GET", "/api/v1/query", "query", True, _query),
    ("POST", "/api/v2/query/timeseries", "timeseries", True, _timeseries),
    ("GET", "/api/v1/monitor", "monitors.list", True, _monitors),
    ("GET", "/api/v1/monitor/groups/search", "monitors.groups", True, _monitor_groups),
    ("GET", "/api/v1/monitor/{monitor_id}", "monitors.read", True, _monitor),
    ("GET", "/api/v2/monitor/{monitor_id}/downtime_matches", "monitors.downtimes", True, _downtimes),
    ("POST", "/api/v2/events/search", "events.search", True, _events_search),
    ("POST", "/api/v2/dora/deployments", "deployments", True, _deployments),
    ("POST", "/api/v2/logs/events/search", "logs.search", True, _logs_search),
    ("POST", "/api/v2/error-tracking/issues/search", "errors.search", True, _errors_search),
    ("GET", "/api/v2/catalog/entity", "catalog.entities", True, _entities),
    ("GET", "/api/v2/catalog/relation", "catalog.relations", True, _relations),
    ("POST", "/api/v1/events", "events.create", False, _create_event),
    ("GET", "/api/v1/events/{event_id}", "events.read", True, _get_event),
    ("POST", WEBHOOKS, "webhooks.create", True, _webhooks["create"]),
    ("GET", f"{WEBHOOKS}/{{name}}", "webhooks.read", True, _webhooks["read"]),
    ("PUT", f"{WEBHOOKS}/{{name}}", "webhooks.replace", True, _webhooks["replace"]),
    ("DELETE", f"{WEBHOOKS}/{{name}}", "webhooks.delete", True, _webhooks["delete"]),
    ("POST", VARIABLES, "variables.create", True, _variables["create"]),
    ("GET", f"{VARIABLES}/{{name}}", "variables.read", True, _variables["read"]),
    ("PUT", f"{VARIABLES}/{{name}}", "variables.replace", True, _variables["replace"]),
    ("DELETE", f"{VARIABLES}/{{name}}", "variables.delete", True, _variables["delete"]),
)
