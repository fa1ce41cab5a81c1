"""A parsed notification: alert identity, transition, and redelivery fingerprint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from airflow_incident_provider.intake.conf import read_notification
from airflow_incident_provider.intake.notification import Notification
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.models import Incident, Model, Source, UtcDatetime
from airflow_incident_provider.text import digest_of

REDELIVERY_WINDOW = timedelta(minutes=1)
"""How long the same content counts as the same delivery, if the sender gave it neither an id nor a time.

Up to twice as long: time is divided into windows, and the previous one counts too.
"""

_DATADOG = "datadog"


class SignalKind(StrEnum):
    """The transition of a monitor, the change of a Datadog incident, or a manual report."""

    TRIGGERED = "Triggered"
    RE_TRIGGERED = "Re-Triggered"
    WARN = "Warn"
    RE_WARN = "Re-Warn"
    NO_DATA = "No Data"
    RE_NO_DATA = "Re-No Data"
    RENOTIFY = "Renotify"
    RECOVERED = "Recovered"
    WARN_RECOVERED = "Warn Recovered"
    UNKNOWN = "unknown"
    INCIDENT_CREATED = "incident created"
    INCIDENT_UPDATED = "incident updated"
    INCIDENT_RESOLVED = "incident resolved"
    MANUAL = "manual"


_TRANSITIONS = {str(kind): kind for kind in SignalKind if kind.value[0].isupper()}
_CREATION_WORDS = ("declared", "created")


class Signal(Model):
    """A parsed notification.

    ``alert_key`` identifies the alert from trigger to recovery; ``group`` identifies it across cycles.
    ``key_inputs`` are the values that the key was made of. ``fingerprint`` identifies this delivery; a
    redelivery has one of ``fingerprints``. ``conf`` is the conf for a run about this alert.
    """

    kind: SignalKind
    alert_key: str
    group: str
    key_inputs: dict[str, str]
    is_recovery: bool
    fingerprint: str
    fingerprints: tuple[str, ...]
    delivery_id: str | None
    incident: Incident
    received_at: UtcDatetime
    conf: dict[str, Any]


def read_signal(conf: Mapping[str, object], *, received_at: datetime, routing: RoutingTable) -> Signal:
    """Parse ``conf``: a Datadog payload, alone or under ``datadog``, or the fields of an incident.

    :param received_at: when the notification arrived (aware).
    :raises InvalidPayloadError: if it cannot be parsed; nothing else is ever raised.
    """
    notification = read_notification(conf, received_at=received_at, routing=routing)
    kind = _kind(notification)
    # Without a cycle key each notification has a key of its own: only the group identifies a repetition.
    alert_key = notification.incident.key if notification.has_cycle else notification.group
    run_conf = _run_conf(conf, notification.incident)
    fingerprints = _fingerprints(notification, alert_key, kind, run_conf)
    return Signal(
        kind=kind,
        alert_key=alert_key,
        group=notification.group,
        key_inputs=dict(notification.key_inputs),
        is_recovery=notification.over is not None,
        fingerprint=fingerprints[0],
        fingerprints=fingerprints,
        delivery_id=notification.delivery_id,
        incident=notification.incident,
        received_at=received_at,
        conf=run_conf,
    )


def _kind(notification: Notification) -> SignalKind:
    if notification.incident.source is Source.MANUAL:
        return SignalKind.MANUAL
    if notification.incident.source is Source.DATADOG_INCIDENT:
        return _kind_of_incident(notification)
    known = _TRANSITIONS.get(notification.incident.transition or "")
    if known is None and notification.over is not None:
        return SignalKind.RECOVERED
    return known or SignalKind.UNKNOWN


def _kind_of_incident(notification: Notification) -> SignalKind:
    """Return the change of a Datadog incident: by its status, else by the words of the event."""
    if notification.over is not None:
        return SignalKind.INCIDENT_RESOLVED
    words = (notification.headline or "").casefold()
    created = any(word in words for word in _CREATION_WORDS)
    return SignalKind.INCIDENT_CREATED if created else SignalKind.INCIDENT_UPDATED


def _fingerprints(
    notification: Notification, alert_key: str, kind: SignalKind, conf: Mapping[str, object]
) -> tuple[str, ...]:
    """Return the fingerprint of this delivery, then the others that the first delivery may have.

    It is made of the sender's delivery id, else of the content and its time; without a time, of the content and the
    current window: the same content later is news.
    """
    incident = notification.incident
    if notification.delivery_id is not None:
        return (_digest(alert_key, kind, notification.delivery_id),)
    if incident.occurred_at != incident.received_at:
        stated = incident.occurred_at, incident.severity, incident.title, incident.status
        return (_digest(alert_key, kind, None, *stated),)
    window = int(incident.received_at.timestamp() // REDELIVERY_WINDOW.total_seconds())
    content = json.dumps(conf, sort_keys=True, default=str)
    return _digest(kind, content, window), _digest(kind, content, window - 1)


def _digest(*parts: object) -> str:
    return digest_of(parts, 12)


def _run_conf(conf: Mapping[str, object], incident: Incident) -> dict[str, Any]:
    """Return the conf with a Datadog payload under ``datadog``, so that other keys can be added beside it."""
    if incident.source is Source.MANUAL or _DATADOG in conf:
        return dict(conf)
    return {_DATADOG: dict(conf)}
