"""From a monitor's query to metric queries: without its condition, by group, for other scopes."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CHANGE = re.compile(r"^\s*(?:pct_)?change\s*\(\s*\w+\s*\(\s*\w+\s*\)\s*,\s*\w+\s*\)\s*:\s*", re.IGNORECASE)
_PREFIX = re.compile(r"^\s*(?:avg|sum|min|max|percentile)\s*\([^():{}]*\)\s*:\s*", re.IGNORECASE)
_CONDITION = re.compile(r"(>=|<=|==|!=|>|<)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*$", re.IGNORECASE)
_FUNCTION = re.compile(r"^(anomalies|forecast|outliers)\s*\(", re.IGNORECASE)
_DIRECTION = re.compile(r"direction\s*=\s*'(above|below)'", re.IGNORECASE)
_UNSUITABLE = re.compile(
    r"anomalies\s*\(|forecast\s*\(|outliers\s*\(|pct_change\s*\(|\bchange\s*\("
    r"|^\s*(?:logs|events|rum|spans|ci-\w+|error-tracking\w*)\s*\(|&&|\|\|"
    # Sums since the beginning of what is asked for: they grow whatever happens.
    r"|\b(?:cumsum|integral)\s*\(",
    re.IGNORECASE,
)
_SELECTOR = re.compile(
    r"((?:avg|sum|min|max|p\d{2}(?:\.\d+)?|count):[A-Za-z_][\w.]*)(\{[^{}]*\})(\s*by\s*\{([^{}]*)\})?"
)
_COUNTS_GROUPS = re.compile(r"\bcount_(?:nonzero|not_null)\s*\(", re.IGNORECASE)
_WORD_OPERATOR = re.compile(r"(?:^|[\s()])(?:AND|OR|NOT|IN)(?=[\s()])", re.IGNORECASE)
_EITHER = re.compile(r"\bOR\b", re.IGNORECASE)
_AGGREGATES = re.compile(r"\.rollup\(\s*(?:avg|min|max)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Monitored:
    """What a monitor watches.

    :param query: the metric query, without aggregation window, condition and monitor function.
    :param threshold: what the metric itself is compared with; absent where a monitor compares something else, such
        as the number of anomalous points.
    :param low: whether the monitor alerts when the metric is too low; ``None`` if on both sides.
    """

    query: str
    threshold: float | None
    low: bool | None


def read_monitor_query(query: str) -> Monitored | None:
    """Return what a monitor's query watches.

    Source: https://docs.datadoghq.com/monitors/types/, for anomaly, forecast, outlier and change monitors.

    :returns: ``None`` for a composite, log, event or objective query, and for one without a scope.

    >>> read_monitor_query("avg(last_5m):avg:system.cpu.user{env:prod} by {host} > 80")
    Monitored(query='avg:system.cpu.user{env:prod} by {host}', threshold=80.0, low=False)
    >>> read_monitor_query("max(next_1d):forecast(avg:disk.free{*}, 'linear', 1) <= 5").query
    'avg:disk.free{*}'
    """
    condition = _CONDITION.search(query)
    low: bool | None = condition is not None and condition[1].startswith("<")
    if condition is not None and condition[1] in {"==", "!="}:
        low = None
    threshold = float(condition[2]) if condition else None
    text, changes = _CHANGE.subn("", query)
    text = _CONDITION.sub("", _PREFIX.sub("", text)).strip()
    if function := _FUNCTION.match(text):
        text = _first_argument(text[function.end() :])
        if function[1].lower() != "forecast":
            threshold = None
            direction = _DIRECTION.search(query)
            low = direction[1].lower() == "below" if direction else None
    if _UNSUITABLE.search(text) or not _SELECTOR.search(text):
        return None
    return Monitored(text, None if changes else threshold, low)


def _first_argument(text: str) -> str:
    """Return the first argument of a function, whose opening bracket comes just before the text."""
    depth = 0
    for index, character in enumerate(text):
        if depth == 0 and character in ",)":
            return text[:index].strip()
        depth += (character in "([{") - (character in ")]}")
    return text


def group_tags(query: str) -> tuple[str, ...]:
    """Return the tags that a query is grouped by."""
    found = _SELECTOR.search(query)
    return tuple(tag.strip() for tag in found[4].split(",") if tag.strip()) if found and found[4] else ()


def grouped(query: str, tags: tuple[str, ...]) -> str:
    """Return a query grouped by these tags, or ungrouped."""
    if not tags and _COUNTS_GROUPS.search(query):
        # The number of groups is what such a query is about.
        return query
    by = f" by {{{','.join(tags)}}}" if tags else ""
    return _SELECTOR.sub(lambda found: f"{found[1]}{found[2]}{by}", query)


def narrowed(query: str, scope: dict[str, str]) -> str:
    """Return a query restricted to a scope, tag by tag, where it does not name one value of the tag itself.

    A filter with AND, OR, NOT or IN must not hold commas as well.
    Source: https://docs.datadoghq.com/metrics/advanced-filtering/
    """

    def restrict(found: re.Match[str]) -> str:
        given = found[2][1:-1].strip()
        added = [f"{key}:{value}" for key, value in scope.items() if not _names_one(given, key)]
        if _WORD_OPERATOR.search(given):
            joined = " AND ".join((f"({given})" if added else given, *added))
        else:
            terms = [term for term in given.split(",") if term.strip() not in {"", "*"}]
            joined = ",".join((*terms, *added))
        return f"{found[1]}{{{joined or '*'}}}{found[3] or ''}"

    return _SELECTOR.sub(restrict, query)


def _names_one(given: str, key: str) -> bool:
    """Return whether a filter admits one value of a tag only: not a pattern, a list, or all but some values."""
    if _EITHER.search(given):
        return False
    terms = re.split(r",|\bAND\b", given, flags=re.IGNORECASE)
    values = (
        term.strip(" ()").removeprefix(f"{key}:") for term in terms if term.strip(" ()").startswith(f"{key}:")
    )
    return any("*" not in value for value in values)


def averages(query: str) -> bool:
    """Return whether a point of a query means the same before its time is over, as a sum does not."""
    return _AGGREGATES.search(query) is not None
