"""The promise that a room is up in time: an Airflow deadline, and what is told when it is broken."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from airflow_incident_provider.config import TaskId, settings

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

log = logging.getLogger(__name__)

_ENDED_WELL = frozenset({"success", "skipped"})


class DeadlineDag(DAG):
    """A DAG with a deadline that ``airflow dags test`` can run.

    Airflow 3.3 makes deadlines when it stores a DAG, and ``DAG.test()`` runs one that it has not stored in the
    form that it then looks for: the run cannot end. A run that nobody waits for has no deadline to miss.
    """

    def test(self, *args: Any, **kwargs: Any) -> DagRun:
        """Run the DAG in this process, as :meth:`airflow.sdk.DAG.test` does, without the deadline."""
        self.deadline = None
        run: DagRun = super().test(*args, **kwargs)
        return run


def room_deadline() -> DeadlineAlert | None:
    """Return the deadline for a DAG: the promised time after its run was queued.

    Airflow's deadlines are of runs: one that is still under way then is in Airflow's list of missed deadlines,
    and :func:`tell_of_late_room` looks whether it is the room that is late. The triggerer runs it; without a
    triggerer nobody is told, and nothing else changes.

    :returns: the deadline, or ``None`` where nothing is promised.
    """
    seconds = settings().room_deadline_seconds
    if seconds is None:
        return None
    return DeadlineAlert(
        name="room",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=seconds),
        callback=AsyncCallback(tell_of_late_room),
    )


async def tell_of_late_room(context: Mapping[str, Any]) -> str:
    """Write into the triggerer's log that a room is late, unless it is up and only the rest takes its time.

    :param context: what Airflow hands to the callback: the run and the deadline, as JSON.
    :returns: what was found, which Airflow keeps with the callback.
    """
    from asgiref.sync import sync_to_async

    run = context["dag_run"]
    state = await sync_to_async(_state_of_room)(run["dag_id"], run["dag_run_id"])
    if state in _ENDED_WELL:
        return "the room was up in time"
    found = f"{TaskId.CREATE_WAR_ROOM} is {state or 'not begun'} at the promised time"
    log.error("The room of %s is late: %s, %s.", run["dag_run_id"], found, context["deadline"]["deadline_time"])
    return f"the room is late: {found}"


def _state_of_room(dag_id: str, run_id: str) -> str | None:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=[TaskId.CREATE_WAR_ROOM], run_ids=[run_id])
    state = states.get(run_id, {}).get(TaskId.CREATE_WAR_ROOM)
    return None if state is None else str(state).lower()
