"""Evaluate metric queries: selectors with filters and groups, and arithmetic between them."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from incident_sandbox.datadog.world import StoredSeries

_SELECTOR = re.compile(
    r"(?P<aggregation>avg|sum|min|max|count|p\d\d):(?P<metric>[A-Za-z_][\w.]*)\{(?P<filters>[^{}]*)\}"
    r"(?:\s*by\s*\{(?P<by>[^{}]*)\})?(?P<functions>(?:\.\w+\([^()]*\))*)"
)
_WITHOUT_SCOPE = re.compile(r"\b(?:avg|sum|min|max|p\d\d):[A-Za-z_][\w.]*(?!\s*[\w.]*\{)")
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_AGGREGATIONS: dict[str, Callable[[list[float]], float]] = {"sum": sum, "count": len, "min": min, "max": max}
SECONDS = 60

Values = list[float | None]
Groups = dict[tuple[str, ...], Values]


class QueryError(ValueError):
    """The query cannot be read: Datadog answers 400."""


@dataclass(frozen=True)
class Result:
    """What a query came to: one list of values for each group, in the order of the minutes."""

    by: tuple[str, ...]
    groups: Groups
    metric: str


def evaluate(query: str, series: Sequence[StoredSeries], minutes: Sequence[int]) -> Result:
    """Return the values of a query at these minutes, counted from the first that is stored.

    :raises QueryError: it is no query, or a metric in it has no scope.
    """
    selectors = list(_SELECTOR.finditer(query))
    if not selectors or _WITHOUT_SCOPE.search(_SELECTOR.sub("", query)):
        raise QueryError("Error parsing query: unable to parse: Rule 'scope_expr' didn't match")
    by = tuple(tag.strip() for tag in (selectors[0]["by"] or "").split(",") if tag.strip())
    names = {f"s{index}": _select(found, series, minutes) for index, found in enumerate(selectors)}
    numbers = iter(names)
    expression = _SELECTOR.sub(lambda _: next(numbers), query)
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except SyntaxError as error:
        raise QueryError(f"Error parsing query: {error.msg}") from None
    found = _compute(tree, names, len(minutes))
    return Result(by, found if isinstance(found, dict) else {(): [found] * len(minutes)}, selectors[0]["metric"])


def _compute(tree: ast.expr, names: dict[str, Groups], length: int) -> Groups | float:
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int | float):
        return float(tree.value)
    if isinstance(tree, ast.Name) and tree.id in names:
        return names[tree.id]
    if isinstance(tree, ast.BinOp) and type(tree.op) in _OPERATORS:
        left, right = _compute(tree.left, names, length), _compute(tree.right, names, length)
        return _combine(_OPERATORS[type(tree.op)], left, right, length)
    raise QueryError("Error parsing query: unsupported expression")


def _combine(
    compute: Callable[[float, float], float], left: Groups | float, right: Groups | float, length: int
) -> Groups | float:
    if not isinstance(left, dict) and not isinstance(right, dict):
        return compute(left, right)
    keys = left.keys() & right.keys() if isinstance(left, dict) and isinstance(right, dict) else None
    groups = keys if keys is not None else (left if isinstance(left, dict) else right)
    assert not isinstance(groups, float)
    return {
        key: [_computed(compute, _pick(left, key, index), _pick(right, key, index)) for index in range(length)]
        for key in sorted(groups)
    }


def _pick(side: Groups | float, key: tuple[str, ...], index: int) -> float | None:
    return side[key][index] if isinstance(side, dict) else side


def _computed(compute: Callable[[float, float], float], left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return None
    try:
        return compute(left, right)
    except ZeroDivisionError:
        return None


def _select(found: re.Match[str], series: Sequence[StoredSeries], minutes: Sequence[int]) -> Groups:
    by = tuple(tag.strip() for tag in (found["by"] or "").split(",") if tag.strip())
    filters = [term.strip() for term in found["filters"].split(",") if term.strip() not in {"", "*"}]
    groups: dict[tuple[str, ...], list[StoredSeries]] = {}
    for each in series:
        if each.metric == found["metric"] and all(_matches(term, each) for term in filters):
            groups.setdefault(tuple(each.tags.get(tag, "N/A") for tag in by), []).append(each)
    scale = 1 / SECONDS if ".as_rate()" in found["functions"] else 1.0
    aggregate = _AGGREGATIONS.get(found["aggregation"], _mean)
    return {
        key: [_aggregated(aggregate, column, scale) for column in zip(*_rows(members, minutes), strict=True)]
        for key, members in sorted(groups.items())
    }


def _rows(members: Iterable[StoredSeries], minutes: Sequence[int]) -> Iterator[Values]:
    """Yield the values of each series at these minutes."""
    for each in members:
        stored = len(each.values)
        yield [each.values[minute] if 0 <= minute < stored else None for minute in minutes]


def _matches(term: str, series: StoredSeries) -> bool:
    wanted = not term.startswith("!")
    key, _, value = term.lstrip("!").partition(":")
    actual = series.tags.get(key)
    if value.endswith("*"):
        return wanted is (actual is not None and actual.startswith(value[:-1]))
    return wanted is (actual == value)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _aggregated(
    aggregate: Callable[[list[float]], float], column: Iterable[float | None], scale: float
) -> float | None:
    values = [value for value in column if value is not None]
    return aggregate(values) * scale if values else None
