"""How a signal changes a record. Each function returns a new record; none decides whether it should."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from airflow_incident_provider.lifecycle.matching import is_ended_by
from airflow_incident_provider.lifecycle.records import (
    MAX_DELIVERIES,
    MAX_NAMES,
    MAX_PENDING,
    MAX_REOPENINGS,
    MAX_RESPONDERS,
    MAX_TEXT,
    AlertState,
    IncidentRecord,
    Room,
    Status,
    UpdateItem,
    UpdateKind,
    Visibility,
    condensed_key,
    condensed_prefix,
)
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.models import Severity, Source
from airflow_incident_provider.text import shorten

_ABOUT_ONE_ALERT = frozenset(
    {
        UpdateKind.JOINED,
        UpdateKind.REPEATED,
        UpdateKind.FIRING_AGAIN,
        UpdateKind.ALERT_RECOVERED,
    }
)
"""Kinds of which there can be as many as alerts: the first to go. Of each other kind there is one at most."""


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


def worst_severity(severities: Iterable[Severity]) -> Severity:
    """Return the worst of some severities."""
    return min(severities, key=_RANKS.__getitem__)


def new_record(
    signal: Signal,
    *,
    key: str,
    visibility: Visibility,
    title: str,
    storm: bool,
    correlation_keys: tuple[str, ...],
    now: datetime,
) -> IncidentRecord:
    """Return the record of an incident that begins with ``signal``."""
    incident = signal.incident
    record = IncidentRecord(
        key=key,
        visibility=visibility,
        storm=storm,
        source=incident.source,
        opened_by=signal.alert_key,
        title=title,
        severity=incident.severity,
        services=_names(incident.services),
        env=shorten(incident.env, MAX_TEXT) if incident.env else None,
        teams=_names(incident.teams),
        correlation_keys=correlation_keys[:MAX_NAMES],
        opened_at=now,
        last_signal_at=now,
        alerts={signal.alert_key: _new_alert(signal)},
        deliveries=(signal.fingerprint,),
        room=Room(channel_id=incident.slack_channel_id),
        source_status=incident.status,
        commander=incident.commander,
        responders=incident.responders[:MAX_RESPONDERS],
    )
    # A room's brief tells what began; a thread has only its updates.
    return record if visibility is Visibility.ROOM else with_item(record, _item(signal, UpdateKind.OPENED, now))


def with_delivery(record: IncidentRecord, signal: Signal, now: datetime) -> IncidentRecord:
    """Return the record that knows of the delivery, and nothing else of it."""
    return record.model_copy(
        update={
            "notifications": record.notifications + 1,
            "deliveries": (*record.deliveries, signal.fingerprint)[-MAX_DELIVERIES:],
            "last_signal_at": max(record.last_signal_at, now),
        }
    )


def with_firing_alert(record: IncidentRecord, signal: Signal, kind: UpdateKind, now: datetime) -> IncidentRecord:
    """Return the record in which the signal's alert fires; ``kind`` says what that is to the incident."""
    record = _with_alert(with_delivery(record, signal, now), signal)
    if kind is UpdateKind.REPEATED:
        record = record.model_copy(update={"repeats": record.repeats + 1})
    if kind is not UpdateKind.REOPENED:
        record = with_item(record, _item(signal, kind, now))
    return _with_news(record, signal, now)


def reopened(record: IncidentRecord, signal: Signal, now: datetime) -> IncidentRecord:
    """Return the record that is open again."""
    recoveries = (*record.earlier_recoveries, *([record.recovered_at] if record.recovered_at else []))
    record = record.model_copy(
        update={
            "earlier_recoveries": recoveries[-MAX_REOPENINGS:],
            "status": Status.OPEN,
            "recovered_at": None,
            "resolved_at": None,
            "reopened": record.reopened + 1,
            "reopened_at": (*record.reopened_at, now)[-MAX_REOPENINGS:],
        }
    )
    return with_item(record, _item(signal, UpdateKind.REOPENED, now, whole=True))


def recovered(record: IncidentRecord, signal: Signal, now: datetime) -> IncidentRecord:
    """Return the record in which all alerts of the signal's group are well again, those of earlier cycles too.

    An open incident without another alert that fires is recovered.
    """
    ended = {alert.key for alert in record.alerts.values() if is_ended_by(alert, signal)}
    prefix = condensed_prefix(signal.group)
    record = with_delivery(record, signal, now).model_copy(
        update={
            "alerts": {
                key: _recovered(alert, signal) if key in ended else alert for key, alert in record.alerts.items()
            },
            "condensed": {
                name: None if name.startswith(prefix) else severity for name, severity in record.condensed.items()
            },
        }
    )
    if record.firing_count or record.status is not Status.OPEN:
        record = with_item(record, _item(signal, UpdateKind.ALERT_RECOVERED, now))
        return _with_news(record, signal, now)
    record = record.model_copy(update={"status": Status.RECOVERED, "recovered_at": now})
    record = with_item(record, _item(signal, UpdateKind.RECOVERED, now, whole=True))
    return _with_source_update(record, signal, now)


def promoted(record: IncidentRecord, visibility: Visibility, now: datetime) -> IncidentRecord:
    """Return the record that shows in a more visible place."""
    item = UpdateItem(kind=UpdateKind.VISIBILITY, at=now, before=record.visibility, after=visibility)
    return with_item(record.model_copy(update={"visibility": visibility}), item)


