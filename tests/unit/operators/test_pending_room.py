"""A room that the first run could not open or complete is completed later, each part once."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.models import IncidentSummary, ProblemCode
from airflow_incident_provider.operators import PostIncidentUpdateOperator
from airflow_incident_provider.room.pending import MAX_FAST_RETRIES, retry_delay

from .lifecycle_harness import BROKEN, DAG_FILE, LifecycleHarness, Monitor, Room, selected_tasks

OUTAGES: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "no answer": {"drop": True},
    "token rejected": {"error": "invalid_auth"},
    "HTML": {"status": 200, "body": "<html>gateway</html>"},
    "rate limited": {"error": "ratelimited", "headers": {"Retry-After": "3600"}},
}


@pytest.fixture
def harness(harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch) -> LifecycleHarness:
    """Record the runs that a task requests."""
    from airflow_incident_provider.operators import final_summary
    from airflow_incident_provider.slack import hook

    monkeypatch.setattr(hook, "_backoff", lambda _: 0.0)

    monkeypatch.setattr(final_summary, "request_run", lambda *request: harness.requested.append(request))
    return harness


def message_keys(control: SandboxClient, room: Room) -> list[str]:
    """Return the keys of the app's messages in the room, including replies."""
    messages = [each for top in room.state["messages"] for each in (top, *top.get("replies", ()))]
    found_keys = (each.get("metadata", {}).get("event_payload", {}).get("key") for each in messages)
    return [key for key in found_keys if key]


def summary_of(harness: LifecycleHarness, run_id: str) -> IncidentSummary:
    return IncidentSummary.model_validate(
        harness.xcoms["incident_response", run_id, "final_summary", "return_value"]
    )


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
@pytest.mark.parametrize(
    "step",
    [
        "setup_slack_integration",
        "resolve_slack_users",
        "create_war_room",
        "post_investigation_updates",
        "final_summary",
    ],
)
def test_room_is_completed_after_outage_from_any_step(
    *,
    harness: LifecycleHarness,
    monitor: Monitor,
    control: SandboxClient,
    step: str,
    outage: dict[str, Any],
) -> None:

    def start_outage(task_id: str) -> None:
        if task_id == step:
            control.add_fault(Fault(times=None, **outage))

    harness.run_response_with_failures(monitor("Triggered"), BROKEN, before=start_outage)
    for attempt in range(3):
        assert harness.requested, "a retry must be requested"
        harness.run_requested()
        has_no_room = step in ("setup_slack_integration", "resolve_slack_users", "create_war_room")
        assert (harness.record.room.channel_id is None) == has_no_room
        assert harness.record.room.attempts == attempt + 2
    control.clear_faults()
    harness.run_requested()
    assert harness.requested == [], "no retry must be requested for a complete room"
    room = Room(control, harness)
    posted_keys = message_keys(control, room)
    assert len(posted_keys) == len(set(posted_keys))
    assert {key.rpartition("/")[0].rpartition("/")[2] for key in posted_keys if key[-1].isdigit()} >= {
        "post_investigation_updates",
        "summary",
    }
    assert posted_keys.count(f"{harness.key}/brief") == 1
    assert "U0ALICENG01" in room.state["members"]
    assert "inviting" not in json.dumps(room.brief["blocks"])


@pytest.mark.parametrize("working_methods", [(), ("conversations.setPurpose",), ("chat.postMessage",)], ids=str)
@pytest.mark.parametrize("error", ["invalid_auth", "restricted_action", "fatal_error"])
def test_channel_without_brief_becomes_the_room(
    *,
    harness: LifecycleHarness,
    monitor: Monitor,
    control: SandboxClient,
    working_methods: tuple[str, ...],
    error: str,
) -> None:
    for method in {"chat.postMessage", "conversations.setPurpose", "conversations.invite"} - set(working_methods):
        control.add_fault(Fault(method=method, error=error, times=None))
    harness.run_response_with_failures(monitor("Triggered"), BROKEN)
    control.clear_faults()
    while harness.requested:
        harness.run_requested()
    created = [each["name"] for each in control.state()["channels"] if each["creator"] == "U0WARROOM01"]
    assert created == [harness.record.room.channel_name]
    assert message_keys(control, Room(control, harness)).count(f"{harness.key}/brief") == 1


def test_missing_room_is_reported(harness: LifecycleHarness, monitor: Monitor, control: SandboxClient) -> None:
    control.add_fault(Fault(method="conversations.create", error="restricted_action", times=None))
    run_id = harness.run_response_with_failures(monitor("Triggered"), BROKEN)
    [problem] = [each for each in summary_of(harness, run_id).problems if each.code is ProblemCode.NO_ROOM]
    assert "restricted_action" in str(problem.error)
    assert "administrator" in str(problem.fix)
    record = harness.record.room
    assert (record.problem, record.fix, record.attempts) == (problem.error, problem.fix, 1)
    assert record.next_try_at is not None


def test_notification_retries_room_and_is_posted_once(
    harness: LifecycleHarness, monitor: Monitor, control: SandboxClient
) -> None:
    control.add_fault(Fault(status=503, times=None))
    harness.run_response_with_failures(monitor("Triggered"), BROKEN)
    monitor("Triggered", "P1", cycle="1")
    missed_run = harness.queue_update()
    with pytest.raises(Exception, match="No room"):
        harness.run_task(PostIncidentUpdateOperator, missed_run)
    assert harness.record.room.missed_runs == (missed_run,)
    control.clear_faults()
    monitor("Re-Triggered", "P1", cycle="1")
    harness.run_task(PostIncidentUpdateOperator, harness.queue_update())
    room = Room(control, harness)
    assert "medium → critical" in str(room.thread) + str(room.state["messages"])
    assert "Critical" in json.dumps(room.brief["blocks"]) or "CRITICAL" in json.dumps(room.brief["blocks"])
    assert harness.record.room.is_complete
    harness.run_requested()
    assert harness.requested == []


