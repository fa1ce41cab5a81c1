"""``WarRoomNotifier`` in a burst, under Slack's rate limits, and in outages: every failure is posted once."""

from __future__ import annotations

import multiprocessing
import re
import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.notifications import war_room
from airflow_incident_provider.notifications.war_room import WarRoomNotifier

BOT, DANA = "U0WARROOM01", "U0DANAREYES"
RUN = "scheduled__2026-11-23T00:00:00+00:00"
STARTED = datetime(2026, 11, 23, tzinfo=UTC)
FORK = multiprocessing.get_context("fork")
BURST = 42


def failure(task_id: str = "load", map_index: int = -1, *, dag_id: str = "orders", run_id: str = RUN) -> Any:
    """The context of a task's callback."""
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
    """Count the tasks that are named under the brief of a room."""
    brief = next(
        message for message in control.channel(room)["messages"] if message["user"] == BOT and message["replies"]
    )
    return Counter(re.findall(r"`([^`]+)` \*failed\*", str([reply["blocks"] for reply in brief["replies"]])))


def in_processes(notifier: WarRoomNotifier, contexts: list[Any]) -> None:
    """Notify of each failure in a process of its own, all at once, as workers do."""
    processes = [FORK.Process(target=notifier, args=(context,)) for context in contexts]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0


def test_42_mapped_tasks_failing_at_once_make_one_room_with_42_failures(
    notifier: WarRoomNotifier, control: SandboxClient
) -> None:
    control.settings(rate_limits=True)
    in_processes(notifier, [failure("load", index) for index in range(BURST)])
    [room] = rooms(control)
    assert posted_tasks(control, room) == Counter(f"load[{index}]" for index in range(BURST))
    assert len(control.calls("conversations.create")) == 1
    assert len(control.calls("conversations.invite")) == 1
    assert len(control.calls("chat.postMessage")) <= 1 + BURST // 4, "failures were not posted in batches"


def test_a_later_failure_only_posts(notifier: WarRoomNotifier, control: SandboxClient) -> None:
    notifier(failure("load"))
    calls = control.calls()
    last = calls[-1]["seq"]
    notifier(failure("check"))
    later = Counter(call["method"] for call in control.calls(after=last))
    assert later == {"auth.test": 1, "chat.postMessage": 1}
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1, "check": 1}


def test_another_worker_finds_the_room_and_only_posts(
    notifier: WarRoomNotifier, control: SandboxClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier(failure("load"))
    last = control.calls()[-1]["seq"]
    control.settings()
    monkeypatch.setenv("AIRFLOW__INCIDENT__DIRECTORY_FOLDER", str(tmp_path / "another-worker"))
    notifier(failure("check"))
    later = Counter(call["method"] for call in control.calls(after=last))
    assert later.keys() == {"auth.test", "users.conversations", "conversations.history", "chat.postMessage"}
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1, "check": 1}


def test_the_same_failure_is_posted_once(notifier: WarRoomNotifier, control: SandboxClient) -> None:
    in_processes(notifier, [failure("load")] * 4)
    notifier(failure("load"))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1}


def test_a_run_that_is_cleared_and_fails_again_is_posted_again(
    notifier: WarRoomNotifier, control: SandboxClient
) -> None:
    for hour in (0, 0, 1, 2):
        started = STARTED.replace(hour=hour)
        run = SimpleNamespace(dag_id="orders", run_id=RUN, start_date=started)
        notifier({"dag_run": run, "ti": None, "reason": "task_failure"})
    [room] = rooms(control)
    brief = next(each for each in control.channel(room)["messages"] if each["user"] == BOT and each["replies"])
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
def test_members_may_be_text(notifier: WarRoomNotifier, control: SandboxClient, members: Any) -> None:
    notifier.members = members
    notifier(failure())
    [room] = rooms(control)
    assert DANA in control.channel(room)["members"]
    assert "not invited" not in str(control.channel(room)["messages"])


@pytest.mark.parametrize("dag_id", ["bestellungen_prüfung", "заказы", "注文", "a" * 250, "a.b-c~d", "🔥"])
def test_any_dag_id_gets_a_room(notifier: WarRoomNotifier, control: SandboxClient, dag_id: str) -> None:
    notifier(failure(dag_id=dag_id))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1}


