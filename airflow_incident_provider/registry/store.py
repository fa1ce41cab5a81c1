"""
The registry as the API server sees it: with a database session of its own, and under a lock.

Decisions about alerts come one at a time, whatever the number of API servers and workers: each looks at what the
one before it has committed. The lock is held by the transaction, so it ends with it, however that ends.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel as Row
from airflow.state import AssetScope, get_state_backend
from airflow.state.metastore import MetastoreBackend
from pydantic import ValidationError
from sqlalchemy import Select, delete, func, or_, select, text, update

from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.lifecycle.records import Room, Status, Visibility
from airflow_incident_provider.models import Model
from airflow_incident_provider.registry.keys import REGISTRY, Kind
from airflow_incident_provider.registry.records import StoredIncident, Transition, UpdateBatch

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LOCK_ID = 0x1C1DE7A1E27
"""The advisory lock's number in PostgreSQL: any constant that nothing else in Airflow's database uses."""

LOCK_SECONDS = 6
"""How long a decision waits for those before it; then its sender is asked to come again."""

LIVE_AFTER_END = timedelta(days=1)
"""How long an incident that is over is still looked at for each alert, beyond the time in which it may reopen."""

FORGOTTEN_AFTER = timedelta(days=30)
"""After this long without a word even an open incident is no longer looked at."""

KEPT_FOR = timedelta(days=90)
"""How long an incident's record is kept after that."""

log = logging.getLogger(__name__)

_Entry = TypeVar("_Entry", bound=Model)


class RegistryUnavailableError(IncidentError):
    """The registry cannot be used now; nothing was changed."""


class Registry:
    """The registry within one transaction. Made by :func:`locked`, or by :func:`opened` to read only."""

    def __init__(self, session: Session, asset_id: int) -> None:
        self._session = session
        self._asset_id = asset_id
        self._scope = AssetScope(asset_id=asset_id)
        self._store = MetastoreBackend()

    def incidents(self, *, archived: bool = False) -> dict[str, StoredIncident]:
        """Return the incidents that an alert may belong to, by key, with what tasks told of them.

        :param archived: whether those that were put away are wanted too.
        """
        kinds = (Kind.ARCHIVE, Kind.RECORD) if archived else (Kind.RECORD,)
        stored = self._texts(*kinds, Kind.ROOM, Kind.TRANSITION)
        found = {}
        for kind in kinds:
            for key in (key for key in stored if key.startswith(kind.prefix)):
                if (incident := _read(StoredIncident, key, stored)) is not None:
                    found[incident.record.key] = _with_reports(incident, stored)
        return found

    def archived_among(self, keys: Iterable[str]) -> set[str]:
        """Return those of some incidents' keys under which an incident was put away."""
        names = {Kind.ARCHIVE.key(key): key for key in keys}
        found = select(Row.key).where(Row.asset_id == self._asset_id, Row.key.in_(names))
        return {names[name] for name in self._session.scalars(found)}

    def has_moved_on(self, seen: StoredIncident) -> bool:
        """Return whether a task resolved or archived the incident since it was read.

        Until the transaction ends no task can do that any more: it then finds a newer version of the record.
        """
        key = Kind.TRANSITION.key(seen.record.key)
        row = select(Row.key, Row.value).where(Row.asset_id == self._asset_id, Row.key == key)
        now = _with_reports(seen, self._pairs(row.with_for_update()))
        return now.record.status is not seen.record.status

    def write(self, incident: StoredIncident) -> None:
        """Store a record. With its first version, make the row in which tasks report what became of it."""
        key = incident.record.key
        self._set(Kind.RECORD.key(key), incident.to_json())
        if incident.version == 1:
            self._set(Kind.TRANSITION.key(key), Transition().model_dump(mode="json"))

    def write_updates(self, run_id: str, batch: UpdateBatch) -> None:
        """Store what an update run has to tell, as far as it is known."""
        self._set(Kind.UPDATES.key(run_id), batch.model_dump(mode="json"))

    def now(self) -> datetime:
        """Return the time by the one clock that all API servers share: the database's."""
        dialect = self._session.get_bind().dialect.name
        if dialect == "postgresql":
            # Not now(): that is when the transaction began, before it waited for the lock.
            return _utc(self._session.scalar(select(func.clock_timestamp())))
        if dialect == "mysql":
            return _utc(self._session.scalar(text("SELECT UTC_TIMESTAMP(6)")))
        return datetime.now(UTC)

    def tidy(self, incidents: Iterable[StoredIncident], now: datetime, *, reopen_window: timedelta) -> None:
        """Put incidents away that are over, and forget what was put away long ago.

        :param reopen_window: how long after its end an incident may come back.
        """
        for incident in incidents:
            if _is_over(incident, now, reopen_window + LIVE_AFTER_END):
                key = incident.record.key
                self._set(Kind.ARCHIVE.key(key), incident.to_json())
                for kind in (Kind.RECORD, Kind.ROOM, Kind.TRANSITION):
                    self._store.delete(self._scope, kind.key(key), session=self._session)
        # A room is part of its incident's record since the first alert that came after the room.
        old = or_(*(Row.key.startswith(kind.prefix) for kind in (Kind.ARCHIVE, Kind.UPDATES, Kind.ROOM)))
        self._session.execute(
            delete(Row)
            .where(Row.asset_id == self._asset_id, Row.updated_at < now - KEPT_FOR, old)
            .execution_options(synchronize_session=False)
        )

    def _texts(self, *kinds: Kind) -> dict[str, str]:
        """Return the keys and values of these kinds."""
        wanted = or_(*(Row.key.startswith(kind.prefix) for kind in kinds))
        return self._pairs(select(Row.key, Row.value).where(Row.asset_id == self._asset_id, wanted))

    def _pairs(self, statement: Select[str, str]) -> dict[str, str]:
        return {row.key: row.value for row in self._session.execute(statement)}

    def _set(self, key: str, value: Mapping[str, Any]) -> None:
        self._store.set(self._scope, key, json.dumps(value), session=self._session)


