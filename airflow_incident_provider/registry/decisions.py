"""
Alerts are decided and acted on in one transaction: from the lock to the commit, or not at all.

Twenty copies of an alert that arrive at once are decided one after the other, each with the result of the one
before. The records, what update runs have to post, and the runs themselves are committed together. Concurrent
alerts share a transaction, a :class:`DecisionBatch`: a storm is decided about as fast as it is read. A batch reads
only the records that its alerts can belong to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.utils.session import create_session
from sqlalchemy.exc import DataError, SQLAlchemyError

from airflow_incident_provider.config import ConfKey, DagId
from airflow_incident_provider.exceptions import RegistryUnavailableError
from airflow_incident_provider.intake.policies import Lifecycle
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle import transitions
from airflow_incident_provider.lifecycle.closing import is_expired
from airflow_incident_provider.lifecycle.decision import Action, Decision, decide
from airflow_incident_provider.lifecycle.matching import GroupHistory, Opening, openings_of
from airflow_incident_provider.lifecycle.records import IncidentRecord, RunRequest, shrink_to_fit
from airflow_incident_provider.lifecycle.reminders import next_check_at
from airflow_incident_provider.lifecycle.run_requests import check_run, response_dag, with_update_run
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.registry.fallbacks import with_default_dag, without_updates
from airflow_incident_provider.registry.records import (
    OpenBatch,
    Rejection,
    StoredIncident,
    UpdateBatch,
    group_name,
    lookup_names,
)
from airflow_incident_provider.registry.runs import DagNotReadyError, existing_runs, started_runs
from airflow_incident_provider.registry.store import Registry
from airflow_incident_provider.registry.transaction import locked, opened
from airflow_incident_provider.registry.upgrade import ensure_indexed

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_incident_provider.registry.runs import Runs

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""A task can end an incident between reading and deciding; then the alert is decided again."""

CLOCK_TOLERANCE = timedelta(seconds=3)
"""An update run starts this long after its batch is complete: the scheduler has a clock of its own."""

KEYS_AT_ONCE = 64
"""Numbered keys that are looked up in one query, to find a free one."""


@dataclass(frozen=True)
class PendingAlert:
    """An alert, and the routing table that it is decided by."""

    signal: Signal
    routing: RoutingTable


@dataclass(frozen=True)
class Outcome:
    """The decision about an alert, the run that reports it (new or not), and the runs that were started for it.

    ``notes`` say what was left out of the alert's body, and why.
    """

    decision: Decision
    run_id: str | None
    started: tuple[str, ...]
    notes: tuple[str, ...] = ()


def act_on(alerts: Sequence[PendingAlert], runs: Runs) -> list[Outcome | Exception]:
    """Decide on alerts in their order, store the records, and start the runs.

    :returns: for each alert its outcome, or why it has none: a :class:`DagNotReadyError` if a run that it needs
        would wait, a ``ParamValidationError`` if the DAG does not accept what it says, or another error. Such an
        alert changes nothing; the others are not affected.
    :raises RegistryUnavailableError: the registry cannot be used now; nothing was done about any of them.
    :raises sqlalchemy.exc.SQLAlchemyError: the database failed; nothing was done about any of them.
    """
    try:
        return _act_together(alerts, runs)
    except DataError as error:
        # The database refuses a value of one of them, and does not say of which.
        if len(alerts) == 1:
            return [error]
        return [outcome for alert in alerts for outcome in act_on([alert], runs)]


def _act_together(alerts: Sequence[PendingAlert], runs: Runs) -> list[Outcome | Exception]:
    outcomes: list[Outcome | Exception] = []
    with create_session(scoped=False) as session:
        batch = DecisionBatch.begin(session, runs, alerts)
        for alert in alerts:
            try:
                outcomes.append(batch.act_on(alert))
            except SQLAlchemyError:
                raise
            except Exception as error:  # noqa: BLE001  a defect that one alert meets must not cost the others
                outcomes.append(error)
        is_purge_due = batch.close()
    if is_purge_due:
        _purge()
    return outcomes


