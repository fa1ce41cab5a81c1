"""Close requests: a person resolves an incident or archives its room."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, DagRunTriggerException
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.lifecycle.records import RunRequest, Status
from airflow_incident_provider.operators import ArchiveWarRoomOperator, ResolveIncidentOperator

from .lifecycle_harness import (
    BOT,
    BROKEN,
    DANA,
    HEALTHY,
    LifecycleHarness,
    Monitor,
    Room,
    recover,
    resolve,
    schedule_next_check,
    selected_tasks,
)

RESOLVE = {"close_request": {"closing": "resolve"}}
ARCHIVE = {"close_request": {"closing": "archive"}}
REPORT_KEY = "man.OPS-1"


@pytest.fixture
def by_dana(harness: LifecycleHarness) -> LifecycleHarness:
    harness.user = "dana"
    return harness


def requested_tasks(harness: LifecycleHarness, **conf: Any) -> set[str]:
    """Return the tasks that a close request's run selects."""
    return selected_tasks(harness, "request.1", incident_key=harness.key, **conf)


def test_person_resolves_firing_incident(by_dana: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    assert requested_tasks(by_dana, **RESOLVE) == {
        "resolve_incident",
        "schedule_next_check",
    }
    by_dana.advance_time(minutes=5)
    assert by_dana.run_task(ResolveIncidentOperator, "request.1", **RESOLVE)
    assert by_dana.record.status is Status.RESOLVED
    [text] = room.posted("/resolved")
    assert "by dana" in text
    assert "resolved while 1 alert is still firing" in text
    assert "this room reopens" in text
    assert "this room is archived tomorrow at" in text
    assert room.state["topic"].split(" · ")[1] == "resolved"
    assert "resolved" in json.dumps(room.brief["blocks"])
    with pytest.raises(DagRunTriggerException):
        schedule_next_check(by_dana, "request.1")


def test_person_resolves_recovered_incident_early(by_dana: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    recover(by_dana, monitor, HEALTHY)
    assert by_dana.run_task(ResolveIncidentOperator, "request.1", **RESOLVE)
    [text] = room.posted("/resolved")
    assert "by dana" in text
    assert "no alert has fired since" in text


def test_manual_resolution_lasts_until_new_cycle(by_dana: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    by_dana.run_task(ResolveIncidentOperator, "request.1", **RESOLVE)
    assert monitor("Re-Triggered").action == "duplicate"
    assert by_dana.record.status is Status.RESOLVED
    assert monitor("Triggered", cycle="2").action == "reopen"
    assert by_dana.record.status is Status.OPEN


def test_repeated_request_posts_once(by_dana: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    for run_id in ("request.1", "request.1", "request.2"):
        by_dana.run_task(ResolveIncidentOperator, run_id, **RESOLVE)
    assert len(room.posted("/resolved")) == 1


def test_user_name_comes_from_airflow_and_is_escaped(
    by_dana: LifecycleHarness, monitor: Monitor, room: Room
) -> None:
    by_dana.user = "<!channel> *eve*"
    by_dana.run_task(ResolveIncidentOperator, "request.1", **RESOLVE, by="mallory")
    [text] = room.posted("/resolved")
    assert "&lt;!channel&gt;" in text
    assert "mallory" not in text


def test_person_archives_room(by_dana: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    recover(by_dana, monitor, HEALTHY)
    resolve(by_dana)
    assert requested_tasks(by_dana, **ARCHIVE) == {
        "archive_war_room",
        "schedule_next_check",
    }
    assert by_dana.run_task(ArchiveWarRoomOperator, "request.2", **ARCHIVE)
    assert (room.state["is_archived"], by_dana.record.status) == (True, Status.ARCHIVED)
    [text] = room.posted("/archived")
    assert "Archived at" in text
    assert "by dana" in text
    assert by_dana.run_task(ArchiveWarRoomOperator, "request.3", **ARCHIVE) is None


def test_open_incident_is_not_archived(by_dana: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    assert by_dana.run_task(ArchiveWarRoomOperator, "request.2", **ARCHIVE) is None
    assert (room.state["is_archived"], by_dana.record.status) == (False, Status.OPEN)
    assert room.posted("/archived") == []


def test_room_of_other_creator_is_not_archived(
    by_dana: LifecycleHarness, monitor: Monitor, room: Room, slack: Any
) -> None:
    slack.workspace.channels[room.id].creator = DANA
    by_dana.run_task(ResolveIncidentOperator, "request.1", **RESOLVE)
    assert by_dana.run_task(ArchiveWarRoomOperator, "request.2", **ARCHIVE) is None
    assert not room.state["is_archived"]
    assert room.posted("/archived") == []


def test_room_without_app_is_not_archived(
    by_dana: LifecycleHarness, monitor: Monitor, room: Room, slack: Any
) -> None:
    by_dana.run_task(ResolveIncidentOperator, "request.1", **RESOLVE)
    slack.workspace.channels[room.id].members.remove(BOT)
    assert by_dana.run_task(ArchiveWarRoomOperator, "request.2", **ARCHIVE) is None
    assert not room.state["is_archived"]


def test_retry_after_slack_outage_posts_once(
    by_dana: LifecycleHarness, monitor: Monitor, room: Room, control: SandboxClient
) -> None:
    by_dana.run_task(ResolveIncidentOperator, "request.1", **RESOLVE)
    control.add_fault(Fault(method="conversations.archive", status=503, times=None))
    with pytest.raises(SlackUnavailableError):
        by_dana.run_task(ArchiveWarRoomOperator, "request.2", **ARCHIVE)
    control.clear_faults()
    assert by_dana.run_task(ArchiveWarRoomOperator, "request.2", **ARCHIVE)
    assert len(room.posted("/archived")) == 1
    assert room.state["is_archived"]


@pytest.mark.parametrize("request_", ["resolve", {}, {"closing": "warn"}, {"closing": ["resolve"]}, 7])
def test_invalid_request_fails(harness: LifecycleHarness, monitor: Monitor, room: Room, request_: Any) -> None:
    with pytest.raises(AirflowFailException, match="airflow incident resolve"):
        harness.run_task(ResolveIncidentOperator, "request.1", close_request=request_)
    assert harness.record.status is Status.OPEN


# --- reported incidents, which are not in the registry --------------------------------------------


@pytest.fixture
def reported_room(harness: LifecycleHarness, control: SandboxClient) -> Callable[[], dict[str, Any]]:
    """Run ``incident_response`` for a report; return a function that reads its room."""
    conf = {"title": "Checkout is down", "id": "OPS-1", "users": ["dana@acme.example"]}
    request = RunRequest(dag_id="incident_response", run_id=REPORT_KEY, conf=conf)
    harness.run_response(SimpleNamespace(runs=[request]), BROKEN)  # type: ignore[arg-type]
    harness.key, harness.user = REPORT_KEY, "dana"
    room = harness.xcoms["incident_response", REPORT_KEY, "create_war_room", "return_value"]
    return lambda: control.channel(room["channel_id"])


def run_close_request(closing: str, run_id: str = REPORT_KEY) -> dict[str, Any]:
    return {"close_request": {"closing": closing, "dag_id": "incident_response", "run_id": run_id}}


def test_reported_incident_is_resolved_and_archived_by_run(
    harness: LifecycleHarness, reported_room: Callable[[], dict[str, Any]]
) -> None:
    assert requested_tasks(harness, **run_close_request("resolve")) == {
        "resolve_incident",
        "schedule_next_check",
    }
    assert harness.run_task(ResolveIncidentOperator, "request.1", **run_close_request("resolve"))
    assert is_next_check_skipped(harness)
    state = reported_room()
    assert " · resolved · " in state["topic"]
    [text] = [json.dumps(m["blocks"]) for m in state["messages"] if m["text"].startswith("Resolved at")]
    assert "by dana" in text
    # No further check runs, so the message promises neither reopening nor archiving.
    assert "brings it back" not in text
    assert "will be archived" not in text
    assert harness.run_task(ArchiveWarRoomOperator, "request.2", **run_close_request("archive"))
    state = reported_room()
    assert state["is_archived"]
    assert any(m["text"].startswith("Archived at") for m in state["messages"])


def is_next_check_skipped(harness: LifecycleHarness) -> bool:
    from airflow_incident_provider.operators import ScheduleNextCheckOperator

    return harness.run_task(ScheduleNextCheckOperator, "request.1") is None


def test_run_of_other_incident_is_ignored(
    harness: LifecycleHarness, reported_room: Callable[[], dict[str, Any]]
) -> None:
    harness.key = "man.OPS-2"
    assert harness.run_task(ResolveIncidentOperator, "request.1", **run_close_request("resolve")) is None
    assert not any(m["text"].startswith("Resolved at") for m in reported_room()["messages"])
