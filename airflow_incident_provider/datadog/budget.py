"""Rate limits of Datadog's API: learned from its headers, shared by all processes of a machine.

A limit counts for the whole organization, people included: a share of each stays theirs. The state is a small file
for each endpoint, locked while it is changed.
"""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from airflow_incident_provider.evidence.calls import Endpoint

SHARE_FOR_PEOPLE = 0.2
"""Share of each limit that is left for people."""

HOUR_S = 3600

KNOWN_LIMITS: Mapping[Endpoint, tuple[int, int]] = {
    Endpoint.LOGS: (300, HOUR_S),
    Endpoint.METRIC_QUERY: (1600, HOUR_S),
    Endpoint.TIMESERIES: (1600, HOUR_S),
}
"""Calls per seconds, as documented once; what Datadog's headers say counts more."""

_MAX_NUMBER = 10**9


class Budgets:
    """Decides whether a call may be made.

    :param directory: where the state is kept; one for each organization.
    :param clock: Unix seconds.
    """

    def __init__(self, directory: Path, *, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock

    def reserve(self, endpoint: Endpoint) -> str | None:
        """Take one call from the budget; return why it must not be made, if so."""
        with self._state(endpoint) as state:
            self._renew(endpoint, state)
            if state.get("limit") is None:
                return None
            reserved = math.ceil(state["limit"] * SHARE_FOR_PEOPLE)
            if state["remaining"] <= reserved:
                until = datetime.fromtimestamp(state["window_end"], tz=UTC)
                used_up = f"the budget for {endpoint} is used up until {until:%H:%M:%S} UTC"
                return f"{used_up}: what is left is for people"
            state["remaining"] -= 1
            return None

    def record(self, endpoint: Endpoint, headers: Mapping[str, str], *, refused: bool = False) -> None:
        """Learn from an answer's headers.

        :param refused: whether Datadog answered 429.
        """
        limit, period = _number(headers, "X-RateLimit-Limit"), _number(headers, "X-RateLimit-Period") or HOUR_S
        remaining, reset = _number(headers, "X-RateLimit-Remaining"), _number(headers, "X-RateLimit-Reset")
        if limit is None or remaining is None or reset is None:
            return
        left, end = 0 if refused else remaining, self._clock() + reset
        with self._state(endpoint) as state:
            # The longer an answer takes to arrive, the later its window seems to end; the next ends a period later.
            if state.get("limit") == limit and abs(end - state["window_end"]) < period / 2:
                left, end = min(left, state["remaining"]), min(end, state["window_end"])
            state |= {"limit": limit, "period": period, "remaining": left, "window_end": end}

    def _renew(self, endpoint: Endpoint, state: dict[str, Any]) -> None:
        """Begin a new window where the last one is over. Windows are aligned with the calendar."""
        if self._clock() < state.get("window_end", 0):
            return
        limit, period = state.get("limit"), state.get("period")
        if limit is None:
            limit, period = KNOWN_LIMITS.get(endpoint, (None, None))
        if limit is not None and period:
            end = (math.floor(self._clock() / period) + 1) * period
            state |= {"limit": limit, "period": period, "remaining": limit, "window_end": end}

    @contextmanager
    def _state(self, endpoint: Endpoint) -> Iterator[dict[str, Any]]:
        """Give the state of an endpoint, and keep what was changed in it."""
        with locked(self._directory / f"budget-{endpoint.replace(' ', '-')}.json") as file:
            state = _read(file.read())
            yield state
            file.seek(0)
            file.truncate()
            json.dump(state, file)


def _read(text: str) -> dict[str, Any]:
    """Return a stored state; an empty one if it is damaged."""
    try:
        state = json.loads(text or "{}")
    except ValueError:
        return {}
    members = ("limit", "period", "remaining", "window_end")
    whole = isinstance(state, dict) and all(isinstance(state.get(name), int | float) for name in members)
    return state if whole else {}


@contextmanager
def locked(path: Path) -> Iterator[TextIO]:
    """Open a file for this user only, and hold its lock."""
    with path.open("a+", encoding="utf-8") as file:
        path.chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file


def _number(headers: Mapping[str, str], name: str) -> int | None:
    """Return a header's number; one that is no number, or beyond all limits and periods, counts as not sent."""
    try:
        number = float(headers.get(name, "nan"))
    except ValueError:
        return None
    return int(number) if abs(number) <= _MAX_NUMBER else None
