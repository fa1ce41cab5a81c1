"""Test the decision queue: batches of concurrent alerts, errors, cancellation and limits."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from airflow_incident_provider.plugins.webhook import receiver
from airflow_incident_provider.plugins.webhook.receiver import MAX_BATCH, DecisionQueue


class BlockingDecider:
    """Decide any alert; each batch blocks until it is released."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.released = threading.Semaphore(0)
        self.started = threading.Semaphore(0)

    def __call__(self, alerts: Sequence[Any]) -> list[Any]:
        self.batches.append(list(alerts))
        self.started.release()
        assert self.released.acquire(timeout=60)
        if "fatal" in alerts:
            raise OSError("the database is gone")
        return [ValueError(alert) if alert == "bad" else f"decided {alert}" for alert in alerts]

    async def wait_for_batch(self) -> None:
        await anyio.to_thread.run_sync(self.started.acquire)


async def outcome_of(queue: DecisionQueue, alert: Any) -> Any:
    """Return the outcome of one alert, or raise its error."""
    [outcome] = await queue.outcomes([alert])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def submit_all(decider: BlockingDecider, alerts: Sequence[Any]) -> list[Any]:
    """Submit the first alert, and the others while it is being decided; return all outcomes and errors."""

    async def run() -> list[Any]:
        queue = DecisionQueue(decider)
        outcomes: dict[int, Any] = {}

        async def submit(index: int, alert: Any) -> None:
            try:
                outcomes[index] = await outcome_of(queue, alert)
            except Exception as error:  # noqa: BLE001
                outcomes[index] = error

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(submit, 0, alerts[0])
            await decider.wait_for_batch()
            for index, alert in enumerate(alerts[1:], 1):
                tasks.start_soon(submit, index, alert)
            await anyio.wait_all_tasks_blocked()
            decider.released.release(10)
        return [outcomes[index] for index in range(len(alerts))]

    return anyio.run(run)


def test_concurrent_alerts_are_decided_in_batches() -> None:
    decider = BlockingDecider()
    alerts = [str(number) for number in range(MAX_BATCH + 6)]
    assert submit_all(decider, alerts) == [f"decided {alert}" for alert in alerts]
    assert [len(batch) for batch in decider.batches] == [1, MAX_BATCH, 5]
    assert list(itertools.chain(*decider.batches)) == alerts


def test_error_of_an_alert_does_not_affect_others() -> None:
    outcomes = submit_all(BlockingDecider(), ["first", "bad", "good"])
    assert outcomes[2] == "decided good"
    assert isinstance(outcomes[1], ValueError)


def test_failed_transaction_affects_only_its_batch() -> None:
    outcomes = submit_all(BlockingDecider(), ["first", "fatal", "same batch"])
    assert outcomes[0] == "decided first"
    assert [type(outcome) for outcome in outcomes[1:]] == [OSError, OSError]


def test_cancelled_alert_is_not_decided() -> None:
    decider = BlockingDecider()

    async def run() -> str:
        queue = DecisionQueue(decider)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outcome_of, queue, "first")
            await decider.wait_for_batch()
            with pytest.raises(TimeoutError):
                with anyio.fail_after(0.05):
                    await outcome_of(queue, "cancelled")
            decider.released.release(10)
            return str(await outcome_of(queue, "waits"))

    assert anyio.run(run) == "decided waits"
    assert decider.batches == [["first"], ["waits"]]


def test_batch_outlives_a_cancelled_request() -> None:
    decider = BlockingDecider()

    async def run() -> dict[str, Any]:
        queue = DecisionQueue(decider)
        outcomes: dict[str, Any] = {}
        cancel_scope = anyio.CancelScope()

        async def submit(alert: str) -> None:
            outcomes[alert] = await outcome_of(queue, alert)

        async def submit_and_cancel() -> None:
            with cancel_scope:
                await outcome_of(queue, "leaves")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(submit, "first")
            await decider.wait_for_batch()
            tasks.start_soon(submit_and_cancel)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(submit, "stays")
            await anyio.wait_all_tasks_blocked()
            decider.released.release()
            await decider.wait_for_batch()
            cancel_scope.cancel()
            await anyio.wait_all_tasks_blocked()
            decider.released.release(2)
        return outcomes

    assert anyio.run(run) == {"first": "decided first", "stays": "decided stays"}
    assert decider.batches == [["first"], ["leaves", "stays"]]


def test_hanging_transactions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "ANSWER_SECONDS", 0.0)
    decider = BlockingDecider()

    async def run() -> None:
        queue = DecisionQueue(decider)
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(outcome_of, queue, number)
                await anyio.wait_all_tasks_blocked()
            for _ in range(receiver.MAX_BATCHES):
                await decider.wait_for_batch()
            assert len(decider.batches) == receiver.MAX_BATCHES
            decider.released.release(20)

    anyio.run(run)
    assert sorted(itertools.chain(*decider.batches)) == list(range(20))
