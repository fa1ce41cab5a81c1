"""The endpoints of monitors, answered from the story that is being played.

Source: https://docs.datadoghq.com/api/latest/monitors/.
"""

from __future__ import annotations

from incident_sandbox.datadog.requests import Json, NotFoundError, iso, terms_of
from incident_sandbox.datadog.world import World


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
    terms = terms_of(query)
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
                "start": iso(world.alerted_at + each.start * 60),
                "end": iso(world.alerted_at + each.end * 60) if each.end is not None else None,
                "groups": list(each.groups),
            }
            rows.append({"id": f"downtime-{index}", "type": "downtime_match", "attributes": attributes})
    return {"data": rows, "meta": {"page": {"total_filtered_count": len(rows)}}}
