"""A parsed notification: alert identity, transition, and redelivery fingerprint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from airflow_incident_provider.config import ConfKey
from airflow_incident_provider.intake.conf import read_notification
from airflow_incident_provider.intake.notification import FormerKeys, Notification
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.models import Incident, Model, Severity, Source, UtcDatetime
from airflow_incident_provider.text import digest_of, redact_values

REDELIVERY_WINDOW = timedelta(minutes=1)
"""How long the same content counts as the same delivery, if the sender gave it neither an id nor a time.

Up to twice as long: time is divided into windows, and the previous one counts too.
"""

CONTENT_MARK = "~"
"""First character of a fingerprint that is made of the content alone: only by it such a delivery can be found."""

_FINGERPRINT_DIGITS = 16
_PRIVATE = "private"
"""The field of a conf that makes an incident private, beside any payload."""


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
_REPETITIONS = frozenset(
    {
        SignalKind.RE_TRIGGERED,
        SignalKind.RE_WARN,
        SignalKind.RE_NO_DATA,
        SignalKind.RENOTIFY,
        SignalKind.UNKNOWN,
        SignalKind.INCIDENT_UPDATED,
    }
)
"""Notifications that say that an alert still fires, not that it begins to."""


class Signal(Model):
    """A parsed notification.

    ``alert_key`` identifies the alert from trigger to recovery; ``group`` identifies it across cycles.
    ``key_inputs`` are the values that the key was made of. ``fingerprint`` identifies this delivery; a redelivery
    has one of ``fingerprints``. ``event_at`` is when the event happened: by the sender's clock if it ``is_dated``,
    else the arrival. ``conf`` is the conf for a run about this alert. ``may_open`` is false for news that opens no
    incident. ``severity_stated`` is false if the severity is only a default. ``privacy_assumed`` is true if the
    alert is private only because parts of its notification are missing, and ``scope_unknown`` if its group may be
    among them. ``former_keys`` are those that version
    0.1.0 stored for the same alert.
    """

    kind: SignalKind
    alert_key: str
    group: str
    key_inputs: dict[str, str]
    is_recovery: bool
    fingerprint: str
    fingerprints: tuple[str, ...]
    delivery_id: str | None
    event_at: UtcDatetime
    is_dated: bool
    incident: Incident
    received_at: UtcDatetime
    conf: dict[str, Any]
    may_open: bool = True
    severity_stated: bool = True
    privacy_assumed: bool = False
    scope_unknown: bool = False
    former_keys: FormerKeys | None = None

    def with_former_keys(self) -> Signal:
        """Return the signal under the key and group by which version 0.1.0 stored its alert."""
        former = self.former_keys
        if former is None:
            return self
        key = former.key if self.has_cycle else former.group
        return self.model_copy(update={"alert_key": key, "group": former.group, "former_keys": None})

    def of_known_group(self, known: Iterable[tuple[str, str]]) -> Signal:
        """Return the signal of the one group that has its cycle, if its own may be missing.

        :param known: key and group of each alert on record.
        """
        if not (self.scope_unknown and self.has_cycle):
            return self
        found = {key: group for key, group in known if key.startswith(f"{self.alert_key}.")}
        if len(found) != 1:
            return self
        [(alert_key, group)] = found.items()
        return self.model_copy(update={"alert_key": alert_key, "group": group, "scope_unknown": False})

    def made_private(self) -> Signal:
        """Return the signal of an alert that is private though this notification does not say so."""
        route = self.incident.route.model_copy(update={"private": True})
        conf = {**self.conf, _PRIVATE: True}
        return self.model_copy(update={"incident": self.incident.model_copy(update={"route": route}), "conf": conf})

    @property
    def private(self) -> bool:
        """Whether only invited people may see the alert."""
        return self.incident.route.private

    @property
    def drill(self) -> bool:
        """Whether nothing is wrong: a drill, or a test notification. Such an alert and a real one share nothing."""
        return self.incident.is_drill

    @property
    def severity(self) -> Severity:
        """The severity, after the rules of the routing table."""
        return self.incident.severity

    @property
    def has_cycle(self) -> bool:
        """Whether the key distinguishes one cycle of the alert from the next."""
        return self.alert_key != self.group

    @property
    def is_repetition(self) -> bool:
        """Whether the notification says that an alert still fires, not that it begins to."""
        return self.kind in _REPETITIONS


def read_signal(conf: Mapping[str, object], *, received_at: datetime, routing: RoutingTable) -> Signal:
    """Parse ``conf``: a Datadog payload, alone or under ``datadog``, or the fields of an incident.

    :param received_at: when the notification arrived (aware).
    :raises InvalidPayloadError: if it cannot be parsed; nothing else is ever raised.
    """
    notification = read_notification(conf, received_at=received_at, routing=routing)
    incident = notification.incident
    kind = _kind(notification)
    # Without a cycle key each notification has a key of its own: only the group identifies a repetition.
    alert_key = incident.key if notification.has_cycle else notification.group
    # A person reports when the trouble began; the report itself is new when it arrives.
    event_at = incident.notified_at
    is_dated = event_at != incident.received_at
    run_conf = _run_conf(conf, incident)
    fingerprints = _fingerprints(notification, alert_key, kind, run_conf, event_at if is_dated else None)
    return Signal(
        kind=kind,
        alert_key=alert_key,
        group=notification.group,
        key_inputs=dict(notification.key_inputs),
        is_recovery=notification.recovery_reason is not None,
        fingerprint=fingerprints[0],
        fingerprints=fingerprints,
        delivery_id=notification.delivery_id,
        event_at=event_at,
        is_dated=is_dated,
        incident=incident,
        received_at=received_at,
        conf=run_conf,
        may_open=notification.may_open,
        severity_stated=notification.severity_stated,
        privacy_assumed=notification.privacy_assumed,
        scope_unknown=notification.scope_unknown,
        former_keys=notification.former_keys,
    )


def _kind(notification: Notification) -> SignalKind:
    if notification.incident.source is Source.DATADOG_INCIDENT:
        return _kind_of_incident(notification)
    if notification.incident.source is Source.MANUAL:
        return SignalKind.MANUAL if notification.recovery_reason is None else SignalKind.RECOVERED
    known = _TRANSITIONS.get(notification.incident.transition or "")
    if known is None and notification.recovery_reason is not None:
        return SignalKind.RECOVERED
    return known or SignalKind.UNKNOWN


def _kind_of_incident(notification: Notification) -> SignalKind:
    """Return the change of a Datadog incident: by its status, else by the words of the event."""
    if notification.recovery_reason is not None:
        return SignalKind.INCIDENT_RESOLVED
    words = (notification.headline or "").casefold()
    created = any(word in words for word in _CREATION_WORDS)
    return SignalKind.INCIDENT_CREATED if created else SignalKind.INCIDENT_UPDATED


def _fingerprints(
    notification: Notification,
    alert_key: str,
    kind: SignalKind,
    conf: Mapping[str, object],
    event_at: datetime | None,
) -> tuple[str, ...]:
    """Return the fingerprint of this delivery, then the others that its first delivery may have.

    It is made of what a redelivery repeats: the sender's delivery id and the time and state of the alert, or the
    content. Content without any time counts as the same delivery for a while only: later it is news.
    """
    incident = notification.incident
    content_of_alert = incident.severity, incident.title, incident.status, incident.commander
    # The same id and time may denote several changes of one Datadog incident.
    details = content_of_alert if incident.source is Source.DATADOG_INCIDENT else ()
    if notification.delivery_id is not None:
        # Within a minute the id decides. An id that never changes does not hide what happens later.
        minute = int(incident.notified_at.timestamp() // REDELIVERY_WINDOW.total_seconds())
        dated = [
            _digest(alert_key, kind, *details, notification.delivery_id, number)
            for number in (minute, minute - 1, minute + 1)
        ]
        undated = _digest(alert_key, kind, *content_of_alert, notification.delivery_id)
        return (*dated, undated) if event_at is not None else (undated, *dated)
    if event_at is not None:
        return (_digest(alert_key, kind, *details, None, event_at),)
    content = json.dumps(conf, sort_keys=True, default=str)
    if incident.occurred_at != incident.received_at:
        return (CONTENT_MARK + _digest(kind, content),)
    window = int(incident.received_at.timestamp() // REDELIVERY_WINDOW.total_seconds())
    return tuple(CONTENT_MARK + _digest(kind, content, number) for number in (window, window - 1))


def _digest(*parts: object) -> str:
    return digest_of(parts, _FINGERPRINT_DIGITS)


def _run_conf(conf: Mapping[str, object], incident: Incident) -> dict[str, Any]:
    """Return the conf with a Datadog payload under ``datadog``, so that other keys can be added beside it.

    Airflow shows a run's conf to everyone who may see the run, so it contains no secrets.
    """
    redacted: dict[str, Any] = redact_values(dict(conf))
    if incident.source in (Source.MANUAL, Source.ALERT) or ConfKey.DATADOG in conf:
        return redacted
    return {ConfKey.DATADOG: redacted}
