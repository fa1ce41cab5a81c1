"""Records are bounded in size and account for every alert."""

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


def test_full_incident_accepts_only_its_own_alerts(simulation: Any) -> None:
    for n in range(MAX_ALERTS):
        simulation.alert(n, seconds=n / 100)
    record = simulation.only_record
    assert (record.alert_count, record.firing_count, record.is_full) == (MAX_ALERTS, MAX_ALERTS, True)
    assert record.condensed
    assert encoded_size(record) <= MAX_BYTES
    assert simulation.alert(MAX_ALERTS, seconds=10).action is Action.OPEN
    assert simulation.alert(0, "Re-Triggered", seconds=11).key == record.key


def test_condensed_alerts_repeat_and_recover(simulation: Any) -> None:
    for n in range(200):
        simulation.alert(n, seconds=n / 100)
    record = simulation.only_record
    condensed = [n for n in range(200) if not any(a.monitor_id == str(n) for a in record.alerts.values())]
    assert condensed
    repeated = simulation.alert(condensed[0], "Re-Triggered", seconds=10)
    assert (repeated.record.alert_count, repeated.record.repeats) == (200, 1)
    for n in range(200):
        last = simulation.alert(n, "Recovered", seconds=20 + n / 100)
    assert (last.action, last.record.firing_count, last.record.status) == (Action.RECOVER, 0, Status.RECOVERED)
    assert simulation.alert(condensed[0], cycle="c2", seconds=60).action is Action.REOPEN


def test_condensed_alerts_keep_highest_severity(simulation: Any) -> None:
    simulation.alert(0, priority="P1")
    for n in range(1, 200):
        simulation.alert(n, priority="P3", seconds=n / 100)
    assert not any(alert.severity == "critical" for alert in simulation.only_record.alerts.values())
    assert simulation.only_record.severity == "critical"
    assert simulation.alert(0, "Recovered", priority="P1", seconds=10).record.severity == "medium"


def test_long_names_fit_into_record(simulation: Any) -> None:
    long_text = "\U0001f525" * 180
    for n in range(60):
        simulation.alert(
            n, tags=[f"team:{n}{long_text}", f"host:{long_text}{n}"], cycle=f"{n}{long_text}", seconds=n
        )
        assert all(encoded_size(record) <= MAX_BYTES for record in simulation.records.values())


def test_pending_updates_are_bounded_and_keep_severity_change(simulation: Any) -> None:
    simulation.alert(0, priority="P3")
    simulation.alert(1, priority="P1", seconds=1)
    for n in range(2, 100):
        simulation.alert(n, priority="P3", seconds=2 + n / 100)
    record: IncidentRecord = simulation.only_record
    assert len(record.pending) <= MAX_PENDING
    assert sum(item.count for item in record.pending) + record.pending_dropped == 100
    assert UpdateKind.SEVERITY in {item.kind for item in record.pending}
    assert record.without_pending().pending == ()


def test_record_of_newer_version_is_read(simulation: Any) -> None:
    stored = simulation.alert().record.to_json()
    assert stored["schema_version"] == 2
    later = stored | {"schema_version": 3, "something_new": {"a": 1}}
    assert IncidentRecord.from_json(later).key == simulation.only_record.key
