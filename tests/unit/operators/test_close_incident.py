"""Closing an incident: recovery, resolution, archiving and the due checks."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import DagRunTriggerException, TaskDeferred
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.lifecycle.records import Status
from airflow_incident_provider.operators import (
    ArchiveWarRoomOperator,
    PlanRecheckOperator,
    ResolveIncidentOperator,
    ScheduleNextCheckOperator,
    SelectDueTasksOperator,
)
from airflow_incident_provider.registry.task_client import TaskRegistry

from .lifecycle_harness import (
    BOT,
    BROKEN,
    DANA,
    HEALTHY,
    LifecycleHarness,
    Monitor,
    Room,
    post_update,
    recover,
    resolve,
    schedule_next_check,
    selected_tasks,
)

# --- recovery -------------------------------------------------------------------------------------


def test_recovery_is_posted_once_with_both_results(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    recover(harness, monitor, HEALTHY)
    [text] = room.posted("/recovery")
    assert "❌ HTTP 503 after 212 ms → ✅ HTTP 200 after 35 ms" in text
    assert "You can resolve it" in text
    assert room.state["topic"].split(" · ")[1] == "recovered"
    assert room.thread == []


def test_recovery_with_failing_probe_is_posted_with_evidence(
    harness: LifecycleHarness, monitor: Monitor, room: Room
) -> None:
    recover(harness, monitor, BROKEN)
    [text] = room.posted("/recovery")
    assert "Check before you resolve it" in text
    assert any("Evidence" in reply for reply in room.thread)


def test_recheck_runs_the_same_probes(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    monitor("Recovered")
    again = harness.run_task(PlanRecheckOperator, harness.queue_update())
    [planned] = [
        value
        for (dag, _, task, _), value in harness.xcoms.items()
        if (dag, task) == ("incident_response", "plan_investigation")
    ]
    assert len(again) > 1
    assert [(run["probe"], run["target"]) for run in again] == [(run["probe"], run["target"]) for run in planned]


# --- resolution -----------------------------------------------------------------------------------


def test_incident_is_resolved_after_quiet_period(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    harness.advance_time(minutes=5)
    run_id = recover(harness, monitor, HEALTHY)
    harness.advance_time(minutes=11)
    harness.run_task(ResolveIncidentOperator, "look.1", checked_by=run_id)
    assert harness.record.status is Status.RESOLVED
    [text] = room.posted("/resolved")
    assert "Resolved at" in text
    assert "this room is archived tomorrow at" in text
    [summary] = room.posted("/summary")
    assert "*Summary* · resolved" in summary
    assert "Recovered after *5 min" in summary
    assert room.state["topic"].split(" · ")[1] == "resolved"
    assert "resolved" in json.dumps(room.brief["blocks"])


def test_recovery_with_failing_checks_is_not_resolved(
    harness: LifecycleHarness, monitor: Monitor, room: Room
) -> None:
    recover(harness, monitor, BROKEN)
    [text] = room.posted("/recovery")
    assert json.loads(text)[0]["text"]["text"].startswith("🔶 *Alerts recovered")
    assert "but 1 of 1 check fails*" in text
    assert "It is not resolved automatically while a check fails" in text
    assert resolve(harness) is None
    assert harness.record.status is Status.RECOVERED


def test_later_recovery_with_passing_checks_is_resolved(
    harness: LifecycleHarness, monitor: Monitor, room: Room
) -> None:
    recover(harness, monitor, BROKEN)
    harness.advance_time(minutes=2)
    monitor("Triggered", cycle="2")
    harness.advance_time(minutes=2)
    recover(harness, monitor, HEALTHY)
    assert resolve(harness) is not None
    assert harness.record.status is Status.RESOLVED


def test_incident_is_not_resolved_during_quiet_period(
    harness: LifecycleHarness, monitor: Monitor, room: Room
) -> None:
    recover(harness, monitor, HEALTHY)
    harness.advance_time(minutes=9)
    assert harness.run_task(ResolveIncidentOperator, "look.1") is None
    assert harness.record.status is Status.RECOVERED


def test_refiring_incident_is_not_resolved(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    recover(harness, monitor, HEALTHY)
    harness.advance_time(minutes=3)
    monitor("Triggered", cycle="2")
    assert resolve(harness) is None
    assert harness.record.status is Status.OPEN


def test_concurrent_alert_prevents_resolution(
    harness: LifecycleHarness, monitor: Monitor, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Send an alert between the read of the record and its transition."""
    recover(harness, monitor, HEALTHY)
    original_resolve = TaskRegistry.resolve

    def resolve_after_alert(self: TaskRegistry, seen: Any, at: Any, *, by: str | None = None) -> bool:
        if harness.record.status is Status.RECOVERED:
            monitor("Triggered", cycle="2")
        return original_resolve(self, seen, at, by=by)

    monkeypatch.setattr(TaskRegistry, "resolve", resolve_after_alert)
    assert resolve(harness) is None
    assert harness.record.status is Status.OPEN
    assert room.posted("/resolved") == []


