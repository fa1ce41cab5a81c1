"""
The life of an incident after its first minutes: updates, recovery, resolution, the end of its room.

The webhook starts a run for each update, at most one a minute for an incident. A recovery runs the probes again.
All waiting is done by runs that are due later: each looks what the incident's record says by then, and does that.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, TriggerRule

from airflow_incident_provider.operators import (
    ArchiveWarRoomOperator,
    InvestigateInContainerOperator,
    LookAgainOperator,
    PlanRecheckOperator,
    PostIncidentUpdateOperator,
    RecoverIncidentOperator,
    ResolveIncidentOperator,
    WhatIsDueOperator,
)
from airflow_incident_provider.registry.keys import REGISTRY

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
        "inlets": [REGISTRY],
    },
) as dag:
    due = WhatIsDueOperator(task_id="what_is_due")
    update = PostIncidentUpdateOperator(task_id="post_incident_update")

    # That Slack could not be told of the recovery is no reason not to look whether it is one.
    plan = PlanRecheckOperator(task_id="plan_recheck", trigger_rule=TriggerRule.ALL_DONE)
    investigate = InvestigateInContainerOperator.partial(
        task_id="investigate", map_index_template="{{ task.label }}"
    ).expand(probe=plan.output)
    recover = RecoverIncidentOperator(task_id="recover_incident", trigger_rule=TriggerRule.NONE_SKIPPED)

    resolve = ResolveIncidentOperator(task_id="resolve_incident")
    archive = ArchiveWarRoomOperator(task_id="archive_war_room")

    # Whatever failed before it: an incident that is over must not be forgotten.
    look_again = LookAgainOperator(task_id="look_again", trigger_rule=TriggerRule.ALL_DONE)

    due >> [update, plan, resolve, archive, look_again]
    update >> plan >> investigate >> recover
    [recover, resolve, archive] >> look_again
