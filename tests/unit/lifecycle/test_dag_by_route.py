"""The routing table sets the DAG and the severity of an incident."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.intake import load_routing_table
from airflow_incident_provider.lifecycle.decision import Action

from .conftest import Simulation

TABLE = """
version: 1
rules:
  - {name: payments, match: {service: pay}, dag: payments_incident}
  - {name: worst, match: {severity: critical}, dag: major_incident}
severity:
  rules:
    - {name: staging can wait, match: {env: staging}, severity: low}
    - {name: money cannot, match: {service: pay}, severity: critical}
"""


@pytest.mark.parametrize(
    ("alert", "dag_id", "severity"),
    [
        ({}, "incident_response", "high"),
        ({"priority": "P1"}, "major_incident", "critical"),
        ({"service": "pay", "priority": "P3"}, "payments_incident", "critical"),
    ],
)
def test_first_rule_with_dag_wins(alert: dict[str, Any], dag_id: str, severity: str) -> None:
    simulation = Simulation(TABLE)
    decision = simulation.alert(**alert)
    [run] = [run for run in decision.runs if run.dag_id != "incident_update"]
    assert (run.dag_id, simulation.only_record.dag_id, simulation.only_record.severity) == (
        dag_id,
        dag_id,
        severity,
    )
    # The DAG may use a different routing table, so the severity is passed along.
    assert run.conf["lifecycle"]["severity"] == severity


def test_incident_keeps_its_dag() -> None:
    simulation = Simulation(TABLE)
    simulation.alert()
    worse = simulation.alert(priority="P1", transition="Re-Triggered", seconds=300)
    assert worse.action is Action.UPDATE
    assert {run.dag_id for run in worse.runs} == {"incident_update"}
    assert (simulation.only_record.dag_id, simulation.only_record.severity) == ("incident_response", "critical")


def test_severity_lowered_by_rule_is_only_recorded() -> None:
    simulation = Simulation(TABLE)
    decision = simulation.alert(service="pay", env="staging", priority="P1")
    assert (decision.action, simulation.only_record.visibility, decision.runs) == (Action.OPEN, "record", ())


def test_dag_ids_of_routing_table() -> None:
    table = load_routing_table(TABLE + "defaults: {dag: everything_else}\n")
    assert table.dag_ids == ("payments_incident", "major_incident", "everything_else")
    with pytest.raises(RoutingTableError, match=r"rules\[0\]\.dag: 7 is not a DAG id"):
        load_routing_table("rules: [{name: n, match: {}, dag: 7}]")
