"""What happened to an incident since the last update, told where it is talked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.lifecycle.records import Presence
from airflow_incident_provider.models import ThreadUpdates, WarRoom
from airflow_incident_provider.operators.slack_access import DEFAULT_CONN_ID, open_slack, workspace_behind
from airflow_incident_provider.operators.step import IncidentStep

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.models import SlackWorkspace
    from airflow_incident_provider.operators.known_incident import KnownIncident


class PostIncidentUpdateOperator(IncidentStep):
    """Tell an update: who comes for it, what is said, and what brief and topic say from now on.

    What is noisy goes under the brief, as one message with counts. That the incident is back or has recovered
    goes into the room itself. An incident that is back and finds its room archived gets a new one. The first
    update of an incident that triage keeps out of rooms opens its thread in the triage channel.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates`, pushed to XCom. The task is skipped when
        there is nothing to tell, or no place to tell it in.
    :raises SlackUnavailableError: when Slack does not answer: the task is retried, and repeats nothing.
    """

    template_fields: Sequence[str] = ("slack_conn_id",)
    ui_color = "#e4eef8"

    def __init__(self, *, slack_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slack_conn_id = slack_conn_id

    def run_step(self, context: Context) -> ThreadUpdates:
        """Tell the update."""
        from airflow_incident_provider.operators.known_incident import read_known, where
        from airflow_incident_provider.operators.ledger import Ledger
        from airflow_incident_provider.operators.routing_table import read_routing_table
        from airflow_incident_provider.operators.triage_thread import open_thread
        from airflow_incident_provider.operators.update_posting import UpdatePosting
        from airflow_incident_provider.registry.tasks import TaskRegistry

        registry, known, table = TaskRegistry.of(context), read_known(context), read_routing_table()
        batch = registry.updates(context["ti"].run_id)
        if known is None or batch is None:
            raise AirflowSkipException("There is nothing to tell.")
        workspace = known.workspace or workspace_behind(self.slack_conn_id)
        key, ledger = known.record.key, Ledger(context)
        slack = open_slack(
            workspace, self.slack_conn_id, channel_name=_place(known, table.triage.channel), log=self.log
        )
        room = known.room
        if room is None and known.record.presence is Presence.THREAD and table.triage.channel is not None:
            room = open_thread(slack, known, table.triage.channel, ledger, workspace)
            registry.tell_room(key, where(room))
        if room is None:
            raise AirflowSkipException("There is no room to tell it in; what happened is in the registry.")
        posting = UpdatePosting(
            slack,
            known,
            batch,
            ledger,
            workspace=workspace,
            settings=table.lifecycle,
            conn_id=self.slack_conn_id,
            run_key=f"{key}/{context['ti'].run_id}",
            tell_room=lambda moved: registry.tell_room(key, where(moved)),
        )
        return self._told(posting.post(room))

    def _told(self, told: ThreadUpdates) -> ThreadUpdates:
        for problem in told.problems:
            self.log.warning("In the room: %s (%s)", problem.what, problem.fix or problem.error)
        return told


def _place(known: KnownIncident, triage_channel: str | None) -> str:
    """Return the name of where this would be told, for a dry-run."""
    if known.room is not None:
        return known.room.channel_name
    return (triage_channel or "no-channel").lstrip("#")
