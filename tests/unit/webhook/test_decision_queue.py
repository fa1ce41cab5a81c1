"""The queue: who waits together is decided together, and everybody gets an answer."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from airflow_incident_provider.plugins.webhook.decision_queue import MOST_AT_ONCE, DecisionQueue


class Desk:
    """Decides on anything; each batch waits until it may go on."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.may_go_on = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def __call__(self, cases: Sequence[Any]) -> list[Any]:
        self.batches.append(list(cases))
        self.begun.release()
        assert self.may_go_on.acquire(timeout=10)
        if "fatal" in cases:
            raise OSError("the database is gone")
        return [ValueError(case) if case == "bad" else f"decided {case}" for case in cases]


def ask_all(desk: Desk, cases: Sequence[Any]) -> list[Any]:
    """Ask about the first case, and about the others while that is being decided on; return what they got."""

    async def run() -> list[Any]:
        queue = DecisionQueue(desk)
        answers: dict[int, Any] = {}

        async def ask(place: int, case: Any) -> None:
            try:
                answers[place] = await queue.outcome(case)
            except Exception as error:  # noqa: BLE001
                answers[place] = error

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, 0, cases[0])
            await anyio.to_thread.run_sync(desk.begun.acquire)
            for place, case in enumerate(cases[1:], 1):
                tasks.start_soon(ask, place, case)
            await anyio.wait_all_tasks_blocked()
            desk.may_go_on.release(10)
        return [answers[place] for place in range(len(cases))]

    return anyio.run(run)


def test_who_waits_together_is_decided_together_and_gets_his_own_answer() -> None:
    desk = Desk()
    cases = [str(number) for number in range(MOST_AT_ONCE + 6)]
    assert ask_all(desk, cases) == [f"decided {case}" for case in cases]
    assert [len(batch) for batch in desk.batches] == [1, MOST_AT_ONCE, 5]
    assert list(itertools.chain(*desk.batches)) == cases


def test_one_that_is_bad_spoils_no_other() -> None:
    answers = ask_all(Desk(), ["first", "bad", "good"])
    assert answers[2] == "decided good"
    assert isinstance(answers[1], ValueError)


def test_a_failure_of_all_is_told_to_all_of_that_batch_only() -> None:
    answers = ask_all(Desk(), ["first", "fatal", "beside it"])
    assert answers[0] == "decided first"
    assert [type(answer) for answer in answers[1:]] == [OSError, OSError]


def test_one_who_leaves_is_forgotten_and_the_next_gets_his_turn() -> None:
    desk = Desk()

    async def run() -> str:
        queue = DecisionQueue(desk)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.outcome, "first")
            await anyio.to_thread.run_sync(desk.begun.acquire)
            with pytest.raises(TimeoutError):
                with anyio.fail_after(0.05):
                    await queue.outcome("leaves")
            desk.may_go_on.release(10)
            return str(await queue.outcome("stays"))

    assert anyio.run(run) == "decided stays"
    assert desk.batches == [["first"], ["stays"]]


def test_who_was_to_be_decided_with_one_that_gave_up_is_told_to_come_again() -> None:
    desk = Desk()

    async def run() -> dict[str, Any]:
        queue = DecisionQueue(desk)
        answers: dict[str, Any] = {}
        giving_up = anyio.CancelScope()

        async def ask(case: str) -> None:
            try:
                answers[case] = await queue.outcome(case)
            except TimeoutError:
                answers[case] = "come again"

        async def lead() -> None:
            with giving_up:
                await queue.outcome("leads")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "first")
            await anyio.to_thread.run_sync(desk.begun.acquire)
            tasks.start_soon(lead)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(ask, "beside")
            await anyio.wait_all_tasks_blocked()
            desk.may_go_on.release()
            await anyio.to_thread.run_sync(desk.begun.acquire)
            giving_up.cancel()
            await anyio.wait_all_tasks_blocked()
            desk.may_go_on.release(2)
            tasks.start_soon(ask, "later")
        return answers

    assert anyio.run(run) == {"first": "decided first", "beside": "come again", "later": "decided later"}
    assert desk.batches == [["first"], ["leads", "beside"], ["later"]]
