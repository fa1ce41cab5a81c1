"""After a recovery: which probes run again. The same as before, so that both results can stand side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.models import ProbeRun

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.lifecycle.records import IncidentRecord


class PlanRecheckOperator(BaseOperator):
    """Return the probes that the incident's first run planned; where that is gone, plan them anew.

    :returns: a list of :class:`~airflow_incident_provider.models.ProbeRun`, pushed to XCom: what ``investigate`` is
        mapped over. The task is skipped for an incident without a room: it was never investigated.
    """

    ui_color = "#e8f3ec"

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the plan."""
        from airflow_incident_provider.probes import plan_probes
        from airflow_incident_provider.room.snapshot import read_known

        known = read_known(context)
        if known is None or not known.has_room_of_its_own:
            raise AirflowSkipException("It was not investigated before.")
        runs = _first_plan(context, known.record) or plan_probes(known.incident)
        return [run.to_xcom() for run in runs]


def _first_plan(context: Context, record: IncidentRecord) -> list[ProbeRun]:
    """Return what the first run planned, as far as that is kept."""
    if record.run_id is None:
        return []
    planned = context["ti"].xcom_pull(
        dag_id=record.dag_id, run_id=record.run_id, task_ids=TaskId.PLAN_INVESTIGATION
    )
    return [ProbeRun.model_validate(run) for run in planned] if isinstance(planned, list) else []
