"""The alert of the demo: what Datadog would send about the demo's service."""

from __future__ import annotations

import json
import time
from importlib.resources import files
from typing import Any

MONITOR_ID = "148275309"
_AGO_MS = 41_000


def alert() -> dict[str, Any]:
    """Return a fresh alert cycle of the demo's monitor: another incident each time, begun 41 seconds ago."""
    now_ms = time.time_ns() // 1_000_000
    text = files("incident_sandbox.demo").joinpath("alert.json").read_text(encoding="utf-8")
    payload: dict[str, Any] = json.loads(text)
    payload |= {"date": str(now_ms - _AGO_MS), "last_updated": str(now_ms - _AGO_MS), "id": str(now_ms)}
    payload["alert"]["cycle_key"] = str(time.time_ns())
    return payload
