"""Stored incidents and the registry client of tasks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_incident_provider.lifecycle.records import IncidentRecord, Room, Status, UpdateItem, UpdateKind
from airflow_incident_provider.models import Severity, Source
from airflow_incident_provider.registry.records import OpenBatch, StoredIncident, Transition
from airflow_incident_provider.registry.task_client import TaskRegistry

NOW = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
KEY = "dd.1.2"


def stored_incident(version: int = 3, **changes: Any) -> StoredIncident:
    record = IncidentRecord(
        key=KEY,
        source=Source.DATADOG_ALERT,
        title="Checkout fails",
        severity=Severity.HIGH,
        opened_at=NOW,
        opened_by="dd.1",
        last_signal_at=NOW,
        status=Status.RECOVERED,
        recovered_at=NOW,
        pending=(UpdateItem(kind=UpdateKind.RECOVERED, at=NOW),),
    )
    return StoredIncident(version=version, record=record, **changes)


class FakeStateStore:
    """Fake asset state store; ``concurrent_write`` is stored after the task's next write."""

    def __init__(self, incident: StoredIncident) -> None:
        self.values: dict[str, Any] = {f"record/{KEY}": incident.to_json()}
        self.concurrent_write: StoredIncident | None = None

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value
        if self.concurrent_write is not None:
            self.values[f"record/{KEY}"] = self.concurrent_write.to_json()


def test_stored_incident_round_trips() -> None:
    incident = stored_incident(batch=OpenBatch(run_id="upd.1", until=NOW))
    assert StoredIncident.model_validate(incident.to_json()) == incident


def test_transition_applies_only_to_its_record_version() -> None:
    step = Transition(as_of=3, status=Status.RESOLVED, resolved_at=NOW)
    assert stored_incident(3).with_reports(None, step).record.status is Status.RESOLVED
    for version in (2, 4):
        assert stored_incident(version).with_reports(None, step).record.status is Status.RECOVERED


def test_room_applies_to_any_record_version() -> None:
    assert stored_incident().with_reports(Room(channel_id="C1"), None).record.room.channel_id == "C1"


def test_due_batch_is_removed_from_pending_updates() -> None:
    incident = stored_incident(batch=OpenBatch(run_id="upd.1", until=NOW))
    assert incident.at(NOW - timedelta(seconds=1)) == incident
    assert incident.at(NOW).record.pending == ()
    assert incident.at(NOW).batch is None


def test_task_resolves_and_archives() -> None:
    registry = TaskRegistry(FakeStateStore(stored_incident()))
    seen = registry.incident(KEY)
    assert seen is not None
    assert registry.resolve(seen, NOW)
    seen = registry.incident(KEY)
    assert seen is not None
    assert seen.record.status is Status.RESOLVED
    assert registry.archive(seen, NOW + timedelta(hours=1))
    seen = registry.incident(KEY)
    assert seen is not None
    assert (seen.record.status, seen.record.resolved_at) == (Status.ARCHIVED, NOW)


def test_timeline_keeps_resolver_after_archiving() -> None:
    registry = TaskRegistry(FakeStateStore(stored_incident()))
    for step, by, at in ((registry.resolve, "dana", NOW), (registry.archive, "sam", NOW + timedelta(hours=1))):
        seen = registry.incident(KEY)
        assert seen is not None
        assert step(seen, at, by=by)
    ended = registry.incident(KEY)
    assert ended is not None
    events = [(event.kind, event.by) for event in ended.record.timeline]
    assert events[-2:] == [(UpdateKind.RESOLVED, "dana"), (UpdateKind.ARCHIVED, "sam")]


def test_concurrent_alert_invalidates_transition() -> None:
    store = FakeStateStore(stored_incident(3))
    registry = TaskRegistry(store)
    seen = registry.incident(KEY)
    assert seen is not None
    store.concurrent_write = stored_incident(4)
    assert not registry.resolve(seen, NOW)
    now = registry.incident(KEY)
    assert now is not None
    assert now.record.status is Status.RECOVERED


def test_unknown_keys_return_none() -> None:
    registry = TaskRegistry(FakeStateStore(stored_incident()))
    assert registry.incident("dd.9") is None
    assert registry.updates("upd.9") is None
