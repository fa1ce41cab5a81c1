"""A record stays small, whatever alerts hold, and forgets no alert."""

from __future__ import annotations

from typing import Any

from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import (
    MAX_ALERTS,
    MAX_BYTES,
    MAX_PENDING,
    IncidentRecord,
    Status,
    UpdateKind,
    encoded_size,
)


def test_a_full_incident_takes_no_new_alert_but_knows_its_own(world: Any) -> None:
    for n in range(MAX_ALERTS):
        world.alert(n, seconds=n / 100)
    record = world.only
    assert (record.alert_count, record.firing_count, record.is_full) == (MAX_ALERTS, MAX_ALERTS, True)
    assert record.condensed
    assert encoded_size(record) <= MAX_BYTES
    assert world.alert(MAX_ALERTS, seconds=10).action is Action.OPEN
    assert world.alert(0, "Re-Triggered", seconds=11).key == record.key


def test_condensed_alerts_repeat_and_recover(world: Any) -> None:
    for n in range(200):
        world.alert(n, seconds=n / 100)
    record = world.only
    condensed = [n for n in range(200) if not any(a.monitor_id == str(n) for a in record.alerts.values())]
    assert condensed
    repeated = world.alert(condensed[0], "Re-Triggered", seconds=10)
    assert (repeated.record.alert_count, repeated.record.repeats) == (200, 1)
    for n in range(200):
        last = world.alert(n, "Recovered", seconds=20 + n / 100)
    assert (last.action, last.record.firing_count, last.record.status) == (Action.RECOVER, 0, Status.RECOVERED)
    assert world.alert(condensed[0], cycle="c2", seconds=60).action is Action.REOPEN


def test_the_worst_of_condensed_alerts_counts(world: Any) -> None:
    world.alert(0, priority="P1")
    for n in range(1, 200):
        world.alert(n, priority="P3", seconds=n / 100)
    assert not any(alert.severity == "critical" for alert in world.only.alerts.values())
    assert world.only.severity == "critical"
    assert world.alert(0, "Recovered", priority="P1", seconds=10).record.severity == "medium"


def test_hostile_names_fit(world: Any) -> None:
    fat = "\U0001f525" * 180
    for n in range(60):
        world.alert(n, tags=[f"team:{n}{fat}", f"host:{fat}{n}"], cycle=f"{n}{fat}", seconds=n)
        assert all(encoded_size(record) <= MAX_BYTES for record in world.records.values())


def test_pending_updates_are_bounded_and_what_matters_stays(world: Any) -> None:
    world.alert(0, priority="P3")
    world.alert(1, priority="P1", seconds=1)
    for n in range(2, 100):
        world.alert(n, priority="P3", seconds=2 + n / 100)
    record: IncidentRecord = world.only
    assert len(record.pending) <= MAX_PENDING
    assert sum(item.count for item in record.pending) + record.pending_dropped == 100
    assert UpdateKind.SEVERITY in {item.kind for item in record.pending}
    assert record.without_pending().pending == ()


def test_a_newer_version_of_a_record_is_read(world: Any) -> None:
    stored = world.alert().record.to_json()
    assert stored["schema_version"] == 2
    later = stored | {"schema_version": 3, "something_new": {"a": 1}}
    assert IncidentRecord.from_json(later).key == world.only.key
