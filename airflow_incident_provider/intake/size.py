"""
The last bound: an incident is an XCom value, and those stay under 48 KB whatever the alert brought.

Every field has bounds of its own; only a payload that drives many of them to their limits at once, or writes in
characters that take many bytes, comes this far.
"""

from __future__ import annotations

import json

from airflow_incident_provider.intake.flags import Flags
from airflow_incident_provider.models import Incident

MAX_BYTES = 40_000
"""Below the 48 KB of an XCom value, to leave room for the timing that the operator adds."""

_SHORTEST_TEXT = 100

_SHRINK_ORDER = (
    "fields",
    "metrics",
    "tags",
    "description",
    "links",
    "hosts",
    "snapshot_url",
    "flags",
    "teams",
    "services",
    "monitor_ids",
    "targets",
    "responders",
)
"""What is given up first; people are the last to go."""


def fitted(incident: Incident, limit: int = MAX_BYTES) -> Incident:
    """Return ``incident`` so that its XCom form takes at most ``limit`` bytes; what was cut is flagged."""
    for name in _SHRINK_ORDER:
        if encoded_size(incident) <= limit:
            return incident
        incident = _shrunk(incident, name, limit)
    return incident


def encoded_size(incident: Incident) -> int:
    """Return the bytes that the incident takes as JSON, with everything beyond ASCII escaped as Airflow does."""
    return len(json.dumps(incident.to_xcom()))


def _shrunk(incident: Incident, name: str, limit: int) -> Incident:
    whole = getattr(incident, name)
    if not whole:
        return incident
    flags = Flags(incident.flags)
    flags.add(name, whole, "cut: the incident was too large")
    incident = incident.model_copy(update={"flags": flags.as_tuple()})
    kept = whole if name != "flags" else incident.flags
    while kept and encoded_size(incident) > limit:
        kept = _half(kept)
        incident = incident.model_copy(update={name: kept})
    return incident


def _half(
    value: str | tuple[object, ...] | dict[str, object],
) -> str | tuple[object, ...] | dict[str, object] | None:
    """Return the first half of a text, list or object; a text too short to be of use becomes nothing."""
    middle = len(value) // 2
    if isinstance(value, dict):
        return dict(list(value.items())[:middle])
    if isinstance(value, str) and middle < _SHORTEST_TEXT:
        return None
    return value[:middle]
