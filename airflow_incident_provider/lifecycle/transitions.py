"""How a signal changes a record, and the updates that it leaves to post. Nothing here decides whether it should."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from airflow_incident_provider.lifecycle.matching import condensed_names, find_alert, may_share, more_visible
from airflow_incident_provider.lifecycle.records import (
    MAX_CORRELATION_KEYS,
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
    TimelineEvent,
    UpdateItem,
    UpdateKind,
    Visibility,
    condensed_key,
    with_timeline_event,
)
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.models import Severity, Source
from airflow_incident_provider.text import distinct, shorten

_ABOUT_ONE_ALERT = frozenset(
    {UpdateKind.JOINED, UpdateKind.REPEATED, UpdateKind.FIRING_AGAIN, UpdateKind.ALERT_RECOVERED}
)
"""Kinds of which there can be as many as alerts: dropped first. Of others there is one, or what people wrote."""

_VALUE_CHANGES = frozenset(
    {UpdateKind.SEVERITY, UpdateKind.VISIBILITY, UpdateKind.TITLE, UpdateKind.STATUS, UpdateKind.COMMANDER}
)
"""Kinds that report a value before and after: one that was taken back is not reported."""

_IN_TIMELINE = frozenset(
    set(UpdateKind) - {UpdateKind.REPEATED, UpdateKind.RESPONDERS, UpdateKind.STATUS_UPDATE, UpdateKind.ITEM}
)
_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


def worst_severity(severities: Iterable[Severity]) -> Severity:
    """Return the worst severity."""
    return min(severities, key=_RANKS.__getitem__)


def is_worse(one: str | None, other: str | None) -> bool:
    """Return whether a severity is worse than another one."""
    ranks = {str(severity): rank for severity, rank in _RANKS.items()}
    return ranks.get(str(one), len(ranks)) < ranks.get(str(other), len(ranks))


def makes_worse(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether the alert got worse, and the incident with it; a severity's first statement is no change."""
    if not signal.severity_stated or not is_worse(signal.severity, record.severity):
        return False
    alert = find_alert(record, signal)
    return alert is None or (alert.severity_stated and is_worse(signal.severity, alert.severity))


# --- new records and deliveries ---------------------------------------------------------------------


def new_record(
    signal: Signal,
    *,
    key: str,
    dag_id: str,
    visibility: Visibility,
    title: str,
    storm: bool,
    correlation_keys: tuple[str, ...],
    now: datetime,
) -> IncidentRecord:
    """Return the record of an incident that ``signal`` opens."""
    incident = signal.incident
    record = IncidentRecord(
        key=key,
        dag_id=dag_id,
        visibility=visibility,
        private=signal.private,
        privacy_assumed=signal.privacy_assumed,
        storm=storm,
        drill=signal.drill,
        source=incident.source,
        opened_by=signal.alert_key,
        title=title,
        severity=incident.severity,
        services=_bounded_names(incident.services),
        env=shorten(incident.env, MAX_TEXT) if incident.env else None,
        teams=_bounded_names(incident.teams),
        correlation_keys=correlation_keys[:MAX_CORRELATION_KEYS],
        began_at=incident.occurred_at,
        opened_at=now,
        last_signal_at=now,
        last_news_at=now,
        fired=1,
        alerts={signal.alert_key: _new_alert(signal)},
        deliveries=(signal.fingerprint,),
        room=Room(channel_id=incident.slack_channel_id),
        source_status=incident.status,
        commander=incident.commander,
        responders=incident.responders[:MAX_RESPONDERS],
    )
    item = _item(record, signal, UpdateKind.OPENED, now)
    # The brief of a room reports how the incident began; a thread has only its updates.
    return _in_timeline(record, item) if visibility is Visibility.ROOM else with_item(record, item)


