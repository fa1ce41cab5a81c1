"""The runs that an incident needs: the one that opens its room, and those that post its updates."""

from __future__ import annotations

from datetime import datetime

from airflow_incident_provider.config import ConfKey, DagId
from airflow_incident_provider.intake.policies import Lifecycle, Visibility
from airflow_incident_provider.lifecycle import transitions
from airflow_incident_provider.lifecycle.records import (
    Assignment,
    IncidentRecord,
    RunRequest,
    UpdateItem,
    UpdateKind,
)
from airflow_incident_provider.lifecycle.reminders import check_run_id
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.models import Route

_AT_ONCE = frozenset({UpdateKind.RECOVERED, UpdateKind.REOPENED, UpdateKind.EXPIRED})
"""Updates that do not wait for the update interval, which is for repetitions. A higher severity and
whatever a person did are others."""


def response_dag(route: Route) -> str:
    """Return the DAG that opens the rooms of incidents with this route."""
    return route.dag_id or DagId.INCIDENT_RESPONSE


def with_response_run(
    record: IncidentRecord, signal: Signal, now: datetime
) -> tuple[IncidentRecord, tuple[RunRequest, ...]]:
    """Return the record with the run that opens its room, and the request for it: once per record."""
    if record.visibility is not Visibility.ROOM or record.run_id is not None:
        return record, ()
    assignment = Assignment(
        key=record.key,
        title=record.title,
        severity=record.severity,
        storm=record.storm,
        received_at=signal.received_at,
    )
    request = RunRequest(
        dag_id=record.dag_id,
        run_id=record.key,
        conf={**signal.conf, ConfKey.ASSIGNMENT: assignment.model_dump(mode="json")},
    )
    # The brief is the first message: repetitions within the interval after it wait.
    due = max(now, record.update_due or now)
    return record.model_copy(update={"run_id": record.key, "update_due": due}), (request,)


def with_update_run(
    record: IncidentRecord, settings: Lifecycle, now: datetime
) -> tuple[IncidentRecord, tuple[RunRequest, ...]]:
    """Return the record with the run that posts its pending updates, and the request unless it was made before.

    A higher severity, a recovery or a reopening is posted at once; anything else waits for the update interval.
    """
    if not (record.pending or record.pending_dropped):
        return record, ()
    latest = record.update_due
    if any(_is_urgent(item) for item in record.pending):
        request = _update_run(record, f"{now:%Y%m%dT%H%M%S%f}", run_after=None)
        return record.model_copy(update={"update_due": max(now, latest or now)}), (request,)
    if latest is not None and latest > now:
        return record, ()
    due = now if latest is None else max(now, latest + settings.update_interval)
    name = f"{due:%Y%m%dT%H%M%S}" if due > now else f"{now:%Y%m%dT%H%M%S%f}"
    request = _update_run(record, name, run_after=due if due > now else None)
    return record.model_copy(update={"update_due": due}), (request,)


def check_run(key: str, at: datetime) -> RunRequest:
    """Return the request for the run that does what is due for an incident at a moment."""
    conf = {ConfKey.INCIDENT_KEY.value: key}
    return RunRequest(
        dag_id=DagId.INCIDENT_UPDATE, run_id=check_run_id(key, at), conf=conf, run_after=at, may_wait=True
    )


def _update_run(record: IncidentRecord, name: str, *, run_after: datetime | None) -> RunRequest:
    conf = {
        ConfKey.INCIDENT_KEY: record.key,
        ConfKey.ASSIGNMENT: {"key": record.key, "severity": record.severity.value},
    }
    run_id = f"upd.{record.key}.{name}"
    # An alert is accepted all the same: its update is posted when the DAG is ready again.
    return RunRequest(dag_id=DagId.INCIDENT_UPDATE, run_id=run_id, conf=conf, run_after=run_after, may_wait=True)


def _is_urgent(item: UpdateItem) -> bool:
    if item.kind is UpdateKind.SEVERITY:
        return transitions.is_worse(item.after, item.before)
    return item.actor is not None or item.kind in _AT_ONCE
