"""``WarRoomNotifier``: one room for each failed run, with all its failures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from incident_sandbox import SandboxClient
from incident_sandbox.faults import Fault

from airflow_incident_provider.get_provider_info import get_provider_info
from airflow_incident_provider.notifications import war_room
from airflow_incident_provider.notifications.war_room import WarRoomNotifier

from .conftest import BOT, Run

FILE = "examples/failure_callback.py"
START_DATE = datetime(2026, 11, 23, 23, 59, 58, tzinfo=UTC)


def failure(task_id: str = "load", *, run_id: str = "scheduled__2026-11-23T00:00:00+00:00", **ti: Any) -> Any:
    """Return the context of the failure callback of a task."""
    about = {"dag_id": "orders", "run_id": run_id, "task_id": task_id, "map_index": -1, "try_number": 1, **ti}
    return {
        "dag": None,
        "dag_run": SimpleNamespace(dag_id="orders", run_id=run_id, start_date=START_DATE),
        "ti": SimpleNamespace(log_url=f"http://127.0.0.1:8080/dags/orders/{task_id}", **about),
        "exception": ValueError("token=xoxb-very-secret"),
    }


def run_failure(run_id: str = "scheduled__2026-11-23T00:00:00+00:00") -> Any:
    """Return the context of the failure callback of a DAG without a run and a task."""
    return {"dag": DAG("orders", schedule=None), "run_id": run_id, "reason": "task_failure"}


@pytest.fixture
def notifier(connect: Callable[..., Any]) -> WarRoomNotifier:
    connect()
    return WarRoomNotifier(members=["dana@acme.example"])


def test_failures_of_a_run_are_posted_in_one_room(
    run_dag: Callable[..., Run],
    connect: Callable[..., Any],
    control: SandboxClient,
    room_names: Callable[[], list[str]],
    posted_messages: Callable[[str], list[dict[str, Any]]],
) -> None:
    connect()
    run = run_dag(file=FILE)
    assert run.state == "failed"
    [name] = room_names()
    assert name.startswith("dag-nightly_orders-")
    assert set(control.channel(name)["members"]) == {BOT, "U0DANAREYES", "U0ZOEMS0001"}
    brief, *failures = posted_messages(name)
    content = json.dumps(brief["blocks"])
    assert f"The orders of {datetime.now(UTC):%Y-%m-%d} are not loaded" in content
    assert "Finance closes the day" in content
    texts = sorted(json.dumps(each["blocks"]) for each in failures)
    assert ["FileNotFoundError" in texts[0], "TimeoutError" in texts[1]] == [True, True]
    assert all("load_" in text and "|Log>" in text for text in texts)
    assert {each["thread_ts"] for each in failures} == {brief["ts"]}
    # An error message may contain a password.
    assert "hunter2" not in json.dumps(control.channel(name))


def test_successful_run_opens_no_room(
    run_dag: Callable[..., Run], connect: Callable[..., Any], control: SandboxClient
) -> None:
    connect()
    assert run_dag({"complete": True}, file=FILE).state == "success"
    assert control.calls() == []


def test_failure_is_posted_once(
    notifier: WarRoomNotifier,
    room_names: Callable[[], list[str]],
    posted_messages: Callable[[str], list[dict[str, Any]]],
) -> None:
    for _ in range(3):
        notifier(failure())
    notifier(failure("check"))
    notifier(run_failure())
    notifier(run_failure())
    [name] = room_names()
    brief, *failures = posted_messages(name)
    texts = [each["text"] for each in failures]
    assert texts == ["Task load failed", "Task check failed", "The run failed"]
    assert brief["ts"] == failures[0]["thread_ts"]


def test_each_run_gets_a_room(notifier: WarRoomNotifier, room_names: Callable[[], list[str]]) -> None:
    notifier(failure())
    notifier(failure(run_id="manual__1"))
    assert len(room_names()) == 2


def test_concurrent_failures_share_one_room(
    notifier: WarRoomNotifier,
    control: SandboxClient,
    room_names: Callable[[], list[str]],
    posted_messages: Callable[[str], list[dict[str, Any]]],
) -> None:
    control.settings(latency_ms=30)
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(notifier, [failure(f"load_{number}") for number in range(5)]))
    [name] = room_names()
    messages = posted_messages(name)
    content = json.dumps([each["blocks"] for each in messages[1:]])
    assert [content.count(f"`load_{number}`") for number in range(5)] == [1] * 5
    assert len({each["thread_ts"] for each in messages[1:]}) == 1


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the waiting times of the callbacks to zero."""
    monkeypatch.setattr(war_room, "OUTAGE_PATIENCE_S", 0.0)
    monkeypatch.setattr(war_room, "DAG_PATIENCE_S", 0.0)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("context", "error"),
    [
        (failure(), "slack is down"),
        (run_failure(), "slack is down"),
        (failure(), "token refused"),
        ({}, "none"),
        ({"reason": "task_failure"}, "none"),
    ],
)
def test_callback_logs_error_and_returns(
    connect: Callable[..., Any],
    control: SandboxClient,
    capfd: pytest.CaptureFixture[str],
    context: Any,
    error: str,
) -> None:
    connect(token="xoxb-not-a-token" if error == "token refused" else None)
    if error == "slack is down":
        control.add_fault(Fault(method="*", times=None, status=503))
    WarRoomNotifier(members=["dana@acme.example"])(context)
    log = "".join(capfd.readouterr())
    assert "No room could be opened" in log
    assert "xoxb-not-a-token" not in log
    assert ("Traceback" in log) == (error == "none")


def test_invalid_template_is_logged(
    connect: Callable[..., Any], capfd: pytest.CaptureFixture[str], room_names: Callable[[], list[str]]
) -> None:
    connect()
    WarRoomNotifier(title="{{ no_such_thing.at_all }}")(failure())
    assert "No room could be opened" in "".join(capfd.readouterr())
    assert room_names() == []


def test_templates_are_rendered_for_each_failure(
    connect: Callable[..., Any], control: SandboxClient, room_names: Callable[[], list[str]]
) -> None:
    connect()
    notifier = WarRoomNotifier(title="{{ dag_run.run_id }} failed")
    for run_id in ("first", "second"):
        notifier(failure(run_id=run_id))
    purposes = {control.channel(name)["purpose"].rpartition(" · ")[2] for name in room_names()}
    assert purposes == {"first failed", "second failed"}


def test_notifier_can_be_awaited(connect: Callable[..., Any], room_names: Callable[[], list[str]]) -> None:
    connect()

    async def notify() -> None:
        await WarRoomNotifier(context=failure())

    asyncio.run(notify())
    assert len(room_names()) == 1


def test_without_connection_room_is_logged_as_dry_run(
    airflow_home: Any, capfd: pytest.CaptureFixture[str], control: SandboxClient
) -> None:
    WarRoomNotifier(members=["dana@acme.example"])(failure())
    assert "would create the public channel #dag-orders-" in "".join(capfd.readouterr())
    assert control.calls() == []


def test_notifier_is_in_provider_info() -> None:
    assert f"{war_room.__name__}.WarRoomNotifier" in get_provider_info()["notifications"]
