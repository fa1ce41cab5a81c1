"""What one delivery says of an alert: which one, what became of it, and what tells a redelivery."""

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
"""How soon the same words again are the same delivery, where the sender gave it neither an id nor a time.

Up to twice as long: time is cut into windows, and the one before counts too.
"""

_DATADOG = "datadog"


class SignalKind(StrEnum):
    """What a signal calls itself: a monitor's transition, a change of a Datadog incident, or a person's words."""

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
    """One delivery, read.

    ``alert_key`` tells alerts apart, from trigger to recovery; ``group`` is the same again in the next cycle.
    ``key_inputs`` is what the key was made of. ``over`` says that the alert is well again. ``delivery`` is what a
    redelivery has in common with the first; ``delivered_as`` is everything that the first may be known by. ``conf``
    is what a run would be given.
    """

    kind: SignalKind
    alert_key: str
    group: str
    key_inputs: dict[str, str]
    over: bool
    delivery: str
    delivered_as: tuple[str, ...]
    delivery_id: str | None
    incident: Incident
    received_at: UtcDatetime
    conf: dict[str, Any]


def read_signal(conf: Mapping[str, object], *, received_at: datetime, routing: RoutingTable) -> Signal:
    """Return what ``conf`` says: a Datadog payload, alone or under ``datadog``, or the fields of an incident.

    :param received_at: when it reached us (aware).
    :raises InvalidPayloadError: if it cannot be read; nothing else is ever raised.
    """
    told = read_notification(conf, received_at=received_at, routing=routing)
    kind = _kind(told)
    # A payload without a cycle key has a key of its own in each notification: only its group tells a repeat.
    alert_key = told.incident.key if told.has_cycle else told.group
    run_conf = _run_conf(conf, told.incident)
    deliveries = _deliveries(told, alert_key, kind, run_conf)
    return Signal(
        kind=kind,
        alert_key=alert_key,
        group=told.group,
        key_inputs=dict(told.key_inputs),
        over=told.over is not None,
        delivery=deliveries[0],
        delivered_as=deliveries,
        delivery_id=told.delivery_id,
        incident=told.incident,
        received_at=received_at,
        conf=run_conf,
    )


def _kind(told: Notification) -> SignalKind:
    if told.incident.source is Source.MANUAL:
        return SignalKind.MANUAL
    if told.incident.source is Source.DATADOG_INCIDENT:
        return _kind_of_incident(told)
    known = _TRANSITIONS.get(told.incident.transition or "")
    if known is None and told.over is not None:
        return SignalKind.RECOVERED
    return known or SignalKind.UNKNOWN


def _kind_of_incident(told: Notification) -> SignalKind:
    """Return what happened to a Datadog incident: by its status, else by the words of the event."""
    if told.over is not None:
        return SignalKind.INCIDENT_RESOLVED
    said = (told.headline or "").casefold()
    created = any(word in said for word in _CREATION_WORDS)
    return SignalKind.INCIDENT_CREATED if created else SignalKind.INCIDENT_UPDATED


def _deliveries(
    told: Notification, alert_key: str, kind: SignalKind, conf: Mapping[str, object]
) -> tuple[str, ...]:
    """Return what tells a redelivery, and then what else the first may be known by.

    It is the sender's id for this alert, else what the notification says at its time; without a time of its own,
    all that was sent, for a while: told again later, it is news.
    """
    incident = told.incident
    if told.delivery_id is not None:
        return (_digest(alert_key, kind, told.delivery_id),)
    if incident.occurred_at != incident.received_at:
        said = incident.occurred_at, incident.severity, incident.title, incident.status
        return (_digest(alert_key, kind, None, *said),)
    window = int(incident.received_at.timestamp() // REDELIVERY_WINDOW.total_seconds())
    content = json.dumps(conf, sort_keys=True, default=str)
    return _digest(kind, content, window), _digest(kind, content, window - 1)


def _digest(*parts: object) -> str:
    return digest_of(parts, 12)


def _run_conf(conf: Mapping[str, object], incident: Incident) -> dict[str, Any]:
    """Return the conf with a Datadog payload under its name, so that something of ours can stand beside it."""
    if incident.source is Source.MANUAL or _DATADOG in conf:
        return dict(conf)
    return {_DATADOG: dict(conf)}
