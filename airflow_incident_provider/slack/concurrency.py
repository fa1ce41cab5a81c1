"""Independent calls, made concurrently."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from time import monotonic
from typing import Any, TypeVar, overload

from airflow_incident_provider.exceptions import IncidentError, SlackUnavailableError
from airflow_incident_provider.slack.errors import TIMED_OUT

MAX_CONCURRENT_CALLS = 6
"""Slack counts calls by method and minute, and a worker has a core or two: more threads gain nothing."""

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")


@overload
def run_concurrently(
    first: Callable[[], A], second: Callable[[], B], /, *, timeout_s: float | None = ...
) -> tuple[A | IncidentError, B | IncidentError]: ...
@overload
def run_concurrently(
    first: Callable[[], A], second: Callable[[], B], third: Callable[[], C], /, *, timeout_s: float | None = ...
) -> tuple[A | IncidentError, B | IncidentError, C | IncidentError]: ...
@overload
def run_concurrently(
    first: Callable[[], A],
    second: Callable[[], B],
    third: Callable[[], C],
    fourth: Callable[[], D],
    /,
    *,
    timeout_s: float | None = ...,
) -> tuple[A | IncidentError, B | IncidentError, C | IncidentError, D | IncidentError]: ...
@overload
def run_concurrently(
    first: Callable[[], A],
    second: Callable[[], B],
    third: Callable[[], C],
    fourth: Callable[[], D],
    fifth: Callable[[], E],
    /,
    *,
    timeout_s: float | None = ...,
) -> tuple[A | IncidentError, B | IncidentError, C | IncidentError, D | IncidentError, E | IncidentError]: ...
@overload
def run_concurrently(*calls: Callable[[], A], timeout_s: float | None = ...) -> tuple[A | IncidentError, ...]: ...
def run_concurrently(*calls: Callable[[], Any], timeout_s: float | None = None) -> tuple[Any, ...]:
    """Make every call, whatever becomes of the others, and return their results in order.

    Like ``asyncio.gather(..., return_exceptions=True)``, for threads and for :class:`IncidentError` only. The
    calls must not use Airflow: a task's connections and state store belong to its main thread.

    :param calls: functions without arguments.
    :param timeout_s: seconds to wait for all calls together. A call that has not ended by then counts as a
        :class:`SlackUnavailableError` that may still take effect; its thread is abandoned, not joined.
    :returns: for each call its result, or the :class:`IncidentError` that it raised.
    :raises Exception: what a call raised that is not an :class:`IncidentError`: a bug.
    """
    pool = ThreadPoolExecutor(max_workers=MAX_CONCURRENT_CALLS)
    try:
        deadline = None if timeout_s is None else monotonic() + timeout_s
        futures = [pool.submit(call) for call in calls]
        return tuple(_result(future, deadline) for future in futures)
    finally:
        pool.shutdown(wait=timeout_s is None, cancel_futures=True)


def _result(future: Future[Any], deadline: float | None) -> Any:
    try:
        return future.result(timeout=None if deadline is None else max(0.0, deadline - monotonic()))
    except IncidentError as error:
        return error
    except FutureTimeoutError:
        if future.done() or deadline is None:
            raise
        return SlackUnavailableError("Slack did not answer in time.", code=TIMED_OUT, effect_possible=True)
