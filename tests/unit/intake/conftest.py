"""Fixtures for intake tests: recorded payloads, and a parser with a fixed time and an empty routing table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider.intake import RoutingTable, load_routing_table, read_incident
from airflow_incident_provider.models import Incident

_PAYLOADS = Path(__file__).parents[2] / "payloads"


@pytest.fixture(scope="session")
def received_at() -> datetime:
    return datetime(2026, 11, 23, 10, 40, 41, tzinfo=UTC)


@pytest.fixture(scope="session")
def payload() -> Callable[[str], dict[str, Any]]:
    """Load a recorded payload by file name."""
    return lambda name: json.loads((_PAYLOADS / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def read(received_at: datetime) -> Callable[..., Incident]:
    """Parse a conf into an incident."""

    def read(conf: Mapping[str, object], routing: RoutingTable | None = None) -> Incident:
        return read_incident(conf, received_at=received_at, routing=routing or RoutingTable())

    return read


@pytest.fixture(scope="session")
def alert(payload: Callable[[str], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Build the recorded alert with overridden top-level fields or ``$ALERT_*`` variables."""

    def alert(top: Mapping[str, object] | None = None, **variables: object) -> dict[str, Any]:
        sent = payload("01_metric_triggered.json")
        sent["alert"] |= variables
        return {"datadog": sent | dict(top or {})}

    return alert


@pytest.fixture(scope="session")
def datadog_incident(payload: Callable[[str], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Build the recorded Datadog incident with overridden ``$INCIDENT_*`` variables."""

    def incident(**variables: object) -> dict[str, Any]:
        sent = payload("06_incident_created.json")
        sent["incident"] |= variables
        return {"datadog": sent}

    return incident


@pytest.fixture(scope="session")
def example_table() -> RoutingTable:
    """Load the packaged example routing table."""
    from importlib import resources

    text = resources.files("airflow_incident_provider.intake").joinpath("routing.example.yaml")
    return load_routing_table(text.read_text(encoding="utf-8"))
