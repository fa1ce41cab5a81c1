"""Test ``airflow incident export`` as JSON and as a diagram, from a file and from the database."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider import operators
from airflow_incident_provider.cli.export import OUTPUTS, Step, Workflow, mermaid
from airflow_incident_provider.cli.run import ExitCode
from airflow_incident_provider.operators.base import IncidentStep
from airflow_incident_provider.probes import catalogue

from .conftest import DAGS, CommandResult

Run = Callable[..., CommandResult]
FILE = str(DAGS / "incident_response.py")
STEPS = [
    "parse_incident_event",
    "setup_slack_integration",
    "resolve_slack_users",
    "create_war_room",
    "investigate",
    "post_investigation_updates",
    "final_summary",
]


def test_file_exports_the_steps_in_order(incident: Run) -> None:
    result = incident("export", "--file", FILE)
    assert result.code == ExitCode.OK, result.err
    steps = {step["id"]: step for step in result.json["steps"]}
    assert [name for name in steps if name in STEPS] == STEPS
    assert steps["investigate"]["depends"] == ["create_war_room", "plan_investigation"]
    assert steps["investigate"]["mapped"] is True
    assert steps["investigate"]["images"] == sorted({probe.image for probe in catalogue()})
    assert steps["final_summary"]["trigger_rule"] == "all_done"
    assert [steps[name]["outputs"] for name in STEPS] == [
        "Incident", "SlackWorkspace", "UserResolution", "WarRoom", "Finding", "ThreadUpdates", "IncidentSummary"
    ]  # fmt: skip


def test_database_and_file_exports_are_equal(incident: Run, deployed: Any) -> None:
    assert incident("export").json == incident("export", "--file", FILE).json


def test_outputs_match_the_operator_annotations() -> None:
    for name, output in OUTPUTS.items():
        operator = getattr(operators, name)
        if issubclass(operator, IncidentStep):
            assert inspect.signature(operator.run_step).return_annotation == output


def test_diagram_contains_every_step_and_edge(incident: Run) -> None:
    workflow = incident("export", "--file", FILE).json
    lines = incident("export", "--file", FILE, "--format", "mermaid").out.splitlines()
    assert lines[0] == "flowchart LR"
    edges = sum(len(step["depends"]) for step in workflow["steps"])
    assert sum("-->" in line or "-.->" in line for line in lines) == edges
    for step in workflow["steps"]:
        assert sum(f'"{step["id"]}<br/>' in line for line in lines) == 1


def test_diagram_escapes_names() -> None:
    hostile = Step(id='a"]; click s0 "javascript:alert(1)"', operator="<script>", trigger_rule="all_success")
    lines = mermaid(Workflow(dag_id="d", steps=(hostile,))).splitlines()
    assert lines[1].count('"') == 2
    assert "<script>" not in lines[1]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_module", "cannot be imported: ModuleNotFoundError"),
        ("from airflow.sdk import DAG\ndag = DAG('other', schedule=None)", "It has: other"),
    ],
)
def test_file_without_the_dag_is_rejected(incident: Run, tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "dag.py").write_text(source)
    result = incident("export", "--file", str(tmp_path / "dag.py"))
    assert result.code == ExitCode.USAGE
    assert message in result.err


def test_missing_file_or_dag_is_rejected(incident: Run, deployed: Any) -> None:
    assert incident("export", "--file", "/nowhere.py").code == ExitCode.USAGE
    result = incident("export", "--dag-id", "no_such_dag")
    assert result.code == ExitCode.UNAVAILABLE
    assert "Name its file with --file." in result.err


def test_output_is_one_json_document(incident: Run) -> None:
    assert json.loads(incident("export", "--file", FILE).out)["dag_id"] == "incident_response"
