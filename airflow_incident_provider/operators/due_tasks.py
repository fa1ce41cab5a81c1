"""What an incident needs now, and when next: the first and the last task of ``incident_update``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.providers.standard.utils.skipmixin import SkipMixin
from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException, DagRunTriggerException

from airflow_incident_provider.config import ConfKey, TaskId
from airflow_incident_provider.intake.policies import Reminders
from airflow_incident_provider.lifecycle.closing import CloseRequest, Closing, due_closing
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status, UpdateKind
from airflow_incident_provider.lifecycle.reminders import (
    check_run_id,
    due_reminders,
    next_check_at,
    next_reminder_at,
)
from airflow_incident_provider.operators.base import due_at
from airflow_incident_provider.registry.records import UpdateBatch
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.room.pending import Missing, missing_parts, retry_delay
from airflow_incident_provider.room.snapshot import (
    IncidentSnapshot,
    first_run_is_under_way,
    incident_key,
    snapshot_of_incident,
)
from airflow_incident_provider.routing_file import active_routing_table

ROOM_POLL = timedelta(seconds=5)
"""How long an update waits, deferred, before it looks again whether the room is open."""

_CLOSING_TASKS = {
    Closing.RESOLVE: TaskId.RESOLVE_INCIDENT,
    Closing.WARN: TaskId.ARCHIVE_WAR_ROOM,
    Closing.ARCHIVE: TaskId.ARCHIVE_WAR_ROOM,
}


class SelectDueTasksOperator(BaseOperator, SkipMixin):
    """Select the tasks that the incident needs now, by its record, and skip the other direct downstream tasks.

    This is not a branch operator: that would not skip a task which also follows a selected one.

    An update that is older than its room waits for it, deferred. The run's conf names the incident
    (``incident_key``) and may hold a close request; what to post is stored in the registry under the run's id, so
    that a retry finds the same.

    .. code-block:: python

        SelectDueTasksOperator(task_id="select_due_tasks", inlets=[REGISTRY])
    """

    inherits_from_skipmixin = True
    ui_color = "#fdf1e3"

    def execute(self, context: Context) -> None:
        """Select, or wait for the room."""
        selected = self._selected(context)
        self.log.info("Due now: %s", ", ".join(selected) or "nothing")
        others = [task for task in self.get_direct_relatives() if task.node_id not in selected]
        if TaskId.SCHEDULE_NEXT_CHECK in selected:
            # A copy of the DAG from version 0.1.0 calls this task look_again.
            others = [task for task in others if not isinstance(task, ScheduleNextCheckOperator)]
        self.skip(context["ti"], others)

    def resume(self, context: Context, event: Any = None) -> None:  # noqa: ARG002 - Airflow passes it
        """Continue after the wait."""
        self.execute(context)

    def _selected(self, context: Context) -> list[str]:
        snapshot = snapshot_of_incident(context)
        if snapshot is None or snapshot.record is None:
            self.log.warning("The registry has no incident %r.", incident_key(context))
            return []
        registry, run_id = TaskRegistry.of(context), context["ti"].run_id
        batch, missed = registry.updates(run_id), registry.missed_updates(snapshot.record, but=run_id)
        missing = missing_parts(snapshot)
        if missing and first_run_is_under_way(context, snapshot):
            if Missing.ROOM in missing:
                self.defer(trigger=DateTimeTrigger(datetime.now(UTC) + ROOM_POLL), method_name="resume")
            missing = ()
        request = CloseRequest.of(context["dag_run"].conf)
        if request is not None:
            return [_CLOSING_TASKS[request.closing], TaskId.SCHEDULE_NEXT_CHECK]
        if (context["dag_run"].conf or {}).get(ConfKey.CHECK_REQUEST):
            return [TaskId.PLAN_RECHECK]
        if missing:
            self.log.warning("The room still lacks: %s.", ", ".join(missing))
        table = active_routing_table().table
        closing = due_closing(snapshot.record, table.lifecycle, due_at(context))
        batches = [*missed.values(), *([batch] if batch is not None else [])]
        tasks = tasks_for(snapshot.record, batches, closing, is_incomplete=bool(missing))
        return [*tasks, *_reminder_tasks(context, snapshot, table.reminders, tasks)]


def tasks_for(
    record: IncidentRecord, batches: Sequence[UpdateBatch], closing: Closing | None, *, is_incomplete: bool = False
) -> list[str]:
    """Return the tasks to run.

    :param batches: what this run has to post: its own updates, and those that earlier runs could not post.
    :param closing: the step towards the end that is due, if any.
    :param is_incomplete: whether there is no room, or it lacks something.
    """
    tasks: list[str] = []
    has_news = any(batch.items or batch.dropped for batch in batches)
    if has_news or is_incomplete:
        tasks.append(TaskId.POST_UPDATE)
    if record.status is Status.RECOVERED and any(batch.has(UpdateKind.RECOVERED) for batch in batches):
        tasks.append(TaskId.PLAN_RECHECK)
    if closing is not None:
        tasks.append(_CLOSING_TASKS[closing])
    if has_news or is_incomplete or record.status in (Status.RECOVERED, Status.RESOLVED):
        # News may have to be posted again: Slack may not answer now.
        tasks.append(TaskId.SCHEDULE_NEXT_CHECK)
    return tasks


def _reminder_tasks(
    context: Context, snapshot: IncidentSnapshot, settings: Reminders, selected: Sequence[str]
) -> list[str]:
    """Return the tasks for reminders: to post those of this run's time, and to request the next run."""
    record = snapshot.record
    if record is None or snapshot.room is None:
        return []
    at = context["dag_run"].run_after
    tasks: list[str] = [TaskId.POST_REMINDERS] if at and due_reminders(record, settings, at) else []
    next_check = next_reminder_at(record, settings, due_at(context))
    if next_check is not None and TaskId.SCHEDULE_NEXT_CHECK not in selected:
        tasks.append(TaskId.SCHEDULE_NEXT_CHECK)
    return tasks


