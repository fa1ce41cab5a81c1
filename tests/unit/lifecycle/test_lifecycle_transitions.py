"""Transitions of unknown, firing and recovered alerts."""

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
RECOVERIES = {
    "Recovered": SignalKind.RECOVERED,
    "Warn Recovered": SignalKind.WARN_RECOVERED,
    "No Data Recovered": SignalKind.RECOVERED,
}


@pytest.mark.parametrize(("transition", "kind"), [*FIRING.items(), *RECOVERIES.items()])
def test_transition_maps_to_signal_kind(
    transition: str | None, kind: SignalKind, simulation: Any, make_alert: Any
) -> None:
    signal = simulation.read(make_alert(transition=transition))
    assert (signal.kind, signal.is_recovery) == (kind, transition in RECOVERIES)


@pytest.mark.parametrize("spelling", ["re_triggered", "RE-TRIGGERED", "Retriggered"])
def test_transition_spellings_are_normalized(spelling: str, simulation: Any, make_alert: Any) -> None:
    assert simulation.read(make_alert(transition=spelling)).kind is SignalKind.RE_TRIGGERED


@pytest.mark.parametrize("transition", FIRING)
def test_unknown_firing_alert_opens_incident(transition: str | None, simulation: Any) -> None:
    decision = simulation.alert(transition=transition)
    assert decision.action is Action.OPEN
    assert decision.record.status is Status.OPEN
    assert decision.record.firing_count == 1


@pytest.mark.parametrize("transition", FIRING)
def test_repeated_alert_is_counted_and_reported(transition: str | None, simulation: Any) -> None:
    opened = simulation.alert()
    decision = simulation.alert(transition=transition, seconds=5)
    assert (decision.action, decision.key) == (Action.UPDATE, opened.key)
    assert decision.record.notifications == 2
    assert decision.record.repeats == 1
    assert [(item.kind, item.count) for item in decision.record.pending] == [(UpdateKind.REPEATED, 1)]


@pytest.mark.parametrize("transition", FIRING)
def test_alert_after_recovery_reopens_incident(transition: str | None, simulation: Any) -> None:
    opened = simulation.alert()
    simulation.alert(transition="Recovered", seconds=60)
    decision = simulation.alert(transition=transition, cycle="c2", seconds=120)
    assert (decision.action, decision.key) == (Action.REOPEN, opened.key)
    assert (decision.record.status, decision.record.reopened) == (Status.OPEN, 1)
    assert decision.record.recovered_at is None


@pytest.mark.parametrize("transition", RECOVERIES)
def test_recovery_recovers_incident(transition: str, simulation: Any) -> None:
    opened = simulation.alert()
    decision = simulation.alert(transition=transition, seconds=60)
    assert (decision.action, decision.key) == (Action.RECOVER, opened.key)
    assert decision.record.status is Status.RECOVERED
    assert decision.record.recovered_at is not None
    assert decision.record.firing_count == 0


@pytest.mark.parametrize("transition", RECOVERIES)
def test_recovery_of_unknown_alert_is_ignored(transition: str, simulation: Any) -> None:
    decision = simulation.alert(transition=transition)
    assert (decision.action, decision.record, decision.runs) == (Action.IGNORE, None, ())


@pytest.mark.parametrize("transition", RECOVERIES)
def test_repeated_recovery_is_ignored(transition: str, simulation: Any) -> None:
    simulation.alert()
    simulation.alert(transition="Recovered", seconds=60)
    before = simulation.only_record
    assert simulation.alert(transition=transition, seconds=70).action is Action.IGNORE
    assert simulation.only_record == before


def test_alert_type_marks_recovery_without_transition(simulation: Any, make_alert: Any) -> None:
    payload = make_alert(transition=None)
    payload["alert"]["type"] = "success"
    signal = simulation.read(payload)
    assert (signal.kind, signal.is_recovery) == (SignalKind.RECOVERED, True)


def incident(payload: Callable[[str], dict[str, Any]], delivery: str, **variables: object) -> dict[str, Any]:
    sent = payload("06_incident_created.json")
    sent |= {"id": delivery, "title": variables.pop("headline", sent["title"])}
    sent["incident"] |= variables
    return {"datadog": sent}


def test_datadog_incident_is_updated_recovered_and_reopened(payload: Any, simulation: Any) -> None:
    created = simulation.send(incident(payload, "1"))
    assert (created.action, created.key) == (Action.OPEN, "ddi.118")
    assert created.inputs["kind"] == SignalKind.INCIDENT_CREATED
    assert created.record.room.channel_id == "C0ABC118"
    worse = {
        "severity": "SEV-1",
        "status": "stable",
        "commander": {"email": "kim@acme.example"},
        "message": "Changed",
    }
    updated = simulation.send(incident(payload, "2", headline="Incident updated", **worse), 120)
    assert (updated.action, updated.key) == (Action.UPDATE, "ddi.118")
    assert updated.inputs["kind"] == SignalKind.INCIDENT_UPDATED
    changes = {item.kind: (item.before, item.after) for item in updated.record.pending}
    assert changes[UpdateKind.SEVERITY] == ("high", "critical")
    assert changes[UpdateKind.STATUS] == ("active", "stable")
    assert changes[UpdateKind.COMMANDER] == ("dana@acme.example", "kim@acme.example")
    added_responders = [item.names for item in updated.record.pending if item.kind is UpdateKind.RESPONDERS]
    assert added_responders == [("kim@acme.example",)]
    resolved = simulation.send(incident(payload, "3", status="resolved"), 240)
    assert (resolved.action, resolved.record.status) == (Action.RECOVER, Status.RECOVERED)
    assert resolved.inputs["kind"] == SignalKind.INCIDENT_RESOLVED
    again = simulation.send(incident(payload, "4", status="active"), 300)
    assert (again.action, again.record.reopened) == (Action.REOPEN, 1)


def test_update_of_unknown_datadog_incident_opens_incident(payload: Any, simulation: Any) -> None:
    decision = simulation.send(incident(payload, "1", headline="Incident updated", message="Changed"))
    assert decision.inputs["kind"] == SignalKind.INCIDENT_UPDATED
    assert decision.action is Action.OPEN


def test_repeated_report_updates_incident(simulation: Any) -> None:
    report = {"id": "db-down", "title": "Database is down", "severity": "low"}
    opened = simulation.send(report)
    assert (opened.action, opened.key) == (Action.OPEN, "man.db-down")
    assert [run.dag_id for run in opened.runs] == ["incident_response"]
    worse = simulation.send({**report, "severity": "critical"}, 30)
    assert (worse.action, worse.record.severity) == (Action.UPDATE, "critical")
