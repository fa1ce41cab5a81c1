"""Calls that do not depend on each other, made at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from airflow_incident_provider.exceptions import IncidentError

CALLS_AT_ONCE = 6
"""How many calls are under way together: Slack counts by method and minute, and one worker has a core or two."""


def side_by_side(calls: Mapping[str, Callable[[], object]]) -> dict[str, object | IncidentError]:
    """Make all calls and return, by name, what each came to: its result, or the error it raised.

    Every call is made, whatever becomes of the others. The calls must not touch Airflow: a task's own
    connections and stores belong to its main thread.

    :raises Exception: whatever a call raises that is not an :class:`IncidentError`: that is a fault of ours.
    """
    with ThreadPoolExecutor(max_workers=CALLS_AT_ONCE) as pool:
        futures: dict[str, Future[object]] = {name: pool.submit(call) for name, call in calls.items()}
        return {name: _outcome(future) for name, future in futures.items()}


def _outcome(future: Future[object]) -> object | IncidentError:
    try:
        return future.result()
    except IncidentError as error:
        return error
