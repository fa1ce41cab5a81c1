"""
Who comes first when there is more to do than there are slots: rooms before reports, and the worst incident first.

A cluster policy (entry point ``airflow.policy``), because it is the only place of Airflow's that is shown both a
task instance and the conf of its run: a weight rule sees no conf. A task's own ``priority_weight`` says how soon
its step comes among incidents of one severity; this adds the severity, a hundred a degree.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow import settings
from airflow.policies import hookimpl

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

    from airflow_incident_provider.models import Severity

DEGREE = 100
"""What one degree of severity is worth."""

# Airflow 3.3 takes the flag down only when it finds an ``airflow_local_settings``: with it up, a policy that comes
# by an entry point is not asked when a run's tasks are made.
settings.task_instance_mutation_hook.is_noop = False  # type: ignore[attr-defined]

log = logging.getLogger(__name__)
_bonuses: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


@hookimpl
def task_instance_mutation_hook(task_instance: TaskInstance, dag_run: DagRun | None) -> None:
    """Add the incident's severity to a task's weight, in the DAGs that have the tag ``incident``."""
    task = getattr(task_instance, "task", None)
    if dag_run is None or task is None:
        return
    from airflow_incident_provider.plugins.incident_dags import is_incident_dag

    if is_incident_dag(task.get_dag()):
        task_instance.priority_weight = task.priority_weight + _bonus(dag_run)


def _bonus(dag_run: DagRun) -> int:
    """Return what the run's severity adds; the same run is asked for with each of its tasks."""
    if dag_run not in _bonuses:
        from airflow_incident_provider.models import Severity

        worst_first = list(Severity)
        _bonuses[dag_run] = DEGREE * (len(worst_first) - worst_first.index(_severity(dag_run.conf)))
    return _bonuses[dag_run]


def _severity(conf: object) -> Severity:
    """Return how bad a conf says it is; one that cannot be read counts as high, as everywhere."""
    from airflow_incident_provider.config import ConfKey
    from airflow_incident_provider.intake import RoutingTable, read_incident
    from airflow_incident_provider.models import Severity

    if not isinstance(conf, Mapping):
        return Severity.HIGH
    told = {name: value for name, value in conf.items() if name != ConfKey.ASSIGNMENT}
    try:
        return read_incident(told, received_at=datetime.now(UTC), routing=RoutingTable()).severity
    except Exception as error:  # noqa: BLE001 - an error here would end Airflow's scheduler
        log.debug("The severity of a run is not known: %s", type(error).__name__)
        return Severity.HIGH
