"""The demo's alert, as Datadog sends it."""

from __future__ import annotations

import time
from typing import Any

from airflow_incident_provider.cli.drill import recorded_alert
from airflow_incident_provider.config import ConfKey

_AGO_MS = 41_000


def alert() -> dict[str, Any]:
    """Return a new alert cycle of the demo's monitor, triggered 41 seconds ago: each call is another incident."""
    now_ms = time.time_ns() // 1_000_000
    payload: dict[str, Any] = recorded_alert()[ConfKey.DATADOG]
    payload |= {"date": str(now_ms - _AGO_MS), "last_updated": str(now_ms - _AGO_MS), "id": str(now_ms)}
    payload["alert"]["cycle_key"] = str(time.time_ns())
    return payload
