"""Private and public alerts never share an incident, a storm or a thread."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import Status, Visibility

from .conftest import Simulation

TABLE = """
rules: [{name: customer data, match: {tag: 'data:customer'}, private: true, responders: [privacy@acme.example]}]
triage: {channel: '#triage'}
"""
PRIVATE = {"tags": ["data:customer"]}


def texts(simulation: Simulation, *, private: bool) -> str:
    """Return the text of all private or all public records."""
    return " ".join(str(record.to_json()) for record in simulation.records.values() if record.private is private)


def test_private_warning_gets_no_thread_in_triage_channel() -> None:
    simulation = Simulation(TABLE)
    assert simulation.alert(1, "Warn", priority="P2").record.visibility is Visibility.THREAD
    assert simulation.alert(2, "Warn", priority="P2", service="hr", **PRIVATE).record.visibility is Visibility.ROOM
    assert (
        simulation.alert(3, "Warn", priority="P4", service="quiet", **PRIVATE).record.visibility
        is Visibility.RECORD
    )


@pytest.mark.parametrize("first_is_private", [True, False])
def test_correlation_separates_private_and_public_alerts(first_is_private: bool) -> None:
    simulation = Simulation(TABLE)
    first, second = (PRIVATE, {}) if first_is_private else ({}, PRIVATE)
    opened = simulation.alert(1, **first)
    other = simulation.alert(2, seconds=10, **second)
    assert (other.action, other.key != opened.key) == (Action.OPEN, True)
    assert simulation.alert(3, seconds=20, **first).key == opened.key
    assert simulation.alert(4, seconds=30, **second).key == other.key
    assert "privacy@acme.example" not in texts(simulation, private=False)


def test_storms_separate_private_and_public_alerts() -> None:
    simulation = Simulation(TABLE + "storm: {threshold: 3}\n")
    public = [simulation.alert(n, service=f"s{n}", seconds=n / 10) for n in range(4)]
    assert public[3].key == public[2].key
    private = [simulation.alert(10 + n, service=f"p{n}", seconds=1 + n / 10, **PRIVATE) for n in range(4)]
    assert [decision.action for decision in private] == [Action.OPEN, Action.OPEN, Action.OPEN, Action.UPDATE]
    assert private[3].key == private[2].key
    assert all(decision.record.private for decision in private)
    assert "data:customer" not in texts(simulation, private=False)


def test_alert_that_becomes_private_leaves_public_incident() -> None:
    simulation = Simulation(TABLE)
    public = simulation.alert(1, cycle="c1")
    simulation.routing = Simulation("rules: [{name: all, match: {}, private: true}]").routing
    private = simulation.alert(1, cycle="c1", transition="Re-Triggered", seconds=60, priority="P1")
    assert (private.action, private.record.private) == (Action.OPEN, True)
    assert simulation.records[public.key].severity == "high"
    recovered = simulation.alert(
        1, cycle="c1", transition="Recovered", seconds=120, scope=["service:checkout", "env:prod"]
    )
    changed = [recovered.record, *recovered.others]
    assert {record.key: record.status for record in changed} == {
        public.key: Status.RECOVERED,
        private.key: Status.RECOVERED,
    }
    [item] = [item for item in simulation.records[public.key].pending if item.kind == "recovered"]
    assert item.title is None, "the update must not contain the text of the private alert"


@pytest.mark.parametrize(
    "later",
    [
        {"title": "Card numbers of J. Doe leaked", "id": "7"},
        {"title": "Card numbers of J. Doe leaked", "id": "7", "private": False, "severity": "critical"},
        {"title": "Card numbers of J. Doe leaked", "id": "7", "status": "resolved"},
    ],
)
def test_later_report_without_privacy_stays_private(later: dict[str, Any]) -> None:
    simulation = Simulation()
    opened = simulation.send({"title": "Card numbers of J. Doe", "id": "7", "private": True}, 0)
    assert simulation.send(later, 120).key == opened.key
    assert "J. Doe" not in texts(simulation, private=False)


@pytest.mark.parametrize("transition", ["Re-Triggered", "Renotify", "Warn"])
def test_alert_stays_private_when_tag_is_missing(transition: str) -> None:
    simulation = Simulation(TABLE)
    scope = ["service:checkout"]
    opened = simulation.alert(1, scope=scope, **PRIVATE)
    again = simulation.alert(1, transition, scope=scope, seconds=60)
    assert (again.action, again.key) == (Action.UPDATE, opened.key)
    assert simulation.only_record.private


def test_new_incident_of_private_report_is_private() -> None:
    simulation = Simulation()
    first = simulation.send({"title": "Card numbers of J. Doe", "id": "7", "private": True}, 0)
    simulation.close(first.key, Status.RESOLVED, 60)
    again = simulation.send({"title": "Card numbers of J. Doe", "id": "7"}, 8 * 3600)
    assert (again.action, again.record.private) == (Action.OPEN, True)
    assert [run.conf["private"] for run in again.runs] == [True]


def test_record_of_version_1_accepts_only_its_own_alerts() -> None:
    simulation = Simulation(TABLE)
    stored: dict[str, Any] = simulation.alert(1).record.to_json()
    del stored["private"]
    simulation.records = {}
    from airflow_incident_provider.lifecycle.records import IncidentRecord

    record = IncidentRecord.from_json(stored)
    simulation.records[record.key] = record
    assert simulation.alert(1, "Re-Triggered", seconds=60).key == record.key
    assert simulation.alert(2, seconds=61).action is Action.OPEN


def test_report_without_id_and_privacy_stays_private() -> None:
    simulation = Simulation()
    opened = simulation.send({"title": "Card numbers of J. Doe", "private": True}, 0)
    again = simulation.send({"title": "Card numbers of J. Doe", "severity": "critical"}, 120)
    assert again.key == opened.key
    assert "J. Doe" not in texts(simulation, private=False)
