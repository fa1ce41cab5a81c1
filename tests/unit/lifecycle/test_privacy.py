"""A private alert and a public one never share an incident, a storm or a thread."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import Status, Visibility

from .conftest import World  # isort: skip

TABLE = """
rules: [{name: customer data, match: {tag: 'data:customer'}, private: true, responders: [privacy@acme.example]}]
triage: {channel: '#triage'}
"""
PRIVATE = {"tags": ["data:customer"]}


def texts(world: World, *, private: bool) -> str:
    """Return everything that is posted or shown about incidents of one privacy."""
    return " ".join(str(record.to_json()) for record in world.records.values() if record.private is private)


def test_a_private_warning_gets_no_thread_in_the_public_triage_channel() -> None:
    world = World(TABLE)
    assert world.alert(1, "Warn", priority="P2").record.visibility is Visibility.THREAD
    assert world.alert(2, "Warn", priority="P2", service="hr", **PRIVATE).record.visibility is Visibility.ROOM
    assert world.alert(3, "Warn", priority="P4", service="quiet", **PRIVATE).record.visibility is Visibility.RECORD


@pytest.mark.parametrize("first_is_private", [True, False])
def test_correlation_compares_privacy(first_is_private: bool) -> None:
    world = World(TABLE)
    first, second = (PRIVATE, {}) if first_is_private else ({}, PRIVATE)
    opened = world.alert(1, **first)
    other = world.alert(2, seconds=10, **second)
    assert (other.action, other.key != opened.key) == (Action.OPEN, True)
    assert world.alert(3, seconds=20, **first).key == opened.key
    assert world.alert(4, seconds=30, **second).key == other.key
    assert "privacy@acme.example" not in texts(world, private=False)


def test_a_storm_compares_privacy() -> None:
    world = World(TABLE + "storm: {threshold: 3}\n")
    public = [world.alert(n, service=f"s{n}", seconds=n / 10) for n in range(4)]
    assert public[3].key == public[2].key
    private = [world.alert(10 + n, service=f"p{n}", seconds=1 + n / 10, **PRIVATE) for n in range(4)]
    assert [decision.action for decision in private] == [Action.OPEN, Action.OPEN, Action.OPEN, Action.UPDATE]
    assert private[3].key == private[2].key
    assert all(decision.record.private for decision in private)
    assert "data:customer" not in texts(world, private=False)


def test_an_alert_that_becomes_private_leaves_the_public_incident() -> None:
    world = World(TABLE)
    public = world.alert(1, cycle="c1")
    world.routing = World("rules: [{name: all, match: {}, private: true}]").routing
    private = world.alert(1, cycle="c1", transition="Re-Triggered", seconds=60, priority="P1")
    assert (private.action, private.record.private) == (Action.OPEN, True)
    assert world.records[public.key].severity == "high"
    recovered = world.alert(
        1, cycle="c1", transition="Recovered", seconds=120, scope=["service:checkout", "env:prod"]
    )
    changed = [recovered.record, *recovered.others]
    assert {record.key: record.status for record in changed} == {
        public.key: Status.RECOVERED,
        private.key: Status.RECOVERED,
    }
    [item] = [item for item in world.records[public.key].pending if item.kind == "recovered"]
    assert item.title is None, "the recovery is reported without the text of the private alert"


@pytest.mark.parametrize(
    "later",
    [
        {"title": "Card numbers of J. Doe leaked", "id": "7"},
        {"title": "Card numbers of J. Doe leaked", "id": "7", "private": False, "severity": "critical"},
        {"title": "Card numbers of J. Doe leaked", "id": "7", "status": "resolved"},
    ],
)
def test_a_report_that_omits_its_privacy_stays_private(later: dict[str, Any]) -> None:
    world = World()
    opened = world.send({"title": "Card numbers of J. Doe", "id": "7", "private": True}, 0)
    assert world.send(later, 120).key == opened.key
    assert "J. Doe" not in texts(world, private=False)


@pytest.mark.parametrize("transition", ["Re-Triggered", "Renotify", "Warn"])
def test_an_alert_whose_notification_lacks_the_tag_of_the_rule_stays_private(transition: str) -> None:
    world = World(TABLE)
    scope = ["service:checkout"]
    opened = world.alert(1, scope=scope, **PRIVATE)
    again = world.alert(1, transition, scope=scope, seconds=60)
    assert (again.action, again.key) == (Action.UPDATE, opened.key)
    assert world.only.private


def test_what_stays_private_is_so_in_a_new_room() -> None:
    world = World()
    first = world.send({"title": "Card numbers of J. Doe", "id": "7", "private": True}, 0)
    world.end(first.key, Status.RESOLVED, 60)
    again = world.send({"title": "Card numbers of J. Doe", "id": "7"}, 8 * 3600)
    assert (again.action, again.record.private) == (Action.OPEN, True)
    assert [run.conf["private"] for run in again.runs] == [True]


def test_an_incident_of_version_1_accepts_its_own_alerts_only() -> None:
    world = World(TABLE)
    stored: dict[str, Any] = world.alert(1).record.to_json()
    del stored["private"]
    world.records = {}
    from airflow_incident_provider.lifecycle.records import IncidentRecord

    record = IncidentRecord.from_json(stored)
    world.records[record.key] = record
    assert world.alert(1, "Re-Triggered", seconds=60).key == record.key
    assert world.alert(2, seconds=61).action is Action.OPEN