def with_delivery(record: IncidentRecord, signal: Signal) -> IncidentRecord:
    """Return the record that recognises a redelivery of the signal, and is otherwise unchanged."""
    deliveries = (*record.deliveries, signal.fingerprint)[-MAX_DELIVERIES:]
    return record.model_copy(update={"deliveries": deliveries})


def _with_notification(record: IncidentRecord, signal: Signal, now: datetime) -> IncidentRecord:
    """Return the record that has accepted and counted the notification."""
    return with_delivery(record, signal).model_copy(
        update={
            "notifications": record.notifications + 1,
            "fired": record.times_fired + signal.may_open,
            "last_signal_at": max(record.last_signal_at, now),
        }
    )


# --- changes ----------------------------------------------------------------------------------------


def with_firing_alert(record: IncidentRecord, signal: Signal, kind: UpdateKind, now: datetime) -> IncidentRecord:
    """Return the record in which the signal's alert fires; ``kind`` is what that means for the incident."""
    before = find_alert(record, signal)
    record = _with_alert(_with_notification(record, signal, now), signal)
    if kind is UpdateKind.REPEATED:
        record = record.model_copy(update={"repeats": record.repeats + 1})
    else:
        record = _with_news_at(record, now)
    if kind is not UpdateKind.REOPENED:
        item = _item(record, signal, kind, now)
        if kind is UpdateKind.REPEATED and before is not None:
            item = item.model_copy(update={"before": before.transition})
        record = with_item(record, item)
    return _with_consequences(record, signal, now)


def with_news(record: IncidentRecord, signal: Signal, now: datetime) -> IncidentRecord:
    """Return the record after news of a firing alert, such as its severity: it neither fires again nor ends."""
    record = _with_notification(record, signal, now)
    known = find_alert(record, signal)
    if known is not None:
        severity = signal.severity if signal.severity_stated else known.severity
        update = {
            "severity": severity,
            "severity_stated": signal.severity_stated or known.severity_stated,
            "last_at": max(known.last_at, signal.event_at),
        }
        alerts = {**record.alerts, known.key: known.model_copy(update=update)}
        record = record.model_copy(update={"alerts": alerts})
    return _with_consequences(record, signal, now)


def repeated_after_resolution(record: IncidentRecord, signal: Signal, now: datetime) -> IncidentRecord:
    """Return the record of a resolved incident that counts a repetition, and stays resolved."""
    record = _with_alert(_with_notification(record, signal, now), signal)
    return record.model_copy(update={"repeats": record.repeats + 1})


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
    return with_item(record, _item(record, signal, UpdateKind.REOPENED, now, whole=True))


def with_recovery(record: IncidentRecord, signal: Signal, now: datetime) -> IncidentRecord:
    """Return the record in which the signal's group has recovered.

    An open incident without another firing alert is recovered.
    """
    alert = find_alert(record, signal)
    alerts = _without_group(record, signal)
    if alert is not None:
        alerts[alert.key] = _recovered_alert(alert, signal)
    record = _with_notification(record, signal, now).model_copy(
        update={
            "alerts": alerts,
            "condensed": {**record.condensed, **dict.fromkeys(condensed_names(record, signal))},
        }
    )
    record = _with_news_at(record, now)
    if record.firing_count or record.status is not Status.OPEN:
        record = with_item(record, _item(record, signal, UpdateKind.ALERT_RECOVERED, now))
        return _with_consequences(record, signal, now)
    record = record.model_copy(update={"status": Status.RECOVERED, "recovered_at": now})
    record = with_item(record, _item(record, signal, UpdateKind.RECOVERED, now, whole=True))
    return _with_source_update(record, signal, now)


def promoted(record: IncidentRecord, visibility: Visibility, now: datetime) -> IncidentRecord:
    """Return the record that is shown in a more visible place; a less visible one changes nothing."""
    visibility = more_visible(record.visibility, visibility)
    if visibility is record.visibility:
        return record
    item = UpdateItem(kind=UpdateKind.VISIBILITY, at=now, before=record.visibility, after=visibility)
    return with_item(record.model_copy(update={"visibility": visibility}), item)


