"""Simulation of the alert lifecycle without Airflow and Slack: alerts arrive at chosen times."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider.intake import RoutingTable, load_routing_table
from airflow_incident_provider.lifecycle.decision import Decision, decide
from airflow_incident_provider.lifecycle.matching import GroupHistory
from airflow_incident_provider.lifecycle.records import IncidentRecord, RunRequest, Status
from airflow_incident_provider.lifecycle.signals import Signal, read_signal

START = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
_PAYLOADS = Path(__file__).parents[2] / "payloads"


def alert(
    monitor: int | str = 1,
    transition: str | None = "Triggered",
    *,
    service: str | None = "checkout",
    env: str | None = "prod",
    cycle: str | None = "c1",
    priority: str = "P2",
    delivery: str | None = None,
    at: datetime | None = None,
    tags: Sequence[str] = (),
    scope: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Build a payload of the packaged template, as a monitor sends it."""
    named = [*([f"service:{service}"] if service else []), *([f"env:{env}"] if env else []), *tags]
    return {
        "schema": "airflow-incident/1",
        "id": delivery or "",
        "title": f"Monitor number {monitor}",
        "tags": ",".join(named),
        "date": str(int(at.timestamp() * 1000)) if at else "",
        "alert": {
            "id": str(monitor),
            "cycle_key": cycle or "",
            "title": f"Monitor number {monitor}",
            "transition": transition or "",
            "priority": priority,
            "scope": ",".join(named if scope is None else scope),
        },
    }


class Simulation:
    """Decide on alerts and keep the records, group histories and run requests in memory."""

    def __init__(self, table: str | RoutingTable = "") -> None:
        self.routing = load_routing_table(table) if isinstance(table, str) else table
        self.records: dict[str, IncidentRecord] = {}
        self.histories: dict[str, GroupHistory] = {}
        self.runs: list[RunRequest] = []
        self._deliveries = itertools.count()

    def read(self, payload: dict[str, Any], seconds: float = 0) -> Signal:
        conf = payload if "datadog" in payload or "alert" not in payload else {"datadog": payload}
        return read_signal(conf, received_at=START + timedelta(seconds=seconds), routing=self.routing)

    def decide(self, payload: dict[str, Any], seconds: float = 0) -> Decision:
        """Decide on a payload that arrives the given seconds after the start; store nothing."""
        now, signal = START + timedelta(seconds=seconds), self.read(payload, seconds)
        history = self.histories.get(signal.group)
        return decide(signal, list(self.records.values()), self.routing, now, history=history)

    def send(self, payload: dict[str, Any], seconds: float = 0) -> Decision:
        """Decide on a payload and store the result, with records serialized as JSON."""
        decision = self.decide(payload, seconds)
        changed = [decision.record] if decision.record is not None and decision.changed else []
        for record in (*changed, *decision.others):
            self.records[record.key] = IncidentRecord.from_json(json.loads(json.dumps(record.to_json())))
        if decision.history is not None:
            self.histories[decision.inputs["group"]] = decision.history
        self.runs += decision.runs
        return decision

    def alert_payload(self, *args: Any, seconds: float = 0, **kwargs: Any) -> dict[str, Any]:
        """Build an alert that occurs when it arrives, with a unique delivery id by default."""
        kwargs.setdefault("delivery", f"d{next(self._deliveries)}")
        kwargs.setdefault("at", START + timedelta(seconds=seconds))
        return alert(*args, **kwargs)

    def alert(self, *args: Any, seconds: float = 0, **kwargs: Any) -> Decision:
        """Build and send an alert."""
        return self.send(self.alert_payload(*args, seconds=seconds, **kwargs), seconds)

    def close(self, key: str, status: Status, seconds: float) -> None:
        """Resolve or archive an incident as a person does."""
        moment = START + timedelta(seconds=seconds)
        field = {Status.RESOLVED: "resolved_at", Status.ARCHIVED: "archived_at"}[status]
        self.records[key] = self.records[key].model_copy(update={"status": status, field: moment})

    @property
    def only_record(self) -> IncidentRecord:
        """Return the only record."""
        (record,) = self.records.values()
        return record


@pytest.fixture
def simulation() -> Simulation:
    return Simulation()


@pytest.fixture(scope="session")
def make_simulation() -> type[Simulation]:
    return Simulation


@pytest.fixture(scope="session")
def make_alert() -> Callable[..., dict[str, Any]]:
    return alert


@pytest.fixture(scope="session")
def payload() -> Callable[[str], dict[str, Any]]:
    """Load a recorded payload by file name."""
    return lambda name: json.loads((_PAYLOADS / name).read_text(encoding="utf-8"))
