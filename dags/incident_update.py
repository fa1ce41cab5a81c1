"""
The life of an incident after its first minutes: updates, recovery, resolution, the end of its room.

The webhook starts a run for each update, at most one a minute for an incident. A recovery runs the probes again.
All waiting is done by runs that are due later: each reads the incident's record and does what is due by then.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, TriggerRule

from airflow_incident_provider.operators import (
    ArchiveWarRoomOperator,
    InvestigateInContainerOperator,
    PlanRecheckOperator,
    PostIncidentUpdateOperator,
    PostRemindersOperator,
    RecoverIncidentOperator,
    ResolveIncidentOperator,
    ScheduleNextCheckOperator,
    SelectDueTasksOperator,
)
from airflow_incident_provider.registry.keys import REGISTRY, REPORTS

with DAG(
    dag_id="incident_update",
    description="The life of an incident after its first minutes",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["incident"],
    max_active_runs=100,
    max_active_tasks=100,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(seconds=2),
        "retry_exponential_backoff": 2.0,
        "inlets": [REGISTRY, REPORTS],
    },
) as dag:
    due = SelectDueTasksOperator(task_id="select_due_tasks")
    update = PostIncidentUpdateOperator(task_id="post_incident_update")
    remind = PostRemindersOperator(task_id="post_reminders")

    # A recovery that could not be posted is still checked.
    plan = PlanRecheckOperator(task_id="plan_recheck", trigger_rule=TriggerRule.ALL_DONE)
    investigate = InvestigateInContainerOperator.partial(
        task_id="investigate", map_index_template="{{ task.label }}"
    ).expand(probe=plan.output)
    recover = RecoverIncidentOperator(task_id="recover_incident", trigger_rule=TriggerRule.NONE_SKIPPED)

    resolve = ResolveIncidentOperator(task_id="resolve_incident")
    archive = ArchiveWarRoomOperator(task_id="archive_war_room")

    # Whatever failed before it: an incident must not be forgotten.
    next_check = ScheduleNextCheckOperator(task_id="schedule_next_check", trigger_rule=TriggerRule.ALL_DONE)

    due >> [update, remind, plan, resolve, archive, next_check]
    update >> plan >> investigate >> recover
    [update, remind, recover, resolve, archive] >> next_check
