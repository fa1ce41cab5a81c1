"""The endpoints of events, deployments, logs and errors, answered from the story that is being played.

Sources: https://docs.datadoghq.com/api/latest/events/, /logs/, /error-tracking/ and /dora-metrics/.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from incident_sandbox.datadog.requests import Json, RejectedError, attributes_of, bounds, is_found, iso
from incident_sandbox.datadog.story import Event, Issue, Logs, Rollout
from incident_sandbox.datadog.world import World

_MAX_LOGS = 1000


def events_search(world: World, body: Any, now: float) -> Json:
    """Answer POST /api/v2/events/search: the title is in the inner attributes."""
    if not isinstance(body, dict):
        raise RejectedError("a filter is required")
    request = body.get("filter") or {}
    start, end = bounds(request, now)
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
        if start <= at < end and at <= now and is_found(str(request.get("query") or ""), tags)
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
        "timestamp": iso(at),
        "message": message,
        "tags": [f"{key}:{value}" for key, value in tags.items()],
        "attributes": inner,
    }
    return {"id": id_, "type": "event", "attributes": attributes}


def deployments(world: World, body: Any, now: float) -> Json:
    """Answer POST /api/v2/dora/deployments; one without ``finished_at`` is still rolling out."""
    attributes = attributes_of(body)
    start, end = bounds(attributes, now)
    rows = []
    for index, each in enumerate(world.story.rollouts):
        at, env = world.at(each.at), each.env or world.story.env
        tags = {"service": each.service, "env": env, "version": each.version}
        in_time = start <= at < end and at <= now
        if each.reported != "deployment" or not in_time or not is_found(str(attributes.get("query") or ""), tags):
            continue
        deployed: Json = {**tags, "team": "payments", "started_at": iso(at)}
        deployed["git"] = {
            "commit_sha": "66adc9350f2cc9b250b69abddab733dd55e1a588",
            "repository_id": "example.com/shop",
        }
        if each.finished:
            deployed["finished_at"] = iso(min(at + 60, now))
        rows.append({"id": f"deployment-{index}", "type": "dora_deployment", "attributes": deployed})
    rows.sort(key=lambda row: str(row["attributes"]["started_at"]), reverse=True)  # type: ignore[index]
    return {"data": rows}


def logs_search(world: World, body: Any, now: float, *, partial: bool) -> Json:
    """Answer POST /api/v2/logs/events/search; a search that timed out is partial and still 200."""
    if not isinstance(body, dict):
        raise RejectedError("a filter is required")
    request = body.get("filter") or {}
    start, end = bounds(request, now)
    query = str(request.get("query") or "")
    rows: list[Json] = []
    for index, each in enumerate(world.story.logs):
        tags = {"service": each.service, "env": world.story.env, "status": "error"}
        if is_found(query, tags):
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
                "timestamp": iso(at),
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
    attributes = attributes_of(body)
    if not attributes.get("track") and not attributes.get("persona"):
        raise RejectedError("track or persona is required")
    query = str(attributes.get("query") or "")
    issues = [
        (f"00000000-0000-0000-0000-{index:012d}", each)
        for index, each in enumerate(world.story.issues)
        if is_found(query, {"service": each.service, "env": world.story.env})
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
