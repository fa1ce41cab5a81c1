"""Reminders of what a room still needs: a commander, an update, a resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.lifecycle.coordination import Role
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.lifecycle.reminders import Reminder, due_reminders
from airflow_incident_provider.messages.coordination import ReminderText, reminder_message
from airflow_incident_provider.models import ThreadUpdates
from airflow_incident_provider.operators.base import SlackStep
from airflow_incident_provider.room.session import RoomSession
from airflow_incident_provider.room.snapshot import snapshot_of_incident
from airflow_incident_provider.routing_file import active_routing_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class PostRemindersOperator(SlackStep):
    """Post the reminders of this run's due time into the room: take command, post an update, or resolve.

    Each reminder belongs to one due time and so to one run. The task is skipped if its reason is gone by now.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates`, pushed to XCom.
    :raises SlackUnavailableError: Slack does not answer: the task is retried, and repeats nothing.

    .. code-block:: python

        PostRemindersOperator(task_id="post_reminders", inlets=[REGISTRY])
    """

    ui_color = "#e4eef8"

    def run_step(self, context: Context) -> ThreadUpdates:
        """Post the reminders."""
        snapshot, at = snapshot_of_incident(context), context["dag_run"].run_after
        if snapshot is None or snapshot.record is None or snapshot.room is None or at is None:
            raise AirflowSkipException("There is no room to post in.")
        reminders = due_reminders(snapshot.record, active_routing_table().table.reminders, at)
        if not reminders:
            raise AirflowSkipException("No reminder is due any more.")
        session = RoomSession.begin(context, snapshot, conn_id=self.slack_conn_id, log=self.log)
        return session.value(
            session.poster.post(
                reminder_message(_reminder_text(snapshot.record, reminder)),
                key=f"{session.run_key}/{reminder.kind}",
            )
            for reminder in reminders
        )


def _reminder_text(record: IncidentRecord, reminder: Reminder) -> ReminderText:
    commander = record.coordination.roles.get(Role.COMMANDER)
    return ReminderText(
        kind=reminder.kind,
        number=reminder.number,
        since=reminder.since,
        now=reminder.due_at,
        commander=(commander.slack_id or commander.name) if commander else record.commander,
        severity=record.severity,
    )
