"""
The record of an incident: its state from the first alert to the archived room.

A record is stored as JSON, one per incident. ``MAX_BYTES`` bounds its size, whatever the alerts contain: alerts
that do not fit are kept in condensed form, so that each one is still tracked and counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AliasChoices, Field

from airflow_incident_provider.config import DagId
from airflow_incident_provider.intake.policies import Visibility
from airflow_incident_provider.lifecycle.coordination import Coordination
from airflow_incident_provider.models import IncidentKey, Model, ParseWarning, Severity, Source, UtcDatetime
from airflow_incident_provider.text import digest

__all__ = [
    "AlertState",
    "Assignment",
    "IncidentRecord",
    "Room",
    "RunRequest",
    "Status",
    "TimelineEvent",
    "UpdateItem",
    "UpdateKind",
    "Visibility",
    "condensed_key",
    "condensed_prefixes",
    "encoded_size",
    "shrink_to_fit",
    "with_timeline_event",
]

RECORD_VERSION = 2
"""Version 1 (package 0.1.0) has no ``private``, ``timeline`` and ``fired``, and other correlation keys."""
MAX_BYTES = 32_000
MAX_ALERTS = 500
"""Alerts of one incident, complete or condensed. A full incident accepts no new alert and still tracks its own."""
MAX_PENDING = 30
MAX_DELIVERIES = 200
MAX_NAMES = 20
MAX_CORRELATION_KEYS = 100
MAX_TIMELINE = 60
"""Timeline events that are kept: the first ones and the latest; ``timeline_dropped`` counts the others."""
MAX_RESPONDERS = 100
MAX_TEXT = 120
MAX_REOPENINGS = 20
"""Timestamps of reopenings, and of the recoveries before them, that are kept; ``reopened`` counts all of them."""
_DIGITS = 16
_LEGACY_DIGITS = 10
"""Hexadecimal digits of each digest in a condensed name; records of version 1 have the shorter ones."""
_COORDINATION = ("updates", "items", "feedback", "actions")
_KEEP_ALERTS = 10
"""Alerts that stay complete while anything else can be dropped."""


class Status(StrEnum):
    """The lifecycle state of an incident."""

    OPEN = "open"
    RECOVERED = "recovered"
    RESOLVED = "resolved"
    ARCHIVED = "archived"


class UpdateKind(StrEnum):
    """What an update reports."""

    OPENED = "opened"
    JOINED = "joined"
    REPEATED = "repeated"
    FIRING_AGAIN = "firing_again"
    ALERT_RECOVERED = "alert_recovered"
    RECOVERED = "recovered"
    REOPENED = "reopened"
    SEVERITY = "severity"
    VISIBILITY = "presence"
    TITLE = "title"
    STATUS = "status"
    COMMANDER = "commander"
    RESPONDERS = "responders"
    ROLE = "role"
    STATUS_UPDATE = "status_update"
    ITEM = "item"
    RESOLVED = "resolved"
    ARCHIVED = "archived"
    EXPIRED = "expired"


class AlertState(Model):
    """One alert of an incident: a monitor cycle for one group, a Datadog incident, or a manual report.

    ``group`` identifies the monitor and its scope across cycles; ``key`` changes with each cycle. ``last_at`` is
    the time of the latest accepted event by the sender's clock. ``count`` is the number of notifications without
    redeliveries. ``severity_stated`` is false while the severity is only a default.
    """

    key: str
    group: str
    title: str
    severity: Severity
    severity_stated: bool = True
    firing: bool = True
    monitor_id: str | None = None
    scope: str | None = None
    transition: str | None = None
    first_at: UtcDatetime
    last_at: UtcDatetime
    count: int = 1

    @property
    def cycle(self) -> str | None:
        """The key without the scope: it leads from a notification that lacks the scope to its alert."""
        cycle, _, scope = self.key.rpartition(".")
        return cycle if self.key != self.group and self.group.endswith(f".{scope}") else None


class TimelineEvent(Model):
    """A transition of the incident, with its values (such as two severities) and who caused it, if a person did."""

    kind: UpdateKind
    at: UtcDatetime
    before: str | None = None
    after: str | None = None
    by: str | None = None


class UpdateItem(Model):
    """A change that has not been posted yet. Items of one kind about one alert are merged: ``count`` is how many.

    ``before`` and ``after`` are the values of a change, such as two severities, or the alert's transitions;
    ``names`` are new responders. ``value`` is what the monitor measured. ``title`` is untrusted text. ``text`` is
    what a person wrote, ``actor`` the person who acted (a Slack user id or a name), and ``next_at`` when the next
    status update is due. For merged items ``at`` is the latest time and ``first_at`` the first.
    """

    kind: UpdateKind
    at: UtcDatetime
    first_at: UtcDatetime | None = None
    alert: str | None = None
    title: str | None = None
    before: str | None = None
    after: str | None = None
    names: tuple[str, ...] = ()
    value: str | None = None
    count: int = 1
    text: str | None = None
    actor: str | None = None
    next_at: UtcDatetime | None = None

    @property
    def calls_people(self) -> bool:
        """Whether a person named the responders, and not an alert or a route: then they are invited once more."""
        return self.kind is UpdateKind.RESPONDERS and self.alert is not None


class Room(Model):
    """Where an incident is discussed, or why it has no room yet.

    ``brief_ts`` is the message that updates reply to. ``opened_in`` is the run of ``incident_update`` that opened
    the room, if the first run could not. Without a room, ``problem`` and ``fix`` say why, ``next_try_at`` when it
    is tried again, ``attempts`` how often it was, and ``conn_id`` with which Slack connection; ``missed_runs`` are
    the update runs whose updates could not be posted, with or without a room. ``is_complete`` is set once nothing
    of the first run is missing. ``dry_run`` says that nothing was posted, because no Slack workspace is configured
    or a dry run was requested. ``contradicted_at`` is when the latest check of a recovered incident found a target
    failing.
    """

    channel_id: str | None = None
    channel_name: str | None = None
    brief_ts: str | None = None
    url: str | None = None
    dry_run: bool = False
    opened_in: str | None = None
    problem: str | None = None
    fix: str | None = None
    next_try_at: UtcDatetime | None = None
    attempts: int = 0
    conn_id: str | None = None
    missed_runs: tuple[str, ...] = ()
    is_complete: bool = False
    contradicted_at: UtcDatetime | None = None


_VISIBILITY = Field(validation_alias=AliasChoices("visibility", "presence"))
"""Version 0.1.0 stored it as ``presence``."""


class IncidentRecord(Model):
    """One incident. Immutable: a decision returns the next record.

    ``run_id`` is the run of ``dag_id`` that opens the room, once requested. ``opened_by`` is the key of the first
    alert. ``private`` is ``None`` only where version 1 did not store it; ``privacy_assumed`` is true where
    the incident is private only because parts of its first notification were missing. An alert joins if it has one
    of ``correlation_keys`` and the same ``private``. ``began_at`` is when the trouble began, ``opened_at`` when the
    first alert arrived, ``last_signal_at`` when the latest one did, and ``last_news_at`` when one last changed
    something.

    ``alerts`` holds one entry for each group. ``condensed`` maps digests of group and key to the severity of alerts
    that are not kept complete; the severity is ``None`` once such an alert recovered. ``notifications`` counts
    the accepted notifications, recoveries included, without redeliveries and late ones; ``fired`` those of them
    that reported a firing alert; ``repeats`` those that changed nothing. ``storm_times`` are the latest times at
    which an alert joined the storm. ``update_due`` is the due time of the latest requested ``incident_update`` run.
    """

    schema_version: int = RECORD_VERSION
    key: IncidentKey
    run_id: str | None = None
    dag_id: str = DagId.INCIDENT_RESPONSE.value
    status: Status = Status.OPEN
    visibility: Annotated[Visibility, _VISIBILITY] = Visibility.ROOM
    storm: bool = False
    drill: bool = False
    private: bool | None = None
    privacy_assumed: bool = False
    source: Source
    opened_by: str
    title: str
    severity: Severity
    services: tuple[str, ...] = ()
    env: str | None = None
    teams: tuple[str, ...] = ()
    correlation_keys: tuple[str, ...] = ()

    began_at: UtcDatetime | None = None
    opened_at: UtcDatetime
    last_signal_at: UtcDatetime
    last_news_at: UtcDatetime | None = None
    recovered_at: UtcDatetime | None = None
    resolved_at: UtcDatetime | None = None
    archived_at: UtcDatetime | None = None
    reopened: int = 0
    reopened_at: tuple[UtcDatetime, ...] = ()
    earlier_recoveries: tuple[UtcDatetime, ...] = ()
    timeline: tuple[TimelineEvent, ...] = ()
    timeline_dropped: int = 0

    alerts: dict[str, AlertState] = Field(default_factory=dict)
    condensed: dict[str, Severity | None] = Field(default_factory=dict)
    notifications: int = 1
    fired: int | None = None
    repeats: int = 0
    deliveries: tuple[str, ...] = ()
    storm_times: tuple[UtcDatetime, ...] = ()

    pending: tuple[UpdateItem, ...] = ()
    pending_dropped: int = 0
    update_due: UtcDatetime | None = None

    room: Room = Room()
    source_status: str | None = None
    commander: str | None = None
    responders: tuple[str, ...] = ()
    coordination: Coordination = Coordination()

    def to_json(self) -> dict[str, Any]:
        """Return the stored JSON form: the version, and every field that differs from its default."""
        return {"schema_version": self.schema_version, **self.model_dump(mode="json", exclude_defaults=True)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Return the record that :meth:`to_json` made, by this or another version of the package."""
        return cls.model_validate(stored)

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing about the incident is posted: such an incident is neither open nor counted."""
        return self.room.dry_run

    @property
    def news_at(self) -> datetime:
        """When a notification last changed something: correlation windows begin here. Repeats do not move it."""
        return self.last_news_at or self.last_signal_at

    @property
    def times_fired(self) -> int:
        """Number of accepted notifications that reported a firing alert."""
        return self.notifications if self.fired is None else self.fired

    @property
    def alert_count(self) -> int:
        """Number of alerts: a monitor and scope count once, however often they fire and recover."""
        return len(self.alerts) + len(self.condensed)

    @property
    def firing_count(self) -> int:
        """Number of firing alerts."""
        condensed = sum(severity is not None for severity in self.condensed.values())
        return condensed + sum(alert.firing for alert in self.alerts.values())

    @property
    def is_full(self) -> bool:
        """Whether the incident accepts no further alert."""
        return self.alert_count >= MAX_ALERTS

    @property
    def ended_at(self) -> datetime | None:
        """When the incident was resolved, else recovered; ``None`` while it is open."""
        if self.status is Status.OPEN:
            return None
        return self.resolved_at or self.recovered_at

    def without_pending(self) -> Self:
        """Return the record without pending updates, for when they have been handed to a run."""
        return self.model_copy(update={"pending": (), "pending_dropped": 0})


class RunRequest(Model):
    """A DAG run to start, at ``run_after`` if that is set. A run id that exists already is not an error.

    A run that ``may_wait`` is created even if its DAG is paused or broken: it starts when the DAG is ready again.
    """

    dag_id: str
    run_id: Annotated[str, Field(max_length=250)]
    conf: dict[str, Any]
    run_after: UtcDatetime | None = None
    may_wait: bool = False


class Assignment(Model):
    """What the webhook decided about the alert that starts a run: in the run's conf under ``lifecycle``.

    The run takes the incident's key, title and severity from here. They can differ from what the payload alone
    says: for a recurring alert, for a storm, and for a DAG with a routing table of its own. ``warnings`` are
    problems of the decision that the brief reports.
    """

    key: IncidentKey
    title: str
    severity: Severity | None = None
    storm: bool = False
    received_at: UtcDatetime
    warnings: tuple[ParseWarning, ...] = ()


def condensed_key(group: str, alert_key: str) -> str:
    """Return the name of a condensed alert: the digests of its group and its key."""
    return f"{digest(group, _DIGITS)}.{digest(alert_key, _DIGITS)}"


def condensed_prefixes(groups: Iterable[str]) -> tuple[str, ...]:
    """Return the possible prefixes of the names of condensed alerts of these groups."""
    return tuple(f"{digest(group, digits)}." for group in groups for digits in (_DIGITS, _LEGACY_DIGITS))


def with_timeline_event(record: IncidentRecord, event: TimelineEvent) -> IncidentRecord:
    """Return the record with another event at the end of its timeline."""
    timeline = (*record.timeline, event)
    dropped = len(timeline) > MAX_TIMELINE
    if dropped:
        half = MAX_TIMELINE // 2
        timeline = (*timeline[:half], *timeline[half + 1 :])
    return record.model_copy(
        update={"timeline": timeline, "timeline_dropped": record.timeline_dropped + int(dropped)}
    )


def shrink_to_fit(record: IncidentRecord, limit: int = MAX_BYTES) -> IncidentRecord:
    """Return the record so that its JSON takes at most ``limit`` bytes.

    Alerts are condensed first: recovered before firing, oldest first. Then pending updates are dropped (and
    counted), then deliveries and names, and at last the oldest of what people did.
    """
    if encoded_size(record) <= limit:
        return record
    while len(record.alerts) > _KEEP_ALERTS and encoded_size(record) > limit:
        record = _condense_some(record)
    for name in ("pending", "deliveries", "timeline", "teams", "services", "responders", "correlation_keys"):
        while getattr(record, name) and encoded_size(record) > limit:
            record = _halve(record, name)
    while record.alerts and encoded_size(record) > limit:
        record = _condense_some(record)
    while encoded_size(record) > limit and any(getattr(record.coordination, name) for name in _COORDINATION):
        record = _halve_coordination(record)
    return record


def encoded_size(record: IncidentRecord) -> int:
    """Return the size of the record as JSON in bytes, with everything beyond ASCII escaped."""
    return len(json.dumps(record.to_json()))


def _condense_some(record: IncidentRecord) -> IncidentRecord:
    """Return the record with the least important tenth of its alerts condensed."""
    by_importance = sorted(record.alerts.values(), key=lambda alert: (alert.firing, alert.last_at, alert.key))
    dropped: list[AlertState] = by_importance[: max(1, len(by_importance) // 10)]
    condensed = {
        condensed_key(alert.group, alert.key): alert.severity if alert.firing else None for alert in dropped
    }
    keys = {alert.key for alert in dropped}
    return record.model_copy(
        update={
            "alerts": {key: alert for key, alert in record.alerts.items() if key not in keys},
            "condensed": {**record.condensed, **condensed},
        }
    )


def _halve_coordination(record: IncidentRecord) -> IncidentRecord:
    """Return the record with the newer half of the longest list of what people did."""
    coordination = record.coordination
    name = max(_COORDINATION, key=lambda name: len(getattr(coordination, name)))
    values = getattr(coordination, name)
    kept = values[(len(values) + 1) // 2 :]
    update: dict[str, object] = {name: kept}
    if name == "actions":
        update["dropped_actions"] = coordination.dropped_actions + len(values) - len(kept)
    return record.model_copy(update={"coordination": coordination.model_copy(update=update)})


def _halve(record: IncidentRecord, name: str) -> IncidentRecord:
    """Return the record with the newer half of a field; dropped pending updates are counted."""
    values = getattr(record, name)
    kept = values[(len(values) + 1) // 2 :]
    update: dict[str, object] = {name: kept}
    dropped = values[: len(values) - len(kept)]
    if name == "pending":
        update["pending_dropped"] = record.pending_dropped + sum(item.count for item in dropped)
    if name == "timeline":
        update["timeline_dropped"] = record.timeline_dropped + len(dropped)
    return record.model_copy(update=update)
