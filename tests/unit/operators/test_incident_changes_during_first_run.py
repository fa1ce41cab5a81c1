"""A slow, retried or cleared first run does not revert later changes of the incident."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from incident_sandbox import SandboxClient

from airflow_incident_provider.config import ConfKey, DagId
from airflow_incident_provider.operators import FinalSummaryOperator

from .lifecycle_harness import HEALTHY, LifecycleHarness, Monitor, Room, post_update, recover, resolve


def first_run_context(harness: LifecycleHarness, task_id: str) -> dict[str, Any]:
    """Return the context of a task of the run that created the room."""
    assert harness.record.run_id is not None
    return harness.context(
        task_id, harness.record.run_id, dag_id=DagId.INCIDENT_RESPONSE, **{ConfKey.ASSIGNMENT: {"key": harness.key}}
    )


def rerun_summary(harness: LifecycleHarness) -> dict[str, Any]:
    value: dict[str, Any] = FinalSummaryOperator(task_id="final_summary").execute(
        first_run_context(harness, "final_summary")
    )
    return value


def test_rerun_summary_keeps_resolved_status(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    recover(harness, monitor, HEALTHY)
    resolve(harness)
    assert rerun_summary(harness)["status"] == "resolved"
    assert "resolved" in json.dumps(room.brief["blocks"])
    [summary] = room.posted("/summary")
    assert "*Summary* · resolved" in summary


def test_rerun_summary_keeps_changed_severity(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    harness.advance_time(seconds=30)
    monitor("Triggered", "P1")
    post_update(harness)
    assert rerun_summary(harness)["status"] is None
    assert "CRITICAL" in json.dumps(room.brief["blocks"])


def test_late_step_keeps_recovered_status(
    harness: LifecycleHarness, monitor: Monitor, room: Room, control: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cover the refresh of the brief at the end of each step."""
    from airflow_incident_provider.room import brief as live_brief

    recover(harness, monitor, HEALTHY)
    context = first_run_context(harness, "post_investigation_updates")
    monkeypatch.setattr(live_brief, "_slack", lambda _: live_slack_client())
    context["ti"].task = None
    harness.xcoms.pop((DagId.INCIDENT_RESPONSE, context["ti"].run_id, "final_summary", "return_value"))
    updates = len(update_calls(control))
    live_brief.refresh_brief(context, state="failed", duration_s=1.0)
    assert len(update_calls(control)) > updates
    assert "recovered" in json.dumps(room.brief["blocks"])


def update_calls(control: SandboxClient) -> list[Any]:
    return [call for call in control.calls() if call["method"] == "chat.update"]


def live_slack_client() -> Any:
    from airflow_incident_provider.slack.client import LiveSlackClient
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    return LiveSlackClient(IncidentSlackHook())


def test_timeline_contains_every_recovery(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    recover(harness, monitor, HEALTHY)
    harness.advance_time(minutes=2)
    monitor("Triggered", cycle="2")
    post_update(harness)
    harness.advance_time(minutes=2)
    recover(harness, monitor, HEALTHY)
    resolve(harness)
    [summary] = room.posted("/summary")
    timeline = summary.partition("Timeline")[2]
    assert [timeline.count(kind) for kind in (" recovered", " back", " resolved")] == [2, 1, 1]
    [earlier] = harness.record.earlier_recoveries
    assert harness.record.recovered_at is not None
    assert harness.record.recovered_at - earlier > timedelta(minutes=4)
