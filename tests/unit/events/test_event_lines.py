"""Events of a run: log lines, metrics and Datadog events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.events.datadog import AGGREGATION_KEY_LIMIT, metrics, stream_entry
from airflow_incident_provider.events.event import (
    ENDED_FROM_OUTSIDE,
    ERROR_LIMIT,
    EventKind,
    IncidentEvent,
    describe_error,
)
from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.models import RunOutcome, Severity

AT = datetime(2026, 11, 23, 9, 35, 41, tzinfo=UTC)
KEY = "dd.148275309.7716548234011230001"


def event(kind: EventKind = EventKind.STEP_COMPLETE, **fields: Any) -> IncidentEvent:
    known: dict[str, Any] = {
        "key": KEY,
        "dag_id": "incident_response",
        "run_id": "manual__1",
        "step": "create_war_room",
        "state": "success",
        "duration_ms": 812,
        "severity": Severity.CRITICAL,
    }
    return IncidentEvent(event=kind, at=AT, **{**known, **fields})


def workflow(**fields: Any) -> IncidentEvent:
    known = {"step": None, "outcome": RunOutcome.DEGRADED, "time_to_room_ms": 2100, "time_to_summary_ms": 9400}
    return event(EventKind.WORKFLOW_COMPLETE, **{**known, **fields})


def test_log_line_contains_only_known_fields() -> None:
    assert json.loads(event().log_line()) == {
        "event": "step_complete",
        "at": "2026-11-23T09:35:41Z",
        "key": KEY,
        "dag_id": "incident_response",
        "run_id": "manual__1",
        "step": "create_war_room",
        "state": "success",
        "duration_ms": 812,
        "severity": "critical",
    }


@given(st.text())
def test_any_error_text_stays_on_one_line(text: str) -> None:
    line = event(error=text).log_line()

    assert len(line.splitlines()) == 1
    assert json.loads(line)["error"] == text


def test_error_of_this_package_includes_its_message() -> None:
    try:
        try:
            raise SlackUnavailableError("Slack did not answer chat.postMessage: TimeoutError.")
        except SlackUnavailableError as error:
            raise AirflowFailException(str(error)) from error
    except AirflowFailException as raised:
        reported = describe_error(raised)

    assert reported == "SlackUnavailableError: Slack did not answer chat.postMessage: TimeoutError."


@pytest.mark.parametrize("secret", ["xoxb-1-2-3", "postgresql://airflow:hunter2@db/airflow"])
def test_messages_of_other_libraries_are_not_reported(secret: str) -> None:
    assert describe_error(ValueError(f"cannot connect to {secret}")) == "ValueError"
    assert describe_error(f"killed while holding {secret}") == ENDED_FROM_OUTSIDE
    assert describe_error(None) is None


def test_long_error_is_truncated() -> None:
    reported = describe_error(SlackUnavailableError("x" * 10_000))

    assert reported is not None
    assert len(reported) == ERROR_LIMIT


def test_error_with_itself_as_cause_is_described() -> None:
    error = ValueError("round and round")
    error.__cause__ = error

    assert describe_error(error) == "ValueError"


def test_step_duration_is_a_metric_in_seconds() -> None:
    [point] = metrics(event())

    assert (point.name, point.value, point.kind) == ("incident.step.duration", 0.812, "gauge")


def test_failed_step_is_counted() -> None:
    points = metrics(event(EventKind.STEP_FAILED, state="failed"))

    assert [(point.name, point.kind) for point in points] == [
        ("incident.step.duration", "gauge"),
        ("incident.step.failed", "count"),
    ]


def test_running_step_has_no_metric() -> None:
    assert metrics(event(EventKind.STEP_RUNNING, duration_ms=None)) == ()


def test_run_reports_the_times_of_its_summary() -> None:
    assert {point.name: point.value for point in metrics(workflow(duration_ms=10_889))} == {
        "incident.workflow.duration": 10.889,
        "incident.time_to_room": 2.1,
        "incident.time_to_summary": 9.4,
    }


@pytest.mark.parametrize("reported", [event(), workflow(), event(EventKind.STEP_FAILED, state="failed")])
def test_no_metric_is_tagged_by_key_or_run(reported: IncidentEvent) -> None:
    tags = " ".join(tag for point in metrics(reported) for tag in point.tags)

    assert KEY not in tags
    assert "manual__1" not in tags
    assert "severity:critical" in tags


def test_entries_of_an_incident_share_an_aggregation_key() -> None:
    entries = [stream_entry(event(step=step)) for step in ("parse_incident_event", "create_war_room")]

    assert {entry.aggregation_key for entry in entries} == {KEY}
    assert all(f"incident:{KEY}" in entry.tags for entry in entries)
    assert stream_entry(event(key="k" * 200)).aggregation_key == "k" * AGGREGATION_KEY_LIMIT


@pytest.mark.parametrize(
    ("reported", "kind", "priority"),
    [
        (event(EventKind.STEP_RUNNING, state="running"), "info", "low"),
        (event(), "info", "low"),
        (event(EventKind.STEP_FAILED, state="failed"), "error", "normal"),
        (event(EventKind.STEP_FAILED, state="up_for_retry"), "warning", "normal"),
        (workflow(), "success", "normal"),
        (workflow(state="failed"), "error", "normal"),
    ],
)
def test_alert_type_and_priority_of_an_entry(reported: IncidentEvent, kind: str, priority: str) -> None:
    entry = stream_entry(reported)

    assert (entry.alert_type, entry.priority) == (kind, priority)
    assert entry.happened_at == int(AT.timestamp())


def test_title_and_text_of_an_entry() -> None:
    entry = stream_entry(
        event(EventKind.STEP_FAILED, state="up_for_retry", try_number=1, error="SlackUnavailableError: HTTP 503")
    )

    assert entry.title == f"Incident {KEY}: create_war_room failed, will be retried"
    assert entry.text.splitlines() == [
        "DAG: incident_response",
        "run: manual__1",
        "try: 1",
        "duration: 0.8 s",
        "error: SlackUnavailableError: HTTP 503",
    ]
