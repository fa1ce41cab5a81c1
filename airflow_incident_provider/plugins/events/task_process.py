"""What a task's own process tells of it: to the log, in the pinned brief, and to Datadog."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.events.errors import error_in_words
from airflow_incident_provider.events.event import EventKind, IncidentEvent
from airflow_incident_provider.models import Incident
from airflow_incident_provider.plugins.events.told import tell_log
from airflow_incident_provider.plugins.incident_dags import key_in_conf
from airflow_incident_provider.room.brief import refresh_brief
from airflow_incident_provider.room.xcom import returned

log = logging.getLogger(__name__)

_current: TaskTeller | None = None


def teller_of(task_instance: Any) -> TaskTeller:
    """Return who tells of a task: at its end the same as at its beginning, so that nothing is read twice."""
    global _current  # noqa: PLW0603 - a process has one task at a time
    if _current is None or not _current.tells_of(task_instance):
        _current = TaskTeller(task_instance)
    return _current


class TaskTeller:
    """
    Tells of one task, in its process.

    At its beginning only the log is told: the step waits for that. What Datadog is to know of the beginning it is
    told at the end, with the time that it was.

    :param task_instance: Airflow's ``RuntimeTaskInstance``.
    """

    def __init__(self, task_instance: Any) -> None:
        self._ti = task_instance
        self._incident: Incident | None = None
        self._has_ended = False

    def tells_of(self, task_instance: Any) -> bool:
        """Return whether this is the task that it tells of."""
        return self._ti is task_instance

    def began(self) -> None:
        """Tell that the step is running."""
        tell_log(self._beginning())

    def ended(self, kind: EventKind, state: str, error: BaseException | str | None = None) -> None:
        """Tell how the step ended: the log first, then the room, then Datadog."""
        from airflow_incident_provider.events.datadog_hook import DatadogEvents

        self._has_ended = True
        end = self._ti.end_date or datetime.now(UTC)
        took_s = max(0.0, (end - self._ti.start_date).total_seconds())
        event = self._event(kind, end, state).model_copy(
            update={"duration_ms": round(took_s * 1000), "error": error_in_words(error)}
        )
        tell_log(event)
        self._refresh_brief(state, took_s)
        DatadogEvents().deliver([self._beginning(), event])

    def _beginning(self) -> IncidentEvent:
        return self._event(EventKind.STEP_RUNNING, self._ti.start_date, "running")

    def _event(self, kind: EventKind, at: datetime, state: str) -> IncidentEvent:
        ti = self._ti
        incident = self._read_incident()
        return IncidentEvent(
            event=kind,
            at=at,
            key=incident.key if incident else key_in_conf(ti.get_template_context()["dag_run"].conf),
            severity=incident.severity if incident else None,
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            step=ti.task_id,
            map_index=ti.map_index if ti.map_index is not None and ti.map_index >= 0 else None,
            try_number=ti.try_number,
            state=state,
        )

    def _read_incident(self) -> Incident | None:
        """Return the incident once it has been read; asked for until then, and not before it can be there.

        What is asked here the step itself need not ask again.
        """
        if self._incident is None and (self._has_ended or self._ti.task_id != TaskId.PARSE_INCIDENT):
            value = returned(self._ti, TaskId.PARSE_INCIDENT)
            self._incident = Incident.model_validate(value) if value else None
        return self._incident

    def _refresh_brief(self, state: str, took_s: float) -> None:
        try:
            refresh_brief(self._ti.get_template_context(), state=state, took_s=took_s)
        except Exception as error:  # noqa: BLE001 - the brief is best effort; the summary writes its last state
            log.warning("The brief was not refreshed: %s", error_in_words(error))
