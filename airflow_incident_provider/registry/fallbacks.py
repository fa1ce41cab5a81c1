"""What becomes of a decision whose DAG is not ready: no alert is lost for it, and the room or the log says so."""

from __future__ import annotations

import logging

from airflow_incident_provider.config import ConfKey, DagId
from airflow_incident_provider.lifecycle.decision import Decision
from airflow_incident_provider.lifecycle.records import Assignment, RunRequest
from airflow_incident_provider.models import ParseWarning
from airflow_incident_provider.registry.runs import DagNotReadyError

log = logging.getLogger(__name__)

_WAITS = "Its update waits for the DAG that posts it."


def with_default_dag(decision: Decision, error: DagNotReadyError) -> Decision | None:
    """Return the decision with the default DAG instead of a team's DAG that is not ready; the brief reports it."""
    record = decision.record
    if record is None or error.dag_id is None or error.dag_id in set(DagId):
        return None
    warning = ParseWarning(
        field="route.dag",
        value=error.dag_id,
        note=f"{error.message} {DagId.INCIDENT_RESPONSE} opened the room instead.",
    )
    runs = tuple(
        _redirected(request, warning) if request.dag_id == error.dag_id else request for request in decision.runs
    )
    record = record.model_copy(update={"dag_id": DagId.INCIDENT_RESPONSE.value})
    return decision.model_copy(update={"record": record, "runs": runs})


def without_updates(decision: Decision, error: DagNotReadyError) -> Decision | None:
    """Return the decision without the runs that post updates, if their DAG is the one that is not ready."""
    if error.dag_id != DagId.INCIDENT_UPDATE:
        return None
    log.warning("An update of %s waits: %s", decision.key, error)
    runs = tuple(request for request in decision.runs if request.dag_id != error.dag_id)
    return decision.model_copy(update={"runs": runs, "reason": f"{decision.reason} {_WAITS}"})


def _redirected(request: RunRequest, warning: ParseWarning) -> RunRequest:
    assignment = Assignment.model_validate(request.conf[ConfKey.ASSIGNMENT])
    assignment = assignment.model_copy(update={"warnings": (*assignment.warnings, warning)})
    conf = {**request.conf, ConfKey.ASSIGNMENT: assignment.model_dump(mode="json")}
    return request.model_copy(update={"dag_id": DagId.INCIDENT_RESPONSE.value, "conf": conf})
