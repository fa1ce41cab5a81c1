"""The next look at an incident that is over: a run that is due later, so that nothing waits until then."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException, DagRunTriggerException

from airflow_incident_provider.config import ConfKey, TaskId
from airflow_incident_provider.lifecycle.closing import next_closing_at
from airflow_incident_provider.operators.what_is_due import this_moment
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.room.snapshot import incident_key
from airflow_incident_provider.routing_file import read_routing_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class LookAgainOperator(BaseOperator):
    """Ask for a run of this DAG at the next moment at which there may be something to do for the incident.

    A run that is due later costs nothing until then: no worker, no trigger, and no place among the active runs, of
    which a DAG has only so many. What is to be done it finds out itself. The run's id derives from the incident and
    the moment, so asking twice makes one run.
    """

    ui_color = "#fdf1e3"

    def execute(self, context: Context) -> NoReturn:
        """Ask for it, as Airflow's own ``TriggerDagRunOperator`` does."""
        key = incident_key(context)
        stored = TaskRegistry.of(context).incident(key)
        settings = read_routing_table().lifecycle
        at = next_closing_at(stored.record, settings, this_moment(context)) if stored is not None else None
        if at is None:
            raise AirflowSkipException("There is nothing to wait for.")
        raise DagRunTriggerException(
            trigger_dag_id=context["ti"].dag_id,
            dag_run_id=look_id(key, at),
            conf={ConfKey.INCIDENT_KEY: key, **_checked_by(context)},
            logical_date=None,
            reset_dag_run=False,
            skip_when_already_exists=True,
            wait_for_completion=False,
            allowed_states=[],
            failed_states=[],
            poke_interval=0,
            deferrable=False,
            run_after=at,
        )


def look_id(key: str, at: datetime) -> str:
    """Return the id of the run that looks at an incident at a moment."""
    return f"look.{key}.{at:%Y%m%dT%H%M%S}"


def _checked_by(context: Context) -> dict[str, Any]:
    """Return this run's id, if it ran the probes again: whoever resolves the incident wants to see them."""
    ti = context["ti"]
    return {ConfKey.CHECKED_BY: ti.run_id} if ti.xcom_pull(task_ids=TaskId.RECOVER_INCIDENT) else {}
