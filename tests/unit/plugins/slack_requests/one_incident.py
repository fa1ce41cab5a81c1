"""In-memory fakes of the incident registry and the Slack workspace for the endpoints of Slack's requests."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.exc import OperationalError

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle.actions import AppliedAction, Outcome, apply_action
from airflow_incident_provider.lifecycle.coordination import IncidentAction
from airflow_incident_provider.lifecycle.records import IncidentRecord, Room
from airflow_incident_provider.models import Severity, Source

KEY = "dd.1.c1"
T0 = datetime(2026, 11, 23, 10, tzinfo=UTC)


def open_incident(channel_id: str) -> IncidentRecord:
    """Return an open incident whose room is ``channel_id``."""
    return IncidentRecord(
        key=KEY,
        source=Source.DATADOG_ALERT,
        opened_by="a",
        title="Checkout is slow",
        severity=Severity.HIGH,
        opened_at=T0,
        last_signal_at=T0,
        room=Room(channel_id=channel_id),
    )


@dataclass
class Registry:
    """A registry of one incident that applies actions one at a time, as the database does."""

    record: IncidentRecord
    applied: list[IncidentAction] = field(default_factory=list)
    blocked: threading.Event | None = None
    failing: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, *, key: str | None, channel_id: str) -> IncidentRecord | None:
        if self.blocked is not None:
            self.blocked.wait(20)
        if self.failing:
            raise OperationalError("select", {}, Exception("gone"))
        is_match = key == self.record.key if key is not None else channel_id == self.record.room.channel_id
        return self.record if is_match else None

    def apply(self, key: str, action: IncidentAction, table: RoutingTable) -> AppliedAction:
        assert (key, table.version) == (self.record.key, 1)
        with self.lock:
            applied = apply_action(self.record, action, responders_for=lambda _: ())
            self.record = applied.record
            if applied.outcome is Outcome.APPLIED:
                self.applied.append(action)
            return applied


@dataclass
class Workspace:
    """The members of channels and user groups."""

    channels: dict[str, set[str]]
    groups: dict[str, set[str]]
    deactivated: set[str]
    unavailable: bool = False

    def channel_members(self, channel_id: str) -> frozenset[str]:
        if self.unavailable:
            raise SlackUnavailableError("Slack did not answer.")
        return frozenset(self.channels.get(channel_id, ()))

    def group_members(self, group: str) -> frozenset[str]:
        return frozenset(self.groups.get(group, ()))

    def is_active(self, user_id: str) -> bool:
        if self.unavailable:
            raise SlackUnavailableError("Slack did not answer.")
        return user_id not in self.deactivated