class ScheduleNextCheckOperator(BaseOperator):
    """Request a run of this DAG at the next moment at which something may be due for the incident.

    A run that is due later costs nothing until then: no worker, no trigger, and none of the DAG's active runs. It
    selects by itself what is due. Its run id derives from the incident and the moment, so requesting it twice makes
    one run. The task is skipped if there is nothing to wait for.

    .. code-block:: python

        ScheduleNextCheckOperator(task_id="schedule_next_check", trigger_rule="all_done", inlets=[REGISTRY])
    """

    ui_color = "#fdf1e3"

    def execute(self, context: Context) -> NoReturn:
        """Request the run, as Airflow's own ``TriggerDagRunOperator`` does."""
        key, now = incident_key(context), due_at(context)
        snapshot = snapshot_of_incident(context)
        moments = _next_moments(snapshot, now) if snapshot is not None and snapshot.record is not None else []
        if not moments:
            raise AirflowSkipException("There is nothing to wait for.")
        at = min(moments)
        raise DagRunTriggerException(
            trigger_dag_id=context["ti"].dag_id,
            dag_run_id=check_run_id(key, at),
            conf={ConfKey.INCIDENT_KEY.value: key, **_first_run(context), **_checked_by(context)},
            logical_date=None,
            reset_dag_run=False,
            skip_when_already_exists=True,
            wait_for_completion=False,
            allowed_states=[],
            failed_states=[],
            poke_interval=0,
            deferrable=False,
            run_after=at,
        )


def _next_moments(snapshot: IncidentSnapshot, now: datetime) -> list[datetime]:
    """Return when something may be due: a reminder, a step towards the end, an attempt to complete the room."""
    assert snapshot.record is not None
    room = snapshot.record.room
    moments = [next_check_at(snapshot.record, active_routing_table().table, now)] if snapshot.is_registered else []
    if missing_parts(snapshot):
        is_planned = room.next_try_at is not None and room.next_try_at > now
        moments.append(room.next_try_at if is_planned else now + retry_delay(room.attempts + 1))
    return [moment for moment in moments if moment is not None]


def _first_run(context: Context) -> dict[str, Any]:
    """Return the part of the conf that names the first run of an incident that the registry may not have."""
    conf = context["dag_run"].conf or {}
    return {key: value for key, value in conf.items() if key == ConfKey.FIRST_RUN}


def _checked_by(context: Context) -> dict[str, Any]:
    """Return this run's id if it ran the probes again: the message of the resolution shows their results."""
    ti = context["ti"]
    return {ConfKey.CHECKED_BY.value: ti.run_id} if ti.xcom_pull(task_ids=TaskId.RECOVER_INCIDENT) else {}