def expired(record: IncidentRecord, now: datetime) -> IncidentRecord:
    """Return the record of an incident that is closed after a long time without an alert or an action."""
    alerts = {key: alert.model_copy(update={"firing": False}) for key, alert in record.alerts.items()}
    record = record.model_copy(
        update={
            "status": Status.RESOLVED,
            "resolved_at": now,
            "alerts": alerts,
            "condensed": dict.fromkeys(record.condensed),
        }
    )
    return with_item(record, UpdateItem(kind=UpdateKind.EXPIRED, at=now))


def _with_alert(record: IncidentRecord, signal: Signal) -> IncidentRecord:
    """Return the record in which the group fires: a new cycle takes the place of the earlier one."""
    name = condensed_key(signal.group, signal.alert_key)
    of_group = set(condensed_names(record, signal))
    condensed = {key: value for key, value in record.condensed.items() if key not in of_group}
    known = find_alert(record, signal)
    if known is None and len(condensed) < len(record.condensed):
        return record.model_copy(update={"condensed": {**condensed, name: signal.severity}})
    alert = _new_alert(signal)
    if known is not None:
        alert = alert.model_copy(
            update={
                "first_at": min(known.first_at, alert.first_at),
                "last_at": max(known.last_at, alert.last_at),
                "count": known.count + 1,
                "severity": alert.severity if signal.severity_stated else known.severity,
                "severity_stated": signal.severity_stated or known.severity_stated,
            }
        )
    alerts = {**_without_group(record, signal), signal.alert_key: alert}
    return record.model_copy(update={"condensed": condensed, "alerts": alerts})


def _without_group(record: IncidentRecord, signal: Signal) -> dict[str, AlertState]:
    """Return the alerts of other groups. Version 1 had an entry for each cycle of a group."""
    return {
        key: alert
        for key, alert in record.alerts.items()
        if alert.group != signal.group and key != signal.alert_key
    }


