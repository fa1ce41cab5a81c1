"""Test the deadline of a room: its serialization with the DAG, and the report when it is missed."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

SOURCE = """
from airflow.sdk import task

from airflow_incident_provider.incident_dag import DeadlineDag, room_deadline

with DeadlineDag(dag_id="with_deadline", schedule=None, deadline=room_deadline()) as dag:
    @task
    def nothing():
        return "done"

    nothing()
"""


@pytest.fixture
def dag(airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a DAG with the deadline, loaded from a file by Airflow."""
    from airflow.dag_processing.dagbag import DagBag

    (tmp_path / "with_deadline.py").write_text(SOURCE)
    bag = DagBag(str(tmp_path))
    assert bag.import_errors == {}
    return bag.dags["with_deadline"]


def test_deadline_is_serialized_with_the_dag(dag: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    [deadline] = DagSerialization.serialize_dag(dag)["deadline"]
    assert "report_late_room" in str(deadline)
    assert dag.deadline[0].interval == timedelta(seconds=60)


@pytest.mark.parametrize(("seconds", "interval"), [("120", 120), ("0", None)])
def test_deadline_setting(monkeypatch: pytest.MonkeyPatch, seconds: str, interval: int | None) -> None:
    from airflow_incident_provider.incident_dag import room_deadline

    monkeypatch.setenv("AIRFLOW__INCIDENT__ROOM_DEADLINE_SECONDS", seconds)
    deadline = room_deadline()
    assert (deadline.interval.total_seconds() if deadline else None) == interval


@pytest.mark.parametrize(
    ("state", "expected", "is_logged"),
    [
        ("success", "in time", False),
        ("skipped", "in time", False),
        ("running", "is running", True),
        ("failed", "is failed", True),
        (None, "not started", True),
    ],
)
def test_missed_deadline_is_reported(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    state: str | None,
    expected: str,
    is_logged: bool,
) -> None:
    from airflow_incident_provider import incident_dag

    monkeypatch.setattr(incident_dag, "_state_of_room", lambda *_: state)
    context = {
        "dag_run": {"dag_id": "incident_response", "dag_run_id": "run-1"},
        "deadline": {"deadline_time": "2026-11-23T09:36:00Z"},
    }
    with caplog.at_level(logging.ERROR):
        report = asyncio.run(incident_dag.report_late_room(context))
    assert expected in report
    assert ("run-1 is late" in caplog.text) is is_logged
