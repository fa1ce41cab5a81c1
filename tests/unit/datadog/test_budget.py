"""Rate-limit budgets: read from headers, shared by processes, with a share left for people."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.datadog.budget import HOUR_S, KNOWN_LIMITS, SHARE_FOR_PEOPLE, Budgets
from airflow_incident_provider.evidence.calls import Endpoint

NOON = 1_795_400_000 // HOUR_S * HOUR_S


class Clock:
    def __init__(self, now: float = NOON + 60) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def headers(limit: int, remaining: int, reset: int, period: int = HOUR_S) -> dict[str, str]:
    values = {"Limit": limit, "Remaining": remaining, "Reset": reset, "Period": period, "Name": "x"}
    return {f"X-RateLimit-{name}": str(value) for name, value in values.items()}


def test_share_of_a_known_limit_is_left_for_people(tmp_path: Path) -> None:
    clock = Clock()
    budgets = Budgets(tmp_path, clock=clock)
    limit, _ = KNOWN_LIMITS[Endpoint.LOGS]
    allowed = sum(budgets.reserve(Endpoint.LOGS) is None for _ in range(limit))
    assert allowed == limit * (1 - SHARE_FOR_PEOPLE)
    refused = budgets.reserve(Endpoint.LOGS)
    assert refused is not None
    assert "people" in refused
    clock.now = NOON + HOUR_S + 1
    assert budgets.reserve(Endpoint.LOGS) is None, "the next hour has a new budget"


def test_endpoint_without_a_known_limit_is_unlimited_until_headers(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path, clock=Clock())
    assert all(budgets.reserve(Endpoint.EVENTS) is None for _ in range(500))
    budgets.record(Endpoint.EVENTS, headers(limit=10, remaining=3, reset=30))
    assert budgets.reserve(Endpoint.EVENTS) is None
    assert budgets.reserve(Endpoint.EVENTS) is not None, "two of ten are left for people"


def test_usage_by_other_clients_counts(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path, clock=Clock())
    assert budgets.reserve(Endpoint.LOGS) is None
    budgets.record(Endpoint.LOGS, headers(limit=300, remaining=61, reset=3540))
    assert budgets.reserve(Endpoint.LOGS) is None
    assert budgets.reserve(Endpoint.LOGS) is not None


def test_late_response_does_not_release_reservations(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path, clock=Clock())
    budgets.record(Endpoint.LOGS, headers(limit=300, remaining=100, reset=3540))
    for _ in range(10):
        budgets.reserve(Endpoint.LOGS)
    budgets.record(Endpoint.LOGS, headers(limit=300, remaining=99, reset=3540))
    assert sum(budgets.reserve(Endpoint.LOGS) is None for _ in range(100)) == 30


@pytest.mark.parametrize("seconds", [3, 30, 300])
def test_slow_response_does_not_start_a_window(tmp_path: Path, seconds: int) -> None:
    clock = Clock()
    budgets = Budgets(tmp_path, clock=clock)
    budgets.record(Endpoint.LOGS, headers(limit=300, remaining=100, reset=3540))
    assert sum(budgets.reserve(Endpoint.LOGS) is None for _ in range(10)) == 10
    clock.now += seconds
    budgets.record(Endpoint.LOGS, headers(limit=300, remaining=99, reset=3540))
    assert sum(budgets.reserve(Endpoint.LOGS) is None for _ in range(100)) == 30
    clock.now = NOON + HOUR_S + 1
    assert budgets.reserve(Endpoint.LOGS) is None, "the end of the window is unchanged"


def test_response_in_the_next_window_starts_it(tmp_path: Path) -> None:
    clock = Clock()
    budgets = Budgets(tmp_path, clock=clock)
    budgets.record(Endpoint.LOGS, headers(limit=300, remaining=0, reset=3540))
    clock.now = NOON + HOUR_S + 2
    budgets.record(Endpoint.LOGS, headers(limit=300, remaining=90, reset=3598))
    assert sum(budgets.reserve(Endpoint.LOGS) is None for _ in range(100)) == 30


def test_rejected_call_exhausts_the_window(tmp_path: Path) -> None:
    clock = Clock()
    budgets = Budgets(tmp_path, clock=clock)
    budgets.record(Endpoint.LOGS, headers(limit=300, remaining=0, reset=20), refused=True)
    assert budgets.reserve(Endpoint.LOGS) is not None
    clock.now += 21
    assert budgets.reserve(Endpoint.LOGS) is None


def _reserve(directory: Path, allowed: multiprocessing.Queue[int]) -> None:
    budgets = Budgets(directory, clock=Clock())
    allowed.put(sum(budgets.reserve(Endpoint.LOGS) is None for _ in range(100)))


def test_processes_share_a_budget(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[int] = context.Queue()
    processes = [context.Process(target=_reserve, args=(tmp_path, queue)) for _ in range(4)]
    for process in processes:
        process.start()
    total = sum(queue.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert total == 240


@pytest.mark.parametrize("content", ["", "{", "[]", '{"limit": "x"}', "\x00"])
def test_damaged_state_is_reset(tmp_path: Path, content: str) -> None:
    (tmp_path / "budget-logs-search.json").write_text(content)
    assert Budgets(tmp_path, clock=Clock()).reserve(Endpoint.LOGS) is None


@given(st.dictionaries(st.sampled_from(["Limit", "Remaining", "Reset", "Period"]), st.text(max_size=6)))
def test_any_headers_are_accepted(tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]) -> None:
    budgets = Budgets(tmp_path_factory.mktemp("budget"), clock=Clock())
    budgets.record(Endpoint.LOGS, {f"X-RateLimit-{name}": value for name, value in values.items()})
    budgets.reserve(Endpoint.LOGS)
