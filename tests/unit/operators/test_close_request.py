"""A person resolves an incident or archives its room: the record first, then the room, with the person's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, DagRunTriggerException, DownstreamTasksSkipped
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.lifecycle.records import RunRequest, Status
from airflow_incident_provider.operators import ArchiveWarRoomOperator, ResolveIncidentOperator

from .lifecycle_harness import (
    BOT,
    BROKEN,
    DAG_FILE,
    DANA,
    WELL,
    Life,
    Monitor,
    Room,
    recover,
    resolve,
    schedule_next_check,
)  # isort: skip

RESOLVE = {"close_request": {"closing": "resolve"}}
ARCHIVE = {"close_request": {"closing": "archive"}}
BY_HAND = "man.OPS-1"


@pytest.fixture
def by_dana(life: Life) -> Life:
    life.user = "dana"
    return life


def tasks_after(life: Life, **conf: Any) -> set[str]:
    """Return what ``select_due_tasks`` lets happen in a run with this conf."""
    from airflow.dag_processing.dagbag import DagBag

    task = DagBag(str(DAG_FILE)).dags["incident_update"].get_task("select_due_tasks")
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        task.execute(life.context("select_due_tasks", "asked.1", incident_key=life.key, **conf))
    return task.downstream_task_ids - set(skipped.value.tasks)


def test_an_incident_that_still_fires_is_resolved_by_a_person(by_dana: Life, monitor: Monitor, room: Room) -> None:
    assert tasks_after(by_dana, **RESOLVE) == {"resolve_incident", "schedule_next_check"}
    by_dana.pass_time(minutes=5)
    assert by_dana.do(ResolveIncidentOperator, "asked.1", **RESOLVE)
    assert by_dana.record.status is Status.RESOLVED
    [text] = room.posted("/resolved")
    assert "by dana" in text
    assert "resolved while 1 alert is still firing" in text
    assert "this room reopens" in text
    assert "this room is archived tomorrow at" in text
    assert room.state["topic"].split(" · ")[1] == "resolved"
    assert "resolved" in json.dumps(room.brief["blocks"])
    with pytest.raises(DagRunTriggerException):
        schedule_next_check(by_dana, "asked.1")


def test_what_recovered_is_resolved_before_its_time(by_dana: Life, monitor: Monitor, room: Room) -> None:
    recover(by_dana, monitor, WELL)
    assert by_dana.do(ResolveIncidentOperator, "asked.1", **RESOLVE)
    [text] = room.posted("/resolved")
    assert "by dana" in text
    assert "no alert has fired since" in text


def test_it_holds_until_an_alert_fires_again(by_dana: Life, monitor: Monitor, room: Room) -> None:
    by_dana.do(ResolveIncidentOperator, "asked.1", **RESOLVE)
    assert monitor("Re-Triggered").action == "duplicate"
    assert by_dana.record.status is Status.RESOLVED
    assert monitor("Triggered", cycle="2").action == "reopen"
    assert by_dana.record.status is Status.OPEN


def test_twice_is_once(by_dana: Life, monitor: Monitor, room: Room) -> None:
    for run_id in ("asked.1", "asked.1", "asked.2"):
        by_dana.do(ResolveIncidentOperator, run_id, **RESOLVE)
    assert len(room.posted("/resolved")) == 1


def test_who_it_was_is_airflow_s_word_and_no_markup(by_dana: Life, monitor: Monitor, room: Room) -> None:
    by_dana.user = "<!channel> *eve*"
    by_dana.do(ResolveIncidentOperator, "asked.1", **RESOLVE, by="somebody else")
    [text] = room.posted("/resolved")
    assert "&lt;!channel&gt;" in text
    assert "somebody else" not in text


def test_a_room_names_the_person_and_is_archived(by_dana: Life, monitor: Monitor, room: Room) -> None:
    recover(by_dana, monitor, WELL)
    resolve(by_dana)
    assert tasks_after(by_dana, **ARCHIVE) == {"archive_war_room", "schedule_next_check"}
    assert by_dana.do(ArchiveWarRoomOperator, "asked.2", **ARCHIVE)
    assert (room.state["is_archived"], by_dana.record.status) == (True, Status.ARCHIVED)
    [text] = room.posted("/archived")
    assert "Archived at" in text
    assert "by dana" in text
    assert by_dana.do(ArchiveWarRoomOperator, "asked.3", **ARCHIVE) is None


def test_an_open_incident_keeps_its_room(by_dana: Life, monitor: Monitor, room: Room) -> None:
    assert by_dana.do(ArchiveWarRoomOperator, "asked.2", **ARCHIVE) is None
    assert (room.state["is_archived"], by_dana.record.status) == (False, Status.OPEN)
    assert room.posted("/archived") == []


def test_a_room_of_somebody_else_s_is_left_alone(by_dana: Life, monitor: Monitor, room: Room, slack: Any) -> None:
    slack.workspace.channels[room.id].creator = DANA
    by_dana.do(ResolveIncidentOperator, "asked.1", **RESOLVE)
    assert by_dana.do(ArchiveWarRoomOperator, "asked.2", **ARCHIVE) is None
    assert not room.state["is_archived"]
    assert room.posted("/archived") == []


def test_people_keep_a_room_by_putting_the_app_out(by_dana: Life, monitor: Monitor, room: Room, slack: Any) -> None:
    by_dana.do(ResolveIncidentOperator, "asked.1", **RESOLVE)
    slack.workspace.channels[room.id].members.remove(BOT)
    assert by_dana.do(ArchiveWarRoomOperator, "asked.2", **ARCHIVE) is None
    assert not room.state["is_archived"]


def test_slack_is_down_and_the_retry_says_it_once(
    by_dana: Life, monitor: Monitor, room: Room, control: SandboxClient
) -> None:
    by_dana.do(ResolveIncidentOperator, "asked.1", **RESOLVE)
    control.add_fault(Fault(method="conversations.archive", status=503, times=None))
    with pytest.raises(SlackUnavailableError):
        by_dana.do(ArchiveWarRoomOperator, "asked.2", **ARCHIVE)
    control.clear_faults()
    assert by_dana.do(ArchiveWarRoomOperator, "asked.2", **ARCHIVE)
    assert len(room.posted("/archived")) == 1
    assert room.state["is_archived"]


@pytest.mark.parametrize("request_", ["resolve", {}, {"closing": "warn"}, {"closing": ["resolve"]}, 7])
def test_invalid_request_fails(life: Life, monitor: Monitor, room: Room, request_: Any) -> None:
    with pytest.raises(AirflowFailException, match="airflow incident resolve"):
        life.do(ResolveIncidentOperator, "asked.1", close_request=request_)
    assert life.record.status is Status.OPEN


# --- incidents that a person started: no registry knows them --------------------------------------------


@pytest.fixture
def started_by_hand(life: Life, control: SandboxClient) -> Callable[[], dict[str, Any]]:
    """Run the first steps of an incident that came by no webhook; return how its room is now."""
    conf = {"title": "Checkout is down", "id": "OPS-1", "users": ["dana@acme.example"]}
    request = RunRequest(dag_id="incident_response", run_id=BY_HAND, conf=conf)
    life.respond(SimpleNamespace(runs=[request]), BROKEN)  # type: ignore[arg-type]
    life.key, life.user = BY_HAND, "dana"
    room = life.xcoms["incident_response", BY_HAND, "create_war_room", "return_value"]
    return lambda: control.channel(room["channel_id"])


def by_run(closing: str, run_id: str = BY_HAND) -> dict[str, Any]:
    return {"close_request": {"closing": closing, "dag_id": "incident_response", "run_id": run_id}}


def test_it_is_resolved_and_archived_by_its_run(life: Life, started_by_hand: Callable[[], dict[str, Any]]) -> None:
    assert tasks_after(life, **by_run("resolve")) == {"resolve_incident", "schedule_next_check"}
    assert life.do(ResolveIncidentOperator, "asked.1", **by_run("resolve"))
    assert next_check_is_skipped(life)
    state = started_by_hand()
    assert " · resolved · " in state["topic"]
    [text] = [json.dumps(m["blocks"]) for m in state["messages"] if m["text"].startswith("Resolved at")]
    assert "by dana" in text
    # Nobody looks at it again: neither an alert nor a day's delay is promised.
    assert "brings it back" not in text
    assert "will be archived" not in text
    assert life.do(ArchiveWarRoomOperator, "asked.2", **by_run("archive"))
    state = started_by_hand()
    assert state["is_archived"]
    assert any(m["text"].startswith("Archived at") for m in state["messages"])


def next_check_is_skipped(life: Life) -> bool:
    from airflow_incident_provider.operators import ScheduleNextCheckOperator

    return life.do(ScheduleNextCheckOperator, "asked.1") is None


def test_a_run_of_another_incident_is_not_taken_for_it(
    life: Life, started_by_hand: Callable[[], dict[str, Any]]
) -> None:
    life.key = "man.OPS-2"
    assert life.do(ResolveIncidentOperator, "asked.1", **by_run("resolve")) is None
    assert not any(m["text"].startswith("Resolved at") for m in started_by_hand()["messages"])
