"""
The incident DAG: seven steps from an alert to a staffed room with evidence.

``dags/incident_response.py`` is this DAG with its defaults. A team's own takes a few lines:

.. code-block:: python

    from airflow_incident_provider.incident_dag import incident_dag

    incident_dag(
        "payments_incident",
        owner="payments",
        routing={"defaults": {"responders": ["@payments-oncall"], "channel_prefix": "pay", "probes": ["http"]}},
    )
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param, TriggerRule, get_parsing_context
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, INCIDENT_TAG, TaskId, settings
from airflow_incident_provider.intake import trigger_form
from airflow_incident_provider.notifications.no_room import NoRoomNotifier
from airflow_incident_provider.operators import (
    CollectEvidenceOperator,
    CreateWarRoomOperator,
    FinalSummaryOperator,
    InvestigateInContainerOperator,
    ParseIncidentOperator,
    PlanInvestigationOperator,
    PostThreadUpdateOperator,
    ResolveSlackUsersOperator,
    SetupSlackOperator,
    WriteAiSummaryOperator,
)
from airflow_incident_provider.registry.keys import REGISTRY, REPORTS
from airflow_incident_provider.routing_file import read_routing_table

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

ROOM_FIRST = 1000
"""The priority of the steps up to the room: when slots are scarce, rooms come before reports."""

log = logging.getLogger(__name__)

_ENDED_WELL = frozenset({"success", "skipped"})


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
    """Return a DAG with the seven steps of an incident.

    The webhook starts it for the incidents that a rule with ``dag: DAG_ID`` in the routing table of
    ``[incident] routing_table`` matches. After the first minutes the DAG ``incident_update`` handles the incidents
    of all teams, by that table.

    :param routing: responders, room, severity and probes: the path of a routing table, or its content as a
        mapping; default: ``[incident] routing_table``.
    :param slack_conn_id: the Airflow connection of the workspace.
    :param slack_pool: the pool of the steps that call Slack; default: ``[incident] slack_pool``.
    :param owner: the owner of the tasks in Airflow's UI.
    :param tags: tags besides ``incident``, by which the webhook, pages and commands find the DAG.
    :param default_args: arguments of the tasks; they override the defaults of this function.
    :param dag_arguments: any other argument of Airflow's ``DAG``, such as ``doc_md`` or ``access_control``.
    :raises RoutingTableError: ``routing`` is a mapping with a mistake; Airflow shows it as an import error. A file
        is read when a run starts, so that a corrected one takes effect at once.
    """
    if isinstance(routing, Mapping):
        read_routing_table(routing)
    slack = {"slack_conn_id": slack_conn_id, "pool": slack_pool or settings().slack_pool}
    arguments: dict[str, Any] = {"max_active_runs": 100, "max_active_tasks": 100, "deadline": room_deadline()}
    with DeadlineDag(
        dag_id,
        description=description,
        schedule=None,
        catchup=False,
        tags=[INCIDENT_TAG, *tags],
        params=_form(),
        default_args={**_default_args(owner), **(default_args or {})},
        **{**arguments, **dag_arguments},
    ) as dag:
        _add_steps(routing, slack)
    # As Airflow's own decorator does: the DAG belongs to the file that calls this function.
    dag.fileloc = sys._getframe(1).f_code.co_filename
    return dag


def _form() -> dict[str, Param]:
    """Return the trigger form. Tasks read the run's conf and need no form: Airflow parses the file in each task."""
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


