"""A room that Slack did not let the first run open or complete is opened and completed later, each part once."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.models import IncidentSummary, ProblemCode
from airflow_incident_provider.room.pending import MAX_FAST_RETRIES, retry_delay

from .lifecycle_harness import BROKEN, DAG_FILE, Life, Monitor, Room, chosen

OUTAGES: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "no answer": {"drop": True},
    "token rejected": {"error": "invalid_auth"},
    "HTML": {"status": 200, "body": "<html>gateway</html>"},
    "limited for an hour": {"error": "ratelimited", "headers": {"Retry-After": "3600"}},
}


@pytest.fixture
def requests(life: Life, monkeypatch: pytest.MonkeyPatch) -> Life:
    """Keep the runs that a task requests."""
    from airflow_incident_provider.operators import final_summary
    from airflow_incident_provider.slack import hook

    monkeypatch.setattr(hook, "_backoff", lambda _: 0.0)

    monkeypatch.setattr(final_summary, "request_run", lambda *asked: life.requested.append(asked))
    return life


def keys(control: SandboxClient, room: Room) -> list[str]:
    """Return the keys of all of the app's messages in the room, replies included."""
    messages = [each for top in room.state["messages"] for each in (top, *top.get("replies", ()))]
    found = (each.get("metadata", {}).get("event_payload", {}).get("key") for each in messages)
    return [key for key in found if key]


def summary_of(life: Life, run_id: str) -> IncidentSummary:
    return IncidentSummary.model_validate(life.xcoms["incident_response", run_id, "final_summary", "return_value"])


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
def test_outage_from_a_step_on(
    *, requests: Life, monitor: Monitor, control: SandboxClient, step: str, outage: dict[str, Any]
) -> None:
    life = requests

    def go_down(task_id: str) -> None:
        if task_id == step:
            control.add_fault(Fault(times=None, **outage))

    life.respond_as_airflow_does(monitor("Triggered"), BROKEN, before=go_down)
    for attempt in range(3):
        assert life.requested, "the next try is planned"
        life.run_requested()
        expects = step in ("setup_slack_integration", "resolve_slack_users", "create_war_room")
        assert (life.record.room.channel_id is None) == expects
        assert life.record.room.attempts == attempt + 2
    control.clear_faults()
    life.run_requested()
    assert life.requested == [], "nothing is planned once all is there"
    room = Room(control, life)
    posted = keys(control, room)
    assert len(posted) == len(set(posted))
    assert {key.rpartition("/")[0].rpartition("/")[2] for key in posted if key[-1].isdigit()} >= {
        "post_investigation_updates",
        "summary",
    }
    assert posted.count(f"{life.key}/brief") == 1
    assert "U0ALICENG01" in room.state["members"]
    assert "inviting" not in json.dumps(room.brief["blocks"])


@pytest.mark.parametrize("working", [(), ("conversations.setPurpose",), ("chat.postMessage",)], ids=str)
@pytest.mark.parametrize("error", ["invalid_auth", "restricted_action", "fatal_error"])
def test_channel_that_the_first_run_left_without_a_brief_becomes_the_room(
    *, requests: Life, monitor: Monitor, control: SandboxClient, working: tuple[str, ...], error: str
) -> None:
    life = requests
    for method in {"chat.postMessage", "conversations.setPurpose", "conversations.invite"} - set(working):
        control.add_fault(Fault(method=method, error=error, times=None))
    life.respond_as_airflow_does(monitor("Triggered"), BROKEN)
    control.clear_faults()
    while life.requested:
        life.run_requested()
    created = [each["name"] for each in control.state()["channels"] if each["creator"] == "U0WARROOM01"]
    assert created == [life.record.room.channel_name]
    assert keys(control, Room(control, life)).count(f"{life.key}/brief") == 1


def test_missing_room_is_reported_everywhere(requests: Life, monitor: Monitor, control: SandboxClient) -> None:
    life = requests
    control.add_fault(Fault(method="conversations.create", error="restricted_action", times=None))
    run_id = life.respond_as_airflow_does(monitor("Triggered"), BROKEN)
    [problem] = [each for each in summary_of(life, run_id).problems if each.code is ProblemCode.NO_ROOM]
    assert "restricted_action" in str(problem.error)
    assert "administrator" in str(problem.fix)
    record = life.record.room
    assert (record.problem, record.fix, record.attempts) == (problem.error, problem.fix, 1)
    assert record.next_try_at is not None


def test_every_notification_tries_again_and_is_posted_once(
    requests: Life, monitor: Monitor, control: SandboxClient
) -> None:
    life = requests
    control.add_fault(Fault(status=503, times=None))
    life.respond_as_airflow_does(monitor("Triggered"), BROKEN)
    monitor("Triggered", "P1", cycle="1")
    missed = life.hand_over()
    with pytest.raises(Exception, match="No room"):
        life.do(POST, missed)
    assert life.record.room.missed_runs == (missed,)
    control.clear_faults()
    monitor("Re-Triggered", "P1", cycle="1")
    life.do(POST, life.hand_over())
    room = Room(control, life)
    assert "medium → critical" in str(room.thread) + str(room.state["messages"])
    assert "Critical" in json.dumps(room.brief["blocks"]) or "CRITICAL" in json.dumps(room.brief["blocks"])
    assert life.record.room.is_complete
    life.run_requested()
    assert life.requested == []


