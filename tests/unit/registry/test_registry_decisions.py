"""Decisions in Airflow's database: storage, concurrent task reports, archiving and purging."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.models.asset import AssetActive, AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import delete, select, update

from airflow_incident_provider.exceptions import RegistryUnavailableError
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import Status
from airflow_incident_provider.lifecycle.signals import read_signal
from airflow_incident_provider.registry import store
from airflow_incident_provider.registry.decisions import Outcome, PendingAlert, act_on
from airflow_incident_provider.registry.keys import REGISTRY, Kind
from airflow_incident_provider.registry.records import StoredIncident, Transition, UpdateBatch
from airflow_incident_provider.registry.runs import DagNotReadyError, Runs
from airflow_incident_provider.registry.store import KEPT_FOR
from airflow_incident_provider.registry.transaction import locked, opened

from .conftest import FakeRuns

PAYLOADS = Path(__file__).parents[2] / "payloads"
STARTED_AT = datetime.now(UTC) - timedelta(minutes=1)


@pytest.fixture
def runs(empty_registry: None) -> Iterator[FakeRuns]:
    """Provide fake runs and a database with the registry's asset and no incidents."""
    with create_session() as session:
        session.add(AssetModel(name=REGISTRY.name, uri=REGISTRY.uri, group="", extra={}))
        session.add(AssetActive(name=REGISTRY.name, uri=REGISTRY.uri))
    yield FakeRuns()
    clear_database()


@pytest.fixture
def empty_registry(airflow_home: Path) -> None:
    """Empty the database of assets, DAGs and runs."""
    clear_database()


def clear_database() -> None:
    """Delete all rows that decisions read; runs before the DAGs that they reference."""
    with create_session() as session:
        for model in (AssetStateStoreModel, AssetActive, AssetModel, DagRun, DagModel):
            session.execute(delete(model))


def pending_alert(
    monitor: int, service: str = "checkout", at: datetime | None = None, **alert: Any
) -> PendingAlert:
    payload = json.loads((PAYLOADS / "01_metric_triggered.json").read_text())
    now = datetime.now(UTC)
    sent = at or STARTED_AT
    payload |= {
        "id": f"9{monitor}",
        "tags": f"env:prod,service:{service}",
        "date": str(int(sent.timestamp() * 1000)),
    }
    scope = f"env:prod,service:{service}"
    payload["alert"] |= {"id": str(monitor), "cycle_key": f"77{monitor}", "scope": scope, **alert}
    signal = read_signal({"datadog": payload}, received_at=now, routing=RoutingTable())
    return PendingAlert(signal, RoutingTable())


def pending_report(conf: dict[str, Any], routing: RoutingTable | None = None) -> PendingAlert:
    """Build a manual report that arrives now."""
    table = routing or RoutingTable()
    return PendingAlert(read_signal(conf, received_at=datetime.now(UTC), routing=table), table)


def decide(runs: Runs, alert: PendingAlert) -> Outcome:
    [outcome] = act_on([alert], runs)
    assert isinstance(outcome, Outcome), outcome
    return outcome


def incidents(*, archived: bool = False) -> dict[str, StoredIncident]:
    with create_session() as session:
        return opened(session).incidents(archived=archived)


def batch(run_id: str) -> UpdateBatch:
    with create_session() as session:
        text = session.scalar(
            select(AssetStateStoreModel.value).where(AssetStateStoreModel.key == Kind.UPDATES.key(run_id))
        )
        assert text is not None
        return UpdateBatch.model_validate_json(text)


def test_alerts_of_one_transaction_are_correlated(runs: FakeRuns) -> None:
    outcomes = act_on([pending_alert(1), pending_alert(1), pending_alert(2), pending_alert(3)], runs)
    assert [o.decision.action for o in outcomes if isinstance(o, Outcome)] == [
        "open",
        "duplicate",
        "update",
        "update",
    ]
    [(key, incident)] = incidents().items()
    assert incident.record.alert_count == 3
    assert incident.batch is not None
    assert runs.started == [key, incident.batch.run_id]
    assert [item.kind for item in batch(incident.batch.run_id).items] == ["joined", "joined"]


def test_opened_incident_requests_first_check(runs: FakeRuns) -> None:
    opened_incident = decide(runs, pending_alert(1)).decision.record
    assert opened_incident is not None
    [request] = runs.checks
    assert request.conf == {"incident_key": opened_incident.key}
    assert request.run_after - opened_incident.opened_at < timedelta(minutes=5, seconds=1)


