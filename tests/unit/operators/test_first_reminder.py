"""Reminders of an incident that a person started begin at its start, without any alert or action."""

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

from .lifecycle_harness import BROKEN, Life, chosen

FORM = {"title": "Checkout is down", "severity": "critical", "users": ["dana@acme.example"]}
"""By default, a critical incident without a commander is reminded of after five minutes."""


@pytest.fixture
def asked(life: Life, monkeypatch: pytest.MonkeyPatch) -> Life:
    """Keep the runs that the tasks request."""
    monkeypatch.setattr(create_war_room, "request_run", lambda *asked: life.requested.append(asked))
    return life


def remind(life: Life, run_id: str, conf: dict[str, Any]) -> set[str]:
    """Run what a requested run does when it is due; return the tasks that were selected."""
    selected = chosen(life, run_id, **conf)
    if "post_reminders" in selected:
        PostRemindersOperator(task_id="post_reminders").execute(life.context("post_reminders", run_id, **conf))
    if "schedule_next_check" in selected:
        life.schedule(run_id, **conf)
    return selected


def reminders(life: Life, control: SandboxClient) -> list[str]:
    room = life.xcoms["incident_response", "manual__1", "create_war_room", "return_value"]
    messages = [str(message["text"]) for message in control.channel(room["channel_id"])["messages"]]
    return [text for text in messages if "Nobody leads" in text]


def test_a_form_is_followed_by_reminders_until_the_incident_ends(asked: Life, control: SandboxClient) -> None:
    began = asked.now
    asked.start_by_form("manual__1", **FORM)
    for number in range(1, 4):
        dag_id, run_id, conf, at = asked.requested.pop()
        assert (dag_id, asked.requested) == ("incident_update", [])
        assert at - began == pytest.approx(timedelta(minutes=5 * number), abs=timedelta(seconds=1))
        asked.now = at
        assert remind(asked, run_id, conf) == {"post_reminders", "schedule_next_check"}
        assert len(reminders(asked, control)) == number


def test_a_severity_without_reminders_requests_no_run(asked: Life) -> None:
    asked.start_by_form("manual__1", **FORM | {"severity": "low"})
    assert asked.requested == []


def test_an_alert_of_the_webhook_has_its_first_reminder_from_there(asked: Life, monitor: Any) -> None:
    asked.respond(monitor("Triggered", "P1"), BROKEN)
    assert asked.requested == []


def test_a_damaged_record_costs_no_room(asked: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskRegistry, "report_of_run", lambda *_, **__: StoredIncident.model_validate({}))
    asked.start_by_form("manual__1", **FORM)
    assert asked.xcoms["incident_response", "manual__1", "create_war_room", "return_value"]["channel_id"]
    assert asked.requested == []


def test_a_damaged_routing_table_costs_no_room(asked: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = Mock(side_effect=RoutingTableError("routing.yaml: line 3 is not YAML."))
    monkeypatch.setattr(create_war_room, "active_routing_table", damaged)
    asked.start_by_form("manual__1", **FORM)
    assert asked.xcoms["incident_response", "manual__1", "create_war_room", "return_value"]["channel_id"]
    assert asked.requested == []


@pytest.mark.parametrize(
    "refusal",
    [
        AirflowRuntimeError(ErrorResponse()),
        # What ``airflow dags test`` raises in a folder without incident_update.
        ServerResponseError(
            "DAG not found", request=httpx.Request("POST", "http://airflow.test"), response=httpx.Response(404)
        ),
    ],
    ids=["task", "dags test"],
)
def test_a_refused_request_costs_no_room(
    life: Life, control: SandboxClient, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Mock(send=Mock(side_effect=refusal)), raising=False)
    life.start_by_form("manual__1", **FORM)
    assert reminders(life, control) == []
