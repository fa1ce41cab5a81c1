"""Test ``WarRoomNotifier``: bursts of failures, rate limits, outages and killed processes."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.notifications import war_room
from airflow_incident_provider.notifications.failed_run import FailedRun
from airflow_incident_provider.notifications.war_room import WarRoomNotifier

BOT, DANA = "U0WARROOM01", "U0DANAREYES"
RUN = "scheduled__2026-11-23T00:00:00+00:00"
STARTED = datetime(2026, 11, 23, tzinfo=UTC)
FORK = multiprocessing.get_context("fork")
BURST = 42


def failure_context(
    task_id: str = "load", map_index: int = -1, *, dag_id: str = "orders", run_id: str = RUN
) -> Any:
    """Return the context of a failure callback."""
    return {
        "dag_run": SimpleNamespace(dag_id=dag_id, run_id=run_id, start_date=STARTED),
        "ti": SimpleNamespace(
            dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index, try_number=1, log_url=None
        ),
        "exception": ValueError("a password"),
    }


@pytest.fixture
def notifier(connect: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WarRoomNotifier:
    connect()
    monkeypatch.setenv("AIRFLOW__INCIDENT__DIRECTORY_FOLDER", str(tmp_path / "worker"))
    return WarRoomNotifier(members=["dana@acme.example"])


def rooms(control: SandboxClient, prefix: str = "dag-") -> list[str]:
    return [channel["name"] for channel in control.state()["channels"] if channel["name"].startswith(prefix)]


def posted_tasks(control: SandboxClient, room: str) -> Counter[str]:
    """Count the failures of each task that are posted under the brief of a room."""
    brief = next(
        message for message in control.channel(room)["messages"] if message["user"] == BOT and message["replies"]
    )
    return Counter(re.findall(r"`([^`]+)` \*failed\*", str([reply["blocks"] for reply in brief["replies"]])))


def notify_in_processes(notifier: WarRoomNotifier, contexts: list[Any]) -> None:
    """Run the notifier for each context in a separate process, concurrently."""
    processes = [FORK.Process(target=notifier, args=(context,)) for context in contexts]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0


def test_concurrent_failures_of_a_run_share_one_room(notifier: WarRoomNotifier, control: SandboxClient) -> None:
    control.settings(rate_limits=True)
    notify_in_processes(notifier, [failure_context("load", index) for index in range(BURST)])
    [room] = rooms(control)
    assert posted_tasks(control, room) == Counter(f"load[{index}]" for index in range(BURST))
    assert len(control.calls("conversations.create")) == 1
    assert len(control.calls("conversations.invite")) == 1
    assert len(control.calls("chat.postMessage")) <= 1 + BURST // 4, "failures were not posted in batches"


def test_private_failure_has_a_private_room_of_its_own(notifier: WarRoomNotifier, control: SandboxClient) -> None:
    private_notifier = WarRoomNotifier(members=["dana@acme.example"], private=True)
    for task_id, responsible in (("load", notifier), ("salaries", private_notifier), ("check", notifier)):
        responsible(failure_context(task_id))
    channels = [channel for channel in control.state()["channels"] if channel["name"].startswith("dag-")]
    tasks = {channel["is_private"]: set(posted_tasks(control, channel["name"])) for channel in channels}
    assert tasks == {False: {"load", "check"}, True: {"salaries"}}
    [public] = [channel["name"] for channel in channels if not channel["is_private"]]
    assert "salaries" not in str(control.channel(public))


def test_failures_of_two_connections_are_not_mixed(
    notifier: WarRoomNotifier, control: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_OTHER", os.environ["AIRFLOW_CONN_SLACK_API_DEFAULT"])
    notifier(failure_context("load"))
    WarRoomNotifier(slack_conn_id="slack_other")(failure_context("check"))
    tasks = [set(posted_tasks(control, room)) for room in rooms(control)]
    assert sorted(tasks, key=sorted) == [{"check"}, {"load"}]


def test_later_failure_only_posts_a_message(notifier: WarRoomNotifier, control: SandboxClient) -> None:
    notifier(failure_context("load"))
    calls = control.calls()
    last_seq = calls[-1]["seq"]
    notifier(failure_context("check"))
    methods = Counter(call["method"] for call in control.calls(after=last_seq))
    assert methods == {"auth.test": 1, "chat.postMessage": 1}
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1, "check": 1}


def test_other_worker_finds_the_room_and_only_posts_a_message(
    notifier: WarRoomNotifier, control: SandboxClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier(failure_context("load"))
    last_seq = control.calls()[-1]["seq"]
    control.settings()
    monkeypatch.setenv("AIRFLOW__INCIDENT__DIRECTORY_FOLDER", str(tmp_path / "another-worker"))
    notifier(failure_context("check"))
    methods = Counter(call["method"] for call in control.calls(after=last_seq))
    assert methods.keys() == {"auth.test", "users.conversations", "conversations.history", "chat.postMessage"}
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1, "check": 1}


def test_duplicate_failure_is_posted_once(notifier: WarRoomNotifier, control: SandboxClient) -> None:
    notify_in_processes(notifier, [failure_context("load")] * 4)
    notifier(failure_context("load"))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1}


def test_cleared_run_that_fails_again_is_posted_again(notifier: WarRoomNotifier, control: SandboxClient) -> None:
    for hour in (0, 0, 1, 2):
        started = STARTED.replace(hour=hour)
        run = SimpleNamespace(dag_id="orders", run_id=RUN, start_date=started)
        notifier({"dag_run": run, "ti": None, "reason": "task_failure"})
    [room] = rooms(control)
    brief = next(
        message for message in control.channel(room)["messages"] if message["user"] == BOT and message["replies"]
    )
    assert str([reply["blocks"] for reply in brief["replies"]]).count("*The run failed*") == 3


@pytest.mark.parametrize(
    "members",
    [
        "dana@acme.example",
        "dana@acme.example, @sre-oncall",
        ["dana@acme.example; @sre-oncall"],
        "\n- @sre-oncall\n- Reyes, Dana <dana@acme.example>\n",
        ("dana@acme.example and alice.ng@acme.example",),
    ],
)
def test_members_accepts_text(notifier: WarRoomNotifier, control: SandboxClient, members: Any) -> None:
    notifier.members = members
    notifier(failure_context())
    [room] = rooms(control)
    assert DANA in control.channel(room)["members"]
    assert "not invited" not in str(control.channel(room)["messages"])


@pytest.mark.parametrize("dag_id", ["bestellungen_prüfung", "заказы", "注文", "a" * 250, "a.b-c~d", "🔥"])
def test_room_is_opened_for_any_dag_id(notifier: WarRoomNotifier, control: SandboxClient, dag_id: str) -> None:
    notifier(failure_context(dag_id=dag_id))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1}


@pytest.mark.parametrize("prefix", ["Data Team", "  ops/eu  ", "Zahlung.", "ÄÖ-data"])
def test_channel_prefix_is_normalized(notifier: WarRoomNotifier, control: SandboxClient, prefix: str) -> None:
    prefixed = WarRoomNotifier(channel_prefix=prefix)
    prefixed(failure_context())
    assert len(rooms(control, prefixed.channel_prefix)) == 1


@pytest.mark.parametrize("prefix", ["", "---", "日本", "x" * 41])
def test_unusable_channel_prefix_raises(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"channel_prefix is .*needs a letter"):
        WarRoomNotifier(channel_prefix=prefix)


def test_notifier_waits_for_rate_limit(notifier: WarRoomNotifier, control: SandboxClient) -> None:
    control.add_fault(Fault(method="chat.postMessage", nth=2, status=429, headers={"Retry-After": "9"}))
    sleeps: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(war_room.time, "sleep", sleeps.append)
        notifier(failure_context())
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1}
    assert any(seconds >= 9 for seconds in sleeps)


def test_failures_during_outage_are_posted_with_the_next_failure(
    notifier: WarRoomNotifier, control: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(war_room, "OUTAGE_PATIENCE_S", 0.0)
    control.add_fault(Fault(method="*", status=503, times=None))
    notifier(failure_context("load"))
    notifier(failure_context("load", run_id="another"))
    assert rooms(control) == []
    control.clear_faults()
    notifier(failure_context("check"))
    assert len(rooms(control)) == 2
    tasks = sum((posted_tasks(control, room) for room in rooms(control)), Counter[str]())
    assert tasks == {"load": 2, "check": 1}


def test_killed_process_neither_loses_nor_duplicates_failures(
    notifier: WarRoomNotifier, control: SandboxClient
) -> None:
    control.add_fault(Fault(method="chat.postMessage", nth=2, when="after", delay_ms=60_000))
    process = FORK.Process(target=notifier, args=(failure_context("load"),))
    process.start()
    while len(control.calls("conversations.create")) == 0 or not _is_posting(control):
        process.join(0.05)
        assert process.is_alive()
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    notifier(failure_context("check"))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1, "check": 1}


def _is_posting(control: SandboxClient) -> bool:
    return any(fault["consumed"] for fault in control.faults())


@pytest.mark.parametrize("error", ["channel_not_found", "is_archived"])
def test_archived_or_deleted_room_is_replaced(
    notifier: WarRoomNotifier, control: SandboxClient, error: str
) -> None:
    notifier(failure_context("load"))
    control.add_fault(Fault(method="chat.postMessage", error=error))
    notifier(failure_context("check"))
    tasks = sum((posted_tasks(control, room) for room in rooms(control)), Counter[str]())
    assert tasks == {"load": 1, "check": 1}


def test_refused_text_is_posted_without_details(notifier: WarRoomNotifier, control: SandboxClient) -> None:
    control.add_fault(Fault(method="chat.postMessage", nth=2, error="invalid_blocks"))
    notifier(failure_context("load"))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1}


def test_failures_are_posted_without_a_writable_folder(
    notifier: WarRoomNotifier, control: SandboxClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").write_text("")
    monkeypatch.setenv("AIRFLOW__INCIDENT__DIRECTORY_FOLDER", str(tmp_path / "a-file"))
    notifier(failure_context("load"))
    notifier(failure_context("check"))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1, "check": 1}


def test_failures_are_posted_with_a_corrupt_queue(
    notifier: WarRoomNotifier, control: SandboxClient, tmp_path: Path
) -> None:
    notifier(failure_context("load"))
    (tmp_path / "worker" / "failed-runs.sqlite3").write_bytes(b"damaged" * 1000)
    notifier(failure_context("check"))
    notifier(failure_context("check"))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1, "check": 1}


def test_an_app_that_may_not_look_for_rooms_opens_one(
    notifier: WarRoomNotifier, connect: Callable[..., Any], control: SandboxClient
) -> None:
    connect(control.add_token("few", scopes=["channels:manage", "chat:write"]))
    notifier(failure_context("load"))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1}


@pytest.mark.parametrize(("start", "is_same"), [(None, True), (STARTED, False)], ids=["unknown", "known"])
def test_later_callback_of_the_same_run(start: datetime | None, is_same: bool) -> None:
    """A run whose start is known differs from one that was cleared and failed again."""
    context = {"dag_run": SimpleNamespace(dag_id="orders", run_id=RUN, start_date=start), "reason": "task_failure"}
    first = FailedRun.of(context)
    later = replace(first, began_at=first.began_at + timedelta(seconds=2))
    assert (first.failure_key == later.failure_key) is is_same
