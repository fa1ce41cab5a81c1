"""How an incident ends: recovery, resolution, its room; and what is due when. Against the stand-in Slack."""

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
    WELL,
    Life,
    Monitor,
    Room,
    chosen,
    recover,
    resolve,
    schedule_next_check,
    tell,
)

# --- recovery -------------------------------------------------------------------------------------


def test_a_recovery_is_posted_once_with_both_results(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    [text] = room.posted("/recovery")
    assert "❌ HTTP 503 after 212 ms → ✅ HTTP 200 after 35 ms" in text
    assert "You can resolve it" in text
    assert room.state["topic"].split(" · ")[1] == "recovered"
    assert room.thread == []


def test_what_still_fails_is_said_and_shown(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, BROKEN)
    [text] = room.posted("/recovery")
    assert "Check before you resolve it" in text
    assert any("Evidence" in reply for reply in room.thread)


def test_the_same_probes_run_again(life: Life, monitor: Monitor, room: Room) -> None:
    monitor("Recovered")
    again = life.do(PlanRecheckOperator, life.hand_over())
    [planned] = [
        value
        for (dag, _, task, _), value in life.xcoms.items()
        if (dag, task) == ("incident_response", "plan_investigation")
    ]
    assert len(again) > 1
    assert [(run["probe"], run["target"]) for run in again] == [(run["probe"], run["target"]) for run in planned]


# --- resolution -----------------------------------------------------------------------------------


def test_after_the_quiet_time_it_is_resolved(life: Life, monitor: Monitor, room: Room) -> None:
    life.pass_time(minutes=5)
    run_id = recover(life, monitor, WELL)
    life.pass_time(minutes=11)
    life.do(ResolveIncidentOperator, "look.1", checked_by=run_id)
    assert life.record.status is Status.RESOLVED
    [text] = room.posted("/resolved")
    assert "Resolved at" in text
    assert "this room is archived tomorrow at" in text
    [summary] = room.posted("/summary")
    assert "*Summary* · resolved" in summary
    assert "Recovered after *5 min" in summary
    assert room.state["topic"].split(" · ")[1] == "resolved"
    assert "resolved" in json.dumps(room.brief["blocks"])


def test_recovery_that_the_checks_contradict_is_not_resolved_by_time(
    life: Life, monitor: Monitor, room: Room
) -> None:
    recover(life, monitor, BROKEN)
    [text] = room.posted("/recovery")
    assert json.loads(text)[0]["text"]["text"].startswith("🔶 *Alerts recovered")
    assert "but 1 of 1 check fails*" in text
    assert "It is not resolved automatically while a check fails" in text
    assert resolve(life) is None
    assert life.record.status is Status.RECOVERED


def test_recovery_after_that_whose_checks_pass_is_resolved_by_time(
    life: Life, monitor: Monitor, room: Room
) -> None:
    recover(life, monitor, BROKEN)
    life.pass_time(minutes=2)
    monitor("Triggered", cycle="2")
    life.pass_time(minutes=2)
    recover(life, monitor, WELL)
    assert resolve(life) is not None
    assert life.record.status is Status.RESOLVED


def test_before_the_quiet_time_is_over_nothing_is_resolved(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    life.pass_time(minutes=9)
    assert life.do(ResolveIncidentOperator, "look.1") is None
    assert life.record.status is Status.RECOVERED


def test_what_fires_again_is_not_resolved(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    life.pass_time(minutes=3)
    monitor("Triggered", cycle="2")
    assert resolve(life) is None
    assert life.record.status is Status.OPEN


def test_an_alert_at_the_last_moment_wins(
    life: Life, monitor: Monitor, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alert comes between the reading of the record and the step."""
    recover(life, monitor, WELL)
    step = TaskRegistry.resolve

    def late(self: TaskRegistry, seen: Any, at: Any, *, by: str | None = None) -> bool:
        if life.record.status is Status.RECOVERED:
            monitor("Triggered", cycle="2")
        return step(self, seen, at, by=by)

    monkeypatch.setattr(TaskRegistry, "resolve", late)
    assert resolve(life) is None
    assert life.record.status is Status.OPEN
    assert room.posted("/resolved") == []


def test_a_retry_goes_on_where_it_was(life: Life, monitor: Monitor, room: Room, control: SandboxClient) -> None:
    recover(life, monitor, WELL)
    control.add_fault(Fault(method="chat.postMessage", status=503, times=None))
    with pytest.raises(SlackUnavailableError):
        resolve(life)
    assert life.record.status is Status.RESOLVED
    control.clear_faults()
    assert resolve(life) is not None
    assert len(room.posted("/resolved")) == 1


# --- the end of the room --------------------------------------------------------------------------


def test_the_room_is_warned_and_then_archived(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    resolve(life)
    assert life.do(ArchiveWarRoomOperator, "look.early") is None
    life.pass_time(hours=23.1)
    life.do(ArchiveWarRoomOperator, "look.warn")
    assert len(room.posted("/archive-warning")) == 1
    assert not room.state["is_archived"]
    life.pass_time(hours=1)
    life.do(ArchiveWarRoomOperator, "look.archive")
    assert room.state["is_archived"]
    assert life.record.status is Status.ARCHIVED


def test_an_alert_keeps_the_room(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    resolve(life)
    monitor("Triggered", cycle="2")
    life.pass_time(hours=30)
    assert life.do(ArchiveWarRoomOperator, "look.archive") is None
    assert not room.state["is_archived"]


def test_a_room_that_somebody_else_made_is_not_archived(
    life: Life, monitor: Monitor, room: Room, slack: Any
) -> None:
    slack.workspace.channels[room.id].creator = DANA
    recover(life, monitor, WELL)
    resolve(life)
    assert "will be archived" not in room.posted("/resolved")[0]
    life.pass_time(hours=30)
    assert life.do(ArchiveWarRoomOperator, "look.archive") is None
    assert not room.state["is_archived"]


def test_people_keep_a_room_by_putting_the_app_out(life: Life, monitor: Monitor, room: Room, slack: Any) -> None:
    recover(life, monitor, WELL)
    resolve(life)
    slack.workspace.channels[room.id].members.remove(BOT)
    life.pass_time(hours=30)
    assert life.do(ArchiveWarRoomOperator, "look.archive") is None
    assert not room.state["is_archived"]


def test_a_channel_of_another_tool_is_never_archived(
    make_life: Callable[..., Life], control: SandboxClient, payload: Callable[[str], dict[str, Any]]
) -> None:
    control.add_channel("incident-118", id="C0ABC118", members=[DANA])
    life = make_life()
    began = payload("06")
    life.respond(life.alert(began), BROKEN)
    life.pass_time(seconds=1)
    over = json.loads(json.dumps(began)) | {"id": "2", "date": str(int(life.now.timestamp() * 1000))}
    over["incident"] |= {"status": "resolved"}
    assert life.alert(over).action == "recover"
    tell(life)
    resolve(life)
    life.pass_time(hours=30)
    assert life.do(ArchiveWarRoomOperator, "look.archive") is None
    assert life.record.status is Status.ARCHIVED
    state = control.channel("C0ABC118")
    assert not state["is_archived"]
    assert "archived" not in json.dumps(state["messages"])


# --- what is due, and when it is looked again -----------------------------------------------------


def test_the_next_look_is_a_run_that_is_due_later(life: Life, monitor: Monitor, room: Room) -> None:
    run_id = recover(life, monitor, WELL)
    with pytest.raises(DagRunTriggerException) as asked:
        schedule_next_check(life, run_id)
    at = life.record.recovered_at + timedelta(minutes=10)
    assert timedelta() <= asked.value.run_after - at < timedelta(seconds=1)
    assert asked.value.conf == {"incident_key": life.key, "checked_by": run_id}
    assert asked.value.skip_when_already_exists


def test_nothing_is_waited_for_while_it_is_open(life: Life, monitor: Monitor, room: Room) -> None:
    assert life.do(ScheduleNextCheckOperator, "any") is None


def test_an_update_waits_for_its_room_without_a_worker(
    life: Life, monitor: Monitor, control: SandboxClient
) -> None:
    decision = monitor("Triggered")
    monitor("Re-Triggered")
    run_id = life.hand_over()
    life.run_states["incident_response", decision.runs[0].run_id] = "running"
    with pytest.raises(TaskDeferred) as waiting:
        SelectDueTasksOperator(task_id="select_due_tasks").execute(life.context("select_due_tasks", run_id))
    assert waiting.value.method_name == "resume"


def test_a_look_that_comes_late_still_has_a_next_one(life: Life, monitor: Monitor, room: Room) -> None:
    """The probes took longer than the quiet time."""
    run_id = recover(life, monitor, WELL)
    life.pass_time(minutes=30)
    with pytest.raises(DagRunTriggerException) as asked:
        schedule_next_check(life, run_id)
    assert asked.value.run_after < life.now


@pytest.mark.parametrize(
    ("happens", "due"),
    [
        (lambda monitor: monitor("Re-Triggered"), {"post_incident_update", "schedule_next_check"}),
        (lambda monitor: monitor("Recovered"), {"post_incident_update", "plan_recheck", "schedule_next_check"}),
        (
            lambda monitor: (monitor("Recovered"), monitor("Triggered", cycle="2")),
            {"post_incident_update", "schedule_next_check"},
        ),
    ],
)
def test_only_what_is_due_is_done(
    life: Life, monitor: Monitor, room: Room, happens: Callable[..., Any], due: set[str]
) -> None:
    happens(monitor)
    assert chosen(life, life.hand_over()) == due


def test_a_look_does_what_the_time_has_come_for(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    assert chosen(life, "look.early") == {"schedule_next_check"}
    life.pass_time(minutes=11)
    assert chosen(life, "look.resolve") == {"resolve_incident", "schedule_next_check"}
    resolve(life)
    life.pass_time(hours=23.1)
    assert chosen(life, "look.warn") == {"archive_war_room", "schedule_next_check"}
    life.pass_time(hours=2)
    assert chosen(life, "look.archive") == {"archive_war_room", "schedule_next_check"}


def test_an_incident_that_nobody_knows_is_left_alone(life: Life, monitor: Monitor) -> None:
    life.key = "dd.unknown"
    assert chosen(life, "look.unknown") == set()
