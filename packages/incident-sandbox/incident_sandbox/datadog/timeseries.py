"""The endpoints of metrics, answered from the story that is being played.

Source: https://docs.datadoghq.com/api/latest/metrics/.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from incident_sandbox.datadog.metric_query import QueryError, Result, evaluate
from incident_sandbox.datadog.requests import Json, RejectedError, attributes_of
from incident_sandbox.datadog.world import MINUTES, World


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
    attributes = attributes_of(body)
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
