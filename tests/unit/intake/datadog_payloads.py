"""Build and parse Datadog alert payloads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_incident_provider.intake import load_routing_table, read_incident
from airflow_incident_provider.models import Incident

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
TABLE = """
rules:
  - {name: payments, match: {team: payments, env: prod, tag: "tier:gold"}, responders: [dana@acme.example]}
"""


def alert_payload(**changes: Any) -> dict[str, Any]:
    """Build an alert payload with overridden fields; ``alert`` overrides the nested ones."""
    alert = {
        "id": "123", "cycle_key": "c1", "title": "[Triggered] Checkout is slow", "transition": "Triggered",
        "type": "error", "priority": "P1", "scope": "host:a",
    }  # fmt: skip
    alert |= changes.pop("alert", {})
    return {
        "id": "e1", "title": "[Triggered] Checkout is slow", "tags": "service:checkout,env:prod",
        "date": str(int(NOW.timestamp() * 1000)), "alert": alert, **changes,
    }  # fmt: skip


def read(conf: dict[str, Any], table: str = "", at: datetime = NOW) -> Incident:
    return read_incident(conf, received_at=at, routing=load_routing_table(table))