def change_incident(
    key: str, change: Callable[[IncidentRecord], tuple[IncidentRecord, Sequence[RunRequest]]], runs: Runs
) -> IncidentRecord | None:
    """Change one incident and start the runs that follow, in one transaction; for what people do about it.

    :param change: returns the next record and the runs to start; the same record changes nothing.
    :returns: the record afterwards; ``None`` if the registry does not have the incident.
    :raises RegistryUnavailableError: the registry cannot be used now; nothing was changed.
    :raises DagNotReadyError: a run would wait; nothing was changed.
    """
    with create_session(scoped=False) as session:
        batch = DecisionBatch.begin(session, runs, (), keys=[key])
        record = batch.change(key, change)
        batch.close()
    return record


def reject(rejection: Rejection) -> None:
    """Record an alert or report that could not become an incident, for the incidents page."""
    with create_session(scoped=False) as session:
        registry = locked(session)
        registry.write_rejections(registry.rejections().with_item(rejection))
        registry.flush()


def dismiss(rejection_id: str) -> bool:
    """Remove a rejection from the list; return whether it was there."""
    with create_session(scoped=False) as session:
        registry = locked(session)
        registry.adopt_reports(registry.now())
        before = registry.rejections()
        after = before.without_item(rejection_id)
        if after != before:
            registry.write_rejections(after)
            registry.flush()
        return after != before


