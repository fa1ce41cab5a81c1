"""Fixtures for registry tests: a database with the registry's assets, fake DAG runs, and alerts."""

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
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import delete, select, update

from airflow_incident_provider.intake import RoutingTable, load_routing_table
from airflow_incident_provider.lifecycle.records import RunRequest
from airflow_incident_provider.lifecycle.signals import read_signal
from airflow_incident_provider.registry import store
from airflow_incident_provider.registry.decisions import Outcome, PendingAlert, act_on
from airflow_incident_provider.registry.keys import REGISTRY, REPORTS
from airflow_incident_provider.registry.records import StoredIncident, UpdateBatch
from airflow_incident_provider.registry.runs import DagNotReadyError, Runs
from airflow_incident_provider.registry.store import Registry
from airflow_incident_provider.registry.transaction import opened

TABLES = (AssetStateStoreModel, AssetActive, AssetModel, DagRun, DagModel)


class FakeRuns(Runs):
    """Record the requested runs instead of creating them; one DAG can be paused, and one missing."""

    def __init__(self) -> None:
        self.requests: list[RunRequest] = []
        self.not_ready: str | None = None
        self.missing: str | None = None

    def start(self, session: Any, request: RunRequest) -> bool:  # noqa: ARG002
        if request.dag_id == self.missing or (request.dag_id == self.not_ready and not request.may_wait):
            raise DagNotReadyError(f"The DAG {request.dag_id} is paused.", dag_id=request.dag_id)
        if any((known.dag_id, known.run_id) == (request.dag_id, request.run_id) for known in self.requests):
            return False
        self.requests.append(request)
        return True

    @property
    def checks(self) -> list[RunRequest]:
        """The requested runs that check what is due."""
        return [request for request in self.requests if request.run_id.startswith("look.")]

    @property
    def started(self) -> list[str]:
        """The ids of all other requested runs, in order."""
        return [request.run_id for request in self.requests if request not in self.checks]


class RegistryHarness:
    """Decide on alerts in the database as the webhook does, and read what is stored."""

    def __init__(self, table: str = "") -> None:
        self.runs = FakeRuns()
        self.routing: RoutingTable = load_routing_table(table)
        self.sent = 0

    def pending(self, conf: dict[str, Any]) -> PendingAlert:
        return PendingAlert(read_signal(conf, received_at=datetime.now(UTC), routing=self.routing), self.routing)

    def alert(
        self,
        monitor: int | str = 1,
        transition: str = "Triggered",
        *,
        service: str = "checkout",
        cycle: str = "c1",
        scope: str = "host:a",
        tags: str = "",
        priority: str = "P1",
    ) -> dict[str, Any]:
        """Build the conf of an alert that occurs now."""
        self.sent += 1
        # Timestamps increase strictly, also within one millisecond.
        at = datetime.now(UTC) - timedelta(seconds=10) + timedelta(milliseconds=self.sent)
        return {
            "datadog": {
                "schema": "airflow-incident/1",
                "id": f"e{self.sent}",
                "title": f"{service} is slow",
                "tags": f"service:{service},env:prod{tags}",
                "date": str(int(at.timestamp() * 1000)),
                "alert": {
                    "id": str(monitor),
                    "cycle_key": cycle,
                    "title": f"{service} is slow",
                    "transition": transition,
                    "priority": priority,
                    "scope": scope,
                },
            }
        }

    def send(self, *confs: dict[str, Any]) -> list[Outcome]:
        """Decide on alerts in one transaction."""
        outcomes = act_on([self.pending(conf) for conf in confs], self.runs)
        assert all(isinstance(outcome, Outcome) for outcome in outcomes), outcomes
        return [outcome for outcome in outcomes if isinstance(outcome, Outcome)]

    def __getitem__(self, key: str | None) -> StoredIncident:
        with create_session() as session:
            return opened(session).load([str(key)], archived=True)[str(key)]

    def read(self, query: Any) -> Any:
        """Return the result of a query of the unlocked registry."""
        with create_session() as session:
            registry: Registry = opened(session)
            return query(registry)

    def batch(self, run_id: str) -> UpdateBatch:
        """Return the batch of an update run."""
        with create_session() as session:
            row = select(AssetStateStoreModel.value).where(AssetStateStoreModel.key == f"updates/{run_id}")
            return UpdateBatch.model_validate_json(session.scalars(row).one())

    def write(self, name: str, value: Any, *, asset: str = REGISTRY.name) -> None:
        """Write a row as a task does."""
        stored = value if isinstance(value, dict) else value.model_dump(mode="json")
        with create_session() as session:
            asset_id = session.scalar(select(AssetModel.id).where(AssetModel.name == asset))
            where = (AssetStateStoreModel.asset_id == asset_id, AssetStateStoreModel.key == name)
            session.execute(delete(AssetStateStoreModel).where(*where))
            session.add(AssetStateStoreModel(asset_id=asset_id, key=name, value=json.dumps(stored)))

    def edit(self, key: str, **record: Any) -> None:
        """Change fields of a stored record."""
        stored = self[key].to_json()
        stored["record"] |= record
        with create_session() as session:
            session.execute(
                update(AssetStateStoreModel)
                .where(AssetStateStoreModel.key == f"record/{key}")
                .values(value=json.dumps(stored))
            )

    def rows(self) -> set[str]:
        with create_session() as session:
            return set(session.scalars(select(AssetStateStoreModel.key)))


def empty_database() -> None:
    with create_session() as session:
        for model in TABLES:
            session.execute(delete(model))


@pytest.fixture
def make_registry(airflow_home: Path) -> Iterator[type[RegistryHarness]]:
    empty_database()
    with create_session() as session:
        for asset in (REGISTRY, REPORTS):
            session.add(AssetModel(name=asset.name, uri=asset.uri, group="", extra={}))
            session.add(AssetActive(name=asset.name, uri=asset.uri))
    yield RegistryHarness
    empty_database()


@pytest.fixture
def registry(make_registry: type[RegistryHarness]) -> RegistryHarness:
    return make_registry()


@pytest.fixture
def eager_housekeeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run housekeeping with every alert, for every incident."""
    monkeypatch.setattr(store, "HOUSEKEEPING_INTERVAL", timedelta())
    monkeypatch.setattr(store, "CHECK_INTERVAL", timedelta())
