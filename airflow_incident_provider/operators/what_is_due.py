"""Where a run of ``incident_update`` begins: what there is to do for its incident now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.providers.standard.utils.skipmixin import SkipMixin
from airflow.sdk import BaseOperator

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.lifecycle.closing import Closing, due_closing
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status, UpdateKind, Visibility
from airflow_incident_provider.registry.records import UpdateBatch
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.room.close_request import asked_closing
from airflow_incident_provider.room.snapshot import first_run_is_under_way, incident_key, read_known
from airflow_incident_provider.routing_file import read_routing_table

if TYPE_CHECKING:
    from airflow.sdk import Context

ROOM_POLL = timedelta(seconds=5)
"""How long is waited, by a trigger and not by a worker, before it is looked again whether the room is there."""

_CLOSING_TASKS = {
    Closing.RESOLVE: TaskId.RESOLVE_INCIDENT,
    Closing.WARN: TaskId.ARCHIVE_WAR_ROOM,
    Closing.ARCHIVE: TaskId.ARCHIVE_WAR_ROOM,
}
_CAN_END_SOON = frozenset({Status.RECOVERED, Status.RESOLVED})


class WhatIsDueOperator(BaseOperator, SkipMixin):
    """Choose the tasks that the incident needs now, by its record, and skip the others that follow this one.

    Not a branch operator: that skips no task which also comes after one that is followed.

    An update that is older than its room waits for it, deferred. The conf names the incident (``incident_key``),
    and what a person asked for, if one did; what to tell comes from the registry, under this run's own id, so that
    a retry finds the same.
    """

    inherits_from_skipmixin = True
    ui_color = "#fdf1e3"

    def execute(self, context: Context) -> None:
        """Choose, or wait for the room."""
        chosen = self._chosen(context)
        self.log.info("Due now: %s", ", ".join(chosen) or "nothing")
        others = [task for task in self.get_direct_relatives() if task.node_id not in chosen]
        self.skip(context["ti"], others)

    def look_again(self, context: Context, event: Any = None) -> None:  # noqa: ARG002 - the time is all it tells
        """Go on after the wait."""
        self.execute(context)

    def _chosen(self, context: Context) -> list[str]:
        known = read_known(context)
        if known is None:
            self.log.warning("The registry knows no incident %r.", incident_key(context))
            return []
        batch = TaskRegistry.of(context).updates(context["ti"].run_id)
        expects_room = known.record.visibility is Visibility.ROOM and known.room is None
        if expects_room and first_run_is_under_way(context, known.record):
            self.defer(trigger=DateTimeTrigger(datetime.now(UTC) + ROOM_POLL), method_name="look_again")
        if expects_room:
            self.log.warning("The room was never opened: the updates are in the registry only.")
        asked = asked_closing(context)
        if asked is not None:
            return [_CLOSING_TASKS[asked.closing], TaskId.SCHEDULE_NEXT_CHECK]
        settings = read_routing_table().lifecycle
        return tasks_for(known.record, batch, due_closing(known.record, settings, this_moment(context)))


def tasks_for(record: IncidentRecord, batch: UpdateBatch | None, closing: Closing | None) -> list[str]:
    """Return the tasks to follow.

    :param batch: what this run has to tell, if it has.
    :param closing: the step towards the end that the time has come for, if it has.
    """
    tasks: list[str] = []
    if batch is not None and (batch.items or batch.dropped):
        tasks.append(TaskId.POST_UPDATE)
        if record.status is Status.RECOVERED and _tells(batch, UpdateKind.RECOVERED):
            tasks.append(TaskId.PLAN_RECHECK)
    if closing is not None:
        tasks.append(_CLOSING_TASKS[closing])
    if record.status in _CAN_END_SOON:
        tasks.append(TaskId.SCHEDULE_NEXT_CHECK)
    return tasks


def this_moment(context: Context) -> datetime:
    """Return the time; where the scheduler's clock is ahead of ours, that: it has started a run that was due."""
    now, due = datetime.now(UTC), context["dag_run"].run_after
    return now if due is None else max(now, due)


def _tells(batch: UpdateBatch, kind: UpdateKind) -> bool:
    return any(item.kind is kind for item in batch.items)
