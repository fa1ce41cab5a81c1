"""The bound of a record: whatever the alerts held, its JSON stays small, and no alert of it is forgotten."""

from __future__ import annotations

import json

from airflow_incident_provider.lifecycle.records import MAX_BYTES, AlertState, IncidentRecord
from airflow_incident_provider.text import digest

_DIGITS = 10
"""Of each digest in a condensed name; records of version 0.1.0 hold such names."""

_KEEP_ALERTS = 10
"""Alerts that stay whole while anything else can be given up."""


def condensed_key(group: str, alert_key: str) -> str:
    """Return the name of an alert that is kept condensed: digests of its group and its key."""
    return f"{digest(group, _DIGITS)}.{digest(alert_key, _DIGITS)}"


def condensed_group(group: str) -> str:
    """Return what the condensed names of all alerts of a group begin with."""
    return f"{digest(group, _DIGITS)}."


def fitted(record: IncidentRecord, limit: int = MAX_BYTES) -> IncidentRecord:
    """Return the record so that its JSON takes at most ``limit`` bytes.

    Alerts are condensed first, those that recovered before those that fire and the oldest first; then pending
    updates are dropped (and counted), then deliveries and names.
    """
    while len(record.alerts) > _KEEP_ALERTS and encoded_size(record) > limit:
        record = _condensed(record)
    for name in ("pending", "deliveries", "teams", "services", "responders"):
        while getattr(record, name) and encoded_size(record) > limit:
            record = _halved(record, name)
    while record.alerts and encoded_size(record) > limit:
        record = _condensed(record)
    return record


def encoded_size(record: IncidentRecord) -> int:
    """Return the bytes that the record takes as JSON, with everything beyond ASCII escaped."""
    return len(json.dumps(record.to_json()))


def _condensed(record: IncidentRecord) -> IncidentRecord:
    """Return the record with a few alerts less in full."""
    by_worth = sorted(record.alerts.values(), key=lambda alert: (alert.firing, alert.last_at, alert.key))
    going: list[AlertState] = by_worth[: max(1, len(by_worth) // 10)]
    condensed = {condensed_key(alert.group, alert.key): alert.severity if alert.firing else None for alert in going}
    gone = {alert.key for alert in going}
    return record.model_copy(
        update={
            "alerts": {key: alert for key, alert in record.alerts.items() if key not in gone},
            "condensed": {**record.condensed, **condensed},
        }
    )


def _halved(record: IncidentRecord, name: str) -> IncidentRecord:
    """Return the record with the newer half of a field; of pending updates it counts what goes."""
    whole = getattr(record, name)
    kept = whole[(len(whole) + 1) // 2 :]
    update: dict[str, object] = {name: kept}
    if name == "pending":
        gone = whole[: len(whole) - len(kept)]
        update["pending_dropped"] = record.pending_dropped + sum(item.count for item in gone)
    return record.model_copy(update=update)
