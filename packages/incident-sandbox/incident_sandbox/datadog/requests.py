"""What the endpoints that evidence is read from have in common: errors, searches and times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

_TERM = re.compile(r"(?P<not>-?)(?P<key>[\w.@]+):(?P<value>\([^)]*\)|\"[^\"]*\"|\S+)")


class RejectedError(ValueError):
    """The request is wrong: Datadog answers 400."""


class NotFoundError(LookupError):
    """There is no such thing: Datadog answers 404."""


def attributes_of(body: Any) -> Mapping[str, Any]:
    """Return ``data.attributes`` of a request's body."""
    data = body.get("data") if isinstance(body, dict) else None
    attributes = data.get("attributes") if isinstance(data, dict) else None
    if not isinstance(attributes, dict):
        raise RejectedError("data.attributes is required")
    return attributes


def terms_of(query: str) -> list[tuple[bool, str, list[str]]]:
    """Return (wanted, key, values) for each term of a search."""
    found = []
    for term in _TERM.finditer(query):
        value = term["value"].strip("()")
        values = [each.strip().strip('"') for each in re.split(r"\s+OR\s+", value)]
        found.append((not term["not"], term["key"].lstrip("@"), values))
    return found


def is_found(query: str, tags: Mapping[str, str]) -> bool:
    """Return whether a search finds what has these tags."""
    return all(wanted is (tags.get(key) in values) for wanted, key, values in terms_of(query))


def bounds(request: Mapping[str, Any], now: float) -> tuple[float, float]:
    """Return the first and the last moment of a search, in Unix seconds; by default the last 15 minutes."""
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


def iso(seconds: float) -> str:
    """Return Unix seconds as Datadog writes a time."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
