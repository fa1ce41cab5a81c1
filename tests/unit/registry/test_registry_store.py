"""Registry storage: queries, update batches, housekeeping, reports and rejections."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.dagrun import DagRun
from airflow.settings import engine
from airflow.utils.session import create_session
from sqlalchemy import event, update

from airflow_incident_provider.lifecycle.decision import reported_record
from airflow_incident_provider.lifecycle.records import Assignment, IncidentRecord, Room, Status, Visibility
from airflow_incident_provider.registry.decisions import change_incident, dismiss, reject
from airflow_incident_provider.registry.keys import REPORTS, Kind
from airflow_incident_provider.registry.records import (
    Rejection,
    StoredIncident,
    Transition,
    index_names,
)
from airflow_incident_provider.registry.store import MAX_REPORTS
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.registry.transaction import locked

NOW = datetime.now(UTC)


def test_rows_read_do_not_grow_with_incidents(registry: Any) -> None:
    def count_rows_read() -> int:
        registry.send(registry.alert(registry.sent + 10, service=f"warm-{registry.sent}"))
        fetched: Counter[str] = Counter()

        def count(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if statement.startswith("SELECT") and "asset_state_store" in statement:
                fetched["keys"] += len(parameters)
                assert "LIKE" not in statement

        event.listen(engine, "before_cursor_execute", count)
        try:
            registry.send(registry.alert(registry.sent + 10, service=f"service-{registry.sent}"))
        finally:
            event.remove(engine, "before_cursor_execute", count)
        return fetched["keys"]

    rows_before = count_rows_read()
    registry.send(*(registry.alert(1000 + n, service=f"s{n}", priority="P4") for n in range(200)))
    assert count_rows_read() <= rows_before + 5


def test_transition_row_exists_after_open_and_update_in_transaction(registry: Any) -> None:
    first, second = registry.send(registry.alert(1), registry.alert(2, scope="host:b"))
    assert first.decision.key == second.decision.key
    assert f"transition/{first.decision.key}" in registry.rows()


def test_repeated_id_gets_next_free_key(registry: Any) -> None:
    taken = [f"man.nightly.{number}" for number in range(2, 3000)]
    for name in ["man.nightly", *taken[:300]]:
        registry.write(f"archive/{name}", {})
    [outcome] = registry.send({"id": "nightly", "title": "Backup failed"})
    assert outcome.decision.key == "man.nightly.302"
    assert outcome.started == ("man.nightly.302",)


def test_incident_is_not_opened_if_run_id_exists(registry: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(type(registry.runs), "start", lambda *_: False)
    from airflow_incident_provider.registry.decisions import act_on

    [error] = act_on([registry.pending(registry.alert())], registry.runs)
    assert "Another run" in str(error)
    assert not [row for row in registry.rows() if row.startswith("record/")]


def test_team_dag_that_is_not_ready_falls_back_with_warning(make_registry: Any) -> None:
    harness = make_registry("rules: [{name: p, match: {service: pay}, dag: payments_incident}]")
    harness.runs.not_ready = "payments_incident"
    [outcome] = harness.send(harness.alert(service="pay"))
    [request] = [request for request in harness.runs.requests if request.dag_id != "incident_update"]
    assert (request.dag_id, request.run_id) == ("incident_response", outcome.decision.key)
    [warning] = Assignment.model_validate(request.conf["lifecycle"]).warnings
    assert (warning.field, warning.value, "paused" in warning.note) == ("route.dag", "payments_incident", True)
    assert harness[outcome.decision.key].record.dag_id == "incident_response"


def test_urgent_updates_are_immediate_and_repeats_are_batched(registry: Any) -> None:
    [opened] = registry.send(registry.alert(priority="P3"))
    key = opened.decision.key
    registry.send(registry.alert(transition="Re-Triggered", priority="P3"))
    waiting = registry[key].batch
    assert waiting is not None
    [worse] = registry.send(registry.alert(transition="Re-Triggered", priority="P1"))
    assert worse.run_id != waiting.run_id
    assert {item.kind for item in registry.batch(worse.run_id).items} == {"repeated", "severity"}
    assert registry.batch(waiting.run_id).items == ()
    registry.send(registry.alert(transition="Re-Triggered", priority="P1"))
    assert registry[key].batch == waiting
    assert [item.kind for item in registry[key].record.pending] == ["repeated"]


def test_batch_of_started_run_is_closed(registry: Any, monkeypatch: Any) -> None:
    from airflow_incident_provider.registry import decisions

    [opened] = registry.send(registry.alert())
    registry.send(registry.alert(transition="Re-Triggered"))
    early = registry[opened.decision.key].batch
    monkeypatch.setattr(decisions, "started_runs", lambda session, dag_id, run_ids: set(run_ids))  # noqa: ARG005
    [later] = registry.send(registry.alert(transition="Re-Triggered"))
    assert later.run_id not in (None, early.run_id)


@pytest.mark.usefixtures("eager_housekeeping")
def test_stale_incident_is_resolved_and_posted(registry: Any) -> None:
    [opened] = registry.send(registry.alert())
    key = opened.decision.key
    registry.edit(key, last_signal_at=(NOW - timedelta(days=31)).isoformat())
    registry.send(registry.alert(2, service="other"))
    record = registry[key].record
    assert (record.status, record.firing_count) == (Status.RESOLVED, 0)
    [run] = [request for request in registry.runs.requests if request.run_id.startswith("upd.")]
    assert [item.kind for item in registry.batch(run.run_id).items] == ["expired"]


@pytest.mark.usefixtures("eager_housekeeping")
def test_recorded_incident_closes_with_recovery(registry: Any) -> None:
    [opened] = registry.send(registry.alert(priority="P4"))
    key = opened.decision.key
    registry.send(registry.alert(transition="Recovered", priority="P4"))
    assert registry[key].record.visibility is Visibility.RECORD
    assert not registry.read(lambda r: r.overview(["incident_response"], 10))[0].is_open
    registry.edit(key, recovered_at=(NOW - timedelta(days=3)).isoformat())
    registry.send(registry.alert(2, service="other"))
    assert f"record/{key}" not in registry.rows()
    assert registry[key].record.status is Status.RESOLVED


@pytest.mark.usefixtures("eager_housekeeping")
def test_manual_resolution_lasts_after_archiving(registry: Any) -> None:
    [opened] = registry.send(registry.alert())
    key, long_ago = opened.decision.key, NOW - timedelta(days=9)
    registry.write(
        f"transition/{key}", Transition(as_of=1, status=Status.ARCHIVED, resolved_at=long_ago, archived_at=long_ago)
    )
    registry.send(registry.alert(2, service="other"))
    assert f"record/{key}" not in registry.rows()
    [renotified] = registry.send(registry.alert(transition="Renotify"))
    assert (renotified.decision.action, renotified.started) == ("ignore", ())
    [new_cycle] = registry.send(registry.alert(cycle="c2"))
    assert new_cycle.decision.action == "open"


def test_trigger_after_its_recovery_is_ignored(registry: Any) -> None:
    trigger, recovery = registry.alert(), registry.alert(transition="Recovered")
    assert registry.send(recovery)[0].decision.action == "ignore"
    assert registry.send(trigger)[0].decision.action == "ignore"
    assert registry.runs.requests == []


class FakeStateStore(dict[str, Any]):
    def set(self, key: str, value: Any) -> None:
        self[key] = value


def report(registry: Any, conf: dict[str, Any], run_id: str = "manual__1") -> IncidentRecord:
    pending = registry.pending(conf)
    return reported_record(
        conf, pending.signal.incident, registry.routing, dag_id="incident_response", run_id=run_id
    )


def test_reported_incident_is_resolved_by_tasks(registry: Any) -> None:
    store, inbox = FakeStateStore(), FakeStateStore()
    client = TaskRegistry(store, inbox)
    record = report(registry, {"id": "INC-9", "title": "Checkout is down"})
    assert client.report_incident(record)
    seen = client.incident(record.key)
    assert seen is not None
    assert (seen.record.status, seen.record.run_id) == (Status.OPEN, "manual__1")
    client.store_room(record.key, Room(channel_id="C1"))
    assert client.resolve(seen, NOW, by="dana")
    resolved = client.incident(record.key)
    assert resolved is not None
    assert (resolved.record.status, resolved.record.room.channel_id) == (Status.RESOLVED, "C1")
    assert [(entry.kind, entry.by) for entry in resolved.record.timeline][-1] == ("resolved", "dana")
    assert not TaskRegistry(store).report_incident(report(registry, {"title": "Another"}))


def test_next_alert_moves_report_to_registry(registry: Any) -> None:
    record = report(registry, registry.alert(7, service="pay"))
    registry.write(record.key, StoredIncident(version=1, record=record).to_json(), asset=REPORTS.name)
    registry.write(f"room/{record.key}", Room(channel_id="C7"))
    assert registry[record.key].record.room.channel_id == "C7"
    assert record.key in registry.read(lambda r: r.reports())
    [recovery] = registry.send(registry.alert(7, "Recovered", service="pay"))
    assert (recovery.decision.action, recovery.decision.key) == ("recover", record.key)
    assert registry.read(lambda r: r.reports()) == {}
    assert {f"record/{record.key}", f"transition/{record.key}"} <= registry.rows()


def test_dry_run_is_marked(registry: Any) -> None:
    [opened] = registry.send(registry.alert())
    registry.write(f"room/{opened.decision.key}", Room(dry_run=True))
    assert registry[opened.decision.key].record.is_dry_run


def test_overview_order_is_open_by_severity_then_closed(registry: Any) -> None:
    keys = [registry.send(registry.alert(n, service=f"s{n}", priority=f"P{n}"))[0].decision.key for n in (3, 1, 2)]
    registry.write(f"transition/{keys[1]}", Transition(as_of=1, status=Status.RESOLVED, resolved_at=NOW))
    overview = registry.read(lambda r: r.overview(["incident_response"], 10))
    assert [(entry.key, entry.is_open) for entry in overview] == [
        (keys[2], True),
        (keys[0], True),
        (keys[1], False),
    ]
    assert registry.read(lambda r: r.overview(["another_dag"], 10)) == []


def test_change_incident_updates_record(registry: Any) -> None:
    [opened] = registry.send(registry.alert())
    key = opened.decision.key
    changed = change_incident(
        key, lambda record: (record.model_copy(update={"commander": "dana"}), ()), registry.runs
    )
    assert changed is not None
    assert (registry[key].record.commander, registry[key].version) == ("dana", 2)
    assert change_incident("man.unknown", lambda record: (record, ()), registry.runs) is None


def test_rejections_are_listed_until_dismissed(registry: Any) -> None:
    for number in range(60):
        reject(Rejection(id=f"r{number}", at=NOW, source="/webhook/datadog", title="x", reason="not JSON"))
    reject(Rejection(id="r59", at=NOW, source="/webhook/datadog", title="x", reason="not JSON"))
    rejections = registry.read(lambda r: r.rejections())
    assert (len(rejections.items), rejections.total, rejections.items[-1].id) == (50, 61, "r59")
    assert dismiss("r59")
    assert not dismiss("r59")
    assert registry.read(lambda r: r.rejections()).items[-1].id == "r58"


def test_started_runs_and_confs_are_read_from_airflow(registry: Any) -> None:
    from airflow_incident_provider.registry.runs import run_confs, started_runs

    with create_session() as session:
        assert started_runs(session, "incident_update", ["a"]) == set()
        assert run_confs(session, [("incident_response", "a")]) == {}
        assert session.query(DagRun).count() == 0


def test_rejected_report_is_listed_until_dismissed(registry: Any) -> None:
    inbox = FakeStateStore()
    TaskRegistry(FakeStateStore(), inbox).report_rejection(
        Rejection(id="r1", at=NOW, source="run manual__1", title="Checkout is down", reason="targets: not a URL")
    )
    for name, value in inbox.items():
        registry.write(name, value, asset=REPORTS.name)
    assert [item.title for item in registry.read(lambda r: r.rejections()).items] == ["Checkout is down"]
    assert registry.read(lambda r: r.reports()) == {}
    registry.send(registry.alert())
    assert [item.id for item in registry.read(lambda r: r.rejections()).items] == ["r1"]
    assert dismiss("r1")
    assert registry.read(lambda r: r.rejections()).items == ()


def test_damaged_reports_do_not_block_inbox(registry: Any) -> None:
    for number in range(MAX_REPORTS + 5):
        key = f"man.{number}" if number % 2 else f"rejected/{number}"
        registry.write(key, {"record": {"title": f"Checkout {number}", "key": 5}}, asset=REPORTS.name)
    record = report(registry, {"id": "INC-9", "title": "Checkout is down"})
    registry.write(record.key, StoredIncident(version=1, record=record).to_json(), asset=REPORTS.name)
    assert "Checkout 1" in [item.title for item in registry.read(lambda r: r.rejections()).items]
    registry.send(registry.alert(1))
    registry.send(registry.alert(2))
    assert registry[record.key].record.status is Status.OPEN
    listed = registry.read(lambda r: r.rejections()).items
    assert "is damaged" in listed[-1].reason
    for item in listed:
        assert dismiss(item.id)
    assert registry.read(lambda r: r.rejections()).items == ()


def test_damaged_report_is_replaced(registry: Any) -> None:
    inbox = FakeStateStore()
    client = TaskRegistry(FakeStateStore(), inbox)
    record = report(registry, {"id": "INC-9", "title": "Checkout is down"})
    inbox.set(record.key, {"record": "damaged"})
    assert client.incident(record.key) is None
    assert client.report_incident(record)
    assert client.incident(record.key) is not None


@pytest.mark.parametrize("is_moved", [False, True])
def test_report_of_run_returns_only_its_own_report(registry: Any, is_moved: bool) -> None:
    store, inbox = FakeStateStore(), FakeStateStore()
    client = TaskRegistry(store, inbox)
    record = report(registry, {"id": "INC-9", "title": "Checkout is down"})
    assert client.report_of_run(record.key, dag_id="incident_response", run_id="manual__1") is None
    client.report_incident(record)
    if is_moved:
        store[Kind.RECORD.key(record.key)] = inbox.pop(record.key)
    assert client.report_of_run(record.key, dag_id="incident_response", run_id="manual__1") == record
    assert client.report_of_run(record.key, dag_id="incident_response", run_id="manual__2") is None
    assert client.report_of_run(record.key, dag_id="payments_incident", run_id="manual__1") is None


@pytest.mark.parametrize("kind", [Kind.RECORD, Kind.ARCHIVE])
def test_report_with_existing_record_is_ignored(registry: Any, kind: Kind) -> None:
    first = report(registry, {"id": "INC-9", "title": "Checkout is down"})
    registry.write(kind.key(first.key), StoredIncident(version=4, record=first))
    again = report(registry, {"id": "INC-9", "title": "Checkout is down"}, run_id="manual__2")
    registry.write(again.key, StoredIncident(version=1, record=again).to_json(), asset=REPORTS.name)
    assert registry.read(lambda r: r.reports()) == {}
    registry.send(registry.alert(9))
    assert registry.read(lambda r: r.load([first.key], archived=True))[first.key].record.run_id == "manual__1"
    assert registry.read(lambda r: r.load([first.key])).keys() == ({first.key} if kind is Kind.RECORD else set())


def test_long_open_incident_stays_indexed(registry: Any) -> None:
    [opened] = registry.send(registry.alert())
    registry.send(registry.alert(9, "Recovered", service="noise"))
    with create_session() as session:
        session.execute(update(AssetStateStoreModel).values(updated_at=NOW - timedelta(days=100)))
    with create_session() as session:
        locked(session).purge(NOW)
    assert not [row for row in registry.rows() if row.startswith("index/g.") and row not in _index_rows(registry)]
    [again] = registry.send(registry.alert(transition="Renotify"))
    assert (again.decision.action, again.decision.key) == ("update", opened.decision.key)


def _index_rows(registry: Any) -> set[str]:
    names = {name for key in registry.read(lambda r: r.listed()) for name in index_names(registry[key].record)}
    return {f"index/{name}" for name in names}
