"""Before step 5: choose the probes of an incident, and refuse targets that must not be contacted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.models import Incident
from airflow_incident_provider.probes import plan_probes
from airflow_incident_provider.room.xcom import read_value

if TYPE_CHECKING:
    from airflow.sdk import Context


class PlanInvestigationOperator(BaseOperator):
    """Choose the probes and targets of an incident: the list that ``investigate`` is mapped over.

    This is a task of its own because Airflow maps a task only over what another returns, and
    ``parse_incident_event`` returns the incident. It runs in parallel with the Slack steps; none waits for it.

    :param incident: the incident; by default what ``parse_incident_event`` pushed.
    :returns: a list of :class:`~airflow_incident_provider.models.ProbeRun`, pushed to XCom; never empty.

    .. code-block:: python

        plan = PlanInvestigationOperator(task_id="plan_investigation")
        InvestigateInContainerOperator.partial(task_id="investigate").expand(probe=plan.output)
    """

    ui_color = "#e8f3ec"

    def __init__(self, *, incident: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.incident = incident

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the plan."""
        incident = read_value(Incident, self.incident, context, TaskId.PARSE_INCIDENT)
        if incident is None:
            raise AirflowSkipException("There is no incident to investigate.")
        plan = plan_probes(incident)
        for run in plan:
            if run.refused is not None:
                self.log.warning("%s of %s is not run: %s", run.probe, run.target, run.refused)
        return [run.to_xcom() for run in plan]
