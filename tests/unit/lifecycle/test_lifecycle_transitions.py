"""Every transition by its name, to an alert that is unknown, firing or recovered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import Status, UpdateKind
from airflow_incident_provider.lifecycle.signals import SignalKind

FIRING = {
    "Triggered": SignalKind.TRIGGERED,
    "Re-Triggered": SignalKind.RE_TRIGGERED,
    "Warn": SignalKind.WARN,
    "Re-Warn": SignalKind.RE_WARN,
    "No Data": SignalKind.NO_DATA,
    "Re-No Data": SignalKind.RE_NO_DATA,
    "Renotify": SignalKind.RENOTIFY,
    "Escalated": SignalKind.UNKNOWN,
    None: SignalKind.UNKNOWN,
}
OVER = {
    "Recovered": SignalKind.RECOVERED,
    "Warn Recovered": SignalKind.WARN_RECOVERED,
    "No Data Recovered": SignalKind.RECOVERED,
}


@pytest.mark.parametrize(("transition", "kind"), [*FIRING.items(), *OVER.items()])
def test_every_transition_has_its_kind(
    transition: str | None, kind: SignalKind, world: Any, make_alert: Any
) -> None:
    signal = world.read(make_alert(transition=transition))
    assert (signal.kind, signal.is_recovery) == (kind, transition in OVER)


@pytest.mark.parametrize("spelling", ["re_triggered", "RE-TRIGGERED", "Retriggered"])
def test_a_transition_is_known_however_it_is_spelt(spelling: str, world: Any, make_alert: Any) -> None:
    assert world.read(make_alert(transition=spelling)).kind is SignalKind.RE_TRIGGERED


@pytest.mark.parametrize("transition", FIRING)
def test_what_fires_and_is_unknown_opens_an_incident(transition: str | None, world: Any) -> None:
    decision = world.alert(transition=transition)
    assert decision.action is Action.OPEN
    assert decision.record.status is Status.OPEN
    assert decision.record.firing_count == 1


@pytest.mark.parametrize("transition", FIRING)
def test_an_alert_that_fires_again_is_counted_and_reported(transition: str | None, world: Any) -> None:
    opened = world.alert()
    decision = world.alert(transition=transition, seconds=5)
    assert (decision.action, decision.key) == (Action.UPDATE, opened.key)
    assert decision.record.notifications == 2
    assert decision.record.repeats == 1
    assert [(item.kind, item.count) for item in decision.record.pending] == [(UpdateKind.REPEATED, 1)]


@pytest.mark.parametrize("transition", FIRING)
def test_what_fires_after_its_recovery_reopens_the_incident(transition: str | None, world: Any) -> None:
    opened = world.alert()
    world.alert(transition="Recovered", seconds=60)
    decision = world.alert(transition=transition, cycle="c2", seconds=120)
    assert (decision.action, decision.key) == (Action.REOPEN, opened.key)
    assert (decision.record.status, decision.record.reopened) == (Status.OPEN, 1)
    assert decision.record.recovered_at is None


@pytest.mark.parametrize("transition", OVER)
def test_the_recovery_of_what_fires_ends_it(transition: str, world: Any) -> None:
    opened = world.alert()
    decision = world.alert(transition=transition, seconds=60)
    assert (decision.action, decision.key) == (Action.RECOVER, opened.key)
    assert decision.record.status is Status.RECOVERED
    assert decision.record.recovered_at is not None
    assert decision.record.firing_count == 0


@pytest.mark.parametrize("transition", OVER)
def test_the_recovery_of_the_unknown_is_noise(transition: str, world: Any) -> None:
    decision = world.alert(transition=transition)
    assert (decision.action, decision.record, decision.runs) == (Action.IGNORE, None, ())


@pytest.mark.parametrize("transition", OVER)
def test_the_recovery_of_the_recovered_is_noise(transition: str, world: Any) -> None:
    world.alert()
    world.alert(transition="Recovered", seconds=60)
    before = world.only
    assert world.alert(transition=transition, seconds=70).action is Action.IGNORE
    assert world.only == before


def test_a_type_marks_a_recovery_where_no_transition_does(world: Any, make_alert: Any) -> None:
    payload = make_alert(transition=None)
    payload["alert"]["type"] = "success"
    signal = world.read(payload)
    assert (signal.kind, signal.is_recovery) == (SignalKind.RECOVERED, True)


def incident(payload: Callable[[str], dict[str, Any]], delivery: str, **variables: object) -> dict[str, Any]:
    sent = payload("06_incident_created.json")
    sent |= {"id": delivery, "title": variables.pop("headline", sent["title"])}
    sent["incident"] |= variables
    return {"datadog": sent}


def test_a_datadog_incident_is_followed(payload: Any, world: Any) -> None:
    created = world.send(incident(payload, "1"))
    assert (created.action, created.key) == (Action.OPEN, "ddi.118")
    assert created.inputs["kind"] == SignalKind.INCIDENT_CREATED
    assert created.record.room.channel_id == "C0ABC118"
    worse = {
        "severity": "SEV-1",
        "status": "stable",
        "commander": {"email": "kim@acme.example"},
        "message": "Changed",
    }
    updated = world.send(incident(payload, "2", headline="Incident updated", **worse), 120)
    assert (updated.action, updated.key) == (Action.UPDATE, "ddi.118")
    assert updated.inputs["kind"] == SignalKind.INCIDENT_UPDATED
    changes = {item.kind: (item.before, item.after) for item in updated.record.pending}
    assert changes[UpdateKind.SEVERITY] == ("high", "critical")
    assert changes[UpdateKind.STATUS] == ("active", "stable")
    assert changes[UpdateKind.COMMANDER] == ("dana@acme.example", "kim@acme.example")
    newcomers = [item.names for item in updated.record.pending if item.kind is UpdateKind.RESPONDERS]
    assert newcomers == [("kim@acme.example",)]
    resolved = world.send(incident(payload, "3", status="resolved"), 240)
    assert (resolved.action, resolved.record.status) == (Action.RECOVER, Status.RECOVERED)
    assert resolved.inputs["kind"] == SignalKind.INCIDENT_RESOLVED
    again = world.send(incident(payload, "4", status="active"), 300)
    assert (again.action, again.record.reopened) == (Action.REOPEN, 1)


def test_a_datadog_incident_that_we_missed_the_beginning_of_is_opened(payload: Any, world: Any) -> None:
    decision = world.send(incident(payload, "1", headline="Incident updated", message="Changed"))
    assert decision.inputs["kind"] == SignalKind.INCIDENT_UPDATED
    assert decision.action is Action.OPEN


def test_what_a_person_reports_twice_is_one_incident(world: Any) -> None:
    report = {"id": "db-down", "title": "Database is down", "severity": "low"}
    opened = world.send(report)
    assert (opened.action, opened.key) == (Action.OPEN, "man.db-down")
    assert [run.dag_id for run in opened.runs] == ["incident_response"]
    worse = world.send({**report, "severity": "critical"}, 30)
    assert (worse.action, worse.record.severity) == (Action.UPDATE, "critical")
