"""Updates that wait to be posted: merged, so that a noisy monitor is one line, and bounded."""

from __future__ import annotations

from airflow_incident_provider.lifecycle.records import (
    MAX_PENDING,
    MAX_RESPONDERS,
    IncidentRecord,
    Presence,
    UpdateItem,
    UpdateKind,
)

_ABOUT_ONE_ALERT = frozenset(
    {
        UpdateKind.JOINED,
        UpdateKind.REPEATED,
        UpdateKind.FIRING_AGAIN,
        UpdateKind.ALERT_RECOVERED,
    }
)
"""Kinds of which there can be as many as alerts: the first to go. Of each other kind there is one at most."""


def with_item(record: IncidentRecord, item: UpdateItem) -> IncidentRecord:
    """Return the record with ``item`` pending; an incident that is only recorded posts nothing.

    A change that was taken back before it was posted leaves nothing to post.
    """
    if record.presence is Presence.RECORD:
        return record
    items = {(told.kind, told.alert): told for told in record.pending}
    slot = (item.kind, item.alert)
    merged = _merged(items.pop(slot), item) if slot in items else item
    if merged.before is None or merged.before != merged.after:
        items[slot] = merged
    kept = tuple(items.values())
    dropped = _to_drop(kept)
    return record.model_copy(
        update={
            "pending": tuple(told for told in kept if told is not dropped),
            "pending_dropped": record.pending_dropped + (dropped.count if dropped else 0),
        }
    )


def _merged(earlier: UpdateItem, later: UpdateItem) -> UpdateItem:
    names = tuple(dict.fromkeys((*earlier.names, *later.names)))[:MAX_RESPONDERS]
    return later.model_copy(
        update={
            "before": earlier.before,
            "names": names,
            "count": earlier.count + later.count,
            "first_at": earlier.first_at or earlier.at,
        }
    )


def _to_drop(items: tuple[UpdateItem, ...]) -> UpdateItem | None:
    if len(items) <= MAX_PENDING:
        return None
    return next(item for item in items if item.kind in _ABOUT_ONE_ALERT)
