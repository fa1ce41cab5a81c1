"""The order, the delay and the repetition of deliveries do not change the final state."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import Status

from .conftest import START, World  # isort: skip


def at(seconds: float) -> Any:
    return START + timedelta(seconds=seconds)


def final_state(world: World) -> dict[str, bool]:
    """Return which groups fire, over all incidents that are open."""
    return {
        alert.group: record.status is Status.OPEN
        for record in world.records.values()
        for alert in record.alerts.values()
        if alert.firing
    }


def test_a_trigger_that_arrives_after_its_recovery_opens_nothing() -> None:
    world = World()
    recovered = world.alert(transition="Recovered", at=at(60), seconds=60)
    assert recovered.action is Action.IGNORE
    late = world.alert(at=at(0), seconds=90)
    assert (late.action, late.runs, world.records) == (Action.IGNORE, (), {})
    assert world.alert(cycle="c2", at=at(120), seconds=120).action is Action.OPEN


def test_a_trigger_at_the_time_of_its_recovery_is_over_in_either_order() -> None:
    for order in itertools.permutations(["Triggered", "Recovered"]):
        world = World()
        for number, transition in enumerate(order):
            world.alert(transition=transition, at=at(0), seconds=10 + number)
        assert final_state(world) == {}


STORY = [
    {"transition": "Triggered", "at": 0},
    {"transition": "Re-Triggered", "at": 10},
    {"transition": "Recovered", "at": 20},
    {"transition": "Triggered", "cycle": "c2", "at": 30},
    {"transition": "Recovered", "cycle": "c2", "at": 40},
    {"transition": "Triggered", "cycle": "c3", "at": 50},
]


@pytest.mark.parametrize("length", range(1, len(STORY) + 1))
def test_every_order_of_a_story_has_the_same_final_state(length: int) -> None:
    story = STORY[:length]
    for order in itertools.permutations(range(length)):
        world = World()
        for place, number in enumerate(order):
            event = story[number]
            world.alert(**{**event, "at": at(event["at"])}, delivery=f"d{number}", seconds=100 + place)  # type: ignore[arg-type]
        firing = story[-1]["transition"] != "Recovered"
        assert bool(final_state(world)) is firing, order
        assert all(record.alert_count == 1 for record in world.records.values())


def test_a_flapping_monitor_is_one_alert_and_one_incident() -> None:
    world = World()
    for number in range(600):
        world.alert(cycle=f"c{number}", seconds=number * 20)
        world.alert(transition="Recovered", cycle=f"c{number}", seconds=number * 20 + 10)
    record = world.only
    assert (record.alert_count, record.is_full, record.reopened) == (1, False, 599)
    assert (record.times_fired, record.notifications) == (600, 1200)


def test_a_manual_resolution_holds_until_the_alert_fires_again() -> None:
    world = World()
    key = world.alert(priority="P2").key
    world.end(str(key), Status.RESOLVED, 30)
    for transition, seconds in (("Re-Triggered", 60), ("Renotify", 4000), ("Re-Triggered", 9000)):
        held = world.alert(transition=transition, seconds=seconds)
        assert (held.action, held.runs) == (Action.DUPLICATE, ())
        assert world.only.status is Status.RESOLVED
    assert world.alert(transition="Recovered", seconds=9100).record.status is Status.RESOLVED  # type: ignore[union-attr]
    assert world.alert(cycle="c2", seconds=9200).action is Action.OPEN


def test_a_resolved_incident_reopens_for_a_new_cycle_and_for_a_higher_severity() -> None:
    for change in ({"cycle": "c2"}, {"priority": "P1", "transition": "Re-Triggered"}):
        world = World()
        key = world.alert(priority="P2").key
        world.end(str(key), Status.RESOLVED, 30)
        assert world.alert(seconds=60, **change).action is Action.REOPEN


def test_a_manual_resolution_holds_in_an_archived_incident() -> None:
    world = World()
    key = str(world.alert().key)
    world.end(key, Status.RESOLVED, 30)
    world.end(key, Status.ARCHIVED, 90_000)
    assert world.alert(transition="Renotify", seconds=90_100).action is Action.DUPLICATE
    assert world.alert(cycle="c2", seconds=90_200).action is Action.OPEN


@pytest.mark.parametrize("field", ["severity", "status", "title"])
def test_updates_of_a_datadog_incident_with_one_id_are_news(field: str, payload: Any) -> None:
    world = World()
    sent = payload("06_incident_created.json") | {"id": "118"}
    values = {"severity": "SEV-1", "status": "stable", "title": "Another title"}
    assert world.send({"datadog": sent}).action is Action.OPEN
    changed = {**sent, "incident": {**sent["incident"], field: values[field]}}
    assert world.send({"datadog": changed}, 30).action is Action.UPDATE
    assert world.send({"datadog": changed}, 31).action is Action.DUPLICATE


def test_a_manual_report_is_news_when_it_arrives_whenever_the_trouble_began() -> None:
    world = World()
    report = {"id": "INC-7", "title": "x", "severity": "low"}
    world.send(report)
    corrected = {
        **report,
        "severity": "critical",
        "started_at": "2026-11-23T09:20:00Z",
        "users": ["dana@acme.example"],
    }
    assert world.send(corrected, 300).action is Action.UPDATE
    assert (world.only.severity, world.only.responders) == ("critical", ("dana@acme.example",))
    more_people = {**corrected, "users": ["dana@acme.example", "erin@acme.example"]}
    assert world.send(more_people, 7500).action is Action.UPDATE
    assert world.send(more_people, 9000).action is Action.DUPLICATE


def test_late_and_repeated_deliveries_are_not_counted() -> None:
    world = World()
    world.alert(at=at(0))
    world.alert(transition="Recovered", at=at(60), seconds=60)
    before = world.only
    assert world.alert(transition="Re-Triggered", at=at(30), seconds=70).action is Action.DUPLICATE
    assert (world.only.notifications, world.only.news_at) == (before.notifications, before.news_at)


def test_an_id_that_never_changes_hides_no_later_firing() -> None:
    world = World()

    def send(seconds: float, transition: str = "Triggered") -> Action:
        alert = {"cycle": None, "delivery": "constant", "transition": transition}
        return world.alert(**alert, at=at(seconds - 0.5), seconds=seconds).action  # type: ignore[arg-type]

    assert send(0) is Action.OPEN
    assert send(1) is Action.DUPLICATE
    assert send(20, "Recovered") is Action.RECOVER
    assert send(40) is Action.REOPEN
    assert send(400, "Re-Triggered") is Action.UPDATE
    assert send(700, "Re-Triggered") is Action.UPDATE


def test_of_two_cycles_that_meet_at_one_time_the_second_fires() -> None:
    for order in (("first ends", "second fires"), ("second fires", "first ends")):
        world = World()
        world.alert(1, cycle="c1")
        at = START + timedelta(seconds=60)
        for number, what in enumerate(order):
            transition, cycle = ("Recovered", "c1") if what == "first ends" else ("Triggered", "c2")
            world.alert(1, transition, cycle=cycle, at=at, seconds=61 + number)
        assert (world.only.status, world.only.firing_count) == (Status.OPEN, 1), order


def test_the_recovery_of_an_earlier_cycle_ends_no_cycle_that_begins_at_its_time() -> None:
    world = World()
    at = START + timedelta(seconds=60)
    world.alert(1, "Recovered", cycle="c1", at=at, seconds=61)
    assert world.alert(1, cycle="c2", at=at, seconds=62).action is Action.OPEN
    assert world.alert(2, "Recovered", service="a", cycle="c1", at=at, seconds=61).action is Action.IGNORE
    assert world.alert(2, service="a", cycle="c1", at=at, seconds=62).action is Action.IGNORE


@pytest.mark.parametrize("before", ["Warn", "No Data", "Re-Warn"])
def test_a_resolved_warning_that_becomes_an_alert_reopens_the_incident(before: str) -> None:
    world = World()
    opened = world.alert(1, before)
    world.end(opened.key, Status.RESOLVED, 30)
    late = world.alert(1, at=START + timedelta(seconds=20), seconds=60)
    assert late.action is Action.DUPLICATE, "it became one before somebody resolved the incident"
    assert world.alert(1, before, seconds=70).action is Action.DUPLICATE
    assert world.alert(1, seconds=90).action is Action.REOPEN