def locked(session: Session) -> Registry:
    """Return the registry, locked until the session's transaction ends.

    To be called before anything else in the transaction.

    PostgreSQL: an advisory lock of the transaction, which no other part of Airflow waits for. MySQL: a write of
    the registry's own row in ``asset``, which locks that row; tasks that report to the registry wait for it too.
    SQLite: the same write, which locks the database.

    :raises RegistryUnavailableError: no DAG has made the asset known yet, or the state is kept elsewhere.
    :raises sqlalchemy.exc.DBAPIError: the database cannot be reached, or others held the lock for too long.
    """
    _require_metastore()
    dialect = session.get_bind().dialect.name
    if dialect == "postgresql":
        session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        session.execute(select(func.pg_advisory_xact_lock(LOCK_ID)))
    else:
        if dialect == "mysql":
            session.execute(text(f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}"))
        session.execute(
            update(AssetModel)
            .where(AssetModel.name == REGISTRY.name, AssetModel.uri == REGISTRY.uri)
            .values(updated_at=AssetModel.updated_at)
            .execution_options(synchronize_session=False)
        )
    return opened(session)


def opened(session: Session) -> Registry:
    """Return the registry for reading, without a lock.

    :raises RegistryUnavailableError: no DAG has made the asset known yet, or the state is kept elsewhere.
    """
    _require_metastore()
    asset_id = session.scalar(
        select(AssetModel.id).where(
            AssetModel.name == REGISTRY.name, AssetModel.uri == REGISTRY.uri, AssetModel.active.has()
        )
    )
    if asset_id is None:
        raise RegistryUnavailableError(
            f"Airflow does not know the asset {REGISTRY.name} yet.",
            fix="It does once a DAG was parsed that names it as an inlet, as incident_response does.",
        )
    return Registry(session, asset_id)


def _require_metastore() -> None:
    if not isinstance(get_state_backend(), MetastoreBackend):
        raise RegistryUnavailableError(
            "Airflow keeps asset state outside its database, where a decision cannot be atomic.",
            fix="Leave [state_store] backend at its default.",
        )


def _with_reports(incident: StoredIncident, stored: Mapping[str, str]) -> StoredIncident:
    key = incident.record.key
    room = _read(Room, Kind.ROOM.key(key), stored)
    return incident.with_reports(room, _read(Transition, Kind.TRANSITION.key(key), stored))


def _read(model: type[_Entry], key: str, stored: Mapping[str, str]) -> _Entry | None:
    """Return an entry, or none if it is not there. One that was damaged by hand must not stop all the others."""
    if key not in stored:
        return None
    try:
        return cast("_Entry", _parsed(model, stored[key]))
    except ValidationError as error:
        log.error(
            "The registry's entry %s cannot be read and is left out: %s", key, error.errors(include_input=False)
        )
        return None


@lru_cache(maxsize=4096)
def _parsed(model: type[Model], stored: str) -> Model:
    """Return the value that a text holds. Cached: of all records, an alert changes one."""
    return model.model_validate_json(stored)


def _is_over(incident: StoredIncident, now: datetime, live_after_end: timedelta) -> bool:
    """Return whether no alert can belong to an incident any more, and no task has anything to do with it."""
    record = incident.record
    if record.status is Status.ARCHIVED and record.archived_at is not None:
        return now - record.archived_at > live_after_end
    if record.visibility is Visibility.RECORD and record.ended_at is not None:
        return now - record.ended_at > live_after_end
    return now - record.last_signal_at > FORGOTTEN_AFTER


def _utc(value: datetime | None) -> datetime:
    if value is None:
        raise RegistryUnavailableError("The database did not tell its time.")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
