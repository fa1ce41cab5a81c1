"""
Task priority: rooms before reports, and the worst incident first, when there is more to do than there are slots.

A cluster policy (entry point ``airflow.policy``), because it is Airflow's only hook that sees both a task instance
and the conf of its run: a weight rule sees no conf. A task's own ``priority_weight`` orders the steps of incidents
of one severity; this adds :data:`WEIGHT_PER_SEVERITY` for each degree of severity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow import settings
from airflow.policies import hookimpl

from airflow_incident_provider.config import ConfKey

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

    from airflow_incident_provider.models import Severity

WEIGHT_PER_SEVERITY = 100
"""Weight of one degree of severity."""

# Airflow 3.3 clears the flag only if it finds an ``airflow_local_settings``: while it is set, a policy from an
# entry point is not called when the tasks of a run are created.
settings.task_instance_mutation_hook.is_noop = False  # type: ignore[attr-defined]

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
    """Return the weight of the run's severity, cached: every task of a run asks for it."""
    if dag_run not in _bonuses:
        from airflow_incident_provider.models import Severity

        worst_first = list(Severity)
        _bonuses[dag_run] = WEIGHT_PER_SEVERITY * (len(worst_first) - worst_first.index(_severity(dag_run.conf)))
    return _bonuses[dag_run]


def _severity(conf: object) -> Severity:
    """Return the severity that the webhook decided, else the one that the conf states; high if there is none.

    Nothing is parsed here: this runs in the scheduler's loop. What the routing table makes of a stated severity is
    known only for runs that the webhook started, which are those that come in bursts. Imports are in functions
    because Airflow loads policies before it has initialized its settings.
    """
    from airflow_incident_provider.intake.values import read_severity
    from airflow_incident_provider.models import Severity

    stated = (_lookup(conf, *path) for path in _SEVERITY_PATHS)
    return next((severity for value in stated if (severity := read_severity(value)) is not None), Severity.HIGH)


_SEVERITY_PATHS = (
    (ConfKey.ASSIGNMENT, "severity"),
    ("severity",),
    (ConfKey.DATADOG, "alert", "priority"),
    (ConfKey.DATADOG, "incident", "severity"),
    ("alert", "priority"),
    ("incident", "severity"),
)


def _lookup(conf: object, *path: str) -> object:
    """Return the value at a path of keys; ``None`` if there is none."""
    value = conf
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
