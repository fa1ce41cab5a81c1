"""
Alerts are decided on and acted on in one transaction: from the lock to the commit, or not at all.

Twenty copies of an alert that arrive at once are decided one after the other, each knowing what became of the one
before it. The records, what update runs have to tell, and the runs themselves are committed together. Alerts that
wait at the same time share a transaction, a :class:`DecisionBatch`: a storm is decided about as fast as it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.exceptions import ParamValidationError
from airflow.utils.session import create_session
from sqlalchemy.exc import DataError

from airflow_incident_provider.config import DagId
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle.decision import Action, Decision, decide, response_dag
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.registry.records import OpenBatch, StoredIncident, UpdateBatch
from airflow_incident_provider.registry.runs import existing_runs
from airflow_incident_provider.registry.store import Registry, RegistryUnavailableError, locked

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_incident_provider.lifecycle.records import RunRequest
    from airflow_incident_provider.registry.runs import Runs

ATTEMPTS = 3
"""A task can end an incident between the reading and the decision; then the alert is decided on again."""

CLOCK_TOLERANCE = timedelta(seconds=3)
"""An update run starts so much after its batch is complete: the scheduler goes by a clock of its own."""

MAX_SUCCESSORS = 50
"""How many times a key is looked for with a number after it: that many incidents may have had it before."""


@dataclass(frozen=True)
class PendingAlert:
    """An alert, and the rules that it is decided by."""

    signal: Signal
    routing: RoutingTable


@dataclass(frozen=True)
class Outcome:
    """What became of an alert; the run that tells of it, new or not; and the runs that were started for it."""

    decision: Decision
    run_id: str | None
    started: tuple[str, ...]


def act_on(alerts: Sequence[PendingAlert], runs: Runs) -> list[Outcome | Exception]:
    """Decide on alerts in their order, store what is to be remembered, and start what is to be started.

    :return: for each alert what became of it, or why nothing did: a :class:`DagNotReadyError` when a run that it
        needs would wait, a :class:`ValueError`, :class:`ParamValidationError` or :class:`DataError` when the DAG
        or the database does not accept what it says. Such an alert leaves no trace; the others stand.
    :raises RegistryUnavailableError: the registry cannot be used now; nothing became of any of them.
    :raises sqlalchemy.exc.SQLAlchemyError: the database could not do it; nothing became of any of them.
    """
    outcomes: list[Outcome | Exception] = []
    with create_session(scoped=False) as session:
        batch = DecisionBatch(session, locked(session), runs)
        for alert in alerts:
            try:
                outcomes.append(batch.act_on(alert))
            except (IncidentError, ValueError, ParamValidationError, DataError) as error:
                outcomes.append(error)
        batch.close()
    return outcomes


class DecisionBatch:
    """Decisions in one transaction. What they change is written at the end, each record once."""

    def __init__(self, session: Session, registry: Registry, runs: Runs) -> None:
        self._session = session
        self._registry = registry
        self._runs = runs
        self._now = registry.now()
        self._incidents = self._read()
        self._changed: dict[str, StoredIncident] = {}
        self._told: dict[str, UpdateBatch] = {}
        self._reopen_window: timedelta | None = None

    def act_on(self, alert: PendingAlert) -> Outcome:
        """Decide on one alert, and start its runs."""
        decision = self._decided(alert)
        requests = [_delayed(request) for request in decision.runs]
        started = []
        # A savepoint: of two runs, both are started or none.
        with self._session.begin_nested():
            started = [request.run_id for request in requests if self._runs.start(self._session, request)]
        incident = self._remembered(decision)
        if decision.action is Action.OPEN:
            self._reopen_window = alert.routing.lifecycle.reopen_window
        return Outcome(decision, _telling_run(decision, incident), tuple(started))

    def close(self) -> None:
        """Write what was changed."""
        for run_id, batch in self._told.items():
            self._registry.write_updates(run_id, batch)
        for incident in self._changed.values():
            self._registry.write(incident)
        if self._reopen_window is not None:
            others = [incident for key, incident in self._incidents.items() if key not in self._changed]
            self._registry.tidy(others, self._now, reopen_window=self._reopen_window)

    def _read(self) -> dict[str, StoredIncident]:
        return {key: incident.at(self._now) for key, incident in self._registry.incidents().items()}

    def _decided(self, alert: PendingAlert) -> Decision:
        for _ in range(ATTEMPTS):
            decision = self._decide(alert)
            before = self._incidents.get(decision.record.key) if decision.record is not None else None
            if before is None or before.record.key in self._changed or not self._registry.has_moved_on(before):
                return decision
            self._incidents = self._read() | self._changed
        raise RegistryUnavailableError("Tasks kept changing the incident while it was decided on.")

    def _decide(self, alert: PendingAlert) -> Decision:
        records = [incident.record for incident in self._incidents.values()]
        decision = decide(alert.signal, records, alert.routing, self._now)
        if decision.action is not Action.OPEN:
            return decision
        return decide(alert.signal, records, alert.routing, self._now, taken_keys=self._taken_keys(alert.signal))

    def _taken_keys(self, signal: Signal) -> set[str]:
        """Return which keys, of those that a new incident could get, were used by one before it."""
        key = signal.incident.key
        keys = [key, *(f"{key}.{number}" for number in range(2, MAX_SUCCESSORS + 2))]
        dag_id = response_dag(signal.incident.route)
        return existing_runs(self._session, dag_id, keys) | self._registry.archived_among(keys)

    def _remembered(self, decision: Decision) -> StoredIncident | None:
        """Note what a decision changed, for the others and to be written; return the incident as it is now."""
        if decision.record is None:
            return None
        record = decision.record
        before = self._incidents.get(record.key)
        if not decision.changed:
            return before
        batch = before.batch if before is not None else None
        update = next((request for request in decision.runs if request.dag_id == DagId.INCIDENT_UPDATE), None)
        if update is not None:
            batch = OpenBatch(run_id=update.run_id, until=update.run_after or self._now)
        if batch is not None:
            told = UpdateBatch(incident=record.key, items=record.pending, dropped=record.pending_dropped)
            self._told[batch.run_id] = told
        version = before.version + 1 if before is not None else 1
        # What a run tells that may start at once is complete: from here on the record is without it.
        incident = StoredIncident(version=version, batch=batch, record=record).at(self._now)
        self._incidents[record.key] = self._changed[record.key] = incident
        return incident


def _delayed(request: RunRequest) -> RunRequest:
    if request.run_after is None:
        return request
    return request.model_copy(update={"run_after": request.run_after + CLOCK_TOLERANCE})


def _telling_run(decision: Decision, incident: StoredIncident | None) -> str | None:
    """Return the run that tells of the alert: its first own, the update run to come, or the incident's own."""
    if decision.runs:
        return decision.runs[0].run_id
    if incident is None:
        return None
    return incident.batch.run_id if incident.batch is not None else incident.record.run_id
