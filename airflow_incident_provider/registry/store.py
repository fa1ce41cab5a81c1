"""
The registry of incidents as the API server sees it: records, index, list, inbox and archive.

A transaction of its own contains every use, see :mod:`airflow_incident_provider.registry.transaction`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, text

from airflow_incident_provider.exceptions import RegistryUnavailableError
from airflow_incident_provider.intake.policies import Lifecycle
from airflow_incident_provider.lifecycle.closing import is_expired, is_finished, settle
from airflow_incident_provider.lifecycle.matching import GroupHistory, Opening, openings_of
from airflow_incident_provider.lifecycle.records import IncidentRecord, Room
from airflow_incident_provider.models import Severity
from airflow_incident_provider.registry.keys import (
    REJECTED_KEY,
    REJECTED_PREFIX,
    STATE_KEY,
    Kind,
    bucket_keys,
    bucket_of,
)
from airflow_incident_provider.registry.records import (
    Bucket,
    IndexEntry,
    Listed,
    RegistryState,
    Rejection,
    Rejections,
    StoredIncident,
    Transition,
    UpdateBatch,
    damaged_report,
    group_name,
    index_names,
)
from airflow_incident_provider.registry.rows import Rows, read_entry

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

CHECK_INTERVAL = timedelta(hours=6)
"""How often housekeeping looks at a current incident: tasks may have closed it."""

HOUSEKEEPING_INTERVAL = timedelta(minutes=5)
MAX_CHECKED = 100
"""Incidents that one pass of housekeeping looks at."""

MAX_REPORTS = 50
"""Reports that one transaction moves from the inbox to the registry."""

KEPT_FOR = timedelta(days=90)
"""How long an archived record is kept."""

PURGE_INTERVAL = timedelta(days=1)
_UNTOUCHED = '"status": "open"'


class Registry:
    """The registry within one transaction, which ``locked`` or ``opened`` of :mod:`.transaction` begins.

    What is written is collected, and stored by :meth:`flush`: a batch of alerts costs few statements.
    """

    def __init__(self, session: Session, asset_id: int, reports_id: int | None) -> None:
        self._session = session
        self._entries = Rows(session, asset_id)
        self._inbox = Rows(session, reports_id)
        self._stored_keys: set[str] = set()
        self._index: dict[str, IndexEntry] = {}
        self._buckets: dict[str, Bucket] = {}
        self._state: RegistryState | None = None
        self._changed: set[str] = set()
        self._rows: dict[str, str | None] = {}

    # --- reading ---

    def load(self, keys: Iterable[str], *, archived: bool = False) -> dict[str, StoredIncident]:
        """Return incidents with what tasks reported about them, by key; those that are unknown are left out.

        :param archived: whether to look in the archive and the inbox, too.
        """
        wanted = list(dict.fromkeys(keys))
        kinds = (Kind.RECORD, *((Kind.ARCHIVE,) if archived else ()), Kind.ROOM, Kind.TRANSITION)
        stored = self._entries.values(kind.key(key) for key in wanted for kind in kinds)
        found = {}
        for key in wanted:
            name = Kind.RECORD.key(key)
            if name not in stored and archived:
                name = Kind.ARCHIVE.key(key)
            incident = read_entry(StoredIncident, name, stored)
            if name in stored and name.startswith(Kind.RECORD.prefix):
                self._stored_keys.add(key)
            if incident is not None:
                found[key] = _with_reports(incident, stored)
        if archived:
            missing = [key for key in wanted if key not in found]
            for key, report in self._reports(missing).items():
                found[key] = _with_reports(report, stored)
        return found

    def lookup(self, names: Collection[str]) -> dict[str, IndexEntry]:
        """Return the index rows of these names; a name without a row has an empty one."""
        missing = {Kind.INDEX.key(name): name for name in names if name not in self._index}
        stored = self._entries.values(missing)
        for row, name in missing.items():
            self._index[name] = read_entry(IndexEntry, row, stored) or IndexEntry()
        return {name: self._index[name] for name in names}

    def listed(self) -> dict[str, Listed]:
        """Return the list of current incidents: those that are open, and those that ended lately."""
        stored = self._entries.values(bucket_keys())
        found: dict[str, Listed] = {}
        for row in stored:
            bucket = read_entry(Bucket, row, stored)
            found |= bucket.incidents if bucket is not None else {}
        return found

    def overview(self, dag_ids: Collection[str], limit: int) -> list[Listed]:
        """Return the current incidents of these DAGs: the open ones, worst and then latest first, then the others.

        :param limit: how many of the open ones, and how many of the others.
        """
        entries = {key: entry for key, entry in self.listed().items() if entry.dag_id in dag_ids}
        reported = self.transitions(entries)
        current = [entry.with_transition(reported.get(key)) for key, entry in entries.items()]
        worst_first = list(Severity)
        current.sort(key=lambda entry: entry.opened_at, reverse=True)
        is_open = sorted((e for e in current if e.is_open), key=lambda e: worst_first.index(e.severity))
        return [*is_open[:limit], *[entry for entry in current if not entry.is_open][:limit]]

    def transitions(self, keys: Iterable[str]) -> dict[str, Transition]:
        """Return what tasks reported about the lifecycle of incidents, by incident key."""
        rows = {Kind.TRANSITION.key(key): key for key in keys}
        stored = self._entries.values(rows)
        # Most say that nothing was done yet: there is no need to validate those.
        rows = {row: key for row, key in rows.items() if row in stored and _UNTOUCHED not in stored[row]}
        found = {key: read_entry(Transition, row, stored) for row, key in rows.items()}
        return {key: transition for key, transition in found.items() if transition is not None}

    def reports(self) -> dict[str, StoredIncident]:
        """Return incidents of the inbox without a record, with what tasks reported about them, the latest first."""
        reports = self._merged_reports(self._inbox.latest(MAX_REPORTS))
        recorded = self._recorded(reports)
        return {key: report for key, report in reports.items() if key not in recorded}

    def incidents(self, *, archived: bool = False) -> dict[str, StoredIncident]:
        """Return all incidents. Reads every row: for maintenance and tests, never for an alert or a page."""
        kinds = (Kind.RECORD, *((Kind.ARCHIVE,) if archived else ()))
        names = self._entries.with_prefix(*(kind.prefix for kind in kinds))
        return self.load(sorted(name.partition("/")[2] for name in names), archived=archived)

    def taken(self, keys: Collection[str]) -> set[str]:
        """Return those of some incident keys that an incident has, or had."""
        return self._recorded(keys) | set(self._reports(keys))

    def _recorded(self, keys: Collection[str]) -> set[str]:
        """Return those of some incident keys that have a record, archived or not."""
        names = {kind.key(key): key for key in keys for kind in (Kind.RECORD, Kind.ARCHIVE)}
        return {names[name] for name in self._entries.existing(names)}

    def has_moved_on(self, seen: StoredIncident) -> bool:
        """Return whether a task resolved or archived the incident since it was read.

        Until the transaction ends no task can do that any more: it then finds a newer version of the record.
        """
        now = _with_reports(seen, self._entries.locked_value(Kind.TRANSITION.key(seen.record.key)))
        return now.record.status is not seen.record.status

    def state(self) -> RegistryState:
        """Return recent openings and the times of housekeeping."""
        if self._state is None:
            self._state = read_entry(RegistryState, STATE_KEY, self._entries.values([STATE_KEY])) or RegistryState()
        return self._state

    def rejections(self) -> Rejections:
        """Return the alerts and reports that could not become an incident, with those of the inbox."""
        return self._rejections_with(self._inbox.oldest(MAX_REPORTS))

    def _rejections_with(self, inbox: Mapping[str, str]) -> Rejections:
        """Return the stored rejections, and those of the inbox: what cannot be read there is one, too."""
        rejections = read_entry(Rejections, REJECTED_KEY, self._entries.values([REJECTED_KEY])) or Rejections()
        for key in inbox:
            is_rejection = key.startswith(REJECTED_PREFIX)
            if (item := read_entry(Rejection if is_rejection else StoredIncident, key, inbox)) is None:
                item = damaged_report(key, inbox[key], self.now())
            if isinstance(item, Rejection):
                rejections = rejections.with_item(item)
        return rejections

    def now(self) -> datetime:
        """Return the time by the one clock that all API servers share: the database's."""
        dialect = self._session.get_bind().dialect.name
        if dialect == "postgresql":
            # Not now(): that is when the transaction began, before it waited for the lock.
            return _utc(self._session.scalar(select(func.clock_timestamp())))
        if dialect == "mysql":
            return _utc(self._session.scalar(text("SELECT UTC_TIMESTAMP(6)")))
        return datetime.now(UTC)

    # --- writing ---

    def write(self, incident: StoredIncident, before: IncidentRecord | None, now: datetime) -> None:
        """Store a record, and change index and list accordingly.

        With a new record, create the row in which tasks report what became of the incident: it is what a decision
        locks while it changes the record.
        """
        record = incident.record
        self._set(Kind.RECORD.key(record.key), incident.to_json())
        if record.key not in self._stored_keys:
            self._stored_keys.add(record.key)
            self._set(Kind.TRANSITION.key(record.key), Transition().model_dump(mode="json"))
        names, former = index_names(record), index_names(before) if before is not None else set()
        for name in names - former:
            self._change_index(name, lambda entry: entry.with_key(record.key))
        for name in former - names:
            self._change_index(name, lambda entry: entry.without_key(record.key))
        # Updates without a run to post them are what housekeeping is to look at next.
        is_left = incident.batch is None and bool(record.pending)
        self._list(incident, check_at=now if is_left else now + CHECK_INTERVAL)

    def write_updates(self, run_id: str, batch: UpdateBatch) -> None:
        """Store what an update run has to post, as far as it is known."""
        self._set(Kind.UPDATES.key(run_id), batch.model_dump(mode="json"))

    def remember(self, name: str, history: GroupHistory) -> None:
        """Remember something about a group besides its incidents."""
        self._change_index(name, lambda entry: entry.model_copy(update={"history": history}))

    def add_openings(self, openings: Iterable[Opening]) -> None:
        """Note openings for the storm breaker."""
        new = list(openings)
        if new:
            self._change_state(self.state().with_openings(new))

    def write_rejections(self, rejections: Rejections) -> None:
        """Store the alerts and reports that could not become an incident."""
        self._set(REJECTED_KEY, rejections.model_dump(mode="json"))

    def adopt_reports(self, now: datetime, *, wanted: Collection[str] = ()) -> None:
        """Move incidents from the inbox to the registry. One that has a record already is dropped there.

        What is damaged becomes a rejection, so that it is seen and never holds up what comes after it.

        :param wanted: the keys of incidents that the transaction needs; besides these, the oldest are moved.
        """
        inbox = self._inbox.values(wanted) | self._inbox.oldest(MAX_REPORTS)
        if not inbox:
            return
        reports = self._merged_reports(inbox)
        if inbox.keys() - reports.keys():
            self.write_rejections(self._rejections_with(inbox))
        recorded = self._recorded(reports)
        for key, report in reports.items():
            if key not in recorded:
                self.write(report.model_copy(update={"version": report.version + 1}), None, now)
                self.add_openings(openings_of([report.record]))
        self._inbox.delete(inbox.keys())
        # What follows reads them from the database.
        self.flush()

    def due_for_check(self, now: datetime) -> list[str]:
        """Return the incidents that housekeeping looks at now, and note that it does."""
        checked_at = self.state().checked_at
        if checked_at is not None and now - checked_at < HOUSEKEEPING_INTERVAL:
            return []
        self._change_state(self.state().model_copy(update={"checked_at": now}))
        due = sorted((entry for entry in self.listed().values() if entry.check_at <= now), key=lambda e: e.check_at)
        return [entry.key for entry in due[:MAX_CHECKED]]

    def put_away(self, incident: StoredIncident, settings: Lifecycle, now: datetime) -> bool:
        """Archive the record of an incident that no alert can belong to any more; return whether it was.

        An alert that still fires, although a person resolved its incident, is remembered: its repetitions open
        nothing.
        """
        record = settle(incident.record, settings, now)
        if is_expired(record, now) or not is_finished(record, settings, now):
            self._list(incident, check_at=now + CHECK_INTERVAL)
            return False
        key = record.key
        self._set(Kind.ARCHIVE.key(key), incident.model_copy(update={"record": record}).to_json())
        for kind in (Kind.RECORD, Kind.ROOM, Kind.TRANSITION):
            self._rows[kind.key(key)] = None
        names = index_names(record)
        self.lookup(names)
        held = {group_name(alert.group): alert.key for alert in record.alerts.values() if alert.firing}
        for name in names:
            history = self._index[name].history
            if name in held:
                history = history.model_copy(update={"held": held[name]})
            entry = self._index[name].without_key(key).model_copy(update={"history": history})
            self._change_index(name, lambda _, new=entry: new)
        self._unlist(key)
        return True

    def flush(self) -> None:
        """Store everything that was written."""
        for row in self._changed:
            kind, _, name = row.partition("/")
            if kind == Kind.INDEX:
                entry = self._index[name]
                if entry == IndexEntry():
                    self._rows[row] = None
                else:
                    self._set(row, entry.model_dump(mode="json", exclude_defaults=True))
            elif kind == Kind.LIST:
                self._set(row, self._buckets[name].model_dump(mode="json"))
            else:
                self._set(row, self.state().model_dump(mode="json"))
        self._changed.clear()
        self._entries.delete([key for key, value in self._rows.items() if value is None])
        self._entries.upsert({key: value for key, value in self._rows.items() if value is not None})
        self._rows.clear()

    def purge(self, now: datetime) -> None:
        """Delete what has not changed for :data:`KEPT_FOR`. Reads every row, so it runs once a day."""
        kinds = (Kind.ARCHIVE, Kind.UPDATES, Kind.ROOM, Kind.TRANSITION, Kind.INDEX)
        current = {kind.key(key) for key in self.listed() for kind in (Kind.ROOM, Kind.TRANSITION)}
        rows = self._entries.unchanged_since(now - KEPT_FOR, *(kind.prefix for kind in kinds))
        for key in [key for key in rows if key.startswith(Kind.INDEX.prefix)]:
            entry = read_entry(IndexEntry, key, rows)
            # An incident may stay open for longer: what leads to it stays, too.
            if entry is not None and entry.keys:
                del rows[key]
        # Checked again in the statement: an index row may have been written since.
        self._entries.delete(rows.keys() - current, unchanged_since=now - KEPT_FOR)

    def begin_purge(self, now: datetime) -> bool:
        """Return whether it is time for :meth:`purge`, and note that it is done."""
        purged_at = self.state().purged_at
        if purged_at is not None and now - purged_at < PURGE_INTERVAL:
            return False
        self._change_state(self.state().model_copy(update={"purged_at": now}))
        return purged_at is not None

    # --- upgrade ---

    def is_indexed(self) -> bool:
        """Return whether index and list exist: version 0.1.0 had none."""
        return bool(self._entries.existing([STATE_KEY]))

    def build_index(self, incidents: Mapping[str, StoredIncident], now: datetime) -> None:
        """Create index, list and state from all records: once, after an upgrade from version 0.1.0."""
        names = {key: index_names(incident.record) for key, incident in incidents.items()}
        self.lookup(set().union(*names.values()))
        self._buckets = {row.partition("/")[2]: Bucket() for row in bucket_keys()}
        for key, incident in incidents.items():
            for name in names[key]:
                self._change_index(name, lambda entry, key=key: entry.with_key(key))
            self._list(incident, check_at=now)
            self._set(Kind.RECORD.key(key), incident.to_json())
        recent = sorted(openings_of(i.record for i in incidents.values()), key=lambda opening: opening.at)
        self._change_state(RegistryState(purged_at=now).with_openings(recent))
        self.flush()

    # --- rows ---

    def _set(self, key: str, value: Mapping[str, Any]) -> None:
        self._rows[key] = json.dumps(value)

    def _change_index(self, name: str, change: Any) -> None:
        entry = self.lookup([name])[name]
        changed = change(entry)
        if changed != entry:
            self._index[name] = changed
            self._changed.add(Kind.INDEX.key(name))

    def _change_state(self, state: RegistryState) -> None:
        self._state = state
        self._changed.add(STATE_KEY)

    def _list(self, incident: StoredIncident, *, check_at: datetime) -> None:
        bucket = self._bucket(incident.record.key)
        bucket.incidents[incident.record.key] = Listed.of(incident, check_at=check_at)

    def _unlist(self, key: str) -> None:
        self._bucket(key).incidents.pop(key, None)

    def _bucket(self, incident_key: str) -> Bucket:
        """Return the bucket of an incident, to be changed."""
        name = bucket_of(incident_key)
        row = Kind.LIST.key(name)
        if name not in self._buckets:
            self._buckets[name] = read_entry(Bucket, row, self._entries.values([row])) or Bucket()
        self._changed.add(row)
        return self._buckets[name]

    def _reports(self, keys: Collection[str]) -> dict[str, StoredIncident]:
        return self._merged_reports(self._inbox.values(keys))

    def _merged_reports(self, rows: Mapping[str, str]) -> dict[str, StoredIncident]:
        keys = [key for key in rows if not key.startswith(REJECTED_PREFIX)]
        found = {key: incident for key in keys if (incident := read_entry(StoredIncident, key, rows)) is not None}
        stored = self._entries.values(kind.key(key) for key in found for kind in (Kind.ROOM, Kind.TRANSITION))
        return {key: _with_reports(incident, stored) for key, incident in found.items()}


def _with_reports(incident: StoredIncident, stored: Mapping[str, str]) -> StoredIncident:
    key = incident.record.key
    room = read_entry(Room, Kind.ROOM.key(key), stored)
    return incident.with_reports(room, read_entry(Transition, Kind.TRANSITION.key(key), stored))


def _utc(value: datetime | None) -> datetime:
    if value is None:
        raise RegistryUnavailableError("The database did not return its time.")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
