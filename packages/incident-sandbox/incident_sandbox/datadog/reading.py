"""The endpoints that evidence is read from, answered from the story that is being played.

Sources: https://docs.datadoghq.com/api/latest/metrics/, /monitors/, /events/, /logs/, /error-tracking/,
/dora-metrics/ and /software-catalog/.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from incident_sandbox.datadog.metric_query import QueryError, Result, evaluate
from incident_sandbox.datadog.story import Event, Issue, Logs, Rollout
from incident_sandbox.datadog.world import MINUTES, World

Json = dict[str, Any]

_TERM = re.compile(r"(?P<not>-?)(?P<key>[\w.@]+):(?P<value>\([^)]*\)|\"[^\"]*\"|\S+)")
_MAX_LOGS = 1000


class RejectedError(ValueError):
    """The request is wrong: Datadog answers 400."""


class NotFoundError(LookupError):
    """There is no such thing: Datadog answers 404."""


def query_v1(world: World, query: str, start: int, end: int, now: float) -> Json:
    """Answer GET /api/v1/query: times in seconds are asked for, in milliseconds answered."""
    minutes = _minutes(world, start, end)
    result = _evaluated(world, query, minutes)
    return {
        "status": "ok",
        "res_type": "time_series",
        "resp_version": 1,
        "query": query,
        "from_date": start * 1000,
        "to_date": end * 1000,
        "group_by": list(result.by),
        "message": "",
        "series": [_series_v1(world, query, result, key, minutes, now) for key in result.groups],
    }


def _series_v1(  # noqa: PLR0917 - one group of an answer
    world: World, query: str, result: Result, key: tuple[str, ...], minutes: Sequence[int], now: float
) -> Json:
    tags = sorted(f"{name}:{value}" for name, value in zip(result.by, key, strict=True))
    times = [_time(world, minute) for minute in minutes]
    newest = now - world.story.limits.late * 60
    points = [
        [at * 1000, None if at > newest else value]
        for at, value in zip(times, result.groups[key], strict=True)
        if value is not None or at > newest
    ]
    return {
        "metric": result.metric,
        "display_name": result.metric,
        "expression": query,
        "scope": ",".join(tags) or "*",
        "tag_set": tags,
        "aggr": None,
        "interval": 60,
        "length": len(points),
        "query_index": 0,
        "start": times[0] * 1000 if times else 0,
        "end": times[-1] * 1000 + 59_999 if times else 0,
        "unit": _units(world, result.metric),
        "attributes": {},
        "pointlist": points,
    }


def _units(world: World, metric: str) -> list[Json | None] | None:
    unit: Json
    of_gauge = next((gauge.unit for gauge in world.story.gauges if gauge.name == metric and gauge.unit), None)
    if of_gauge:
        unit = {"family": of_gauge, "name": of_gauge, "plural": f"{of_gauge}s", "scale_factor": 1.0, "id": 0}
        return [{**unit, "short_name": of_gauge}, None]
    if metric == "container.memory.usage":
        unit = {
            "family": "bytes",
            "name": "byte",
            "plural": "bytes",
            "short_name": "B",
            "scale_factor": 1.0,
            "id": 2,
        }
        return [unit, None]
    return None


def timeseries_v2(world: World, body: Any, now: float) -> Json:
    """Answer POST /api/v2/query/timeseries: milliseconds, ``to`` exclusive."""
    attributes = _attributes(body)
    start, end, queries = attributes.get("from"), attributes.get("to"), attributes.get("queries")
    if not isinstance(start, int) or not isinstance(end, int) or not isinstance(queries, list) or not queries:
        raise RejectedError("from, to and queries are required")
    names = {each.get("name", f"query{index}"): each.get("query", "") for index, each in enumerate(queries)}
    formulas = [each.get("formula") for each in attributes.get("formulas") or []] or list(names)
    minutes = _minutes(world, start // 1000, end // 1000)
    newest = now - world.story.limits.late * 60
    series, values = [], []
    for index, formula in enumerate(formulas):
        if formula not in names:
            raise RejectedError(f"unknown query {formula!r} in formula")
        result = _evaluated(world, names[formula], minutes)
        for key, found in result.groups.items():
            tags = [f"{name}:{value}" for name, value in zip(result.by, key, strict=True)]
            series.append({"query_index": index, "group_tags": tags, "unit": _units(world, result.metric)})
            values.append(
                [
                    None if _time(world, minute) > newest else value
                    for minute, value in zip(minutes, found, strict=True)
                ]
            )
    times = [_time(world, minute) * 1000 for minute in minutes]
    return {
        "data": {
            "id": "0",
            "type": "timeseries_response",
            "attributes": {"series": series, "times": times, "values": values},
        }
    }


def _evaluated(world: World, query: str, minutes: Sequence[int]) -> Result:
    try:
        return evaluate(query, world.series, minutes)
    except QueryError as error:
        raise RejectedError(str(error)) from None


def _minutes(world: World, start: int, end: int) -> range:
    first = math.ceil((start - world.first_minute) / 60)
    last = math.ceil((end - world.first_minute) / 60)
    return range(max(first, 0), min(max(last, 0), MINUTES + 10))


def _time(world: World, minute: int) -> int:
    return world.first_minute + minute * 60


def _attributes(body: Any) -> Mapping[str, Any]:
    data = body.get("data") if isinstance(body, dict) else None
    attributes = data.get("attributes") if isinstance(data, dict) else None
    if not isinstance(attributes, dict):
        raise RejectedError("data.attributes is required")
    return attributes


# --- monitors -------------------------------------------------------------------------------------------


def monitor(world: World, monitor_id: str, *, with_groups: bool) -> Json:
    """Answer GET /api/v1/monitor/{id}; groups only when they are asked for."""
    alert = world.story.alert
    if monitor_id != str(alert.id):
        raise NotFoundError("Monitor not found")
    found: Json = {
        "id": alert.id,
        "name": world.title,
        "type": alert.type or ("log alert" if alert.kind == "logs" else "query alert"),
        "query": world.monitor_query,
        "message": "Page @slack-incidents",
        "tags": [f"service:{world.story.service}", f"env:{world.story.env}"],
        "priority": 1,
        "overall_state": "Alert",
        "multi": alert.host is not None,
        "created": "2026-01-01T00:00:00.000000+00:00",
        "modified": "2026-01-01T00:00:00.000000+00:00",
        "options": {"thresholds": {"critical": alert.threshold}, "silenced": {}},
    }
    if with_groups:
        group = {
            "name": world.scope,
            "status": "Alert",
            "last_triggered_ts": int(world.alerted_at),
            "last_resolved_ts": 0,
        }
        found["state"] = {"groups": {world.scope: group}}
    return found


def monitors(world: World) -> list[Json]:
    """Answer GET /api/v1/monitor: it has no ``query`` parameter and ignores one."""
    return [monitor(world, str(world.story.alert.id), with_groups=False)]


def monitor_groups(world: World, query: str) -> Json:
    """Answer GET /api/v1/monitor/groups/search."""
    own = {
        "monitor_id": world.story.alert.id,
        "monitor_name": world.title,
        "group": world.scope,
        "group_tags": world.scope.split(","),
        "status": "Alert",
        "last_triggered_ts": int(world.alerted_at),
    }
    rows = [own]
    for each in world.story.monitors:
        tags = [f"env:{each.env or world.story.env}", f"service:{each.service}"]
        at = int(world.at(each.triggered))
        row: Json = {
            "monitor_id": each.id,
            "monitor_name": each.name,
            "group": ",".join(tags),
            "group_tags": tags,
            "status": each.status,
            "last_triggered_ts": at,
        }
        if each.status == "No Data":
            row |= {"last_nodata_ts": at}
        rows.append(row)
    terms = _terms(query)
    found = [row for row in rows if _group_matches(row, terms)]
    return {
        "groups": found,
        "counts": {"status": [], "type": []},
        "metadata": {"page": 0, "page_count": 1, "per_page": 200, "total_count": len(found)},
    }


def _group_matches(row: Json, terms: list[tuple[bool, str, list[str]]]) -> bool:
    # Not the tag `env` of the query alone decides, but the status, as Datadog's own search does.
    for wanted, key, values in terms:
        if key in {"group_status", "status"}:
            actual = [row["status"].lower()]
        else:
            actual = [tag.partition(":")[2] for tag in row["group_tags"] if tag.partition(":")[0] == key]
        if wanted is not any(value.lower() in actual for value in values):
            return False
    return True


def downtime_matches(world: World, monitor_id: str) -> Json:
    """Answer GET /api/v2/monitor/{id}/downtime_matches."""
    rows: list[Json] = []
    if monitor_id == str(world.story.alert.id):
        for index, each in enumerate(world.story.downtimes):
            attributes: Json = {
                "scope": each.scope,
                "start": _iso(world.alerted_at + each.start * 60),
                "end": _iso(world.alerted_at + each.end * 60) if each.end is not None else None,
                "groups": list(each.groups),
            }
            rows.append({"id": f"downtime-{index}", "type": "downtime_match", "attributes": attributes})
    return {"data": rows, "meta": {"page": {"total_filtered_count": len(rows)}}}


# --- events, deployments, logs, errors ------------------------------------------------------------------


def _terms(query: str) -> list[tuple[bool, str, list[str]]]:
    """Return (wanted, key, values) for each term of a search."""
    found = []
    for term in _TERM.finditer(query):
        value = term["value"].strip("()")
        values = [each.strip().strip('"') for each in re.split(r"\s+OR\s+", value)]
        found.append((not term["not"], term["key"].lstrip("@"), values))
    return found


def _found(query: str, tags: Mapping[str, str]) -> bool:
    return all(wanted is (tags.get(key) in values) for wanted, key, values in _terms(query))


def _bounds(request: Mapping[str, Any], now: float) -> tuple[float, float]:
    return _moment(request.get("from"), now - 900, now), _moment(request.get("to"), now, now)


def _moment(value: Any, default: float, now: float) -> float:
    """Return Unix seconds of what Datadog takes: ISO 8601, date math, milliseconds as a number or text."""
    if value is None:
        return default
    text = str(value)
    if text.isdecimal():
        return int(text) / 1000
    if text.startswith("now"):
        found = re.fullmatch(r"now(?:-(\d+)([smhd]))?", text)
        if found is None:
            raise RejectedError(f"invalid date {text!r}")
        return now - int(found[1] or 0) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2] or "s"]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise RejectedError(f"invalid date {text!r}") from None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def events_search(world: World, body: Any, now: float) -> Json:
    """Answer POST /api/v2/events/search: the title is in the inner attributes."""
    if not isinstance(body, dict):
        raise RejectedError("a filter is required")
    request = body.get("filter") or {}
    start, end = _bounds(request, now)
    events = [
        each.model_copy(update={"at": each.at + number * each.every})
        for each in world.story.events
        for number in range(each.repeat)
    ]
    rows = [_event(world, index, each) for index, each in enumerate(events)]
    rows += [
        _deployment_event(world, index, each)
        for index, each in enumerate(world.story.rollouts)
        if each.reported == "event"
    ]
    found = [
        row
        for at, tags, row in rows
        if start <= at < end and at <= now and _found(str(request.get("query") or ""), tags)
    ]
    found.sort(key=lambda row: row["attributes"]["timestamp"], reverse=True)
    page = body.get("page") or {}
    return _paged(found, page, "events")


def _paged(rows: list[Json], page: Mapping[str, Any], what: str) -> Json:
    limit = min(int(page.get("limit") or 10), _MAX_LOGS)
    first = int(page.get("cursor") or 0)
    shown = rows[first : first + limit]
    meta: Json = {"elapsed": 12, "request_id": f"{what}-request", "status": "done"}
    if first + limit < len(rows):
        meta["page"] = {"after": str(first + limit)}
    return {"data": shown, "meta": meta}


def _event(world: World, index: int, event: Event) -> tuple[float, dict[str, str], Json]:
    at = world.at(event.at)
    tags = {"service": event.service, "env": event.env or world.story.env}
    inner: Json = {
        "title": event.title,
        "service": event.service,
        "status": "info",
        "source_type_name": event.source,
        "timestamp": int(at * 1000),
        "evt": {"id": f"{7_000_000 + index}", "name": event.title, "type": "change" if event.change else "event"},
    }
    if event.change:
        inner |= {
            "changed_resource": {"type": event.change, "name": event.name or event.title},
            "impacted_resources": [{"type": "service", "name": event.service}],
        }
    if event.author:
        inner["author"] = {"name": event.author, "type": "user"}
    return at, tags, _event_row(f"event-{index}", at, event.text or event.title, tags, inner)


def _deployment_event(world: World, index: int, rollout: Rollout) -> tuple[float, dict[str, str], Json]:
    at = world.at(rollout.at)
    title = f"Deployed {rollout.service} {rollout.version}"
    tags = {"service": rollout.service, "env": rollout.env or world.story.env, "version": rollout.version}
    inner = {
        "title": title,
        "service": rollout.service,
        "status": "info",
        "source_type_name": "github",
        "timestamp": int(at * 1000),
        "evt": {"id": f"{8_000_000 + index}", "name": title, "type": "event"},
    }
    return at, tags, _event_row(f"deploy-{index}", at, title, tags, inner)


def _event_row(id_: str, at: float, message: str, tags: Mapping[str, str], inner: Json) -> Json:
    attributes = {
        "timestamp": _iso(at),
        "message": message,
        "tags": [f"{key}:{value}" for key, value in tags.items()],
        "attributes": inner,
    }
    return {"id": id_, "type": "event", "attributes": attributes}


def deployments(world: World, body: Any, now: float) -> Json:
    """Answer POST /api/v2/dora/deployments; one without ``finished_at`` is still rolling out."""
    attributes = _attributes(body)
    start, end = _bounds(attributes, now)
    rows = []
    for index, each in enumerate(world.story.rollouts):
        at, env = world.at(each.at), each.env or world.story.env
        tags = {"service": each.service, "env": env, "version": each.version}
        in_time = start <= at < end and at <= now
        if each.reported != "deployment" or not in_time or not _found(str(attributes.get("query") or ""), tags):
            continue
        deployed: Json = {**tags, "team": "payments", "started_at": _iso(at)}
        deployed["git"] = {
            "commit_sha": "66adc9350f2cc9b250b69abddab733dd55e1a588",
            "repository_id": "example.com/shop",
        }
        if each.finished:
            deployed["finished_at"] = _iso(min(at + 60, now))
        rows.append({"id": f"deployment-{index}", "type": "dora_deployment", "attributes": deployed})
    rows.sort(key=lambda row: str(row["attributes"]["started_at"]), reverse=True)  # type: ignore[index]
    return {"data": rows}


def logs_search(world: World, body: Any, now: float, *, partial: bool) -> Json:
    """Answer POST /api/v2/logs/events/search; a search that timed out is partial and still 200."""
    if not isinstance(body, dict):
        raise RejectedError("a filter is required")
    request = body.get("filter") or {}
    start, end = _bounds(request, now)
    query = str(request.get("query") or "")
    rows: list[Json] = []
    for index, each in enumerate(world.story.logs):
        tags = {"service": each.service, "env": world.story.env, "status": "error"}
        if _found(query, tags):
            rows += _log_rows(world, index, each, start, min(end, now))
    rows.sort(key=lambda row: (row["attributes"]["timestamp"], row["id"]), reverse=True)
    answer = _paged(rows[: len(rows) // 3] if partial else rows, body.get("page") or {}, "logs")
    if partial:
        answer["meta"]["status"] = "timeout"
    return answer


def _log_rows(world: World, index: int, logs: Logs, start: float, end: float) -> list[Json]:
    rows: list[Json] = []
    change = world.at(logs.at)
    for rate, first, last in ((logs.before, start, min(end, change)), (logs.after, max(start, change), end)):
        if rate <= 0 or last <= first:
            continue
        step = 60 / rate
        number = math.ceil((first - world.first_minute) / step)
        while (at := world.first_minute + number * step) < last:
            host = world.host(logs.service, number % max(world.services[logs.service].hosts, 1))
            attributes: Json = {
                "timestamp": _iso(at),
                "message": logs.message.replace("{n}", str(1000 + number)),
                "status": "error",
                "service": logs.service,
                "host": host,
                "tags": [f"env:{world.story.env}", f"service:{logs.service}"],
                "attributes": {},
            }
            rows.append({"id": f"log-{index}-{number:06d}", "type": "log", "attributes": attributes})
            number += 1
    return rows


def error_tracking(world: World, body: Any, now: float, *, with_issues: bool) -> Json:
    """Answer POST /api/v2/error-tracking/issues/search; the issues themselves only with ``include=issue``."""
    attributes = _attributes(body)
    if not attributes.get("track") and not attributes.get("persona"):
        raise RejectedError("track or persona is required")
    query = str(attributes.get("query") or "")
    issues = [
        (f"00000000-0000-0000-0000-{index:012d}", each)
        for index, each in enumerate(world.story.issues)
        if _found(query, {"service": each.service, "env": world.story.env})
        and min(world.at(each.first_seen), world.at(each.regressed or each.first_seen)) <= now
    ]
    counts: list[Json] = [
        {
            "id": id_,
            "type": "error_tracking_search_result",
            "attributes": {"total_count": each.count},
            "relationships": {"issue": {"data": {"id": id_, "type": "issue"}}},
        }
        for id_, each in issues
    ]
    answer: Json = {"data": counts}
    if with_issues:
        answer["included"] = [_issue(world, id_, each, now) for id_, each in issues]
    return answer


def _issue(world: World, id_: str, issue: Issue, now: float) -> Json:
    attributes: Json = {
        "error_type": issue.type,
        "error_message": issue.message,
        "first_seen": int(world.at(issue.first_seen) * 1000),
        "first_seen_version": issue.version or "",
        "last_seen": int(now * 1000),
        "last_seen_version": issue.version or "",
        "service": issue.service,
        "state": "OPEN",
        "is_crash": False,
    }
    if issue.regressed is not None:
        attributes["regression"] = {
            "regressed_at": int(world.at(issue.regressed) * 1000),
            "regressed_at_version": issue.version or "",
            "resolved_at": int((world.at(issue.regressed) - 86400) * 1000),
        }
    return {"id": id_, "type": "issue", "attributes": attributes}


# --- catalog --------------------------------------------------------------------------------------------


def entities(world: World, name: str, *, with_schema: bool) -> Json:
    """Answer GET /api/v2/catalog/entity."""
    rows: list[Json] = []
    included: list[Json] = []
    for service, each in world.services.items():
        if name and service != name:
            continue
        attributes: Json = {
            "kind": "datastore" if each.kind == "datastore" else "service",
            "name": service,
            "namespace": "default",
            "owner": each.owner or "",
            "displayName": service,
            "tags": [],
            "apiVersion": "v3",
            "description": "",
        }
        rows.append({"id": f"entity-{service}", "type": "entity", "attributes": attributes})
        included.append(_schema(service, each))
    answer: Json = {"data": rows, "meta": {"count": len(rows), "includeCount": 0}}
    if with_schema:
        answer["included"] = included
    return answer


def _schema(service: str, each: Any) -> Json:
    metadata: Json = {"name": service, "namespace": "default"}
    if each.owner:
        metadata["owner"] = each.owner
    if each.runbook:
        metadata["links"] = [{"name": "Runbook", "type": "runbook", "url": each.runbook}]
    if each.contact:
        metadata["contacts"] = [{"name": "Team", "type": "slack", "contact": each.contact}]
    schema = {"apiVersion": "v3", "kind": "service", "metadata": metadata, "spec": {"type": each.kind}}
    return {"id": f"schema-{service}", "type": "schema", "attributes": {"schema": schema}}


def relations(world: World, from_ref: str, kind: str) -> Json:
    """Answer GET /api/v2/catalog/relation."""
    wanted = from_ref.rpartition("/")[2]
    rows: list[Json] = []
    for service, each in world.services.items():
        for callee in each.depends_on if not wanted or service == wanted else ():
            relation = {
                "from": {"kind": "service", "name": service, "namespace": "default"},
                "to": {"kind": "service", "name": callee, "namespace": "default"},
                "type": "RelationTypeDependsOn",
            }
            rows.append({"id": f"{service}-{callee}", "type": "relation", "attributes": relation})
    if kind not in {"", "RelationTypeDependsOn"}:
        rows = []
    return {"data": rows, "meta": {"count": len(rows), "includeCount": 0}}
