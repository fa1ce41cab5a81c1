"""Which DAG makes an incident's room, and how bad the incident is: as the routing table says."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.intake import load_routing_table
from airflow_incident_provider.lifecycle.decision import Action

from .conftest import World  # isort: skip

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
def test_the_first_rule_that_names_a_dag_decides(alert: dict[str, Any], dag_id: str, severity: str) -> None:
    world = World(TABLE)
    decision = world.alert(**alert)
    [run] = [run for run in decision.runs if run.dag_id != "incident_update"]
    assert (run.dag_id, world.only.dag_id, world.only.severity) == (dag_id, dag_id, severity)
    # The DAG may have a table of its own: the room says what the record says.
    assert run.conf["lifecycle"]["severity"] == severity


def test_an_incident_stays_with_the_dag_that_it_began_with() -> None:
    world = World(TABLE)
    world.alert()
    worse = world.alert(priority="P1", transition="Re-Triggered", seconds=300)
    assert worse.action is Action.UPDATE
    assert {run.dag_id for run in worse.runs} == {"incident_update"}
    assert (world.only.dag_id, world.only.severity) == ("incident_response", "critical")


def test_what_the_table_makes_low_is_only_recorded() -> None:
    world = World(TABLE)
    decision = world.alert(service="pay", env="staging", priority="P1")
    assert (decision.action, world.only.visibility, decision.runs) == (Action.OPEN, "record", ())


def test_the_table_lists_its_dags() -> None:
    table = load_routing_table(TABLE + "defaults: {dag: everything_else}\n")
    assert table.dag_ids == ("payments_incident", "major_incident", "everything_else")
    with pytest.raises(RoutingTableError, match=r"rules\[0\]\.dag: 7 is not a DAG id"):
        load_routing_table("rules: [{name: n, match: {}, dag: 7}]")
