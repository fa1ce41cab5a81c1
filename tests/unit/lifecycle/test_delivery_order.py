"""Order, delay and repetition of deliveries do not change the final state."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import Status

from .conftest import START, Simulation


def at(seconds: float) -> Any:
    return START + timedelta(seconds=seconds)


def final_state(simulation: Simulation) -> dict[str, bool]:
    """Return the firing groups and whether their incident is open."""
    return {
        alert.group: record.status is Status.OPEN
        for record in simulation.records.values()
        for alert in record.alerts.values()
        if alert.firing
    }


def test_trigger_delivered_after_its_recovery_opens_nothing() -> None:
    simulation = Simulation()
    recovered = simulation.alert(transition="Recovered", at=at(60), seconds=60)
    assert recovered.action is Action.IGNORE
    late = simulation.alert(at=at(0), seconds=90)
    assert (late.action, late.runs, simulation.records) == (Action.IGNORE, (), {})
    assert simulation.alert(cycle="c2", at=at(120), seconds=120).action is Action.OPEN


def test_trigger_and_recovery_at_same_time_are_recovered() -> None:
    for order in itertools.permutations(["Triggered", "Recovered"]):
        simulation = Simulation()
        for number, transition in enumerate(order):
            simulation.alert(transition=transition, at=at(0), seconds=10 + number)
        assert final_state(simulation) == {}


SEQUENCE = [
    {"transition": "Triggered", "at": 0},
    {"transition": "Re-Triggered", "at": 10},
    {"transition": "Recovered", "at": 20},
    {"transition": "Triggered", "cycle": "c2", "at": 30},
    {"transition": "Recovered", "cycle": "c2", "at": 40},
    {"transition": "Triggered", "cycle": "c3", "at": 50},
]


@pytest.mark.parametrize("length", range(1, len(SEQUENCE) + 1))
def test_final_state_does_not_depend_on_delivery_order(length: int) -> None:
    sequence = SEQUENCE[:length]
    for order in itertools.permutations(range(length)):
        simulation = Simulation()
        for place, number in enumerate(order):
            event = sequence[number]
            simulation.alert(**{**event, "at": at(event["at"])}, delivery=f"d{number}", seconds=100 + place)  # type: ignore[arg-type]
        firing = sequence[-1]["transition"] != "Recovered"
        assert bool(final_state(simulation)) is firing, order
        assert all(record.alert_count == 1 for record in simulation.records.values())


def test_flapping_monitor_is_one_alert_in_one_incident() -> None:
    simulation = Simulation()
    for number in range(600):
        simulation.alert(cycle=f"c{number}", seconds=number * 20)
        simulation.alert(transition="Recovered", cycle=f"c{number}", seconds=number * 20 + 10)
    record = simulation.only_record
    assert (record.alert_count, record.is_full, record.reopened) == (1, False, 599)
    assert (record.times_fired, record.notifications) == (600, 1200)


def test_manual_resolution_lasts_until_new_cycle() -> None:
    simulation = Simulation()
    key = simulation.alert(priority="P2").key
    simulation.close(str(key), Status.RESOLVED, 30)
    for transition, seconds in (("Re-Triggered", 60), ("Renotify", 4000), ("Re-Triggered", 9000)):
        repeated = simulation.alert(transition=transition, seconds=seconds)
        assert (repeated.action, repeated.runs) == (Action.DUPLICATE, ())
        assert simulation.only_record.status is Status.RESOLVED
    assert simulation.alert(transition="Recovered", seconds=9100).record.status is Status.RESOLVED  # type: ignore[union-attr]
    assert simulation.alert(cycle="c2", seconds=9200).action is Action.OPEN


def test_new_cycle_or_higher_severity_reopens_resolved_incident() -> None:
    for change in ({"cycle": "c2"}, {"priority": "P1", "transition": "Re-Triggered"}):
        simulation = Simulation()
        key = simulation.alert(priority="P2").key
        simulation.close(str(key), Status.RESOLVED, 30)
        assert simulation.alert(seconds=60, **change).action is Action.REOPEN


def test_manual_resolution_lasts_in_archived_incident() -> None:
    simulation = Simulation()
    key = str(simulation.alert().key)
    simulation.close(key, Status.RESOLVED, 30)
    simulation.close(key, Status.ARCHIVED, 90_000)
    assert simulation.alert(transition="Renotify", seconds=90_100).action is Action.DUPLICATE
    assert simulation.alert(cycle="c2", seconds=90_200).action is Action.OPEN


@pytest.mark.parametrize("field", ["severity", "status", "title"])
def test_changed_datadog_incident_with_same_id_is_update(field: str, payload: Any) -> None:
    simulation = Simulation()
    sent = payload("06_incident_created.json") | {"id": "118"}
    values = {"severity": "SEV-1", "status": "stable", "title": "Another title"}
    assert simulation.send({"datadog": sent}).action is Action.OPEN
    changed = {**sent, "incident": {**sent["incident"], field: values[field]}}
    assert simulation.send({"datadog": changed}, 30).action is Action.UPDATE
    assert simulation.send({"datadog": changed}, 31).action is Action.DUPLICATE


def test_changed_report_is_update_regardless_of_start() -> None:
    simulation = Simulation()
    report = {"id": "INC-7", "title": "x", "severity": "low"}
    simulation.send(report)
    corrected = {
        **report,
        "severity": "critical",
        "started_at": "2026-11-23T09:20:00Z",
        "users": ["dana@acme.example"],
    }
    assert simulation.send(corrected, 300).action is Action.UPDATE
    assert (simulation.only_record.severity, simulation.only_record.responders) == (
        "critical",
        ("dana@acme.example",),
    )
    more_people = {**corrected, "users": ["dana@acme.example", "erin@acme.example"]}
    assert simulation.send(more_people, 7500).action is Action.UPDATE
    assert simulation.send(more_people, 9000).action is Action.DUPLICATE


def test_late_delivery_is_not_counted() -> None:
    simulation = Simulation()
    simulation.alert(at=at(0))
    simulation.alert(transition="Recovered", at=at(60), seconds=60)
    before = simulation.only_record
    assert simulation.alert(transition="Re-Triggered", at=at(30), seconds=70).action is Action.DUPLICATE
    assert (simulation.only_record.notifications, simulation.only_record.news_at) == (
        before.notifications,
        before.news_at,
    )


def test_constant_delivery_id_does_not_hide_later_firing() -> None:
    simulation = Simulation()

    def send(seconds: float, transition: str = "Triggered") -> Action:
        alert = {"cycle": None, "delivery": "constant", "transition": transition}
        return simulation.alert(**alert, at=at(seconds - 0.5), seconds=seconds).action  # type: ignore[arg-type]

    assert send(0) is Action.OPEN
    assert send(1) is Action.DUPLICATE
    assert send(20, "Recovered") is Action.RECOVER
    assert send(40) is Action.REOPEN
    assert send(400, "Re-Triggered") is Action.UPDATE
    assert send(700, "Re-Triggered") is Action.UPDATE


def test_adjacent_cycles_in_any_order_leave_second_firing() -> None:
    for order in (("first recovers", "second fires"), ("second fires", "first recovers")):
        simulation = Simulation()
        simulation.alert(1, cycle="c1")
        at = START + timedelta(seconds=60)
        for number, step in enumerate(order):
            transition, cycle = ("Recovered", "c1") if step == "first recovers" else ("Triggered", "c2")
            simulation.alert(1, transition, cycle=cycle, at=at, seconds=61 + number)
        assert (simulation.only_record.status, simulation.only_record.firing_count) == (Status.OPEN, 1), order


def test_recovery_does_not_end_next_cycle_at_same_time() -> None:
    simulation = Simulation()
    at = START + timedelta(seconds=60)
    simulation.alert(1, "Recovered", cycle="c1", at=at, seconds=61)
    assert simulation.alert(1, cycle="c2", at=at, seconds=62).action is Action.OPEN
    assert simulation.alert(2, "Recovered", service="a", cycle="c1", at=at, seconds=61).action is Action.IGNORE
    assert simulation.alert(2, service="a", cycle="c1", at=at, seconds=62).action is Action.IGNORE


@pytest.mark.parametrize("before", ["Warn", "No Data", "Re-Warn"])
def test_alert_after_resolved_warning_reopens_incident(before: str) -> None:
    simulation = Simulation()
    opened = simulation.alert(1, before)
    simulation.close(opened.key, Status.RESOLVED, 30)
    late = simulation.alert(1, at=START + timedelta(seconds=20), seconds=60)
    assert late.action is Action.DUPLICATE, "the event predates the manual resolution"
    assert simulation.alert(1, before, seconds=70).action is Action.DUPLICATE
    assert simulation.alert(1, seconds=90).action is Action.REOPEN


@pytest.mark.parametrize("late", ["incident.triggered", "incident.acknowledged"])
def test_pagerduty_event_from_before_the_resolution_opens_nothing(late: str) -> None:
    def event(kind: str, second: int) -> dict[str, Any]:
        status = kind.removeprefix("incident.")
        at = (START + timedelta(seconds=second)).isoformat()
        data = {"id": "P1", "type": "incident", "title": "Queue is stuck", "status": status}
        return {"event": {"id": f"{kind}-{second}", "event_type": kind, "occurred_at": at, "data": data}}

    simulation = Simulation()
    assert simulation.send(event("incident.resolved", 60), 61).action is Action.IGNORE
    assert simulation.send(event(late, 30), 62).action is Action.IGNORE
    assert simulation.send(event("incident.triggered", 90), 91).action is Action.OPEN
    assert simulation.send(event("incident.resolved", 120), 121).action is Action.RECOVER
    assert simulation.send(event(late, 100), 122).action is Action.DUPLICATE
    assert simulation.only_record.status is Status.RECOVERED