def test_alerts_of_separate_transactions_are_correlated(runs: FakeRuns) -> None:
    outcomes = [decide(runs, pending_alert(number)) for number in (1, 1, 2, 3)]
    assert [o.decision.action for o in outcomes] == ["open", "duplicate", "update", "update"]
    [incident] = incidents().values()
    assert (incident.version, incident.record.alert_count) == (3, 3)
    assert incident.batch is not None
    assert len(batch(incident.batch.run_id).items) == 2
    assert outcomes[-1].run_id == incident.batch.run_id


def test_alert_is_refused_alone_if_its_dag_is_paused(runs: FakeRuns) -> None:
    decide(runs, pending_alert(1))
    runs.not_ready = "incident_response"
    joined, refused = act_on([pending_alert(2), pending_alert(3, "search")], runs)
    assert (type(joined), type(refused)) == (Outcome, DagNotReadyError)
    assert [incident.record.alert_count for incident in incidents().values()] == [2]
    runs.not_ready = None
    assert decide(runs, pending_alert(3, "search")).decision.action is Action.OPEN


def test_update_run_waits_while_its_dag_is_paused(runs: FakeRuns) -> None:
    runs.not_ready = "incident_update"
    outcomes = [decide(runs, pending_alert(1)), decide(runs, pending_alert(2))]
    assert [each.decision.action for each in outcomes] == ["open", "update"]
    [incident] = incidents().values()
    assert incident.batch is not None
    assert outcomes[1].started == (incident.batch.run_id,)
    assert [item.kind for item in batch(incident.batch.run_id).items] == ["joined"]