def _with_consequences(record: IncidentRecord, signal: Signal, now: datetime) -> IncidentRecord:
    """Return the record with the severity of its firing alerts, new responders, and updates from the source."""
    record, severity = _with_severity(record)
    record = _with_value(record, UpdateKind.SEVERITY, "severity", severity, now)
    if not signal.is_recovery:
        record = _with_responders(record, signal, now)
        record = record.model_copy(
            update={
                "services": _bounded_names((*record.services, *signal.incident.services)),
                "teams": _bounded_names((*record.teams, *signal.incident.teams)),
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
    source = signal.incident
    if source.source is not Source.DATADOG_INCIDENT or signal.alert_key != record.opened_by:
        return record
    if may_share(record, signal):
        record = _with_value(record, UpdateKind.TITLE, "title", source.title, now)
    if source.status is not None:
        record = _with_value(record, UpdateKind.STATUS, "source_status", source.status, now)
    if source.commander is not None:
        record = _with_value(record, UpdateKind.COMMANDER, "commander", source.commander, now)
    if source.slack_channel_id is not None and record.room.channel_id is None:
        room = record.room.model_copy(update={"channel_id": source.slack_channel_id})
        record = record.model_copy(update={"room": room})
    return record


def _with_responders(record: IncidentRecord, signal: Signal, now: datetime) -> IncidentRecord:
    known = {name.casefold() for name in record.responders}
    new = tuple(name for name in signal.incident.responders if name.casefold() not in known)
    if not new:
        return record
    record = record.model_copy(update={"responders": (*record.responders, *new)[:MAX_RESPONDERS]})
    return with_item(record, UpdateItem(kind=UpdateKind.RESPONDERS, at=now, names=new))


def _with_value(record: IncidentRecord, kind: UpdateKind, field: str, value: str, now: datetime) -> IncidentRecord:
    before = getattr(record, field)
    if before == value:
        return record
    record = _with_news_at(record.model_copy(update={field: value}), now)
    return with_item(record, UpdateItem(kind=kind, at=now, before=before or "", after=value))


def _with_news_at(record: IncidentRecord, now: datetime) -> IncidentRecord:
    return record.model_copy(update={"last_news_at": max(record.news_at, now)})


def _new_alert(signal: Signal) -> AlertState:
    incident = signal.incident
    return AlertState(
        key=signal.alert_key,
        group=signal.group,
        title=shorten(incident.title, MAX_TEXT),
        severity=incident.severity,
        severity_stated=signal.severity_stated,
        monitor_id=next(iter(incident.monitor_ids), None),
        scope=_sorted_scope(incident.scope),
        transition=signal.kind,
        first_at=incident.occurred_at,
        last_at=signal.event_at,
    )


def _recovered_alert(alert: AlertState, signal: Signal) -> AlertState:
    return alert.model_copy(
        update={
            "firing": False,
            "transition": str(signal.kind),
            "last_at": max(alert.last_at, signal.event_at),
            "count": alert.count + 1,
        }
    )


# --- updates ----------------------------------------------------------------------------------------


def with_item(record: IncidentRecord, item: UpdateItem) -> IncidentRecord:
    """Return the record with the change in its timeline and, unless it is only recorded, pending to be posted.

    A change of a value that was taken back before it was posted leaves nothing to post.
    """
    record = _in_timeline(record, item)
    if record.visibility is Visibility.RECORD:
        return record
    items = {(pending.kind, pending.alert): pending for pending in record.pending}
    slot = (item.kind, item.alert)
    merged = _merged(items.pop(slot), item) if slot in items else item
    if merged.kind not in _VALUE_CHANGES or merged.before != merged.after:
        items[slot] = merged
    kept = tuple(items.values())
    dropped = _least_important(kept)
    return record.model_copy(
        update={
            "pending": tuple(pending for pending in kept if pending is not dropped),
            "pending_dropped": record.pending_dropped + (dropped.count if dropped else 0),
        }
    )


def _in_timeline(record: IncidentRecord, item: UpdateItem) -> IncidentRecord:
    if item.kind not in _IN_TIMELINE:
        return record
    event = TimelineEvent(kind=item.kind, at=item.at, before=item.before, after=item.after, by=item.actor)
    return with_timeline_event(record, event)


def _item(
    record: IncidentRecord, signal: Signal, kind: UpdateKind, now: datetime, *, whole: bool = False
) -> UpdateItem:
    """Return an update about the signal's alert, or about the ``whole`` incident.

    The text of a private alert never goes into an update of a public incident: its recovery is reported without.
    """
    shareable = may_share(record, signal)
    measurement = next((metric.value for metric in signal.incident.metrics if metric.value), None)
    return UpdateItem(
        kind=kind,
        at=now,
        alert=None if whole else signal.alert_key,
        title=shorten(signal.incident.title, MAX_TEXT) if shareable else None,
        after=str(signal.kind),
        value=shorten(measurement, MAX_TEXT) if measurement and shareable else None,
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


def _least_important(items: tuple[UpdateItem, ...]) -> UpdateItem | None:
    """Return the update to drop, if there are too many."""
    if len(items) <= MAX_PENDING:
        return None
    about_alerts = (item for item in items if item.kind in _ABOUT_ONE_ALERT)
    # What people wrote is in the record, too.
    written = (item for item in items if item.alert is not None)
    return next(about_alerts, next(written, None))


def _sorted_scope(scope: str | None) -> str | None:
    """Return a scope in a stable order, which Datadog does not promise."""
    parts = sorted({part.strip() for part in (scope or "").split(",")} - {""})
    return shorten(",".join(parts), MAX_TEXT) if parts else None


def _bounded_names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(shorten(name, MAX_TEXT) for name in distinct(sorted(names)))[:MAX_NAMES]
