"""
From an alert to a staffed Slack war room with evidence in it: the seven steps of an incident's first minutes.

Start it by Airflow's REST API, the trigger form in its UI, ``airflow dags test`` or ``airflow incident trigger``,
with a Datadog payload as ``{"datadog": {...}}`` or with an incident in your own words as conf.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, TriggerRule, get_parsing_context

from airflow_incident_provider.config import settings
from airflow_incident_provider.intake.manual import trigger_form
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
from airflow_incident_provider.operators.priority import ROOM_FIRST
from airflow_incident_provider.operators.room_deadline import DeadlineDag, room_deadline
from airflow_incident_provider.registry.keys import REGISTRY

# The form is for people; the steps read the run's conf. Each would spend a good part of its start on it: Airflow
# parses this file, and holds the conf against every field, in each.
FORM = trigger_form() if get_parsing_context().task_id is None else {}

SLACK_POOL = settings().slack_pool

with DeadlineDag(
    dag_id="incident_response",
    description="From an alert to a staffed Slack war room with evidence in it",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["incident"],
    params={name: Param(**field) for name, field in FORM.items()},
    max_active_runs=100,
    max_active_tasks=100,
    deadline=room_deadline(),
    default_args={
        "retries": 3,
        "retry_delay": timedelta(seconds=2),
        "retry_exponential_backoff": 2.0,
        "weight_rule": "absolute",
    },
) as dag:
    # When slots are scarce, rooms come before reports, and of those the one that is nearest to its end; a cluster
    # policy of the package adds the severity.
    parse = ParseIncidentOperator(task_id="parse_incident_event", priority_weight=ROOM_FIRST + 1)
    slack = SetupSlackOperator(task_id="setup_slack_integration", pool=SLACK_POOL, priority_weight=ROOM_FIRST + 2)
    people = ResolveSlackUsersOperator(
        task_id="resolve_slack_users", pool=SLACK_POOL, priority_weight=ROOM_FIRST + 3
    )

    # From here on a step runs whatever became of those before it: a room without names is better than no room,
    # findings without a room are kept in XCom, and the summary says what was missing.
    # Those of them that write the brief name the registry: it shows what that knows by then.
    room = CreateWarRoomOperator(
        task_id="create_war_room",
        trigger_rule=TriggerRule.ALL_DONE,
        inlets=[REGISTRY],
        pool=SLACK_POOL,
        priority_weight=ROOM_FIRST + 4,
    )
    plan = PlanInvestigationOperator(task_id="plan_investigation")
    investigate = InvestigateInContainerOperator.partial(
        task_id="investigate",
        trigger_rule=TriggerRule.ALL_DONE,
        inlets=[REGISTRY],
        map_index_template="{{ task.label }}",
        priority_weight=2,
    ).expand(probe=plan.output)
    updates = PostThreadUpdateOperator(
        task_id="post_investigation_updates",
        trigger_rule=TriggerRule.ALL_DONE,
        inlets=[REGISTRY],
        pool=SLACK_POOL,
        priority_weight=3,
    )
    summary = FinalSummaryOperator(
        task_id="final_summary",
        trigger_rule=TriggerRule.ALL_DONE,
        inlets=[REGISTRY],
        pool=SLACK_POOL,
        priority_weight=4,
    )

    parse >> slack >> people >> room >> investigate >> updates >> summary
    parse >> plan
