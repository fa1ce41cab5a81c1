"""What happened to an incident since the last update, told where it is talked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.lifecycle.records import UpdateKind, Visibility
from airflow_incident_provider.models import ThreadUpdates
from airflow_incident_provider.operators.base import IncidentStep

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.models import WarRoom
    from airflow_incident_provider.registry.records import UpdateBatch
    from airflow_incident_provider.room.session import Visit


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

    def __init__(self, *, slack_conn_id: str = DEFAULT_SLACK_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slack_conn_id = slack_conn_id

    def run_step(self, context: Context) -> ThreadUpdates:
        """Tell the update."""
        from airflow_incident_provider.registry.task_client import TaskRegistry
        from airflow_incident_provider.room.session import Visit
        from airflow_incident_provider.room.snapshot import read_known, where
        from airflow_incident_provider.room.triage_thread import open_thread
        from airflow_incident_provider.room.updates import UpdatePosting
        from airflow_incident_provider.routing_file import read_routing_table

        registry, known, table = TaskRegistry.of(context), read_known(context), read_routing_table()
        batch = registry.updates(context["ti"].run_id)
        if known is None or batch is None:
            raise AirflowSkipException("There is nothing to tell.")
        triage = table.triage.channel
        visit = Visit.begin(context, known, conn_id=self.slack_conn_id, log=self.log, place=triage or "")

        def tell_registry(room: WarRoom) -> None:
            registry.tell_room(known.record.key, where(room))

        if known.room is None and visit.is_in_thread and triage is not None:
            visit = visit.moved_to(open_thread(visit, triage))
            tell_registry(visit.room)
        if visit.known.room is None:
            raise AirflowSkipException("There is no room to tell it in; what happened is in the registry.")
        told = UpdatePosting(visit, batch, table.lifecycle, tell_registry=tell_registry).post()
        if triage is not None and _got_a_room(batch):
            self._tell_thread(visit, triage)
        for problem in told.problems:
            self.log.warning("In the room: %s (%s)", problem.what, problem.fix or problem.error)
        return told

    def _tell_thread(self, visit: Visit, triage_channel: str) -> None:
        from airflow_incident_provider.room.triage_thread import tell_thread_of_room

        try:
            tell_thread_of_room(visit, triage_channel)
        except IncidentError as error:
            self.log.warning("The thread in the triage channel was not told of the room: %s", error)


def _got_a_room(batch: UpdateBatch) -> bool:
    """Return whether the incident had a thread until now."""
    return any(
        (item.kind, item.before, item.after) == (UpdateKind.VISIBILITY, Visibility.THREAD, Visibility.ROOM)
        for item in batch.items
    )