def test_updates_stay_pending_while_the_dag_is_missing(runs: FakeRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.missing = "incident_update"
    outcomes = [decide(runs, pending_alert(1)), decide(runs, pending_alert(2))]
    assert [each.decision.action for each in outcomes] == ["open", "update"]
    assert (outcomes[1].started, "waits" in outcomes[1].decision.reason) == ((), True)
    [(key, incident)] = incidents().items()
    assert (incident.batch, [item.kind for item in incident.record.pending]) == (None, ["joined"])
    runs.missing = None
    monkeypatch.setattr(store, "HOUSEKEEPING_INTERVAL", timedelta())
    decide(runs, pending_alert(3, "search"))
    incident = incidents()[key]
    posted = [run for run in runs.started if run.startswith(f"upd.{key}.")]
    assert [item.kind for run in posted for item in batch(run).items] == ["joined"]
    assert incident.record.pending == () or incident.batch is not None


def test_database_error_rolls_back_decision(runs: FakeRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_incident_provider.registry.store import Registry

    def fail(*_: Any) -> None:
        raise OSError("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "write", fail)
        with pytest.raises(OSError, match="connection lost"):
            act_on([pending_alert(1)], runs)
    assert incidents() == {}


def test_decision_includes_task_report(runs: FakeRuns) -> None:
    key = decide(runs, pending_alert(1)).decision.key
    assert decide(runs, pending_alert(1, transition="Recovered")).decision.action is Action.RECOVER
    seen = incidents()[str(key)]
    write_value(
        str(key), Transition(as_of=seen.version, status=Status.RESOLVED, resolved_at=datetime.now(UTC), by="dana")
    )
    assert incidents()[str(key)].record.status is Status.RESOLVED
    outcome = decide(runs, pending_alert(1, cycle_key="778", at=STARTED_AT + timedelta(seconds=1)))
    assert (outcome.decision.action, outcome.decision.key) == (Action.REOPEN, key)
    record = incidents()[str(key)].record
    assert record.status is Status.OPEN
    # The timeline keeps the resolution after the incident reopened.
    assert [(event.kind, event.by) for event in record.timeline] == [
        ("opened", None),
        ("recovered", None),
        ("resolved", "dana"),
        ("reopened", None),
    ]


def test_concurrent_task_report_is_detected(runs: FakeRuns) -> None:
    key = str(decide(runs, pending_alert(1)).decision.key)
    with create_session() as session:
        registry = opened(session)
        seen = registry.load([key])[key]
        assert not registry.has_moved_on(seen)
    write_value(key, Transition(as_of=seen.version, status=Status.RESOLVED, resolved_at=datetime.now(UTC)))
    with create_session() as session:
        assert opened(session).has_moved_on(seen)


@pytest.mark.usefixtures("eager_housekeeping")
def test_closed_incident_is_archived_and_purged(runs: FakeRuns) -> None:
    report = {"id": "INC-7", "title": "Search is down"}
    key = str(decide(runs, pending_report(report)).decision.key)
    long_ago = datetime.now(UTC) - timedelta(days=3)
    write_value(key, Transition(as_of=1, status=Status.ARCHIVED, resolved_at=long_ago, archived_at=long_ago))
    other = str(decide(runs, pending_alert(2, "search")).decision.key)
    assert set(incidents()) == {other}
    assert incidents(archived=True)[key].record.status is Status.ARCHIVED
    # A repeated report opens a new incident with a different key.
    assert decide(runs, pending_report({**report, "severity": "low"})).decision.key == f"{key}.2"
    with create_session() as session:
        old = datetime.now(UTC) - KEPT_FOR - timedelta(days=1)
        state = json.dumps({"purged_at": old.isoformat()})
        session.execute(update(AssetStateStoreModel).values(updated_at=old))
        session.execute(update(AssetStateStoreModel).where(AssetStateStoreModel.key == "state").values(value=state))
    decide(runs, pending_alert(3, "orders"))
    assert key not in incidents(archived=True)
    assert {other, f"{key}.2"} < set(incidents())


def test_damaged_record_does_not_affect_others(runs: FakeRuns) -> None:
    key = str(decide(runs, pending_alert(1)).decision.key)
    decide(runs, pending_alert(2, "search"))
    write_value(key, {"version": 1}, kind=Kind.RECORD)
    assert len(incidents()) == 1
    assert decide(runs, pending_alert(4, "search")).decision.action is Action.UPDATE


def test_missing_asset_is_explained(empty_registry: None) -> None:
    with create_session() as session, pytest.raises(RegistryUnavailableError, match="parsed"):
        locked(session)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "is missing"),
        ({"is_stale": True}, "is missing"),
        ({"is_stale": True, "has_import_errors": True}, "has import errors"),
        ({"is_paused": True}, "is paused"),
        ({"allowed_run_types": ["scheduled"]}, "does not allow manual runs"),
        ({}, "not serialized"),
    ],
)
def test_dag_that_is_not_ready_is_refused_with_reason(runs: FakeRuns, state: Any, message: str) -> None:
    with create_session() as session:
        if state is not None:
            fields = {"is_stale": False, "is_paused": False, **state}
            session.add(DagBundleModel(name="bundle"))
            session.flush()
            session.add(DagModel(dag_id="incident_response", fileloc="x", bundle_name="bundle", **fields))
            session.flush()
        with pytest.raises(DagNotReadyError, match=message):
            Runs().ready_dag(session, "incident_response")
        session.rollback()


def write_value(key: str, value: Any, *, kind: Kind = Kind.TRANSITION) -> None:
    """Write a value as a task does."""
    stored = value if isinstance(value, dict) else value.model_dump(mode="json")
    with create_session() as session:
        session.execute(
            update(AssetStateStoreModel)
            .where(AssetStateStoreModel.key == kind.key(key))
            .values(value=json.dumps(stored))
        )


def _without_scope(conf: dict[str, Any], **extra: Any) -> dict[str, Any]:
    del conf["datadog"]["alert"]["scope"]
    conf["datadog"] |= extra
    return conf


@pytest.mark.parametrize("extra", [{}, {"_lost": ["scope"]}, {"aggreg_key": ""}])
def test_recovery_without_scope_matches_by_cycle(registry: Any, extra: dict[str, Any]) -> None:
    registry.send(registry.alert(tags=",host:a", scope="host:a"))
    registry.send(registry.alert(2, service="other", scope="host:b"))
    recovery = _without_scope(registry.alert(transition="Recovered"), **extra)
    [outcome] = registry.send(recovery)
    assert outcome.decision.action is Action.RECOVER


def test_recovery_without_scope_is_ignored_if_ambiguous(registry: Any) -> None:
    registry.send(registry.alert(scope="host:a"), registry.alert(scope="host:b"))
    [outcome] = registry.send(_without_scope(registry.alert(transition="Recovered")))
    assert outcome.decision.action is Action.IGNORE
