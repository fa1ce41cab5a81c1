"""
An incident DAG for each team, in a few lines: ``dags/incident_response.py`` with a team's own choices.

.. code-block:: python

    from airflow_incident_provider.incident_dag import incident_dag

    incident_dag(
        "payments_incident",
        owner="payments",
        routing={"defaults": {"responders": ["@payments-oncall"], "channel_prefix": "pay", "probes": ["http"]}},
    )
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, TriggerRule, get_parsing_context

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, INCIDENT_TAG, TaskId, settings
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
from airflow_incident_provider.routing_file import read_routing_table


def incident_dag(
    dag_id: str,
    *,
    routing: str | Mapping[str, Any] | None = None,
    slack_conn_id: str = DEFAULT_SLACK_CONN_ID,
    slack_pool: str | None = None,
    owner: str | None = None,
    description: str = "From an alert to a staffed Slack war room with evidence in it",
    tags: Iterable[str] = (),
    default_args: Mapping[str, Any] | None = None,
    **dag_arguments: Any,
) -> DAG:
    """Return the seven steps of ``dags/incident_response.py`` as a DAG of a team's own.

    The webhook starts it for the incidents that a rule with ``dag: DAG_ID`` in the routing table of
    ``[incident] routing_table`` matches. What becomes of the incident after its first minutes is the business of
    the one DAG ``incident_update``, for all teams, by that table.

    :param routing: who comes, into what room, how bad it is, and what is probed: the path of a routing table, or
        what such a file would hold; default: ``[incident] routing_table``.
    :param slack_conn_id: the Airflow connection of the workspace that rooms are opened in.
    :param slack_pool: the pool of the steps that call Slack; default: ``[incident] slack_pool``.
    :param owner: whose the tasks are in Airflow's UI.
    :param tags: tags beside ``incident``, by which the webhook, pages and commands know the DAG.
    :param default_args: of the tasks; they win over the factory's own.
    :param dag_arguments: anything else that Airflow's ``DAG`` takes, such as ``doc_md`` or ``access_control``.
    :raises RoutingTableError: ``routing`` holds something that is wrong; Airflow shows it as an import error. A
        file is read when a run begins, so that its author need not wait for the DAG to be parsed.
    """
    if isinstance(routing, Mapping):
        read_routing_table(routing)
    slack: dict[str, Any] = {
        "slack_conn_id": slack_conn_id,
        "pool": slack_pool or settings().slack_pool,
    }
    with DeadlineDag(
        dag_id,
        description=description,
        schedule=None,
        catchup=False,
        tags=[INCIDENT_TAG, *tags],
        params=_form(),
        default_args={**_default_args(owner), **(default_args or {})},
        **{"max_active_runs": 100, "max_active_tasks": 100, "deadline": room_deadline(), **dag_arguments},
    ) as dag:
        _steps(routing, slack)
    # As Airflow's own decorator has it: the DAG is where it was asked for, not here.
    dag.fileloc = sys._getframe(1).f_code.co_filename
    return dag


def _form() -> dict[str, Param]:
    """Return the trigger form: for people; the steps, which read the run's conf, need not pay for it."""
    if get_parsing_context().task_id is not None:
        return {}
    return {name: Param(**field) for name, field in trigger_form().items()}


def _default_args(owner: str | None) -> dict[str, Any]:
    return {
        "retries": 3,
        "retry_delay": timedelta(seconds=2),
        "retry_exponential_backoff": 2.0,
        "weight_rule": "absolute",
        **({"owner": owner} if owner else {}),
    }


def _steps(routing: str | Mapping[str, Any] | None, slack: Mapping[str, Any]) -> None:
    """Make the steps in the DAG that is being made; ``dags/incident_response.py`` says why they are so."""
    from_the_room_on: dict[str, Any] = {"trigger_rule": TriggerRule.ALL_DONE, "inlets": [REGISTRY]}
    parse = ParseIncidentOperator(
        task_id=TaskId.PARSE_INCIDENT, routing_table=routing, priority_weight=ROOM_FIRST + 1
    )
    setup = SetupSlackOperator(task_id=TaskId.SETUP_SLACK, priority_weight=ROOM_FIRST + 2, **slack)
    people = ResolveSlackUsersOperator(task_id=TaskId.RESOLVE_USERS, priority_weight=ROOM_FIRST + 3, **slack)
    room = CreateWarRoomOperator(
        task_id=TaskId.CREATE_WAR_ROOM, priority_weight=ROOM_FIRST + 4, **from_the_room_on, **slack
    )
    plan = PlanInvestigationOperator(task_id=TaskId.PLAN_INVESTIGATION)
    investigate = InvestigateInContainerOperator.partial(
        task_id=TaskId.INVESTIGATE, map_index_template="{{ task.label }}", priority_weight=2, **from_the_room_on
    ).expand(probe=plan.output)
    updates = PostThreadUpdateOperator(task_id=TaskId.POST_UPDATES, priority_weight=3, **from_the_room_on, **slack)
    summary = FinalSummaryOperator(task_id=TaskId.FINAL_SUMMARY, priority_weight=4, **from_the_room_on, **slack)

    parse >> setup >> people >> room >> investigate >> updates >> summary
    parse >> plan
