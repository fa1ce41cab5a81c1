"""
The registry as a task sees it: over Airflow's execution API, without a database session.

The asset state store has no compare-and-set, so two writers of one key would overwrite each other. Here they
cannot: a task never writes a record. What it reports goes to keys of its own (see :mod:`.keys`), and holds only
until the API server knows better:

- An update run does not take updates out of the record. It finds a batch of its own that is no longer written
  when the run is due, so a retry finds the same.
- A lifecycle step, such as "resolved", names the version of the record that it was decided by. The API server holds
  that row while it changes the record, so one of the two comes first: either the alert sees the step, or the task
  sees a newer version, and its step is void.
- An incident that did not arrive through the webhook is reported to an inbox, by the one run that parsed it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from airflow_incident_provider.lifecycle.records import IncidentRecord, Room, Status, UpdateKind
from airflow_incident_provider.models import Model
from airflow_incident_provider.registry.keys import REGISTRY, REJECTED_PREFIX, REPORTS, Kind
from airflow_incident_provider.registry.records import Rejection, StoredIncident, Transition, UpdateBatch

log = logging.getLogger(__name__)

_Entry = TypeVar("_Entry", bound=Model)


class StateStore(Protocol):
    """What is used of ``context["asset_state_store"][ASSET]``."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key."""

    def set(self, key: str, value: Any) -> None:
        """Set the value of a key."""


class TaskRegistry:
    """The registry within one task.

    :param store: the state of the registry's asset.
    :param inbox: the state of the asset for reports; without it nothing is reported.
    """

    def __init__(self, store: StateStore, inbox: StateStore | None = None) -> None:
        self._store = store
        self._inbox = inbox

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> TaskRegistry:
        """Return the registry of a task's context.

        :raises KeyError: the task does not name :data:`~.keys.REGISTRY` in its ``inlets``.
        """
        stores = context["asset_state_store"]
        store = stores[REGISTRY]
        try:
            inbox = stores[REPORTS]
        except KeyError:
            inbox = None
        return cls(store, inbox)

    def incident(self, key: str) -> StoredIncident | None:
        """Return an incident with what tasks reported about it; ``None`` if it has no record."""
        # The record is read last: an older record with a newer transition would show a step that is void.
        room = self._read(Room, Kind.ROOM, key)
        transition = self._read(Transition, Kind.TRANSITION, key)
        stored = self._read(StoredIncident, Kind.RECORD, key) or self._read(StoredIncident, Kind.ARCHIVE, key)
        if stored is None and self._inbox is not None:
            stored = self._reported(self._inbox, key)
        return None if stored is None else stored.with_reports(room, transition)

    def _reported(self, inbox: StateStore, key: str) -> StoredIncident | None:
        """Return an incident of the inbox. A damaged entry counts as none: it can be reported again."""
        report = inbox.get(key)
        try:
            return None if report is None else StoredIncident.model_validate(report)
        except ValidationError as error:
            log.error("The report %s is damaged and ignored: %s", key, error.errors(include_input=False))
            return None

    def updates(self, run_id: str) -> UpdateBatch | None:
        """Return what an update run has to post; ``None`` if the API server did not start it."""
        return self._read(UpdateBatch, Kind.UPDATES, run_id)

    def missed_updates(self, record: IncidentRecord, *, but: str) -> dict[str, UpdateBatch]:
        """Return what earlier update runs could not post, by run, the oldest first.

        :param but: this run, whose updates are not an earlier one's.
        """
        runs = (run_id for run_id in record.room.missed_runs if run_id != but)
        return {run_id: batch for run_id in runs if (batch := self.updates(run_id)) is not None}

    def report_incident(self, record: IncidentRecord) -> bool:
        """Report an incident that did not arrive through the webhook. Nothing changes if it has a record already.

        For the task that parses it; the same again on a retry.

        :returns: whether the incident has a record now: false only where the task does not name
            :data:`~.keys.REPORTS` in its ``inlets``.
        """
        if self._inbox is None:
            return self.incident(record.key) is not None
        # Whether there is a record is not read: the room waits for each call. A report beside a record is ignored.
        if self._reported(self._inbox, record.key) is None:
            self._inbox.set(record.key, StoredIncident(version=1, record=record).to_json())
        return True

    def report_of_run(self, key: str, *, dag_id: str, run_id: str) -> IncidentRecord | None:
        """Return the record that this run reported with :meth:`report_incident`; ``None`` if it did not."""
        stored = None if self._inbox is None else self._reported(self._inbox, key)
        # The API server may have moved it to the registry by now.
        stored = stored or self._read(StoredIncident, Kind.RECORD, key)
        if stored is None or (stored.record.dag_id, stored.record.run_id) != (dag_id, run_id):
            return None
        return stored.record

    def room(self, key: str) -> Room | None:
        """Return where the incident's room is, or why there is none, as a task stored it."""
        return self._read(Room, Kind.ROOM, key)

    def report_rejection(self, rejection: Rejection) -> None:
        """Report that a report could not become an incident, for the incidents page."""
        if self._inbox is not None:
            self._inbox.set(f"{REJECTED_PREFIX}{rejection.id}", rejection.model_dump(mode="json"))

    def store_room(self, key: str, room: Room) -> None:
        """Store where the incident's room is, or why there is none: for the task that opens it."""
        self._store.set(Kind.ROOM.key(key), room.model_dump(mode="json"))

    def resolve(self, seen: StoredIncident, at: datetime, *, by: str | None = None) -> bool:
        """Resolve the incident, if no alert changed it since it was read.

        :param seen: the incident as it was read and evaluated before.
        :param by: the person who requested it, if one did.
        :returns: whether it is resolved; if not, read it again and decide again.
        """
        return self._step(seen, Transition(as_of=seen.version, status=Status.RESOLVED, resolved_at=at, by=by))

    def archive(self, seen: StoredIncident, at: datetime, *, by: str | None = None) -> bool:
        """Archive the incident, if no alert changed it since it was read. As :meth:`resolve`."""
        resolved_at, timeline = seen.record.resolved_at, seen.record.timeline
        ends = (event for event in timeline if (event.kind, event.at) == (UpdateKind.RESOLVED, resolved_at))
        transition = Transition(
            as_of=seen.version,
            status=Status.ARCHIVED,
            resolved_at=resolved_at,
            archived_at=at,
            by=by,
            resolution=next(ends, None),
        )
        return self._step(seen, transition)

    def _step(self, seen: StoredIncident, transition: Transition) -> bool:
        key = seen.record.key
        if self._read(StoredIncident, Kind.ARCHIVE, key) is None:
            # The archive is final: a row for it would never be deleted.
            self._store.set(Kind.TRANSITION.key(key), transition.model_dump(mode="json"))
        now = self.incident(key)
        return now is not None and now.record.status is transition.status

    def _read(self, model: type[_Entry], kind: Kind, name: str) -> _Entry | None:
        value = self._store.get(kind.key(name))
        return None if value is None else model.model_validate(value)
