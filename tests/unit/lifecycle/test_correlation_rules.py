"""Correlation rules, immediate updates and the timeline."""

from __future__ import annotations

import pytest

from airflow_incident_provider.lifecycle.decision import Action

from .conftest import Simulation

TWO_TEAMS = """
correlation:
  rules:
    - {name: pay, match: {team: payments}, by: [env]}
    - {name: plat, match: {team: platform}, by: [env]}
"""


def test_rules_with_same_attributes_correlate_separately() -> None:
    simulation = Simulation(TWO_TEAMS)
    payments = simulation.alert(1, tags=["team:payments"])
    platform = simulation.alert(2, tags=["team:platform"], seconds=10)
    assert platform.action is Action.OPEN
    assert simulation.alert(3, tags=["team:payments"], seconds=20).key == payments.key
    assert simulation.alert(4, tags=["team:platform"], seconds=30).key == platform.key


@pytest.mark.parametrize(
    "placeholder", ["N/A", "n/a", "none", "NULL", "unknown", "-", "unknown_service", "unknown_service:java"]
)
def test_placeholder_service_does_not_correlate(placeholder: str) -> None:
    simulation = Simulation()
    first = simulation.alert(1, service=placeholder)
    assert simulation.alert(2, service=placeholder, seconds=10).key != first.key


def test_all_rules_of_large_table_apply() -> None:
    rules = ", ".join(f"{{name: r{n}, match: {{tag: 'k:v'}}, by: ['tag:x{n}']}}" for n in range(60))
    simulation = Simulation(f"correlation: {{rules: [{rules}]}}")
    tags = ["k:v", *(f"x{n}:1" for n in range(30, 60))]
    opened = simulation.alert(1, tags=tags)
    assert simulation.alert(2, tags=["k:v", "x59:1"], seconds=5).key == opened.key


def test_record_without_room_has_dag_of_its_route() -> None:
    simulation = Simulation("rules: [{name: p, match: {service: pay}, dag: payments_incident}]")
    assert simulation.alert(service="pay", priority="P4").record.dag_id == "payments_incident"


def test_higher_severity_and_recovery_are_posted_immediately() -> None:
    simulation = Simulation()
    simulation.alert(priority="P3")
    assert [
        run.run_after for run in simulation.alert(transition="Re-Triggered", priority="P3", seconds=5).runs
    ] != [None]
    [worse] = simulation.alert(transition="Re-Triggered", priority="P1", seconds=6).runs
    [over] = simulation.alert(transition="Recovered", priority="P1", seconds=7).runs
    assert (worse.run_after, over.run_after) == (None, None)
    assert worse.run_id != over.run_id


def test_timeline_keeps_transitions_and_is_bounded() -> None:
    simulation = Simulation()
    simulation.alert(priority="P3")
    simulation.alert(transition="Re-Triggered", priority="P1", seconds=60)
    simulation.alert(transition="Recovered", priority="P1", seconds=120)
    simulation.alert(cycle="c2", priority="P1", seconds=180)
    kinds = [event.kind for event in simulation.only_record.timeline]
    assert kinds == ["opened", "severity", "recovered", "reopened"]
    for number in range(300):
        simulation.alert(number, cycle=str(number), seconds=200 + number)
    assert len(simulation.only_record.timeline) == 60
    assert [event.kind for event in simulation.only_record.timeline][:4] == kinds
    assert simulation.only_record.timeline_dropped > 200
