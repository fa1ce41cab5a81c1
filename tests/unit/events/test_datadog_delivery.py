"""Deliver events and metrics through Airflow's Datadog hook; failures are quick and harmless."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient, SandboxServer

from airflow_incident_provider.cli.act import report_metrics
from airflow_incident_provider.events import datadog as delivery_module
from airflow_incident_provider.events.datadog import (
    CALL_SECONDS,
    DELIVERY_SECONDS,
    DatadogEvents,
    MetricsNotSentError,
)
from airflow_incident_provider.events.event import EventKind, IncidentEvent
from airflow_incident_provider.interaction.metrics import MeasuredIncident, report

WRONG_KEY = "0000-this-key-is-wrong"
EVENTS = [
    IncidentEvent(
        event=kind,
        at=datetime.now(UTC),
        key="dd.1.2",
        dag_id="incident_response",
        run_id="manual__1",
        step="investigate",
        map_index=0,
        state=state,
        duration_ms=duration,
    )
    for kind, state, duration in (
        (EventKind.STEP_RUNNING, "running", None),
        (EventKind.STEP_FAILED, "failed", 1500),
    )
]


@pytest.fixture
def datadog(slack: SandboxServer, airflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that creates Airflow's Datadog connection, by default with the sandbox's key."""

    def connect(**extra: Any) -> None:
        known = {"api_key": slack.workspace.datadog.api_key, "api_host": slack.datadog_url}
        connection = {"conn_type": "datadog", "extra": json.dumps({**known, **extra})}
        monkeypatch.setenv("AIRFLOW_CONN_DATADOG_DEFAULT", json.dumps(connection))

    return connect


@pytest.fixture(autouse=True)
def fresh_client() -> None:
    """Reset the client, which keeps its host and its timeout state for the process."""
    from datadog import api
    from datadog.api.api_client import APIClient

    api._api_host = api._api_key = None
    APIClient._timeout_counter = 0
    APIClient._backoff_timestamp = None


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = "airflow_incident_provider.events.datadog"
    return [record.getMessage() for record in caplog.records if record.name == ours]


def test_events_and_metrics_are_delivered(datadog: Callable[..., Any], slack: SandboxServer) -> None:
    datadog()
    DatadogEvents().deliver(EVENTS)

    state = slack.workspace.datadog
    titles = [entry["title"] for entry in state.events.values()]
    assert titles == ["Incident dd.1.2: investigate is running", "Incident dd.1.2: investigate failed"]
    points = {series["metric"]: series["points"][0][1] for series in state.series}
    assert points == {"incident.step.duration": 1.5, "incident.step.failed": 1}


def test_nothing_is_sent_without_a_connection(
    airflow_home: Path, control: SandboxClient, caplog: pytest.LogCaptureFixture
) -> None:
    DatadogEvents().deliver(EVENTS)

    assert control.calls() == []
    assert warnings(caplog) == []


def test_rejected_key_is_logged_once_and_not_printed(
    datadog: Callable[..., Any], control: SandboxClient, caplog: pytest.LogCaptureFixture
) -> None:
    datadog(api_key=WRONG_KEY)
    delivery = DatadogEvents()
    with caplog.at_level(logging.DEBUG):
        delivery.deliver(EVENTS)
        delivery.deliver(EVENTS)

    [warning] = warnings(caplog)
    assert "datadog_default" in warning
    assert WRONG_KEY not in caplog.text
    assert len(control.calls()) == 1


def test_incomplete_connection_is_logged(datadog: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    datadog(api_key=None)
    DatadogEvents().deliver(EVENTS)

    assert len(warnings(caplog)) == 1


def test_closed_port_fails_fast(datadog: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    datadog(api_host=f"http://127.0.0.1:{closed}")
    start = time.monotonic()
    DatadogEvents().deliver(EVENTS)

    assert time.monotonic() - start < CALL_SECONDS
    assert len(warnings(caplog)) == 1


def test_silent_server_receives_one_call(datadog: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        datadog(api_host=f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        DatadogEvents().deliver(EVENTS)
        elapsed = time.monotonic() - start
        silent.settimeout(0.1)
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()

    assert elapsed < DELIVERY_SECONDS
    assert len(warnings(caplog)) == 1


def test_slow_server_receives_only_calls_within_the_time_limit(
    datadog: Callable[..., Any],
    control: SandboxClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    datadog()
    monkeypatch.setattr(delivery_module, "CALL_SECONDS", 30)
    monkeypatch.setattr(delivery_module, "DELIVERY_SECONDS", 32)
    control.add_fault(Fault(delay_ms=3000, times=None))
    DatadogEvents().deliver(EVENTS)

    assert len(control.calls()) == 1, "the remaining 29 s are less than the call timeout of 30 s"
    assert "too slow" in warnings(caplog)[0]


def test_report_is_sent_in_one_call_without_missing_values(
    datadog: Callable[..., Any], slack: SandboxServer
) -> None:
    datadog()
    start = datetime(2026, 11, 23, 10, tzinfo=UTC)
    incident = MeasuredIncident(key="dd.1.2", severity="high", services=("checkout",), received_at=start)
    with_commander = incident.model_copy(update={"command_at": start + timedelta(minutes=2)})
    DatadogEvents().send(report_metrics(report([with_commander])))
    values = {(one["metric"], *one["tags"]): one["points"][0][1] for one in slack.workspace.datadog.series}
    assert values["incident.report.time_to_command.median", "group:all"] == 120
    assert values["incident.report.time_to_command.p90", "severity:high"] == 120
    assert values["incident.report.time_to_command.count", "service:checkout"] == 1
    assert values["incident.report.time_to_room.count", "group:all"] == 0
    assert ("incident.report.time_to_room.median", "group:all") not in values


def test_undelivered_report_is_an_error(datadog: Callable[..., Any]) -> None:
    with pytest.raises(MetricsNotSentError, match="no Airflow connection"):
        DatadogEvents().send([])
    datadog(api_key=WRONG_KEY)
    with pytest.raises(MetricsNotSentError, match="did not accept") as refused:
        DatadogEvents().send(report_metrics(report([])))
    assert WRONG_KEY not in str(refused.value)