def test_resolved_incident_is_not_retried(
    harness: LifecycleHarness, monitor: Monitor, control: SandboxClient
) -> None:
    control.add_fault(Fault(status=503, times=None))
    harness.run_response_with_failures(monitor("Triggered"), BROKEN)
    [(_, run_id, conf, _)] = harness.requested
    harness.assets.set(
        f"transition/{harness.key}", {"as_of": 1, "status": "resolved", "resolved_at": str(harness.now)}
    )
    harness.requested.clear()
    harness.schedule(run_id, **conf)
    run_ids = [run for _, run, *_ in harness.requested if run]
    assert all(at - harness.now > timedelta(minutes=30) for *_, at in harness.requested), run_ids


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
@pytest.mark.parametrize("method", ["*", "chat.postMessage", "chat.update", "conversations.setTopic"])
def test_update_is_posted_once_after_outage(
    *,
    harness: LifecycleHarness,
    monitor: Monitor,
    control: SandboxClient,
    outage: dict[str, Any],
    method: str,
) -> None:
    harness.run_response(monitor("Triggered"), BROKEN)
    control.add_fault(Fault(method=method, times=None, **outage))
    monitor("Re-Triggered", "P1")
    run_id = harness.queue_update()
    assert {"post_incident_update", "schedule_next_check"} <= selected_tasks(harness, run_id)
    for _ in range(2):
        with suppress(IncidentError, AirflowFailException):
            harness.run_task(PostIncidentUpdateOperator, run_id)
    harness.schedule(run_id)
    harness.run_requested()
    is_permanent = outage.get("error") == "invalid_auth" and method in ("chat.update", "conversations.setTopic")
    control.clear_faults()
    if is_permanent:
        return  # permanent error: reported, not retried
    [next_run] = harness.requested[-1:]
    assert next_run[-1] - harness.now <= timedelta(minutes=1)
    harness.run_requested()
    room = Room(control, harness)
    assert [text for text in room.thread if "medium → critical" in text] == room.thread[:1]
    posted_keys = message_keys(control, room)
    assert len(posted_keys) == len(set(posted_keys))
    assert "CRITICAL: " in json.dumps(room.brief["blocks"])
    assert room.state["topic"].startswith("critical · ")
    assert (harness.record.room.missed_runs, harness.record.room.problem) == ((), None)


def test_next_check_runs_after_update_task() -> None:
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(str(DAG_FILE)).dags["incident_update"]
    assert "post_incident_update" in dag.get_task("schedule_next_check").upstream_task_ids


def test_retry_of_same_run_completes_update(
    harness: LifecycleHarness, monitor: Monitor, control: SandboxClient
) -> None:
    harness.run_response(monitor("Triggered"), BROKEN)
    monitor("Re-Triggered", "P1")
    run_id = harness.queue_update()
    control.add_fault(Fault(status=503, times=None))
    with pytest.raises(IncidentError):
        harness.run_task(PostIncidentUpdateOperator, run_id)
    assert harness.record.room.missed_runs == (run_id,)
    control.clear_faults()
    harness.run_task(PostIncidentUpdateOperator, run_id)
    assert harness.record.room.missed_runs == ()
    assert "post_incident_update" not in selected_tasks(harness, "another", incident_key=harness.key)
    room = Room(control, harness)
    assert len(room.thread) == 1


def test_missed_updates_are_posted_in_order(
    harness: LifecycleHarness, monitor: Monitor, control: SandboxClient
) -> None:
    harness.run_response(monitor("Triggered"), BROKEN)
    control.add_fault(Fault(status=503, times=None))
    for priority in ("P1", "P2", "P1"):
        monitor("Re-Triggered", priority)
        with pytest.raises(IncidentError):
            harness.run_task(PostIncidentUpdateOperator, harness.queue_update())
    control.clear_faults()
    monitor("Recovered", "P1")
    last = harness.queue_update()
    assert {"post_incident_update", "plan_recheck"} <= selected_tasks(harness, last)
    harness.run_task(PostIncidentUpdateOperator, last)
    room = Room(control, harness)
    updates = [key.split("/")[1] for key in message_keys(control, room) if key.endswith("/update/0")]
    assert updates == sorted(updates)
    assert harness.record.room.missed_runs == ()


def test_missed_recovery_is_posted_with_recheck(
    harness: LifecycleHarness, monitor: Monitor, control: SandboxClient
) -> None:
    harness.run_response(monitor("Triggered"), BROKEN)
    monitor("Recovered")
    control.add_fault(Fault(status=503, times=None))
    run_id = harness.queue_update()
    with pytest.raises(IncidentError):
        harness.run_task(PostIncidentUpdateOperator, run_id)
    harness.schedule(run_id)
    control.clear_faults()
    [(_, next_run_id, conf, _)] = harness.requested
    assert {"post_incident_update", "plan_recheck"} <= selected_tasks(harness, next_run_id, **conf)
    harness.run_task(PostIncidentUpdateOperator, next_run_id, **conf)
    assert len(Room(control, harness).posted("/recovery/0")) == 1


def test_retry_delays_increase() -> None:
    assert retry_delay(1) < timedelta(minutes=1)
    assert retry_delay(1) * MAX_FAST_RETRIES > timedelta(minutes=35)
    assert retry_delay(MAX_FAST_RETRIES + 1) > timedelta(minutes=5)
