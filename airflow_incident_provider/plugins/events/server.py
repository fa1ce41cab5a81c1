"""
What the scheduler and the API server tell: how a run ended, and tasks that were ended from outside.

Airflow calls a listener in the scheduler's own loop. There only the facts at hand are noted; what needs the
database or Datadog is done in a thread.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.events.errors import error_in_words
from airflow_incident_provider.events.event import EventKind, IncidentEvent
from airflow_incident_provider.plugins.events.told import tell_log

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

    from airflow_incident_provider.events.datadog_hook import DatadogEvents
    from airflow_incident_provider.plugins.recorded_runs import RecordedRun

THREADS = 2

log = logging.getLogger(__name__)


def tell_of_run(dag_run: DagRun) -> None:
    """Tell that a run is complete: its state, how long it took, and what its summary says."""
    began, ended = dag_run.start_date, dag_run.end_date or datetime.now(UTC)
    _tell(
        IncidentEvent(
            event=EventKind.WORKFLOW_COMPLETE,
            at=ended,
            key=None,
            dag_id=dag_run.dag_id,
            run_id=dag_run.run_id,
            state=str(dag_run.state),
            duration_ms=_between(began, ended),
        )
    )


class RowTeller:
    """
    Tells of a task that Airflow knows as a row of its database: ended by the scheduler, or by a person in the UI.

    :param row: Airflow's ``TaskInstance``.
    """

    def __init__(self, row: Any) -> None:
        self._row = row

    def began(self) -> None:
        """Tell nothing: a task's own process tells that it is running."""

    def ended(self, kind: EventKind, state: str, error: BaseException | str | None = None) -> None:
        """Tell how the step ended."""
        row = self._row
        ended = row.end_date or datetime.now(UTC)
        event = IncidentEvent(
            event=kind,
            at=ended,
            key=None,
            dag_id=row.dag_id,
            run_id=row.run_id,
            step=row.task_id,
            map_index=row.map_index if row.map_index >= 0 else None,
            try_number=row.try_number,
            state=state,
            duration_ms=_between(row.start_date, ended),
            error=error_in_words(error),
        )
        _tell(event)


def _between(began: datetime | None, ended: datetime) -> int | None:
    return None if began is None else max(0, round((ended - began).total_seconds() * 1000))


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads that tell; Python lets them finish before the process ends."""
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="incident-events")


@cache
def _datadog() -> DatadogEvents:
    """Return the one way to Datadog of this process: after a failure it rests."""
    from airflow_incident_provider.events.datadog_hook import DatadogEvents

    return DatadogEvents()


def _tell(event: IncidentEvent) -> None:
    _threads().submit(_look_up_and_tell, event)


def _look_up_and_tell(event: IncidentEvent) -> None:
    try:
        event = _completed(event)
    except Exception:
        log.warning("The incident of %s could not be looked up", event.run_id, exc_info=True)
    tell_log(event)
    _datadog().deliver([event])


def _completed(event: IncidentEvent) -> IncidentEvent:
    """Return the event with what the run left in the database, if that can be read."""
    from airflow.utils.session import create_session

    from airflow_incident_provider.plugins.recorded_runs import one_run

    with create_session(scoped=False) as session:
        run = one_run(session, event.dag_id, event.run_id)
    return event if run is None else event.model_copy(update=_facts(event, run))


def _facts(event: IncidentEvent, run: RecordedRun) -> dict[str, Any]:
    facts: dict[str, Any] = {"key": run.key, "severity": run.incident.severity if run.incident else None}
    if event.event is EventKind.WORKFLOW_COMPLETE and run.summary is not None:
        facts |= {
            "outcome": run.summary.outcome,
            "time_to_room_ms": run.summary.time_to_room_ms,
            "time_to_first_evidence_ms": run.summary.time_to_first_evidence_ms,
            "time_to_summary_ms": run.summary.total_ms,
        }
    return facts
