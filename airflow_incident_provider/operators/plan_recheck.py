"""After a recovery: choose the probes that run again, the same as before, so that the results can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.models import ProbeRun
from airflow_incident_provider.probes import CONTROL, plan_probes
from airflow_incident_provider.room.snapshot import snapshot_of_incident

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.room.snapshot import RunRef


class PlanRecheckOperator(BaseOperator):
    """Return the probes that the incident's first run planned; where that is gone, plan again.

    :returns: a list of :class:`~airflow_incident_provider.models.ProbeRun`, pushed to XCom: what ``investigate`` is
        mapped over. The task is skipped for an incident without a room: it was never investigated.
    """

    ui_color = "#e8f3ec"

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the plan."""
        snapshot = snapshot_of_incident(context)
        if snapshot is None or snapshot.incident is None or not snapshot.has_own_room:
            raise AirflowSkipException("It was not investigated before.")
        runs = _first_plan(context, snapshot.run) or plan_probes(snapshot.incident)
        return [run.to_xcom() for run in runs]


def _first_plan(context: Context, run: RunRef | None) -> list[ProbeRun]:
    """Return what the first run planned, if that is kept and not of version 0.1.0, whose probes were others."""
    if run is None:
        return []
    planned = context["ti"].xcom_pull(dag_id=run.dag_id, run_id=run.run_id, task_ids=TaskId.PLAN_INVESTIGATION)
    runs = [ProbeRun.model_validate(run) for run in planned] if isinstance(planned, list) else []
    return runs if any(run.probe == CONTROL for run in runs) else []
