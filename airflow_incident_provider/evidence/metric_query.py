"""From a monitor's query to metric queries: without its condition, by group, for other scopes."""

from __future__ import annotations

import re

_PREFIX = re.compile(r"^\s*(?:avg|sum|min|max|percentile|change|pct_change)\s*\(\s*last_(\w+)\s*\)\s*:\s*")
_CONDITION = re.compile(r"(>=|<=|==|!=|>|<)\s*(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*$", re.IGNORECASE)
_UNSUITABLE = re.compile(
    r"anomalies\s*\(|forecast\s*\(|outliers\s*\(|pct_change\s*\(|\bchange\s*\("
    r"|^\s*(?:logs|events|rum|spans|ci-\w+|error-tracking\w*)\s*\(|&&|\|\|",
    re.IGNORECASE,
)
_SELECTOR = re.compile(r"((?:avg|sum|min|max|p\d{2}|count):[A-Za-z_][\w.]*)(\{[^{}]*\})(\s*by\s*\{([^{}]*)\})?")


class NoMetricQueryError(ValueError):
    """The query of this kind of monitor is no plain metric query."""


def plain_query(query: str) -> str:
    """Return the metric query of a monitor's query, without aggregation window and condition.

    :raises NoMetricQueryError: it is a composite, log, event or anomaly query, or has no scope.

    >>> plain_query("avg(last_5m):avg:system.cpu.user{env:prod} by {host} > 80")
    'avg:system.cpu.user{env:prod} by {host}'
    """
    if _UNSUITABLE.search(query):
        raise NoMetricQueryError("this kind of monitor has no plain metric query")
    text = _CONDITION.sub("", _PREFIX.sub("", query)).strip()
    if not _SELECTOR.search(text):
        raise NoMetricQueryError("the monitor's query names no metric with a scope")
    return text


def threshold_of(query: str) -> float | None:
    """Return the number that a monitor's query compares with."""
    found = _CONDITION.search(query)
    return float(found[2]) if found else None


def falls_below(query: str) -> bool:
    """Return whether a monitor alerts when its metric is too low."""
    found = _CONDITION.search(query)
    return found is not None and found[1].startswith("<")


def group_tags(query: str) -> tuple[str, ...]:
    """Return the tags that a query is grouped by."""
    found = _SELECTOR.search(query)
    return tuple(tag.strip() for tag in found[4].split(",") if tag.strip()) if found and found[4] else ()


def grouped(query: str, tags: tuple[str, ...]) -> str:
    """Return a query grouped by these tags, or ungrouped."""
    by = f" by {{{','.join(tags)}}}" if tags else ""
    return _SELECTOR.sub(lambda found: f"{found[1]}{found[2]}{by}", query)


def narrowed(query: str, scope: dict[str, str]) -> str:
    """Return a query restricted to a scope, tag by tag, where it does not name the tag itself."""

    def restrict(found: re.Match[str]) -> str:
        terms = [term for term in found[2][1:-1].split(",") if term.strip() not in {"", "*"}]
        named = {term.strip().lstrip("!").partition(":")[0] for term in terms}
        terms += [f"{key}:{value}" for key, value in scope.items() if key not in named]
        return f"{found[1]}{{{','.join(terms) or '*'}}}{found[3] or ''}"

    return _SELECTOR.sub(restrict, query)
