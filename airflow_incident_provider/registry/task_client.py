"""
The registry as a task sees it: over Airflow's execution API, without a database session.

The asset state store has no compare-and-set, so two writers of one key would lose each other's words. Here they
cannot: a task never writes a record. What it has to tell goes to keys of its own (see :mod:`.asset`), and counts
only as long as nobody knows better:

- An update run does not take updates away from the record. It finds a batch of its own that nobody writes any more
  when the run is due, so a retry of it finds the same.
- A step of the incident's life, such as "resolved", names the version of the record that it was decided by. The API
  server holds that row while it changes the record, so one of the two comes first: either the alert sees the
  step, or the task sees a newer version, and its step is void.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

from airflow_incident_provider.lifecycle.records import Room, Status
from airflow_incident_provider.models import Model
from airflow_incident_provider.registry.keys import REGISTRY, Kind
from airflow_incident_provider.registry.records import StoredIncident, Transition, UpdateBatch

_Entry = TypeVar("_Entry", bound=Model)


class StateStore(Protocol):
    """What is used of ``context["asset_state_store"][REGISTRY]``."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key."""

    def set(self, key: str, value: Any) -> None:
        """Set the value of a key."""


class TaskRegistry:
    """The registry within one task.

    :param store: the state of the registry's asset.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> TaskRegistry:
        """Return the registry of a task's context.

        :raises KeyError: the task does not name :data:`~.asset.REGISTRY` in its ``inlets``.
        """
        return cls(context["asset_state_store"][REGISTRY])

    def incident(self, key: str) -> StoredIncident | None:
        """Return an incident with what tasks told of it; nothing if no alert opened it through the webhook."""
        # The record comes last: an older record with a newer transition would show a step that is void.
        room = self._read(Room, Kind.ROOM, key)
        transition = self._read(Transition, Kind.TRANSITION, key)
        stored = self._read(StoredIncident, Kind.RECORD, key) or self._read(StoredIncident, Kind.ARCHIVE, key)
        return None if stored is None else stored.with_reports(room, transition)

    def updates(self, run_id: str) -> UpdateBatch | None:
        """Return what an update run has to tell; nothing if the webhook did not start it."""
        return self._read(UpdateBatch, Kind.UPDATES, run_id)

    def store_room(self, key: str, room: Room) -> None:
        """Tell where the incident's room is. For the one task that opened it; the same again on a retry."""
        self._store.set(Kind.ROOM.key(key), room.model_dump(mode="json"))

    def resolve(self, seen: StoredIncident, at: datetime) -> bool:
        """Have the incident resolved, if no alert changed it since it was read.

        :param seen: the incident as it was read, and judged, before.
        :return: whether it is resolved; if not, read it again and judge anew.
        """
        return self._step(seen, Transition(as_of=seen.version, status=Status.RESOLVED, resolved_at=at))

    def archive(self, seen: StoredIncident, at: datetime) -> bool:
        """Have the incident archived, if no alert changed it since it was read. As :meth:`resolve`."""
        resolved_at = seen.record.resolved_at
        transition = Transition(as_of=seen.version, status=Status.ARCHIVED, resolved_at=resolved_at, archived_at=at)
        return self._step(seen, transition)

    def _step(self, seen: StoredIncident, transition: Transition) -> bool:
        key = seen.record.key
        self._store.set(Kind.TRANSITION.key(key), transition.model_dump(mode="json"))
        now = self.incident(key)
        return now is not None and now.record.status is transition.status

    def _read(self, model: type[_Entry], kind: Kind, name: str) -> _Entry | None:
        value = self._store.get(kind.key(name))
        return None if value is None else model.model_validate(value)
