"""Read the monitoring's answers: whether they are complete, and the series, times and texts in them.

Answers are read leniently: a member that is missing or of another kind is left out, never an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from operator import itemgetter
from typing import Any

from airflow_incident_provider.evidence.calls import SCOPES, Answer, Endpoint, member
from airflow_incident_provider.evidence.model import CallOutcome
from airflow_incident_provider.evidence.series import MINUTE_S, Series
from airflow_incident_provider.text import redact

_TEXT = 300
_TAG = 120
_NUMBER = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?")
_DELAY_S = 30
_INCOMPLETE_SECONDS = MINUTE_S + _DELAY_S
"""How old a point has to be to be complete: the newest one is regularly low or missing."""

_LATEST_SECONDS = 2**32
"""Unix times above this are milli-, micro- or nanoseconds: Datadog does not declare the unit of some."""


@dataclass(frozen=True)
class TaggedSeries:
    """A series with its group: ``{"host": "web-03"}``."""

    tags: Mapping[str, str]
    series: Series


def classify(endpoint: Endpoint, status: int, body: Any) -> tuple[CallOutcome, str | None]:
    """Return what became of a call, and the reason why its answer is not complete.

    A 200 is not enough: a metric query reports errors in a 200, and a log search that timed out is partial.
    """
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return CallOutcome.RATE_LIMITED, "Datadog's rate limit is reached (429)"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        scope = SCOPES[endpoint]
        return CallOutcome.FORBIDDEN, f"Datadog refused it ({status}): the application key may lack {scope}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return CallOutcome.UNAVAILABLE, f"Datadog failed ({status})"
    if status >= HTTPStatus.BAD_REQUEST:
        return CallOutcome.REJECTED, f"Datadog rejected it ({status}): {_errors(body)}"
    if not isinstance(body, Mapping):
        return CallOutcome.UNAVAILABLE, "Datadog's answer is not JSON"
    return _classify_success(body)


def _classify_success(body: Mapping[str, Any]) -> tuple[CallOutcome, str | None]:
    if body.get("status") not in (None, "ok") and body.get("error"):
        return CallOutcome.REJECTED, f"Datadog rejected it: {plain(body['error'])}"
    if body.get("errors"):
        return CallOutcome.PARTIAL, f"Datadog's answer is partial: {_errors(body)}"
    if member(body, "meta", "status") == "timeout":
        return CallOutcome.PARTIAL, "the search timed out: the answer is partial"
    if member(body, "meta", "page", "after"):
        return CallOutcome.PARTIAL, "only the newest entries were read"
    return CallOutcome.ANSWERED, None


def _errors(body: Any) -> str:
    found = member(body, "errors")
    entries = found if isinstance(found, list) else [found]
    texts = [e.get("detail") or e.get("title") if isinstance(e, Mapping) else e for e in entries]
    return "; ".join(plain(text) for text in texts if text) or "without a reason"


def plain(value: object, limit: int = _TEXT) -> str:
    """Return text of the monitoring on one line, without secrets; it is escaped where it is shown."""
    text = " ".join(redact(str(value)).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def text_of(row: Mapping[str, Any], *keys: str, limit: int = _TEXT) -> str | None:
    """Return a nested text member on one line, without secrets; ``None`` if it is not there or empty."""
    found = member(row, *keys)
    return plain(found, limit) if isinstance(found, str | int | float) and str(found).strip() else None


def seconds_of(value: object) -> int | None:
    """Return Unix seconds of a time in seconds or a smaller unit, or in ISO 8601; ``None`` if it is no time."""
    if (number := _value(value)) is not None:
        units = (number / unit for unit in (1, 10**3, 10**6, 10**9))
        return next((int(seconds) for seconds in units if abs(seconds) <= _LATEST_SECONDS), None)
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return seconds_of(float(value)) if _NUMBER.fullmatch(value) else None
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    return None


def utc(seconds: float) -> datetime:
    """Return Unix seconds as a time."""
    return datetime.fromtimestamp(seconds, tz=UTC)


def tag_value(text: str) -> str:
    """Return a tag's value as one token, as Datadog stores it: a sentence in a tag is no name."""
    return "_".join(plain(text, _TAG).split())


def tags_of(value: object) -> dict[str, str]:
    """Return ``key:value`` tags as a mapping, without secrets; of a key that comes twice the first counts."""
    found: dict[str, str] = {}
    for tag in value if isinstance(value, list) else []:
        if isinstance(tag, str) and ":" in tag:
            key, _, rest = tag.partition(":")
            found.setdefault(key.strip(), tag_value(rest))
    return found


def query_series(answer: Answer | None, *, now: float, whole: bool = True) -> list[TaggedSeries]:
    """Return the series of a metric query (v1).

    :param whole: whether a point that covers more than a minute counts only once that time is over: until then a
        sum is too low.
    """
    if answer is None:
        return []
    found = []
    for row in answer.rows("series"):
        points = [p for p in row.get("pointlist") or [] if isinstance(p, list | tuple) and len(p) == 2]  # noqa: PLR2004
        timed = ((seconds_of(at), value) for at, value in points)
        series = _series(timed, now)
        if whole and series.interval > MINUTE_S:
            series = series.between(-math.inf, now - series.interval - _DELAY_S + 1)
        found.append(TaggedSeries(tags_of(row.get("tag_set")), series))
    return found


def timeseries(answer: Answer | None, *, now: float) -> dict[int, list[TaggedSeries]]:
    """Return the series of a timeseries query (v2), by the index of their query."""
    if answer is None:
        return {}
    # All series of an answer have the same times: those are read once.
    times = [seconds_of(at) for at in answer.at("data", "attributes", "times") or []]
    values = answer.at("data", "attributes", "values") or []
    found: dict[int, list[TaggedSeries]] = {}
    for row, points in zip(answer.rows("data", "attributes", "series"), values, strict=False):
        tagged = TaggedSeries(tags_of(row.get("group_tags")), _series(zip(times, points or [], strict=False), now))
        found.setdefault(int(row.get("query_index") or 0), []).append(tagged)
    return found


def _series(points: Iterable[tuple[int | None, object]], now: float) -> Series:
    """Return the complete points, by their Unix seconds."""
    until = now - _INCOMPLETE_SECONDS
    kept = sorted(
        ((at, _value(value)) for at, value in points if at is not None and at <= until), key=itemgetter(0)
    )
    return Series(tuple(at for at, _ in kept), tuple(value for _, value in kept))


def _value(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def sparse_counter(counter: Series, reference: Series) -> Series:
    """Return a counter on the points of another: nothing counted is zero where the other was reported.

    Errors are only reported when there are some. Where the reference is not reported either, it stays a gap.
    """
    counted = dict(counter.known())
    values = (None if value is None else counted.get(at, 0.0) for at, value in reference.points)
    return Series(reference.times, tuple(values))


def share(part: Series, whole: Series) -> Series:
    """Return part/whole at each point of the whole; a gap where the whole is a gap or zero."""
    parts = dict(part.known())
    shares = (min(parts[at] / value, 1.0) if value and at in parts else None for at, value in whole.points)
    return Series(whole.times, tuple(shares))


def added(series: Iterable[Series]) -> Series:
    """Return the sum of several series at each time; a gap only where all of them have one."""
    sums: dict[int, float | None] = {}
    for each in series:
        for at, value in each.points:
            before = sums.get(at)
            sums[at] = before if value is None else (before or 0.0) + value
    times = tuple(sorted(sums))
    return Series(times, tuple(sums[at] for at in times))