def test_incident_that_is_over_is_not_tried_again(requests: Life, monitor: Monitor, control: SandboxClient) -> None:
    life = requests
    control.add_fault(Fault(status=503, times=None))
    life.respond_as_airflow_does(monitor("Triggered"), BROKEN)
    [(_, run_id, conf, _)] = life.requested
    life.assets.set(f"transition/{life.key}", {"as_of": 1, "status": "resolved", "resolved_at": str(life.now)})
    life.requested.clear()
    life.schedule(run_id, **conf)
    closing = [run for _, run, *_ in life.requested if run]
    assert all(at - life.now > timedelta(minutes=30) for *_, at in life.requested), closing


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
@pytest.mark.parametrize("method", ["*", "chat.postMessage", "chat.update", "conversations.setTopic"])
def test_an_update_that_an_outage_prevents_is_posted_once_after_it(
    *, requests: Life, monitor: Monitor, control: SandboxClient, outage: dict[str, Any], method: str
) -> None:
    life = requests
    life.respond(monitor("Triggered"), BROKEN)
    control.add_fault(Fault(method=method, times=None, **outage))
    monitor("Re-Triggered", "P1")
    run_id = life.hand_over()
    assert {"post_incident_update", "schedule_next_check"} <= chosen(life, run_id)
    for _ in range(2):
        with suppress(IncidentError, AirflowFailException):
            life.do(POST, run_id)
    life.schedule(run_id)
    life.run_requested()
    is_permanent = outage.get("error") == "invalid_auth" and method in ("chat.update", "conversations.setTopic")
    control.clear_faults()
    if is_permanent:
        return  # reported as a problem, and no reason to try again
    [planned] = life.requested[-1:]
    assert planned[-1] - life.now <= timedelta(minutes=1)
    life.run_requested()
    room = Room(control, life)
    assert [text for text in room.thread if "medium → critical" in text] == room.thread[:1]
    posted = keys(control, room)
    assert len(posted) == len(set(posted))
    assert "CRITICAL: " in json.dumps(room.brief["blocks"])
    assert room.state["topic"].startswith("critical · ")
    assert (life.record.room.missed_runs, life.record.room.problem) == ((), None)


def test_the_next_check_is_planned_after_the_update_failed_or_not() -> None:
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(str(DAG_FILE)).dags["incident_update"]
    assert "post_incident_update" in dag.get_task("schedule_next_check").upstream_task_ids


def test_a_retry_of_the_same_run_leaves_nothing_to_do(
    requests: Life, monitor: Monitor, control: SandboxClient
) -> None:
    life = requests
    life.respond(monitor("Triggered"), BROKEN)
    monitor("Re-Triggered", "P1")
    run_id = life.hand_over()
    control.add_fault(Fault(status=503, times=None))
    with pytest.raises(IncidentError):
        life.do(POST, run_id)
    assert life.record.room.missed_runs == (run_id,)
    control.clear_faults()
    life.do(POST, run_id)
    assert life.record.room.missed_runs == ()
    assert "post_incident_update" not in chosen(life, "another", incident_key=life.key)
    room = Room(control, life)
    assert len(room.thread) == 1


def test_what_several_runs_could_not_post_comes_in_order(
    requests: Life, monitor: Monitor, control: SandboxClient
) -> None:
    life = requests
    life.respond(monitor("Triggered"), BROKEN)
    control.add_fault(Fault(status=503, times=None))
    for priority in ("P1", "P2", "P1"):
        monitor("Re-Triggered", priority)
        with pytest.raises(IncidentError):
            life.do(POST, life.hand_over())
    control.clear_faults()
    monitor("Recovered", "P1")
    last = life.hand_over()
    assert {"post_incident_update", "plan_recheck"} <= chosen(life, last)
    life.do(POST, last)
    room = Room(control, life)
    updates = [key.split("/")[1] for key in keys(control, room) if key.endswith("/update/0")]
    assert updates == sorted(updates)
    assert life.record.room.missed_runs == ()


def test_the_probes_run_again_for_a_recovery_that_could_not_be_posted(
    requests: Life, monitor: Monitor, control: SandboxClient
) -> None:
    life = requests
    life.respond(monitor("Triggered"), BROKEN)
    monitor("Recovered")
    control.add_fault(Fault(status=503, times=None))
    run_id = life.hand_over()
    with pytest.raises(IncidentError):
        life.do(POST, run_id)
    life.schedule(run_id)
    control.clear_faults()
    [(_, later, conf, _)] = life.requested
    assert {"post_incident_update", "plan_recheck"} <= chosen(life, later, **conf)
    life.do(POST, later, **conf)
    assert len(Room(control, life).posted("/recovery/0")) == 1


def test_retries_are_within_a_minute_and_then_slower() -> None:
    assert retry_delay(1) < timedelta(minutes=1)
    assert retry_delay(1) * MAX_FAST_RETRIES > timedelta(minutes=35)
    assert retry_delay(MAX_FAST_RETRIES + 1) > timedelta(minutes=5)


def post_operator() -> Callable[..., Any]:
    from airflow_incident_provider.operators import PostIncidentUpdateOperator

    return PostIncidentUpdateOperator


POST: Any = post_operator()
