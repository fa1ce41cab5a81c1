"""A first run that is slow, retried or cleared: what happened to the incident meanwhile is not taken back by it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from incident_sandbox import SandboxClient

from airflow_incident_provider.config import ConfKey, DagId
from airflow_incident_provider.operators import FinalSummaryOperator

from .lifecycle_harness import WELL, Life, Monitor, Room, recover, resolve, tell


def first_run(life: Life, task_id: str) -> dict[str, Any]:
    """Return the context of a task of the run that made the room, as the webhook started it."""
    assert life.record.run_id is not None
    return life.context(
        task_id, life.record.run_id, dag_id=DagId.INCIDENT_RESPONSE, **{ConfKey.ASSIGNMENT: {"key": life.key}}
    )


def summarise_again(life: Life) -> dict[str, Any]:
    value: dict[str, Any] = FinalSummaryOperator(task_id="final_summary").execute(first_run(life, "final_summary"))
    return value


def test_summary_does_not_open_what_is_resolved(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    resolve(life)
    assert summarise_again(life)["status"] == "resolved"
    assert "resolved" in json.dumps(room.brief["blocks"])
    [summary] = room.posted("/summary")
    assert "*Summary* · resolved" in summary


def test_summary_keeps_what_alerts_have_changed(life: Life, monitor: Monitor, room: Room) -> None:
    life.pass_time(seconds=30)
    monitor("Triggered", "P1")
    tell(life)
    assert summarise_again(life)["status"] is None
    assert "CRITICAL" in json.dumps(room.brief["blocks"])


def test_a_step_that_ends_late_does_neither(
    life: Life, monitor: Monitor, room: Room, control: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The brief is brought up to date as steps end, by each of them."""
    from airflow_incident_provider.room import brief as live_brief

    recover(life, monitor, WELL)
    context = first_run(life, "post_investigation_updates")
    monkeypatch.setattr(live_brief, "_slack", lambda _: live_slack_client())
    context["ti"].task = None
    life.xcoms.pop((DagId.INCIDENT_RESPONSE, context["ti"].run_id, "final_summary", "return_value"))
    updates = len(calls(control))
    live_brief.refresh_brief(context, state="failed", duration_s=1.0)
    assert len(calls(control)) > updates
    assert "recovered" in json.dumps(room.brief["blocks"])


def calls(control: SandboxClient) -> list[Any]:
    return [call for call in control.calls() if call["method"] == "chat.update"]


def live_slack_client() -> Any:
    from airflow_incident_provider.slack.client import LiveSlackClient
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    return LiveSlackClient(IncidentSlackHook())


def test_timeline_has_every_recovery(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    life.pass_time(minutes=2)
    monitor("Triggered", cycle="2")
    tell(life)
    life.pass_time(minutes=2)
    recover(life, monitor, WELL)
    resolve(life)
    [summary] = room.posted("/summary")
    moments = summary.partition("Timeline")[2]
    assert [moments.count(what) for what in (" recovered", " back", " resolved")] == [2, 1, 1]
    [earlier] = life.record.earlier_recoveries
    assert life.record.recovered_at is not None
    assert life.record.recovered_at - earlier > timedelta(minutes=4)
