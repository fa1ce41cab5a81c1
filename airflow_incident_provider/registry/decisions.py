"""
An alert is decided on and acted on in one transaction: from the lock to the commit, or not at all.

Twenty copies of an alert that arrive at once are decided one after the other, each knowing what became of the one
before it. The record, what the update run has to tell, and the run itself are committed together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow.utils.session import create_session

from airflow_incident_provider.lifecycle.decision import Action, Decision, decide
from airflow_incident_provider.lifecycle.runs import RESPONSE_DAG, UPDATE_DAG
from airflow_incident_provider.registry.api_server import Registry, RegistryUnavailableError, locked
from airflow_incident_provider.registry.entries import OpenBatch, StoredIncident, UpdateBatch
from airflow_incident_provider.registry.runs import existing_runs

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_incident_provider.lifecycle.records import RunRequest
    from airflow_incident_provider.lifecycle.rules import LifecycleRules
    from airflow_incident_provider.lifecycle.signals import Signal
    from airflow_incident_provider.registry.runs import Runs

ATTEMPTS = 3
"""A task can end an incident between the reading and the decision; then the alert is decided on again."""

CLOCK_TOLERANCE = timedelta(seconds=3)
"""An update run starts so much after its batch is complete: the scheduler goes by a clock of its own."""


MAX_SUCCESSORS = 50
"""How many times a key is looked for with a number after it: that many incidents may have had it before."""


@dataclass(frozen=True)
class Outcome:
    """What became of an alert; the run that tells of it, new or not; and the runs that were started for it."""

    decision: Decision
    run_id: str | None
    started: tuple[str, ...]


@dataclass(frozen=True)
class _Judgement:
    """A decision with what it was made on: the incident that it changes as it was before, and the others."""

    decision: Decision
    now: datetime
    before: StoredIncident | None
    others: tuple[StoredIncident, ...]


def act_on(signal: Signal, rules: LifecycleRules, runs: Runs) -> Outcome:
    """Decide on an alert, store what is to be remembered, and start what is to be started. All of it, or nothing.

    :raises RegistryUnavailableError: the registry cannot be used now.
    :raises DagNotReadyError: a run that it needs would wait.
    :raises ValueError: a DAG does not accept the run's conf.
    :raises sqlalchemy.exc.SQLAlchemyError: the database could not do it.
    """
    with create_session(scoped=False) as session:
        registry = locked(session)
        judged = _judged(session, registry, signal, rules)
        stored = _stored(registry, judged)
        requests = [_delayed(request) for request in judged.decision.runs]
        started = tuple(request.run_id for request in requests if runs.start(session, request))
        if judged.decision.action is Action.OPEN:
            registry.tidy(judged.others, judged.now, reopen_window=rules.lifecycle.reopen_window)
    return Outcome(judged.decision, _telling_run(judged.decision, stored or judged.before), started)


def _judged(session: Session, registry: Registry, signal: Signal, rules: LifecycleRules) -> _Judgement:
    for _ in range(ATTEMPTS):
        now = registry.now()
        incidents = {key: incident.at(now) for key, incident in registry.incidents().items()}
        records = [incident.record for incident in incidents.values()]
        decision = decide(signal, records, rules, now)
        if decision.action is Action.OPEN:
            taken_keys = _taken_keys(session, registry, signal.incident.key)
            decision = decide(signal, records, rules, now, taken_keys=taken_keys)
        before = incidents.pop(decision.record.key, None) if decision.record is not None else None
        if before is None or not registry.has_moved_on(before):
            return _Judgement(decision, now, before, tuple(incidents.values()))
    raise RegistryUnavailableError("Tasks kept changing the incident while it was decided on.")


def _taken_keys(session: Session, registry: Registry, key: str) -> set[str]:
    """Return which keys, of those that an incident with this alert could get, were used by one before it."""
    keys = [key, *(f"{key}.{number}" for number in range(2, MAX_SUCCESSORS + 2))]
    return existing_runs(session, RESPONSE_DAG, keys) | registry.archived_among(keys)


def _stored(registry: Registry, judged: _Judgement) -> StoredIncident | None:
    """Store what the decision changed; return it, or nothing if it changed nothing."""
    decision, before = judged.decision, judged.before
    if decision.record is None or not decision.changed:
        return None
    record, batch = decision.record, before.batch if before is not None else None
    update = next((request for request in decision.runs if request.dag_id == UPDATE_DAG), None)
    if update is not None:
        batch = OpenBatch(run_id=update.run_id, until=update.run_after or judged.now)
    if batch is not None:
        told = UpdateBatch(incident=record.key, items=record.pending, dropped=record.pending_dropped)
        registry.write_updates(batch.run_id, told)
    version = before.version + 1 if before is not None else 1
    # What a run tells that may start at once is complete: from here on the record is without it.
    stored = StoredIncident(version=version, batch=batch, record=record).at(judged.now)
    registry.write(stored)
    return stored


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
