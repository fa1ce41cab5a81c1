"""
The values that the registry stores, and how a record and what tasks report about it are merged.

Pure values: both sides, the API server and the tasks, read and write the registry through these.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Self

from pydantic import Field

from airflow_incident_provider.intake.policies import Correlation
from airflow_incident_provider.intake.request_body import extract
from airflow_incident_provider.lifecycle.matching import GroupHistory, Opening, lookup_keys
from airflow_incident_provider.lifecycle.records import (
    IncidentRecord,
    Room,
    Status,
    TimelineEvent,
    UpdateItem,
    UpdateKind,
    Visibility,
    condensed_prefixes,
    with_timeline_event,
)
from airflow_incident_provider.lifecycle.signals import CONTENT_MARK, Signal
from airflow_incident_provider.models import Model, Severity, UtcDatetime
from airflow_incident_provider.text import digest, for_error

MAX_INDEXED = 20
"""Incidents of one index row: the latest ones."""

MAX_OPENINGS = 200
MAX_REJECTED = 50
_DIGITS = 32

_CLOSING_KINDS = {Status.RESOLVED: UpdateKind.RESOLVED, Status.ARCHIVED: UpdateKind.ARCHIVED}


class UpdateBatch(Model):
    """What one update run has to post. It is complete once the run is due: after that it is read-only."""

    incident: str
    items: tuple[UpdateItem, ...] = ()
    dropped: int = 0

    def has(self, kind: UpdateKind) -> bool:
        """Return whether an update of this kind is among them."""
        return any(item.kind is kind for item in self.items)

    def with_more(self, items: Iterable[UpdateItem], dropped: int) -> Self:
        """Return the batch with further updates."""
        return self.model_copy(update={"items": (*self.items, *items), "dropped": self.dropped + dropped})


class OpenBatch(Model):
    """The update run that is still to come, and until when its batch grows."""

    run_id: str
    until: UtcDatetime


class Transition(Model):
    """A lifecycle step that a task took: resolved, or archived; ``by`` a person, if one requested it.

    An archiving replaces the step before it, so it keeps the ``resolution``.

    It holds only while the record has the version that the task read. If an alert changed the record before, the
    step is void, and the task finds that out when it reads the incident again.
    """

    as_of: int = 0
    status: Status = Status.OPEN
    resolved_at: UtcDatetime | None = None
    archived_at: UtcDatetime | None = None
    by: str | None = None
    resolution: TimelineEvent | None = None


class StoredIncident(Model):
    """A record as it is stored: ``version`` counts its writes, ``batch`` is the update run that is to come."""

    version: int = 0
    batch: OpenBatch | None = None
    record: IncidentRecord

    def with_reports(self, room: Room | None, transition: Transition | None) -> Self:
        """Return the incident merged with what tasks reported about it."""
        changes: dict[str, object] = {}
        record = self.record
        if room is not None:
            changes["room"] = room
        if transition is not None and transition.as_of == self.version > 0:
            changes |= {
                "status": transition.status,
                "resolved_at": transition.resolved_at,
                "archived_at": transition.archived_at,
            }
            record = _with_closing_events(record, transition)
        return self.model_copy(update={"record": record.model_copy(update=changes)}) if changes else self

    def at(self, now: datetime) -> Self:
        """Return the incident as a decision at ``now`` sees it: without what a due run posts already."""
        return self if self.batch is None or now < self.batch.until else self.without_batch()

    def without_batch(self) -> Self:
        """Return the incident without the updates that a run has taken over."""
        return self.model_copy(update={"batch": None, "record": self.record.without_pending()})

    def to_json(self) -> dict[str, Any]:
        """Return the stored JSON form."""
        stored = self.model_dump(mode="json", exclude={"record"}, exclude_none=True)
        return {**stored, "record": self.record.to_json()}


def _with_closing_events(record: IncidentRecord, transition: Transition) -> IncidentRecord:
    """Return the record with the step, and the resolution before it, in its timeline."""
    kind = _CLOSING_KINDS.get(transition.status)
    at = transition.archived_at if transition.status is Status.ARCHIVED else transition.resolved_at
    step = TimelineEvent(kind=kind, at=at, by=transition.by) if kind is not None and at is not None else None
    for event in (transition.resolution, step):
        if event is not None and (event.kind, event.at) not in {(one.kind, one.at) for one in record.timeline}:
            record = with_timeline_event(record, event)
    return record


class IndexEntry(Model):
    """The incidents under one name, the latest last, and what is remembered of a group besides them."""

    keys: tuple[str, ...] = ()
    history: GroupHistory = GroupHistory()

    def with_key(self, key: str) -> Self:
        """Return the entry with an incident added."""
        kept = (*(other for other in self.keys if other != key), key)
        return self.model_copy(update={"keys": kept[-MAX_INDEXED:]})

    def without_key(self, key: str) -> Self:
        """Return the entry with an incident removed."""
        return self.model_copy(update={"keys": tuple(other for other in self.keys if other != key)})


class Listed(Model):
    """What a list shows or filters by without reading the record. ``check_at`` is when housekeeping looks at it."""

    key: str
    version: int
    severity: Severity
    status: Status
    visibility: Visibility
    private: bool | None = None
    dag_id: str
    opened_at: UtcDatetime
    check_at: UtcDatetime

    @classmethod
    def of(cls, incident: StoredIncident, *, check_at: datetime) -> Self:
        """Return the entry of an incident."""
        values = {name: getattr(incident.record, name) for name in _LISTED}
        return cls(version=incident.version, check_at=check_at, **values)

    def with_transition(self, transition: Transition | None) -> Self:
        """Return the entry with the status that a task reported, unless that is void."""
        if transition is None or transition.as_of != self.version:
            return self
        return self.model_copy(update={"status": transition.status})

    @property
    def is_open(self) -> bool:
        """Whether the incident is open or recovered; one that is only recorded ends with its recovery."""
        if self.visibility is Visibility.RECORD:
            return self.status is Status.OPEN
        return self.status in (Status.OPEN, Status.RECOVERED)


_LISTED = ("key", "severity", "status", "visibility", "private", "dag_id", "opened_at")


class Bucket(Model):
    """The list entries of one row, by incident key."""

    incidents: dict[str, Listed] = Field(default_factory=dict)


class RegistryState(Model):
    """``openings`` are the recent ones, for the storm breaker; the other fields are times of housekeeping."""

    openings: tuple[Opening, ...] = ()
    checked_at: UtcDatetime | None = None
    purged_at: UtcDatetime | None = None

    def with_openings(self, new: Iterable[Opening]) -> Self:
        """Return the state with further openings."""
        return self.model_copy(update={"openings": (*self.openings, *new)[-MAX_OPENINGS:]})


PRIVATE_ALERT = "An alert that may be private"
"""The title of a rejection whose own title must not be shown."""


class Rejection(Model):
    """An alert or report that could not become an incident: what is known of it, and why. Untrusted text.

    ``dag_id`` and ``run_id`` are those of a report that arrived as a run.
    """

    id: str
    dag_id: str | None = None
    run_id: str | None = None
    at: UtcDatetime
    source: str
    title: str
    reason: str
    monitor_url: str | None = None


class Rejections(Model):
    """The latest rejections that nobody has dismissed, and how many there were in all."""

    items: tuple[Rejection, ...] = ()
    total: int = 0

    def with_item(self, item: Rejection) -> Self:
        """Return them with another one; the same again replaces itself."""
        kept = tuple(other for other in self.items if other.id != item.id)
        return self.model_copy(update={"items": (*kept, item)[-MAX_REJECTED:], "total": self.total + 1})

    def without_item(self, rejection_id: str) -> Self:
        """Return them without a dismissed one."""
        return self.model_copy(update={"items": tuple(item for item in self.items if item.id != rejection_id)})


def damaged_report(key: str, value: str, at: datetime) -> Rejection:
    """Return the rejection of a report that cannot be read any more."""
    return Rejection(
        id=digest(key),
        at=at,
        source="a report that could not be stored completely",
        title=extract(value)["title"],
        reason=f"Its record {for_error(key)} is damaged. If its run opened no room, report it again.",
    )


# --- index names ------------------------------------------------------------------------------------


def group_name(group: str) -> str:
    """Return the index name of an alert group."""
    return f"g.{condensed_prefixes((group,))[0].removesuffix('.')}"


def index_names(record: IncidentRecord) -> set[str]:
    """Return the names under which an incident is found."""
    names = {group_name(alert.group) for alert in record.alerts.values()}
    names |= {f"g.{name.partition('.')[0]}" for name in record.condensed}
    names |= {_cycle_name(alert.cycle) for alert in record.alerts.values() if alert.cycle is not None}
    names |= {_correlation_name(key) for key in record.correlation_keys}
    names |= {_delivery_name(mark) for mark in record.deliveries if mark.startswith(CONTENT_MARK)}
    return names


def lookup_names(signal: Signal, settings: Correlation) -> set[str]:
    """Return the names under which every incident is found that a signal can belong to."""
    groups = (signal.group, *((signal.former_keys.group,) if signal.former_keys else ()))
    names = {f"g.{prefix.removesuffix('.')}" for prefix in condensed_prefixes(groups)}
    if signal.scope_unknown and signal.has_cycle:
        names.add(_cycle_name(signal.alert_key))
    if not signal.is_recovery:
        names |= {_correlation_name(key) for key in lookup_keys(signal.incident, settings)}
    names |= {_delivery_name(mark) for mark in signal.fingerprints if mark.startswith(CONTENT_MARK)}
    return names


def _cycle_name(cycle: str) -> str:
    return f"y.{digest(cycle, _DIGITS)}"


def _correlation_name(key: str) -> str:
    return f"c.{key if len(key) <= _DIGITS and key.isalnum() else digest(key, _DIGITS)}"


def _delivery_name(fingerprint: str) -> str:
    return f"d.{fingerprint.removeprefix(CONTENT_MARK)}"
