"""How an incident stands while its first run is under way: alerts, and people, may have changed it meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_incident_provider.config import ConfKey
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.models import Incident

if TYPE_CHECKING:
    from airflow.sdk import Context


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the brief shows of an incident beside what its first run found out.

    :param incident: as the run read it, with what has changed since.
    :param status: its status in words.
    :param ended: the status, once something became of the incident.
    :param repeats: how often it was reported again.
    """

    incident: Incident
    status: str = "open"
    ended: str | None = None
    commander: str | None = None
    repeats: int = 0


def standing(context: Context, incident: Incident) -> Standing:
    """Return how the incident stands by the registry, or as this run read it where the registry knows nothing."""
    record = _record(context, incident.key)
    if record is None:
        return Standing(incident=incident)
    from airflow_incident_provider.messages.status_changes import status_text
    from airflow_incident_provider.room.snapshot import as_it_stands

    return Standing(
        incident=as_it_stands(incident, record),
        status=status_text(record),
        ended=status_text(record) if record.ended_at else None,
        commander=record.commander,
        repeats=record.repeats,
    )


def _record(context: Context, key: str) -> IncidentRecord | None:
    """Return the registry's record: only of an incident whose run the webhook started there is one."""
    if ConfKey.ASSIGNMENT not in (context["dag_run"].conf or {}):
        return None
    from airflow_incident_provider.registry.task_client import TaskRegistry

    try:
        stored = TaskRegistry.of(context).incident(key)
    except (KeyError, AirflowRuntimeError):
        # A DAG of one's own may not name the registry, and what the brief shows is not worth a failed task.
        return None
    return stored.record if stored else None
