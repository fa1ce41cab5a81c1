"""An event of an incident's run, as it is logged."""

from __future__ import annotations

import json
from enum import StrEnum

from airflow_incident_provider.models import Model, RunOutcome, Severity, UtcDatetime


class EventKind(StrEnum):
    """What happened."""

    STEP_RUNNING = "step_running"
    STEP_COMPLETE = "step_complete"
    STEP_FAILED = "step_failed"
    WORKFLOW_COMPLETE = "workflow_complete"


class IncidentEvent(Model):
    """
    One thing that happened in an incident's run. Durations are in milliseconds.

    :param key: the incident's key; absent until the payload has been read.
    :param step: the task id; absent for the workflow as a whole.
    :param map_index: which instance of a mapped step.
    :param state: Airflow's word for it, such as ``success``, ``skipped`` or ``up_for_retry``.
    :param error: the class of the error, and the words of an error of ours: never those of another library, which
        may hold a secret.
    :param outcome: how the run ended, as its summary says; absent if there is no summary.
    """

    event: EventKind
    at: UtcDatetime
    key: str | None
    dag_id: str
    run_id: str
    step: str | None = None
    map_index: int | None = None
    try_number: int | None = None
    state: str
    duration_ms: int | None = None
    error: str | None = None
    severity: Severity | None = None
    outcome: RunOutcome | None = None
    time_to_room_ms: int | None = None
    time_to_first_evidence_ms: int | None = None
    time_to_summary_ms: int | None = None

    def log_line(self) -> str:
        """Return the event as one line of JSON in ASCII: no character in it can begin another line."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True))
