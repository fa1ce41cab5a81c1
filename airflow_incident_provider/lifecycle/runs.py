"""
The DAG runs that follow from a decision.

A room is made by one run of ``incident_response``, or of the DAG that the routing table names, whose run id is the
incident's key. Updates are posted by runs
of ``incident_update``: the first at once, and then at most one an interval; what comes meanwhile waits for the run
that was already asked for. So every pending update has a run that is due after it came.
"""

from __future__ import annotations

from datetime import datetime

from airflow_incident_provider.config import ConfKey, DagId
from airflow_incident_provider.intake.policies import Lifecycle
from airflow_incident_provider.lifecycle.records import Assignment, IncidentRecord, Presence, RunRequest
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.models import Route


def response_dag(route: Route) -> str:
    """Return the DAG that makes the rooms of incidents that are routed so."""
    return route.dag_id or DagId.INCIDENT_RESPONSE


def with_response_run(
    record: IncidentRecord, signal: Signal, now: datetime
) -> tuple[IncidentRecord, tuple[RunRequest, ...]]:
    """Return the record with the run that makes its room, and the request for it: once in a record's life."""
    if record.presence is not Presence.ROOM or record.run_id is not None:
        return record, ()
    dag_id = response_dag(signal.incident.route)
    assignment = Assignment(
        key=record.key,
        title=record.title,
        severity=record.severity,
        storm=record.storm,
        received_at=signal.received_at,
    )
    request = RunRequest(
        dag_id=dag_id,
        run_id=record.key,
        conf={**signal.conf, ConfKey.ASSIGNMENT: assignment.model_dump(mode="json")},
    )
    # The brief is the first message: what follows it within the interval waits.
    due = max(now, record.update_due or now)
    return record.model_copy(update={"run_id": record.key, "dag_id": dag_id, "update_due": due}), (request,)


def with_update_run(
    record: IncidentRecord, settings: Lifecycle, now: datetime
) -> tuple[IncidentRecord, tuple[RunRequest, ...]]:
    """Return the record with the run that will post what is pending, and the request if it was not yet made."""
    if not (record.pending or record.pending_dropped):
        return record, ()
    latest = record.update_due
    if latest is not None and latest > now:
        return record, ()
    due = now if latest is None else max(now, latest + settings.update_interval)
    request = RunRequest(
        dag_id=DagId.INCIDENT_UPDATE,
        run_id=f"upd.{record.key}.{due:%Y%m%dT%H%M%S}",
        conf={ConfKey.INCIDENT_KEY: record.key},
        run_after=due if due > now else None,
    )
    return record.model_copy(update={"update_due": due}), (request,)
