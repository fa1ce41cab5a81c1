"""Reminders of a reported incident start with its first run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from airflow.sdk.api.client import ServerResponseError
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse
from incident_sandbox import SandboxClient

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.operators import PostRemindersOperator, create_war_room
from airflow_incident_provider.registry.records import StoredIncident
from airflow_incident_provider.registry.task_client import TaskRegistry

from .lifecycle_harness import BROKEN, LifecycleHarness, selected_tasks

FORM = {"title": "Checkout is down", "severity": "critical", "users": ["dana@acme.example"]}
"""By default, a critical incident without a commander gets a reminder after five minutes."""


@pytest.fixture
def recording_harness(harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch) -> LifecycleHarness:
    """Record the runs that tasks request."""
    monkeypatch.setattr(create_war_room, "request_run", lambda *request: harness.requested.append(request))
    return harness


def run_reminders(harness: LifecycleHarness, run_id: str, conf: dict[str, Any]) -> set[str]:
    """Run the selected tasks of a requested run and return their ids."""
    selected = selected_tasks(harness, run_id, **conf)
    if "post_reminders" in selected:
        PostRemindersOperator(task_id="post_reminders").execute(harness.context("post_reminders", run_id, **conf))
    if "schedule_next_check" in selected:
        harness.schedule(run_id, **conf)
    return selected


def reminder_texts(harness: LifecycleHarness, control: SandboxClient) -> list[str]:
    room = harness.xcoms["incident_response", "manual__1", "create_war_room", "return_value"]
    messages = [str(message["text"]) for message in control.channel(room["channel_id"])["messages"]]
    return [text for text in messages if "Nobody leads" in text]


def test_reported_incident_gets_reminders(recording_harness: LifecycleHarness, control: SandboxClient) -> None:
    started_at = recording_harness.now
    recording_harness.start_from_form("manual__1", **FORM)
    for number in range(1, 4):
        dag_id, run_id, conf, at = recording_harness.requested.pop()
        assert (dag_id, recording_harness.requested) == ("incident_update", [])
        assert at - started_at == pytest.approx(timedelta(minutes=5 * number), abs=timedelta(seconds=1))
        recording_harness.now = at
        assert run_reminders(recording_harness, run_id, conf) == {"post_reminders", "schedule_next_check"}
        assert len(reminder_texts(recording_harness, control)) == number


def test_severity_without_reminders_requests_no_run(recording_harness: LifecycleHarness) -> None:
    recording_harness.start_from_form("manual__1", **FORM | {"severity": "low"})
    assert recording_harness.requested == []


def test_webhook_alert_requests_no_reminder_run(recording_harness: LifecycleHarness, monitor: Any) -> None:
    recording_harness.run_response(monitor("Triggered", "P1"), BROKEN)
    assert recording_harness.requested == []


def test_damaged_record_does_not_prevent_room(
    recording_harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TaskRegistry, "report_of_run", lambda *_, **__: StoredIncident.model_validate({}))
    recording_harness.start_from_form("manual__1", **FORM)
    assert recording_harness.xcoms["incident_response", "manual__1", "create_war_room", "return_value"][
        "channel_id"
    ]
    assert recording_harness.requested == []


def test_damaged_routing_table_does_not_prevent_room(
    recording_harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = Mock(side_effect=RoutingTableError("routing.yaml: line 3 is not YAML."))
    monkeypatch.setattr(create_war_room, "active_routing_table", damaged)
    recording_harness.start_from_form("manual__1", **FORM)
    assert recording_harness.xcoms["incident_response", "manual__1", "create_war_room", "return_value"][
        "channel_id"
    ]
    assert recording_harness.requested == []


@pytest.mark.parametrize(
    "error",
    [
        AirflowRuntimeError(ErrorResponse()),
        # Raised by ``airflow dags test`` if the DAG incident_update is missing.
        ServerResponseError(
            "DAG not found", request=httpx.Request("POST", "http://airflow.test"), response=httpx.Response(404)
        ),
    ],
    ids=["task", "dags test"],
)
def test_failed_run_request_does_not_prevent_room(
    harness: LifecycleHarness, control: SandboxClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Mock(send=Mock(side_effect=error)), raising=False)
    harness.start_from_form("manual__1", **FORM)
    assert reminder_texts(harness, control) == []
