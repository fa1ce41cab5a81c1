"""Test ``airflow incident drill``: marking of drills and their score."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider.cli.drill import RULE, as_drill, recorded_alert, score
from airflow_incident_provider.cli.run import ExitCode
from airflow_incident_provider.cli.view import IncidentView, read_incident_view
from airflow_incident_provider.evidence.model import ApiCall, CallOutcome, Evidence
from airflow_incident_provider.intake import load_routing_table, read_incident
from airflow_incident_provider.models import Finding, Verdict
from airflow_incident_provider.room.snapshot import IncidentSnapshot

from .conftest import CommandResult, run_dag

Run = Callable[..., CommandResult]
NOW = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
ROUTING = load_routing_table(json.dumps({"version": 1, "rules": [RULE]}))


@pytest.mark.parametrize("name", ["01", "05", "06", "09a", "11", "20"])
def test_recorded_payload_becomes_a_drill(payload: Callable[[str], dict[str, Any]], name: str) -> None:
    real = payload(name)
    conf = real.get("conf", {"datadog": real})
    incident = read_incident(conf, received_at=NOW, routing=ROUTING)
    drill = read_incident(as_drill(conf, now_ns=1), received_at=NOW, routing=ROUTING)
    assert drill.title == f"DRILL {incident.title}"
    assert drill.route.channel_prefix == "drill"
    assert (drill.severity, drill.services, drill.env) == (incident.severity, incident.services, incident.env)
    assert drill.key != incident.key
    assert drill.slack_channel_id is None
    assert read_incident(as_drill(conf, now_ns=2), received_at=NOW, routing=ROUTING).key != drill.key


def test_manual_incident_becomes_a_drill() -> None:
    drill = read_incident(as_drill({"title": "T", "tags": "a:b", "id": "OPS-1"}), received_at=NOW, routing=ROUTING)
    assert (drill.title, drill.tags) == ("DRILL T", ("a:b", "drill:true"))
    assert drill.id.startswith("drill-")


def test_missing_drill_rule_is_reported(incident: Run, deployed: Any, route_by: Any) -> None:
    route_by({"rules": [{"name": "all", "match": {"severity": "low"}, "channel_prefix": "inc"}]})
    result = incident("drill")
    assert result.code == ExitCode.USAGE
    assert json.dumps(RULE) in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sandbox", "--api-url", "https://airflow.acme.example"], "names another"),
        (["--sandbox", "--dags", "/nowhere"], "has no incident_response.py"),
        (["--from-file", "/nowhere.json"], "cannot be read"),
    ],
)
def test_invalid_arguments_are_rejected(
    incident: Run, airflow_home: Path, arguments: list[str], message: str
) -> None:
    result = incident("drill", *arguments)
    assert result.code == ExitCode.USAGE
    assert message in result.err


def test_payload_as_text_is_rejected(incident: Run, airflow_home: Path, tmp_path: Path) -> None:
    (tmp_path / "conf.json").write_text('{"datadog": "{}"}')
    assert incident("drill", "--from-file", str(tmp_path / "conf.json")).code == ExitCode.USAGE


def test_drill_ends_if_its_run_does_not_finish(incident: Run, deployed: Any, route_by: Any) -> None:
    route_by({"rules": [RULE]})
    result = incident("drill", "--timeout", "0.1")
    assert result.code == ExitCode.UNAVAILABLE
    assert "is not finished after" in result.err


def test_score_names_missing_people_and_failures(
    deployed: Any, no_engine: None, connect: Callable[..., Any], route_by: Any
) -> None:
    from airflow_incident_provider.cli.database_airflow import DatabaseAirflow

    connect()
    route_by({"rules": [{**RULE, "responders": ["alice.ng@acme.example", "jon smiht"]}]})
    airflow = DatabaseAirflow()
    run = airflow.run("incident_response", run_dag(as_drill(recorded_alert())))
    assert run is not None
    view = read_incident_view(airflow, run)
    goals = {goal.name: goal for goal in score(view, room_within_s=1000)}
    assert goals["a room"].met
    assert goals["room within 1000 s"].met
    assert goals["room marked as a drill"].met
    assert goals["a room"].seen.startswith("#drill-")
    assert not goals["everybody invited"].met
    assert "jon smiht" in goals["everybody invited"].seen
    assert not goals["every probe ran"].met
    assert "no Docker Engine answers" in goals["every probe ran"].seen
    late = score(view, room_within_s=0.001)
    assert not late[1].met


def finding(probe: str, verdict: Verdict) -> Finding:
    return Finding(probe=probe, target="checkout", verdict=verdict, summary="s", started_at=NOW, duration_ms=1)


@pytest.mark.parametrize(
    ("outcome", "reason", "met", "seen"),
    [
        (CallOutcome.ANSWERED, None, True, "1 call"),
        (CallOutcome.PARTIAL, None, True, "1 call"),
        (CallOutcome.REJECTED, "404: Monitor not found", True, "1 call"),
        (CallOutcome.FORBIDDEN, "403: the key lacks a scope", False, "metrics: 403: the key lacks a scope"),
        (CallOutcome.UNAVAILABLE, None, False, "metrics: unavailable"),
    ],
)
def test_unknown_datadog_service_does_not_fail_the_drill(
    outcome: CallOutcome, reason: str | None, met: bool, seen: str
) -> None:
    call = ApiCall(id="c1", endpoint="metrics", method="GET", path="/api/v1/query", outcome=outcome, reason=reason)
    snapshot = IncidentSnapshot(
        findings=(finding("http", Verdict.FAIL),),
        evidence=Evidence(service="checkout", findings=(finding("traffic", Verdict.UNKNOWN),), calls=(call,)),
    )
    goals = {goal.name: goal for goal in score(IncidentView(**vars(snapshot)), room_within_s=30)}
    assert (goals["every probe ran"].met, goals["every probe ran"].seen) == (True, "1 probe")
    assert (goals["Datadog answered"].met, goals["Datadog answered"].seen) == (met, seen)


def test_datadog_goal_is_omitted_without_datadog() -> None:
    goals = score(IncidentView(), room_within_s=30)
    assert "Datadog answered" not in {goal.name for goal in goals}