def test_retry_continues_after_failed_post(
    harness: LifecycleHarness, monitor: Monitor, room: Room, control: SandboxClient
) -> None:
    recover(harness, monitor, HEALTHY)
    control.add_fault(Fault(method="chat.postMessage", status=503, times=None))
    with pytest.raises(SlackUnavailableError):
        resolve(harness)
    assert harness.record.status is Status.RESOLVED
    control.clear_faults()
    assert resolve(harness) is not None
    assert len(room.posted("/resolved")) == 1


# --- archiving --------------------------------------------------------------------------


def test_room_is_warned_then_archived(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    recover(harness, monitor, HEALTHY)
    resolve(harness)
    assert harness.run_task(ArchiveWarRoomOperator, "look.early") is None
    harness.advance_time(hours=23.1)
    harness.run_task(ArchiveWarRoomOperator, "look.warn")
    assert len(room.posted("/archive-warning")) == 1
    assert not room.state["is_archived"]
    harness.advance_time(hours=1)
    harness.run_task(ArchiveWarRoomOperator, "look.archive")
    assert room.state["is_archived"]
    assert harness.record.status is Status.ARCHIVED


def test_new_alert_prevents_archiving(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    recover(harness, monitor, HEALTHY)
    resolve(harness)
    monitor("Triggered", cycle="2")
    harness.advance_time(hours=30)
    assert harness.run_task(ArchiveWarRoomOperator, "look.archive") is None
    assert not room.state["is_archived"]


def test_room_of_other_creator_is_not_archived(
    harness: LifecycleHarness, monitor: Monitor, room: Room, slack: Any
) -> None:
    slack.workspace.channels[room.id].creator = DANA
    recover(harness, monitor, HEALTHY)
    resolve(harness)
    assert "will be archived" not in room.posted("/resolved")[0]
    harness.advance_time(hours=30)
    assert harness.run_task(ArchiveWarRoomOperator, "look.archive") is None
    assert not room.state["is_archived"]


def test_room_without_app_is_not_archived(
    harness: LifecycleHarness, monitor: Monitor, room: Room, slack: Any
) -> None:
    recover(harness, monitor, HEALTHY)
    resolve(harness)
    slack.workspace.channels[room.id].members.remove(BOT)
    harness.advance_time(hours=30)
    assert harness.run_task(ArchiveWarRoomOperator, "look.archive") is None
    assert not room.state["is_archived"]


def test_channel_of_datadog_incident_is_not_archived(
    make_harness: Callable[..., LifecycleHarness], control: SandboxClient, payload: Callable[[str], dict[str, Any]]
) -> None:
    control.add_channel("incident-118", id="C0ABC118", members=[DANA])
    harness = make_harness()
    opened = payload("06")
    harness.run_response(harness.alert(opened), BROKEN)
    harness.advance_time(seconds=1)
    resolved = json.loads(json.dumps(opened)) | {"id": "2", "date": str(int(harness.now.timestamp() * 1000))}
    resolved["incident"] |= {"status": "resolved"}
    assert harness.alert(resolved).action == "recover"
    post_update(harness)
    resolve(harness)
    harness.advance_time(hours=30)
    assert harness.run_task(ArchiveWarRoomOperator, "look.archive") is None
    assert harness.record.status is Status.ARCHIVED
    state = control.channel("C0ABC118")
    assert not state["is_archived"]
    assert "archived" not in json.dumps(state["messages"])


# --- due tasks and next check -----------------------------------------------------


def test_next_check_is_scheduled_after_quiet_period(
    harness: LifecycleHarness, monitor: Monitor, room: Room
) -> None:
    run_id = recover(harness, monitor, HEALTHY)
    with pytest.raises(DagRunTriggerException) as exc_info:
        schedule_next_check(harness, run_id)
    at = harness.record.recovered_at + timedelta(minutes=10)
    assert timedelta() <= exc_info.value.run_after - at < timedelta(seconds=1)
    assert exc_info.value.conf == {"incident_key": harness.key, "checked_by": run_id}
    assert exc_info.value.skip_when_already_exists


def test_open_incident_schedules_no_check(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    assert harness.run_task(ScheduleNextCheckOperator, "any") is None


def test_update_is_deferred_until_room_exists(
    harness: LifecycleHarness, monitor: Monitor, control: SandboxClient
) -> None:
    decision = monitor("Triggered")
    monitor("Re-Triggered")
    run_id = harness.queue_update()
    harness.run_states["incident_response", decision.runs[0].run_id] = "running"
    with pytest.raises(TaskDeferred) as exc_info:
        SelectDueTasksOperator(task_id="select_due_tasks").execute(harness.context("select_due_tasks", run_id))
    assert exc_info.value.method_name == "resume"


def test_late_check_schedules_next_check(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    """Cover probes that take longer than the quiet period."""
    run_id = recover(harness, monitor, HEALTHY)
    harness.advance_time(minutes=30)
    with pytest.raises(DagRunTriggerException) as exc_info:
        schedule_next_check(harness, run_id)
    assert exc_info.value.run_after < harness.now


@pytest.mark.parametrize(
    ("send_alerts", "expected"),
    [
        (lambda monitor: monitor("Re-Triggered"), {"post_incident_update", "schedule_next_check"}),
        (lambda monitor: monitor("Recovered"), {"post_incident_update", "plan_recheck", "schedule_next_check"}),
        (
            lambda monitor: (monitor("Recovered"), monitor("Triggered", cycle="2")),
            {"post_incident_update", "schedule_next_check"},
        ),
    ],
)
def test_only_due_tasks_are_selected(
    harness: LifecycleHarness, monitor: Monitor, room: Room, send_alerts: Callable[..., Any], expected: set[str]
) -> None:
    send_alerts(monitor)
    assert selected_tasks(harness, harness.queue_update()) == expected


def test_check_selects_tasks_by_time(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    recover(harness, monitor, HEALTHY)
    assert selected_tasks(harness, "look.early") == {"schedule_next_check"}
    harness.advance_time(minutes=11)
    assert selected_tasks(harness, "look.resolve") == {"resolve_incident", "schedule_next_check"}
    resolve(harness)
    harness.advance_time(hours=23.1)
    assert selected_tasks(harness, "look.warn") == {"archive_war_room", "schedule_next_check"}
    harness.advance_time(hours=2)
    assert selected_tasks(harness, "look.archive") == {"archive_war_room", "schedule_next_check"}


def test_unknown_incident_selects_no_tasks(harness: LifecycleHarness, monitor: Monitor) -> None:
    harness.key = "dd.unknown"
    assert selected_tasks(harness, "look.unknown") == set()
