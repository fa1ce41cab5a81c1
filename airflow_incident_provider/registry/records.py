"""
What the registry's keys hold, and how a record and what tasks report of it become one.

Pure values: both sides, the API server and the tasks, read and write the registry through these.
"""

from __future__ import annotations

from datetime import datetime
from typing import Self

from airflow_incident_provider.lifecycle.records import IncidentRecord, Room, Status, UpdateItem
from airflow_incident_provider.models import Model, UtcDatetime


class UpdateBatch(Model):
    """What one update run has to tell. It is complete once the run is due: from then on nobody writes it."""

    incident: str
    items: tuple[UpdateItem, ...] = ()
    dropped: int = 0


class OpenBatch(Model):
    """The update run that is still to come, and until when its batch grows."""

    run_id: str
    until: UtcDatetime


class Transition(Model):
    """
    A step of an incident's life that a task took: resolved, or archived.

    It holds only while the record is at the version that the task had read. If an alert changed the record
    before, the step is void, and the task that took it finds that out when it reads again.
    """

    as_of: int = 0
    status: Status = Status.OPEN
    resolved_at: UtcDatetime | None = None
    archived_at: UtcDatetime | None = None


class StoredIncident(Model):
    """A record as it is stored: ``version`` counts its writes, ``batch`` is the update run that is to come."""

    version: int = 0
    batch: OpenBatch | None = None
    record: IncidentRecord

    def with_reports(self, room: Room | None, transition: Transition | None) -> Self:
        """Return the incident with what tasks told of it."""
        changes: dict[str, object] = {}
        if room is not None:
            changes["room"] = room
        if transition is not None and transition.as_of == self.version > 0:
            changes |= {
                "status": transition.status,
                "resolved_at": transition.resolved_at,
                "archived_at": transition.archived_at,
            }
        return self.model_copy(update={"record": self.record.model_copy(update=changes)}) if changes else self

    def at(self, now: datetime) -> Self:
        """Return the incident as a decision at ``now`` should see it: without what a due run tells already."""
        if self.batch is None or now < self.batch.until:
            return self
        return self.model_copy(update={"batch": None, "record": self.record.without_pending()})

    def to_json(self) -> dict[str, object]:
        """Return the JSON form that is stored."""
        stored = self.model_dump(mode="json", exclude={"record"}, exclude_none=True)
        return {**stored, "record": self.record.to_json()}