@pytest.mark.parametrize("prefix", ["Data Team", "  ops/eu  ", "Zahlung.", "ÄÖ-data"])
def test_a_prefix_becomes_a_name_that_slack_accepts(
    notifier: WarRoomNotifier, control: SandboxClient, prefix: str
) -> None:
    made = WarRoomNotifier(channel_prefix=prefix)
    made(failure())
    assert len(rooms(control, made.channel_prefix)) == 1


@pytest.mark.parametrize("prefix", ["", "---", "日本", "x" * 41])
def test_a_prefix_without_a_usable_character_is_an_error_when_the_dag_is_parsed(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"channel_prefix is .*needs a letter"):
        WarRoomNotifier(channel_prefix=prefix)


def test_a_rate_limit_is_waited_for(notifier: WarRoomNotifier, control: SandboxClient) -> None:
    control.add_fault(Fault(method="chat.postMessage", nth=2, status=429, headers={"Retry-After": "9"}))
    slept: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(war_room.time, "sleep", slept.append)
        notifier(failure())
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1}
    assert any(seconds >= 9 for seconds in slept)


def test_what_could_not_be_posted_in_an_outage_comes_with_the_next_failure(
    notifier: WarRoomNotifier, control: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(war_room, "OUTAGE_PATIENCE_S", 0.0)
    control.add_fault(Fault(method="*", status=503, times=None))
    notifier(failure("load"))
    notifier(failure("load", run_id="another"))
    assert rooms(control) == []
    control.clear_faults()
    notifier(failure("check"))
    assert len(rooms(control)) == 2
    found = sum((posted_tasks(control, room) for room in rooms(control)), Counter[str]())
    assert found == {"load": 2, "check": 1}


def test_a_process_that_is_killed_while_it_posts_loses_nothing_and_posts_nothing_twice(
    notifier: WarRoomNotifier, control: SandboxClient
) -> None:
    control.add_fault(Fault(method="chat.postMessage", nth=2, when="after", delay_ms=60_000))
    victim = FORK.Process(target=notifier, args=(failure("load"),))
    victim.start()
    while len(control.calls("conversations.create")) == 0 or not _is_posting(control):
        victim.join(0.05)
        assert victim.is_alive()
    victim.kill()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    notifier(failure("check"))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1, "check": 1}


def _is_posting(control: SandboxClient) -> bool:
    return any(fault["consumed"] for fault in control.faults())


@pytest.mark.parametrize("gone", ["channel_not_found", "is_archived"])
def test_a_room_that_was_archived_or_deleted_is_opened_again(
    notifier: WarRoomNotifier, control: SandboxClient, gone: str
) -> None:
    notifier(failure("load"))
    control.add_fault(Fault(method="chat.postMessage", error=gone))
    notifier(failure("check"))
    tasks = sum((posted_tasks(control, room) for room in rooms(control)), Counter[str]())
    assert tasks == {"load": 1, "check": 1}


def test_a_text_that_slack_refuses_is_posted_without_details(
    notifier: WarRoomNotifier, control: SandboxClient
) -> None:
    control.add_fault(Fault(method="chat.postMessage", nth=2, error="invalid_blocks"))
    notifier(failure("load"))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1}


def test_a_folder_that_cannot_be_written_to_costs_only_the_queue(
    notifier: WarRoomNotifier, control: SandboxClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").write_text("")
    monkeypatch.setenv("AIRFLOW__INCIDENT__DIRECTORY_FOLDER", str(tmp_path / "a-file"))
    notifier(failure("load"))
    notifier(failure("check"))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1, "check": 1}


def test_a_queue_that_breaks_loses_nothing(
    notifier: WarRoomNotifier, control: SandboxClient, tmp_path: Path
) -> None:
    notifier(failure("load"))
    (tmp_path / "worker" / "failed-runs.sqlite3").write_bytes(b"damaged" * 1000)
    notifier(failure("check"))
    notifier(failure("check"))
    [room] = rooms(control)
    assert posted_tasks(control, room) == {"load": 1, "check": 1}
