"""
Alerts wait here for their decision.

Decisions are serial in the database, so a worker of the API server makes one transaction at a time: with all alerts
that wait at its beginning. A storm then holds one database connection and one thread of a worker, not all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio
from anyio import CapacityLimiter, to_thread

from airflow_incident_provider.registry.decisions import Case, Outcome

MOST_AT_ONCE = 32
"""Alerts of one transaction: while it lasts, alerts at other workers wait."""


@dataclass(eq=False)
class _Waiting:
    """An alert on its way; ``result`` is there once it was decided on, ``taken`` once that began."""

    case: Case
    taken: bool = False
    result: Outcome | Exception | None = None


class DecisionQueue:
    """Has alerts decided on, together with those that wait beside them. Lives in one event loop.

    :param act_on: decides on alerts, in a thread; returns for each what became of it.
    """

    def __init__(self, act_on: Callable[[Sequence[Case]], list[Outcome | Exception]]) -> None:
        self._act_on = act_on
        self._waiting: list[_Waiting] = []
        self._turn = anyio.Lock()
        self._thread = CapacityLimiter(1)

    async def outcome(self, case: Case) -> Outcome:
        """Return what became of an alert.

        :raises Exception: what ``act_on`` raised or returned as the reason why nothing became of it.
        :raises TimeoutError: whoever had it decided on gave up; it may have been decided on all the same.
        """
        mine = _Waiting(case)
        self._waiting.append(mine)
        try:
            async with self._turn:
                if not mine.taken:
                    await self._decide()
        finally:
            if not mine.taken:
                self._waiting.remove(mine)
        if isinstance(mine.result, Exception):
            raise mine.result
        if mine.result is None:
            raise TimeoutError
        return mine.result

    async def _decide(self) -> None:
        """Have the first that wait decided on."""
        batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        for waiting in batch:
            waiting.taken = True
        cases = [waiting.case for waiting in batch]
        results: Sequence[Outcome | Exception]
        try:
            results = await to_thread.run_sync(self._act_on, cases, limiter=self._thread, abandon_on_cancel=True)
        except Exception as error:  # noqa: BLE001  it is each one's answer
            results = [error] * len(batch)
        for waiting, result in zip(batch, results, strict=True):
            waiting.result = result
