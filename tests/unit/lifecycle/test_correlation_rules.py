"""A correlation rule matches its own keys only, and unnamed values match nothing."""

from __future__ import annotations

import pytest

from airflow_incident_provider.lifecycle.decision import Action

from .conftest import World  # isort: skip

TWO_TEAMS = """
correlation:
  rules:
    - {name: pay, match: {team: payments}, by: [env]}
    - {name: plat, match: {team: platform}, by: [env]}
"""


def test_two_rules_with_the_same_attributes_do_not_merge_their_teams() -> None:
    world = World(TWO_TEAMS)
    payments = world.alert(1, tags=["team:payments"])
    platform = world.alert(2, tags=["team:platform"], seconds=10)
    assert platform.action is Action.OPEN
    assert world.alert(3, tags=["team:payments"], seconds=20).key == payments.key
    assert world.alert(4, tags=["team:platform"], seconds=30).key == platform.key


@pytest.mark.parametrize("unnamed", ["N/A", "n/a", "none", "NULL"])
def test_an_unnamed_service_correlates_nothing(unnamed: str) -> None:
    world = World()
    first = world.alert(1, service=unnamed)
    assert world.alert(2, service=unnamed, seconds=10).key != first.key


def test_all_rules_of_a_large_table_correlate() -> None:
    rules = ", ".join(f"{{name: r{n}, match: {{tag: 'k:v'}}, by: ['tag:x{n}']}}" for n in range(60))
    world = World(f"correlation: {{rules: [{rules}]}}")
    tags = ["k:v", *(f"x{n}:1" for n in range(30, 60))]
    opened = world.alert(1, tags=tags)
    assert world.alert(2, tags=["k:v", "x59:1"], seconds=5).key == opened.key


def test_a_record_belongs_to_the_dag_of_its_route_even_without_a_room() -> None:
    world = World("rules: [{name: p, match: {service: pay}, dag: payments_incident}]")
    assert world.alert(service="pay", priority="P4").record.dag_id == "payments_incident"


def test_a_higher_severity_and_a_recovery_are_posted_at_once() -> None:
    world = World()
    world.alert(priority="P3")
    assert [run.run_after for run in world.alert(transition="Re-Triggered", priority="P3", seconds=5).runs] != [
        None
    ]
    [worse] = world.alert(transition="Re-Triggered", priority="P1", seconds=6).runs
    [over] = world.alert(transition="Recovered", priority="P1", seconds=7).runs
    assert (worse.run_after, over.run_after) == (None, None)
    assert worse.run_id != over.run_id


def test_the_timeline_keeps_every_transition() -> None:
    world = World()
    world.alert(priority="P3")
    world.alert(transition="Re-Triggered", priority="P1", seconds=60)
    world.alert(transition="Recovered", priority="P1", seconds=120)
    world.alert(cycle="c2", priority="P1", seconds=180)
    kinds = [event.kind for event in world.only.timeline]
    assert kinds == ["opened", "severity", "recovered", "reopened"]
    for number in range(300):
        world.alert(number, cycle=str(number), seconds=200 + number)
    assert len(world.only.timeline) == 60
    assert [event.kind for event in world.only.timeline][:4] == kinds
    assert world.only.timeline_dropped > 200