def _add_steps(routing: str | Mapping[str, Any] | None, slack: Mapping[str, Any]) -> None:
    """Add the steps to the DAG in the context.

    Of the steps up to the room, the one nearest to it has the highest priority; a cluster policy of this package
    adds the severity. From the room on a step runs whether or not those before it succeeded: a room without people
    is better than no room, findings without a room are kept in XCom, and the summary says what is missing. These
    steps name the registry as an inlet, because they show the incident's current state.
    """
    always: dict[str, Any] = {"trigger_rule": TriggerRule.ALL_DONE, "inlets": [REGISTRY, REPORTS]}
    parse = ParseIncidentOperator(
        task_id=TaskId.PARSE_INCIDENT,
        routing_table=routing,
        priority_weight=ROOM_FIRST + 1,
        inlets=[REGISTRY, REPORTS],
    )
    setup = SetupSlackOperator(task_id=TaskId.SETUP_SLACK, priority_weight=ROOM_FIRST + 2, **slack)
    people = ResolveSlackUsersOperator(task_id=TaskId.RESOLVE_USERS, priority_weight=ROOM_FIRST + 3, **slack)
    room = CreateWarRoomOperator(
        task_id=TaskId.CREATE_WAR_ROOM,
        priority_weight=ROOM_FIRST + 4,
        on_failure_callback=NoRoomNotifier(),
        **always,
        **slack,
    )
    plan = PlanInvestigationOperator(task_id=TaskId.PLAN_INVESTIGATION)
    investigate = InvestigateInContainerOperator.partial(
        task_id=TaskId.INVESTIGATE, map_index_template="{{ task.label }}", priority_weight=2, **always
    ).expand(probe=plan.output)
    # Beside the Slack steps: the room does not wait for Datadog, only what is posted into its thread does.
    evidence = CollectEvidenceOperator(
        task_id=TaskId.COLLECT_EVIDENCE, routing_table=routing, priority_weight=2, inlets=[REGISTRY]
    )
    updates = PostThreadUpdateOperator(task_id=TaskId.POST_UPDATES, priority_weight=3, **always, **slack)
    summary = FinalSummaryOperator(task_id=TaskId.FINAL_SUMMARY, priority_weight=4, **always, **slack)

    parse >> setup >> people >> room >> investigate >> updates >> summary
    parse >> plan
    parse >> evidence >> updates
    if (ai_conn_id := settings().ai_conn_id) is not None:
        _add_ai_summary(summary, ai_conn_id, slack)


def _add_ai_summary(
    summary: FinalSummaryOperator, ai_conn_id: str, slack: Mapping[str, Any]
) -> WriteAiSummaryOperator:
    """Add the summary of a language model after the usual one.

    As a teardown it has no influence on the state of the run: that is the state of the step before it.
    """
    written = WriteAiSummaryOperator(
        task_id=TaskId.WRITE_AI_SUMMARY,
        llm_conn_id=ai_conn_id,
        cost_limit=settings().ai_cost_limit,
        retries=0,
        inlets=[REGISTRY, REPORTS],
        **slack,
    )
    summary >> written.as_teardown()
    return written


# --- the deadline -----------------------------------------------------------------------------------


class DeadlineDag(DAG):
    """A DAG with a deadline that ``airflow dags test`` can run.

    Airflow 3.3 creates deadlines when it stores a DAG. ``DAG.test()`` runs a DAG that is not stored in the form
    that it then looks for, so that the run cannot end. Nobody waits for such a run, so it has no deadline.
    """

    def test(self, *args: Any, **kwargs: Any) -> DagRun:
        """Run the DAG in this process, as :meth:`airflow.sdk.DAG.test` does, without the deadline."""
        self.deadline = None
        run: DagRun = super().test(*args, **kwargs)
        return run


def room_deadline() -> DeadlineAlert | None:
    """Return the deadline of a run: ``[incident] room_deadline_seconds`` after it was queued.

    An Airflow deadline is that of a run. A run that is unfinished by then is in Airflow's list of missed deadlines,
    and :func:`report_late_room` checks whether the room is late. The triggerer runs it: without a triggerer nothing
    is reported, and nothing else changes.

    :returns: the deadline, or ``None`` if none is configured.
    """
    seconds = settings().room_deadline_seconds
    if seconds is None:
        return None
    return DeadlineAlert(
        name="room",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=seconds),
        callback=AsyncCallback(report_late_room),
    )


async def report_late_room(context: Mapping[str, Any]) -> str:
    """Log that a room is late, unless it is open and only the rest of the run takes longer.

    :param context: what Airflow passes to the callback: the run and the deadline, as JSON.
    :returns: the result, which Airflow stores with the callback.
    """
    from asgiref.sync import sync_to_async

    run = context["dag_run"]
    state = await sync_to_async(_state_of_room)(run["dag_id"], run["dag_run_id"])
    if state in _ENDED_WELL:
        return "the room was open in time"
    found = f"{TaskId.CREATE_WAR_ROOM} is {state or 'not started'} at the promised time"
    log.error("The room of %s is late: %s, %s.", run["dag_run_id"], found, context["deadline"]["deadline_time"])
    return f"the room is late: {found}"


def _state_of_room(dag_id: str, run_id: str) -> str | None:
    # Imports the task runner, which the processes that parse DAGs do not need.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=[TaskId.CREATE_WAR_ROOM], run_ids=[run_id])
    state = states.get(run_id, {}).get(TaskId.CREATE_WAR_ROOM)
    return None if state is None else str(state).lower()
