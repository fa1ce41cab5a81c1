"""Choose the probes of an incident: before step 5, and again after a recovery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.models import Incident, ProbeRun
from airflow_incident_provider.probes import CONTROL, plan_probes
from airflow_incident_provider.room.snapshot import RunRef, snapshot_of_incident
from airflow_incident_provider.room.xcom import read_value, require_step


class PlanInvestigationOperator(BaseOperator):
    """Choose the probes and targets of an incident: the list that ``investigate`` is mapped over.

    This is a task of its own because Airflow maps a task only over what another returns, and
    ``parse_incident_event`` returns the incident. It runs in parallel with the Slack steps; none waits for it.

    :param incident: the incident; by default what ``parse_incident_event`` pushed. (templated)
    :returns: a list of :class:`~airflow_incident_provider.models.ProbeRun`, pushed to XCom; never empty.

    .. code-block:: python

        plan = PlanInvestigationOperator(task_id="plan_investigation")
        InvestigateInContainerOperator.partial(task_id="investigate").expand(probe=plan.output)
    """

    template_fields: Sequence[str] = ("incident",)
    ui_color = "#e8f3ec"

    def __init__(self, *, incident: Incident | Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.incident = incident
        self._incident_is_passed = incident is not None

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the plan."""
        parse = None if self._incident_is_passed else TaskId.PARSE_INCIDENT
        incident = read_value(Incident, self.incident, context, parse)
        if incident is None:
            if parse is not None:
                require_step(context, parse, fix="Pass incident=..., such as parse.output.")
            raise AirflowSkipException("There is no incident to investigate.")
        plan = plan_probes(incident)
        for run in plan:
            if run.refused is not None:
                self.log.warning("%s of %s is not run: %s", run.probe, run.target, run.refused)
        return [run.to_xcom() for run in plan]


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
