"""The reporter of an incident, and a DAG other than the routing table names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider.messages.brief import BriefState, brief
from airflow_incident_provider.models import Incident
from airflow_incident_provider.operators import ParseIncidentOperator

Context = Callable[..., dict[str, Any]]


def parse_as(context: dict[str, Any], user: str | None) -> Incident:
    context["dag_run"].triggering_user_name = user
    return Incident.model_validate(ParseIncidentOperator(task_id="t").execute(context))


@pytest.mark.parametrize(
    ("user", "invited"),
    [
        ("dana@acme.example", ("sam@acme.example", "dana@acme.example")),
        ("sam@acme.example", ("sam@acme.example",)),
        ("admin", ("sam@acme.example",)),
        ("@admin", ("sam@acme.example",)),
        ("Dana Reyes", ("sam@acme.example",)),
        (None, ("sam@acme.example",)),
    ],
)
def test_reporter_is_named_and_invited_by_address(
    context: Context, user: str | None, invited: tuple[str, ...]
) -> None:
    incident = parse_as(context({"title": "Checkout is down", "users": ["sam@acme.example"]}), user)
    assert (incident.reporter, incident.responders) == (user, invited)
    blocks = json.dumps(brief(BriefState(incident=incident)).blocks)
    assert ("reported by" in blocks) == (user is not None)


def test_alert_has_no_reporter(context: Context, payload: Callable[[str], dict[str, Any]]) -> None:
    incident = parse_as(context({"datadog": payload("01")}), "airflow-service-account@acme.example")
    assert incident.reporter is None
    assert "airflow-service-account@acme.example" not in incident.responders


def test_hostile_user_name_is_escaped(context: Context) -> None:
    incident = parse_as(context({"title": "x"}), "<!channel> *now*")
    blocks = json.dumps(brief(BriefState(incident=incident)).blocks)
    assert "<!channel>" not in blocks


@pytest.fixture
def write_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Return a function that writes the routing table."""

    def write(content: dict[str, Any]) -> None:
        (tmp_path / "routing.yaml").write_text(json.dumps(content), encoding="utf-8")
        monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "routing.yaml"))

    return write


@pytest.mark.parametrize(
    ("conf", "arguments", "expected"),
    [
        ({"title": "T", "teams": ["logistics"]}, {}, "logistics_incident"),
        ({"title": "T", "teams": ["shop"]}, {}, None),
        ({"title": "T", "teams": ["own"]}, {}, None),
        ({"title": "T", "teams": ["logistics"]}, {"routing_table": {"defaults": {}}}, "logistics_incident"),
        ({}, {"payload": {"title": "T", "teams": ["logistics"]}}, None),
    ],
)  # fmt: skip
def test_run_in_other_dag_than_routed_is_flagged(
    context: Context, write_table: Callable[[dict[str, Any]], None],
    conf: dict[str, Any], arguments: dict[str, Any], expected: str | None,
) -> None:  # fmt: skip
    run = context(conf)
    dag_id = run["ti"].dag_id
    rules = [
        {"name": team, "match": {"team": team}, "dag": dag}
        for team, dag in {"logistics": "logistics_incident", "own": dag_id}.items()
    ]
    write_table({"version": 1, "rules": rules})
    incident = Incident.model_validate(ParseIncidentOperator(task_id="t", **arguments).execute(run))
    assert [flag.value for flag in incident.flags if flag.field == "route.dag"] == ([expected] if expected else [])
    blocks = json.dumps(brief(BriefState(incident=incident)).blocks)
    assert ("logistics_incident" in blocks) == (expected is not None)
