"""
The listener: which of Airflow's calls are about an incident, and who tells of them.

It is loaded everywhere and called for every task of every DAG, so it imports what it needs when it needs it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from airflow_incident_provider.events.event import EventKind
from airflow_incident_provider.plugins.incident_dags import is_incident_dag

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.utils.state import TaskInstanceState

log = logging.getLogger(__name__)


@hookimpl
def on_task_instance_running(previous_state: TaskInstanceState | None, task_instance: Any) -> None:  # noqa: ARG001
    """Tell that a step is running. The step waits for this."""
    _tell(task_instance, lambda teller: teller.began())


@hookimpl
def on_task_instance_success(previous_state: TaskInstanceState | None, task_instance: Any) -> None:  # noqa: ARG001
    """Tell that a step is complete."""
    _tell(task_instance, lambda teller: teller.ended(EventKind.STEP_COMPLETE, "success"))


@hookimpl
def on_task_instance_skipped(previous_state: TaskInstanceState | None, task_instance: Any) -> None:  # noqa: ARG001
    """Tell that a step found nothing to do: it is complete, and its state says how."""
    _tell(task_instance, lambda teller: teller.ended(EventKind.STEP_COMPLETE, "skipped"))


@hookimpl
def on_task_instance_failed(
    previous_state: TaskInstanceState | None,  # noqa: ARG001
    task_instance: Any,
    error: BaseException | str | None,
) -> None:
    """Tell that a step failed, for good or to be tried again: Airflow calls this for both."""
    # An enumeration of Airflow's in the task, text in a row of its database.
    state = getattr(task_instance, "state", None) or "failed"
    state = str(getattr(state, "value", state))
    _tell(task_instance, lambda teller: teller.ended(EventKind.STEP_FAILED, state, error))


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:  # noqa: ARG001
    """Tell that a run is complete."""
    _tell_of_run(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:  # noqa: ARG001
    """Tell that a run is complete, and that it failed."""
    _tell_of_run(dag_run)


def _tell(task_instance: Any, tell: Callable[[Any], None]) -> None:
    """Let the right one tell of a task; an error in telling is logged and goes no further."""
    if not is_incident_dag(getattr(getattr(task_instance, "task", None), "dag", None)):
        return
    try:
        tell(_teller(task_instance))
    except Exception:
        log.warning("An event of %s was not told", task_instance.task_id, exc_info=True)


def _teller(task_instance: Any) -> Any:
    """Return who tells of a task: Airflow hands over its own object in the task, a database row elsewhere."""
    if hasattr(task_instance, "get_template_context"):
        from airflow_incident_provider.plugins.events.task_process import teller_of

        return teller_of(task_instance)
    from airflow_incident_provider.plugins.events.server import RowTeller

    return RowTeller(task_instance)


def _tell_of_run(dag_run: DagRun) -> None:
    if not is_incident_dag(getattr(dag_run, "dag", None)):
        return
    try:
        from airflow_incident_provider.plugins.events.server import tell_of_run

        tell_of_run(dag_run)
    except Exception:
        log.warning("The end of %s was not told", dag_run.run_id, exc_info=True)