class DecisionBatch:
    """Decisions in one transaction. What they change is written at the end, each record once."""

    def __init__(self, session: Session, registry: Registry, runs: Runs, alerts: Sequence[PendingAlert]) -> None:
        self._session = session
        self._registry = registry
        self._runs = runs
        self._routing = alerts[-1].routing if alerts else None
        ensure_indexed(session, registry, self._routing)
        self._now = registry.now()
        self._loaded: dict[str, StoredIncident] = {}
        self._changed: dict[str, StoredIncident] = {}
        self._histories: dict[str, GroupHistory] = {}
        self._updates: dict[str, UpdateBatch] = {}
        self._openings: list[Opening] = []

    @classmethod
    def begin(
        cls, session: Session, runs: Runs, alerts: Sequence[PendingAlert], *, keys: Sequence[str] = ()
    ) -> DecisionBatch:
        """Lock the registry, and read what the alerts can belong to, and the incidents of ``keys``."""
        registry = locked(session)
        batch = cls(session, registry, runs, alerts)
        registry.adopt_reports(batch._now, wanted=keys)
        names = {name for each in alerts for name in lookup_names(each.signal, each.routing.correlation)}
        entries = registry.lookup(names)
        storms = [opening.key for opening in registry.state().openings if opening.storm]
        batch._load([*keys, *storms, *(key for entry in entries.values() for key in entry.keys)])
        return batch

    def act_on(self, alert: PendingAlert) -> Outcome:
        """Decide on one alert, and start its runs."""
        decision, started = self._start_runs(self._decided(alert))
        if decision.action is Action.OPEN and decision.record is not None:
            self._request_first_check(decision.record, alert.routing)
        incidents = [self._keep(record, decision.runs) for record in _changed_records(decision)]
        if decision.history is not None:
            self._histories[group_name(alert.signal.group)] = decision.history
        if decision.action is Action.OPEN and decision.record is not None:
            self._openings += openings_of([decision.record])
        elif decision.record is not None and decision.record.storm_times[-1:] == (self._now,):
            self._openings.append(openings_of([decision.record])[-1])
        incident = incidents[0] if incidents else self._incidents.get(decision.key or "")
        return Outcome(decision, _reporting_run(decision, incident), tuple(started))

    def change(
        self, key: str, change: Callable[[IncidentRecord], tuple[IncidentRecord, Sequence[RunRequest]]]
    ) -> IncidentRecord | None:
        """Change one incident, and start the runs that follow."""
        for _ in range(ATTEMPTS):
            before = self._incidents.get(key)
            if before is None:
                return None
            record, requests = change(before.record)
            if self._registry.has_moved_on(before):
                self._load([key])
                continue
            for request in requests:
                # A person can act again; what they did is to be seen at once.
                self._runs.start(self._session, request.model_copy(update={"may_wait": False}))
            if record != before.record:
                self._keep(shrink_to_fit(record), requests)
            return record
        raise RegistryUnavailableError("Tasks kept changing the incident.")

    def close(self) -> bool:
        """Write what was changed, and keep house; return whether old rows are to be purged."""
        self._close_expired()
        for run_id, batch in self._updates.items():
            self._registry.write_updates(run_id, batch)
        for key, incident in self._changed.items():
            before = self._loaded.get(key)
            self._registry.write(incident, before.record if before is not None else None, self._now)
        for name, history in self._histories.items():
            self._registry.remember(name, history)
        self._registry.add_openings(self._openings)
        is_purge_due = self._registry.begin_purge(self._now)
        self._registry.flush()
        return is_purge_due

    # --- deciding ---

    @property
    def _incidents(self) -> dict[str, StoredIncident]:
        return self._loaded | self._changed

    def _load(self, keys: Sequence[str]) -> None:
        """Read incidents; what a started run posts is no longer pending."""
        found = {key: stored.at(self._now) for key, stored in self._registry.load(keys).items()}
        batches = {stored.batch.run_id: key for key, stored in found.items() if stored.batch is not None}
        for run_id in started_runs(self._session, DagId.INCIDENT_UPDATE, list(batches)):
            # The scheduler's clock is ahead: the run may have read its batch already.
            started = found[batches[run_id]].without_batch()
            record = started.record.model_copy(update={"update_due": None})
            found[batches[run_id]] = started.model_copy(update={"record": record})
        self._loaded |= found

    def _decided(self, alert: PendingAlert) -> Decision:
        for _ in range(ATTEMPTS):
            decision = self._decide(alert)
            seen = [
                self._loaded[record.key]
                for record in _changed_records(decision)
                if record.key in self._loaded and record.key not in self._changed
            ]
            moved = [stored.record.key for stored in seen if self._registry.has_moved_on(stored)]
            if not moved:
                return decision
            self._load(moved)
        raise RegistryUnavailableError("Tasks kept changing the incident while it was decided on.")

    def _decide(self, alert: PendingAlert) -> Decision:
        signal = alert.signal
        name = group_name(signal.group)
        history = self._histories.get(name)
        known: dict[str, Any] = {
            "openings": [*self._registry.state().openings, *self._openings],
            "history": history if history is not None else self._registry.lookup([name])[name].history,
        }
        records = [incident.record for incident in self._incidents.values()]
        decision = decide(signal, records, alert.routing, self._now, **known)
        if decision.action is not Action.OPEN:
            return decision
        taken = self._taken_keys(signal)
        return decide(signal, records, alert.routing, self._now, taken_keys=taken, **known) if taken else decision

    def _taken_keys(self, signal: Signal) -> set[str]:
        """Return keys in use, up to the first free one: the alert's own, and then those with a number."""
        key = signal.incident.key
        dag_ids = (response_dag(signal.incident.route), DagId.INCIDENT_RESPONSE)

        def in_use(keys: Sequence[str]) -> set[str]:
            runs = {run for dag_id in set(dag_ids) for run in existing_runs(self._session, dag_id, keys)}
            return runs | self._registry.taken(keys) | (self._changed.keys() & set(keys))

        if not in_use([key]):
            return set()
        # Find a range with a free number by doubling it, so that thousands of earlier incidents cost few queries.
        low, high = 2, 4
        while in_use([f"{key}.{high}"]):
            low, high = high, high * 2
        while high - low > KEYS_AT_ONCE:
            middle = (low + high) // 2
            low, high = (middle, high) if in_use([f"{key}.{middle}"]) else (low, middle)
        taken = in_use([f"{key}.{number}" for number in range(low, high + 1)])
        return {key, *taken, *(f"{key}.{number}" for number in range(2, low))}

    # --- acting ---

    def _start_runs(self, decision: Decision) -> tuple[Decision, list[str]]:
        """Start the runs of a decision.

        If a team's DAG is not ready, the default DAG opens the room. If there is none that posts updates, they stay
        pending, and are requested again with the next alert of the incident, and by housekeeping.
        """
        try:
            return decision, self._start_all(decision)
        except DagNotReadyError as error:
            fallback = with_default_dag(decision, error) or without_updates(decision, error)
            if fallback is None:
                raise
            return self._start_runs(fallback)

    def _request_first_check(self, record: IncidentRecord, routing: RoutingTable) -> None:
        """Request the run that posts the first reminder; from there each run requests the next."""
        at = next_check_at(record, routing, self._now)
        if at is None:
            return
        try:
            self._runs.start(self._session, check_run(record.key, at))
        except DagNotReadyError as error:
            # The room opens anyway; only its reminders are missing.
            log.warning("The incident %s has no reminders: %s", record.key, error)

    def _start_all(self, decision: Decision) -> list[str]:
        # A savepoint: of two runs, both are started or none.
        with self._session.begin_nested():
            started = [
                request.run_id for request in decision.runs if self._runs.start(self._session, _delayed(request))
            ]
        opened = [request.run_id for request in decision.runs if request.run_id == decision.key]
        if decision.action is Action.OPEN and not set(opened) <= set(started):
            raise RegistryUnavailableError(f"Another run has the id {decision.key}.")
        return started

    def _keep(self, record: IncidentRecord, runs: Sequence[RunRequest]) -> StoredIncident:
        """Keep a changed record, for the next alerts and to be written; hand its updates to their run."""
        before = self._incidents.get(record.key)
        batch = before.batch if before is not None else None
        for request in runs:
            if request.dag_id != DagId.INCIDENT_UPDATE or request.conf.get(ConfKey.INCIDENT_KEY) != record.key:
                continue
            if request.run_after is not None:
                batch = OpenBatch(run_id=request.run_id, until=request.run_after)
            elif record.pending or record.pending_dropped:
                # A run that may start at once has all of its updates; those of a later run are posted with it.
                posted = self._updates.get(request.run_id, UpdateBatch(incident=record.key))
                self._updates[request.run_id] = posted.with_more(record.pending, record.pending_dropped)
                record = record.without_pending()
        if batch is not None:
            self._updates[batch.run_id] = UpdateBatch(
                incident=record.key, items=record.pending, dropped=record.pending_dropped
            )
        stored = self._changed.get(record.key)
        version = stored.version if stored is not None else (before.version + 1 if before is not None else 1)
        incident = StoredIncident(version=version, batch=batch, record=record)
        self._changed[record.key] = incident
        return incident

    def _close_expired(self) -> None:
        """Close incidents that nothing has reported on for long, and put those away that are finished."""
        due = self._registry.due_for_check(self._now)
        if not due or self._routing is None:
            return
        settings = self._routing.lifecycle
        self._load([key for key in due if key not in self._incidents])
        for key in due:
            incident = self._loaded.get(key)
            if incident is None or key in self._changed or self._registry.put_away(incident, settings, self._now):
                continue
            if is_expired(incident.record, self._now):
                record = transitions.expired(incident.record, self._now)
            elif incident.batch is None and incident.record.pending:
                record = incident.record.model_copy(update={"update_due": None})
            else:
                continue
            if not self._registry.has_moved_on(incident):
                self._post_later(record, settings)

    def _post_later(self, record: IncidentRecord, settings: Lifecycle) -> None:
        """Store a record with the run that posts its updates, unless there is no DAG for it yet."""
        record, requests = with_update_run(record, settings, self._now)
        try:
            for request in requests:
                self._runs.start(self._session, _delayed(request))
        except DagNotReadyError:
            return
        self._keep(shrink_to_fit(record), requests)


def _changed_records(decision: Decision) -> list[IncidentRecord]:
    changed = [decision.record] if decision.record is not None and decision.changed else []
    return [*changed, *decision.others]


def _delayed(request: RunRequest) -> RunRequest:
    if request.run_after is None:
        return request
    return request.model_copy(update={"run_after": request.run_after + CLOCK_TOLERANCE})


def _reporting_run(decision: Decision, incident: StoredIncident | None) -> str | None:
    """Return the run that reports the alert: its first own, the update run to come, or the incident's own."""
    if decision.runs:
        return decision.runs[0].run_id
    if incident is None:
        return None
    return incident.batch.run_id if incident.batch is not None else incident.record.run_id


def _purge() -> None:
    with create_session(scoped=False) as session:
        registry = opened(session)
        registry.purge(registry.now())
