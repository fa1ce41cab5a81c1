"""
Report the progress of incident runs with an Airflow listener: to the log, to the pinned brief, and to Datadog.

Airflow calls a listener in the process where a task or run changes state:

- in the task's own process (:class:`TaskReporter`). When a step ends there, Airflow already knows its state, so the
  next step does not wait for the report;
- in the scheduler or API server (:class:`RowReporter`, :func:`report_run`) for runs, and for tasks that were
  terminated from outside. The listener runs in the scheduler's loop, so database and Datadog are accessed in a
  thread.

The listener is called for every task of every DAG; it ignores DAGs without the tag ``incident``. Errors are
logged and never reach the run.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.events.datadog import DatadogEvents
from airflow_incident_provider.events.event import EventKind, IncidentEvent, describe_error, write_log
from airflow_incident_provider.models import Incident
from airflow_incident_provider.plugins.incident_dags import is_incident_dag, key_in_conf
from airflow_incident_provider.plugins.run_history import RecordedRun, one_run
from airflow_incident_provider.room.brief import refresh_brief
from airflow_incident_provider.room.xcom import returned

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.utils.state import TaskInstanceState

THREADS = 2

log = logging.getLogger(__name__)


class IncidentEventsPlugin(AirflowPlugin):
    """Registers this module as a listener."""

    name = "incident_events"
    listeners = [sys.modules[__name__]]  # noqa: RUF012 - Airflow's own declaration is a plain class attribute


@hookimpl
def on_task_instance_running(previous_state: TaskInstanceState | None, task_instance: Any) -> None:  # noqa: ARG001
    """Report that a step is running. The step waits for this call."""
    _report(task_instance, lambda reporter: reporter.started())


@hookimpl
def on_task_instance_success(previous_state: TaskInstanceState | None, task_instance: Any) -> None:  # noqa: ARG001
    """Report that a step is complete."""
    _report(task_instance, lambda reporter: reporter.ended(EventKind.STEP_COMPLETE, "success"))


@hookimpl
def on_task_instance_skipped(previous_state: TaskInstanceState | None, task_instance: Any) -> None:  # noqa: ARG001
    """Report that a step had nothing to do: complete, with the state ``skipped``."""
    _report(task_instance, lambda reporter: reporter.ended(EventKind.STEP_COMPLETE, "skipped"))


@hookimpl
def on_task_instance_failed(
    previous_state: TaskInstanceState | None,  # noqa: ARG001
    task_instance: Any,
    error: BaseException | str | None,
) -> None:
    """Report that a step failed, for good or up for retry: Airflow calls this for both."""
    # An enum in the task's process, a string in a database row.
    state = getattr(task_instance, "state", None) or "failed"
    state = str(getattr(state, "value", state))
    _report(task_instance, lambda reporter: reporter.ended(EventKind.STEP_FAILED, state, error))


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:  # noqa: ARG001
    """Report that a run is complete."""
    _report_run(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:  # noqa: ARG001
    """Report that a run is complete and failed."""
    _report_run(dag_run)


def _report(task_instance: Any, call: Callable[[TaskReporter | RowReporter], None]) -> None:
    """Call the reporter of a task instance; log its errors."""
    if not is_incident_dag(getattr(getattr(task_instance, "task", None), "dag", None)):
        return
    try:
        call(_reporter(task_instance))
    except Exception:
        log.warning("An event of %s was not reported", task_instance.task_id, exc_info=True)


def _reporter(task_instance: Any) -> TaskReporter | RowReporter:
    """Return the reporter: Airflow passes a runtime object in the task's process, a database row elsewhere."""
    if hasattr(task_instance, "get_template_context"):
        return task_reporter(task_instance)
    return RowReporter(task_instance)


def _report_run(dag_run: DagRun) -> None:
    if not is_incident_dag(getattr(dag_run, "dag", None)):
        return
    try:
        report_run(dag_run)
    except Exception:
        log.warning("The end of %s was not reported", dag_run.run_id, exc_info=True)


_current: TaskReporter | None = None


def task_reporter(task_instance: Any) -> TaskReporter:
    """Return this task's reporter, cached so that its end reuses what its start fetched."""
    global _current  # noqa: PLW0603 - a process runs one task at a time
    if _current is None or not _current.is_for(task_instance):
        _current = TaskReporter(task_instance)
    return _current


