"""The demo's alert, as Datadog sends it."""

from __future__ import annotations

import json
import time
from importlib.resources import files
from typing import Any

_AGO_MS = 41_000


def alert() -> dict[str, Any]:
    """Return a new alert cycle of the demo's monitor, triggered 41 seconds ago: each call is another incident."""
    now_ms = time.time_ns() // 1_000_000
    text = files("incident_sandbox.demo").joinpath("alert.json").read_text(encoding="utf-8")
    payload: dict[str, Any] = json.loads(text)
    payload |= {"date": str(now_ms - _AGO_MS), "last_updated": str(now_ms - _AGO_MS), "id": str(now_ms)}
    payload["alert"]["cycle_key"] = str(time.time_ns())
    return payload
