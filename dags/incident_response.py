"""
From an alert to a staffed Slack war room with evidence in it: the seven steps of an incident's first minutes.

Start it by Airflow's REST API, the trigger form in its UI, ``airflow dags test`` or ``airflow incident trigger``,
with a Datadog payload as ``{"datadog": {...}}`` or with an incident in your own words as conf.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, TriggerRule

from airflow_incident_provider.intake.form import trigger_form
from airflow_incident_provider.operators import (
    CreateWarRoomOperator,
    FinalSummaryOperator,
    InvestigateInContainerOperator,
    ParseIncidentOperator,
    PlanInvestigationOperator,
    PostThreadUpdateOperator,
    ResolveSlackUsersOperator,
    SetupSlackOperator,
)
from airflow_incident_provider.registry.asset import REGISTRY

with DAG(
    dag_id="incident_response",
    description="From an alert to a staffed Slack war room with evidence in it",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["incident"],
    params={name: Param(**field) for name, field in trigger_form().items()},
    max_active_runs=100,
    max_active_tasks=100,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=2), "retry_exponential_backoff": 2.0},
) as dag:
    parse = ParseIncidentOperator(task_id="parse_incident_event")
    slack = SetupSlackOperator(task_id="setup_slack_integration")
    people = ResolveSlackUsersOperator(task_id="resolve_slack_users")

    # From here on a step runs whatever became of those before it: a room without names is better than no room,
    # findings without a room are kept in XCom, and the summary says what was missing.
    room = CreateWarRoomOperator(task_id="create_war_room", trigger_rule=TriggerRule.ALL_DONE, inlets=[REGISTRY])
    plan = PlanInvestigationOperator(task_id="plan_investigation")
    investigate = InvestigateInContainerOperator.partial(
        task_id="investigate", trigger_rule=TriggerRule.ALL_DONE, map_index_template="{{ task.label }}"
    ).expand(probe=plan.output)
    updates = PostThreadUpdateOperator(task_id="post_investigation_updates", trigger_rule=TriggerRule.ALL_DONE)
    summary = FinalSummaryOperator(task_id="final_summary", trigger_rule=TriggerRule.ALL_DONE)

    parse >> slack >> people >> room >> investigate >> updates >> summary
    parse >> plan