class TaskReporter:
    """
    Report a task from its own process.

    The start is only logged, because the step waits for it. Datadog receives it with the end, with its original
    time.

    :param task_instance: Airflow's ``RuntimeTaskInstance``.
    """

    def __init__(self, task_instance: Any) -> None:
        self._ti = task_instance
        self._incident: Incident | None = None
        self._has_ended = False

    def is_for(self, task_instance: Any) -> bool:
        """Return whether this reporter belongs to the task instance."""
        return self._ti is task_instance

    def started(self) -> None:
        """Log that the step is running."""
        write_log(self._start_event())

    def ended(self, kind: EventKind, state: str, error: BaseException | str | None = None) -> None:
        """Report how the step ended: to the log first, then to the brief, then to Datadog."""
        self._has_ended = True
        end = self._ti.end_date or datetime.now(UTC)
        duration_s = max(0.0, (end - self._ti.start_date).total_seconds())
        event = self._event(kind, end, state).model_copy(
            update={"duration_ms": round(duration_s * 1000), "error": describe_error(error)}
        )
        write_log(event)
        self._refresh_brief(state, duration_s)
        DatadogEvents().deliver([self._start_event(), event])

    def _start_event(self) -> IncidentEvent:
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
        """Return the incident from XCom, once the parsing step has returned it; cached."""
        if self._incident is None and (self._has_ended or self._ti.task_id != TaskId.PARSE_INCIDENT):
            value = returned(self._ti, TaskId.PARSE_INCIDENT)
            self._incident = Incident.model_validate(value) if value else None
        return self._incident

    def _refresh_brief(self, state: str, duration_s: float) -> None:
        try:
            refresh_brief(self._ti.get_template_context(), state=state, duration_s=duration_s)
        except Exception as error:  # noqa: BLE001 - best effort: the summary writes the brief's final state
            log.warning("The brief was not refreshed: %s", describe_error(error))


class RowReporter:
    """
    Report a task that was terminated by the scheduler, or changed by a person in the UI.

    :param row: Airflow's ``TaskInstance``.
    """

    def __init__(self, row: Any) -> None:
        self._row = row

    def started(self) -> None:
        """Do nothing: the task's own process reports the start."""

    def ended(self, kind: EventKind, state: str, error: BaseException | str | None = None) -> None:
        """Report how the step ended."""
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
            duration_ms=_elapsed_ms(row.start_date, ended),
            error=describe_error(error),
        )
        _submit(event)


def report_run(dag_run: DagRun) -> None:
    """Report the end of a run: its state, its duration, and the figures of its summary."""
    started, ended = dag_run.start_date, dag_run.end_date or datetime.now(UTC)
    _submit(
        IncidentEvent(
            event=EventKind.WORKFLOW_COMPLETE,
            at=ended,
            key=None,
            dag_id=dag_run.dag_id,
            run_id=dag_run.run_id,
            state=str(dag_run.state),
            duration_ms=_elapsed_ms(started, ended),
        )
    )


def _elapsed_ms(start: datetime | None, end: datetime) -> int | None:
    return None if start is None else max(0, round((end - start).total_seconds() * 1000))


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the reporting threads; Python lets them finish before the process exits."""
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="incident-events")


@cache
def _datadog() -> DatadogEvents:
    """Return the one sender of this process, because it pauses after a failure."""
    return DatadogEvents()


def _submit(event: IncidentEvent) -> None:
    _threads().submit(_complete_and_report, event)


def _complete_and_report(event: IncidentEvent) -> None:
    try:
        event = _completed(event)
    except Exception:
        log.warning("The incident of %s could not be read", event.run_id, exc_info=True)
    write_log(event)
    _datadog().deliver([event])


def _completed(event: IncidentEvent) -> IncidentEvent:
    """Return the event with what the run's XComs add."""
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        run = one_run(session, event.dag_id, event.run_id)
    return event if run is None else event.model_copy(update=_run_fields(event, run))


def _run_fields(event: IncidentEvent, run: RecordedRun) -> dict[str, Any]:
    incident, summary = run.snapshot.incident, run.snapshot.summary
    fields: dict[str, Any] = {"key": run.key, "severity": incident.severity if incident else None}
    if event.event is EventKind.WORKFLOW_COMPLETE and summary is not None:
        fields |= {
            "outcome": summary.outcome,
            "time_to_room_ms": summary.time_to_room_ms,
            "time_to_first_evidence_ms": summary.time_to_first_evidence_ms,
            "time_to_summary_ms": summary.total_ms,
        }
    return fields
