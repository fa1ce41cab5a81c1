"""
What is remembered of an incident, from its first alert to the archived room.

A record is kept as JSON, one an incident. It is bounded: at most ``MAX_BYTES`` as JSON in UTF-8, whatever the
alerts held. Alerts beyond what fits are kept condensed, so each one stays known and counted.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field

from airflow_incident_provider.config import DagId
from airflow_incident_provider.intake.policies import Presence
from airflow_incident_provider.models import IncidentKey, Model, Severity, Source, UtcDatetime

__all__ = [
    "AlertState",
    "Assignment",
    "IncidentRecord",
    "Presence",
    "Room",
    "RunRequest",
    "Status",
    "UpdateItem",
    "UpdateKind",
]

RECORD_VERSION = 1
MAX_BYTES = 32_000
MAX_ALERTS = 500
"""Alerts that one incident takes, in full or condensed; a full one takes no new alert, but still knows its own."""
MAX_PENDING = 30
MAX_DELIVERIES = 200
MAX_NAMES = 20
MAX_RESPONDERS = 100
MAX_TEXT = 120
MAX_REOPENINGS = 20
"""Times of reopening, and of the recoveries before them, that are kept; ``reopened`` counts them all."""


class Status(StrEnum):
    """How far an incident's life has come."""

    OPEN = "open"
    RECOVERED = "recovered"
    RESOLVED = "resolved"
    ARCHIVED = "archived"


class UpdateKind(StrEnum):
    """What an update tells."""

    OPENED = "opened"
    JOINED = "joined"
    REPEATED = "repeated"
    FIRING_AGAIN = "firing_again"
    ALERT_RECOVERED = "alert_recovered"
    RECOVERED = "recovered"
    REOPENED = "reopened"
    SEVERITY = "severity"
    PRESENCE = "presence"
    TITLE = "title"
    STATUS = "status"
    COMMANDER = "commander"
    RESPONDERS = "responders"


class AlertState(Model):
    """One alert of an incident: a monitor's cycle for a group, a Datadog incident, or a person's report.

    ``group`` is the monitor with its scope: the same again in its next cycle, when ``key`` is another.
    ``last_at`` is the time of the latest event that was taken in, by the sender's clock. ``count`` is how many
    notifications told of it, redeliveries left out.
    """

    key: str
    group: str
    title: str
    severity: Severity
    firing: bool = True
    monitor_id: str | None = None
    scope: str | None = None
    transition: str | None = None
    first_at: UtcDatetime
    last_at: UtcDatetime
    count: int = 1


class UpdateItem(Model):
    """Something that was not posted yet. Items of one kind about one alert are merged: ``count`` says how many.

    ``before`` and ``after`` are the values of what changed, such as two severities; ``names`` are the responders
    who are to come. ``title`` is hostile text. Of several that were merged, ``at`` is the time of the latest and
    ``first_at`` that of the first.
    """

    kind: UpdateKind
    at: UtcDatetime
    first_at: UtcDatetime | None = None
    alert: str | None = None
    title: str | None = None
    before: str | None = None
    after: str | None = None
    names: tuple[str, ...] = ()
    count: int = 1


class Room(Model):
    """Where an incident is talked about, as far as is known. ``brief_ts`` is the message that updates go under."""

    channel_id: str | None = None
    channel_name: str | None = None
    brief_ts: str | None = None
    url: str | None = None


class IncidentRecord(Model):
    """One incident. Immutable: a decision returns the record after it.

    ``run_id`` is the run of ``dag_id`` that makes the room, once one was asked for. ``opened_by`` is the
    key of the first alert. An alert joins if it has one of ``correlation_keys``. ``condensed`` holds the alerts
    that were too many to keep in full, by the digests of group and key, with the severity of those that fire.
    ``update_due`` is when the latest ``incident_update`` run that was asked for is due. ``notifications`` counts
    what told of this incident, redeliveries left out; ``repeats`` those of them that told nothing new.
    ``storm_times`` are the latest times at which an alert joined the storm.
    """

    schema_version: int = RECORD_VERSION
    key: IncidentKey
    run_id: str | None = None
    dag_id: str = DagId.INCIDENT_RESPONSE.value
    status: Status = Status.OPEN
    presence: Presence = Presence.ROOM
    storm: bool = False
    source: Source
    opened_by: str
    title: str
    severity: Severity
    services: tuple[str, ...] = ()
    env: str | None = None
    teams: tuple[str, ...] = ()
    correlation_keys: tuple[str, ...] = ()

    opened_at: UtcDatetime
    last_signal_at: UtcDatetime
    recovered_at: UtcDatetime | None = None
    resolved_at: UtcDatetime | None = None
    archived_at: UtcDatetime | None = None
    reopened: int = 0
    reopened_at: tuple[UtcDatetime, ...] = ()
    earlier_recoveries: tuple[UtcDatetime, ...] = ()

    alerts: dict[str, AlertState] = Field(default_factory=dict)
    condensed: dict[str, Severity | None] = Field(default_factory=dict)
    notifications: int = 1
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

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form that is stored; what has its default value is left out, but for the version."""
        return {"schema_version": self.schema_version, **self.model_dump(mode="json", exclude_defaults=True)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Return the record that :meth:`to_json` made, also of another version of this package."""
        return cls.model_validate(stored)

    @property
    def alert_count(self) -> int:
        """How many alerts the incident has, firing or not."""
        return len(self.alerts) + len(self.condensed)

    @property
    def firing_count(self) -> int:
        """How many of its alerts are firing."""
        condensed = sum(severity is not None for severity in self.condensed.values())
        return condensed + sum(alert.firing for alert in self.alerts.values())

    @property
    def is_full(self) -> bool:
        """Whether it takes no new alert any more."""
        return self.alert_count >= MAX_ALERTS

    @property
    def ended_at(self) -> datetime | None:
        """When it was last over: resolved, else recovered; nothing while it is open."""
        if self.status is Status.OPEN:
            return None
        return self.resolved_at or self.recovered_at

    def drained(self) -> Self:
        """Return the record without pending updates: for whoever has posted them."""
        return self.model_copy(update={"pending": (), "pending_dropped": 0})


class RunRequest(Model):
    """A DAG run to be started. ``run_after`` is when, if not at once; a run id that exists already is no error."""

    dag_id: str
    run_id: Annotated[str, Field(max_length=250)]
    conf: dict[str, Any]
    run_after: UtcDatetime | None = None


class Assignment(Model):
    """What a run must know of the decision that started it: in the conf under ``lifecycle``.

    The run takes its incident's key, title and severity from here: they may differ from what it reads itself, for
    an alert that comes back long after, one that stands for a storm, or a DAG with a routing table of its own.
    """

    key: IncidentKey
    title: str
    severity: Severity | None = None
    storm: bool = False
    received_at: UtcDatetime