def _with_alert(record: IncidentRecord, signal: Signal) -> IncidentRecord:
    known = record.alerts.get(signal.alert_key)
    name = condensed_key(signal.group, signal.alert_key)
    if known is None and name in record.condensed:
        return record.model_copy(update={"condensed": {**record.condensed, name: signal.incident.severity}})
    alert = _new_alert(signal)
    if known is not None:
        last_at = max(known.last_at, alert.last_at)
        alert = alert.model_copy(update={"first_at": known.first_at, "last_at": last_at, "count": known.count + 1})
    return record.model_copy(update={"alerts": {**record.alerts, signal.alert_key: alert}})


def _with_news(record: IncidentRecord, signal: Signal, now: datetime) -> IncidentRecord:
    """Return the record with what follows from its alerts, and from what the source itself says of the incident."""
    record, severity = _with_severity(record)
    record = _changed(record, UpdateKind.SEVERITY, "severity", severity, now)
    if not signal.is_recovery:
        record = _with_responders(record, signal, now)
        record = record.model_copy(
            update={
                "services": _names((*record.services, *signal.incident.services)),
                "teams": _names((*record.teams, *signal.incident.teams)),
            }
        )
    return _with_source_update(record, signal, now)


def firing_severity(record: IncidentRecord) -> Severity | None:
    """Return the worst severity of the firing alerts; ``None`` if none fires."""
    firing = [alert.severity for alert in record.alerts.values() if alert.firing]
    firing += [severity for severity in record.condensed.values() if severity is not None]
    return worst_severity(firing) if firing else None


def _with_severity(record: IncidentRecord) -> tuple[IncidentRecord, Severity]:
    """Return the incident's severity: a person's choice until a worse alert fires, else the worst of its alerts."""
    worst, override = firing_severity(record), record.coordination.severity
    if override is None or worst is None:
        return record, worst or record.severity
    if worst_severity((worst, override.worst)) is override.worst:
        return record, override.chosen
    coordination = record.coordination.model_copy(update={"severity": None})
    return record.model_copy(update={"coordination": coordination}), worst


def _with_source_update(record: IncidentRecord, signal: Signal, now: datetime) -> IncidentRecord:
    """Return the record that follows its own Datadog incident: title, status, commander, Slack channel."""
    told = signal.incident
    if told.source is not Source.DATADOG_INCIDENT or signal.alert_key != record.opened_by:
        return record
    record = _changed(record, UpdateKind.TITLE, "title", told.title, now)
    if told.status is not None:
        record = _changed(record, UpdateKind.STATUS, "source_status", told.status, now)
    if told.commander is not None:
        record = _changed(record, UpdateKind.COMMANDER, "commander", told.commander, now)
    if told.slack_channel_id is not None and record.room.channel_id is None:
        room = record.room.model_copy(update={"channel_id": told.slack_channel_id})
        record = record.model_copy(update={"room": room})
    return record


def _with_responders(record: IncidentRecord, signal: Signal, now: datetime) -> IncidentRecord:
    known = {name.casefold() for name in record.responders}
    new = tuple(name for name in signal.incident.responders if name.casefold() not in known)
    if not new:
        return record
    record = record.model_copy(update={"responders": (*record.responders, *new)[:MAX_RESPONDERS]})
    return with_item(record, UpdateItem(kind=UpdateKind.RESPONDERS, at=now, names=new))


def _changed(record: IncidentRecord, kind: UpdateKind, field: str, value: str, now: datetime) -> IncidentRecord:
    before = getattr(record, field)
    if before == value:
        return record
    record = record.model_copy(update={field: value})
    return with_item(record, UpdateItem(kind=kind, at=now, before=before or "", after=value))


def _new_alert(signal: Signal) -> AlertState:
    incident = signal.incident
    return AlertState(
        key=signal.alert_key,
        group=signal.group,
        title=shorten(incident.title, MAX_TEXT),
        severity=incident.severity,
        monitor_id=next(iter(incident.monitor_ids), None),
        scope=_sorted_scope(incident.scope),
        transition=signal.kind,
        first_at=incident.occurred_at,
        last_at=incident.occurred_at,
    )


def _recovered(alert: AlertState, signal: Signal) -> AlertState:
    return alert.model_copy(
        update={
            "firing": False,
            "transition": str(signal.kind),
            "last_at": signal.incident.occurred_at,
            "count": alert.count + 1,
        }
    )


def _item(signal: Signal, kind: UpdateKind, now: datetime, *, whole: bool = False) -> UpdateItem:
    """Return an update that tells of the signal: about its alert, or about the ``whole`` incident."""
    return UpdateItem(
        kind=kind,
        at=now,
        alert=None if whole else signal.alert_key,
        title=shorten(signal.incident.title, MAX_TEXT),
        after=str(signal.kind),
    )


def _sorted_scope(scope: str | None) -> str | None:
    """Return a scope in an order of its own: Datadog's is not sure to stay."""
    parts = sorted({part.strip() for part in (scope or "").split(",")} - {""})
    return shorten(",".join(parts), MAX_TEXT) if parts else None


def _names(names: Iterable[str]) -> tuple[str, ...]:
    kept: dict[str, str] = {}
    for name in sorted(names):
        kept.setdefault(name.casefold(), shorten(name, MAX_TEXT))
    return tuple(kept.values())[:MAX_NAMES]


def with_item(record: IncidentRecord, item: UpdateItem) -> IncidentRecord:
    """Return the record with ``item`` pending; an incident that is only recorded posts nothing.

    A change that was taken back before it was posted leaves nothing to post.
    """
    if record.visibility is Visibility.RECORD:
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
