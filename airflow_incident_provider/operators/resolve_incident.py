"""An incident that stayed quiet is resolved, and everything that shows it says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.lifecycle.closing import Closing, archive_at, due_closing
from airflow_incident_provider.lifecycle.records import Presence, Status
from airflow_incident_provider.models import Finding, ThreadUpdates
from airflow_incident_provider.operators.slack_access import DEFAULT_CONN_ID, open_slack, workspace_behind
from airflow_incident_provider.operators.step import INVESTIGATE, IncidentStep

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.hooks.war_room_slack import Channel, WarRoomSlack
    from airflow_incident_provider.intake.life import Lifecycle
    from airflow_incident_provider.messages.limits import Message
    from airflow_incident_provider.models import SlackWorkspace
    from airflow_incident_provider.operators.known_incident import KnownIncident
    from airflow_incident_provider.operators.ledger import Ledger

CHECKED_BY = "checked_by"
"""What a run's conf calls the run that had checked the incident after its recovery."""

_ATTEMPTS = 3
"""How often the record is read again because an alert changed it meanwhile."""

_RESOLVE = "resolve"


class ResolveIncidentOperator(IncidentStep):
    """Resolve an incident whose quiet time is over, if no alert has fired since: the record is the truth.

    First the record is resolved, then the room is told: the summary with the times until the recovery, brief and
    topic, and a message that says what becomes of the room.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates`, pushed to XCom. The task is skipped when the
        incident fires again, or its quiet time has begun anew.
    :raises SlackUnavailableError: when Slack does not answer: the task is retried, and goes on where it was.
    """

    template_fields: Sequence[str] = ("slack_conn_id",)
    ui_color = "#fdf1e3"

    def __init__(self, *, slack_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slack_conn_id = slack_conn_id

    def run_step(self, context: Context) -> ThreadUpdates:
        """Resolve it, and tell."""
        from airflow_incident_provider.operators.ledger import Ledger
        from airflow_incident_provider.operators.routing_table import read_routing_table

        settings, ledger = read_routing_table().lifecycle, Ledger(context)
        known = _resolved(context, ledger, settings)
        if known.room is None:
            raise AirflowSkipException("It is resolved; there is no room to tell it in.")
        workspace = known.workspace or workspace_behind(self.slack_conn_id)
        slack = open_slack(workspace, self.slack_conn_id, channel_name=known.room.channel_name, log=self.log)
        return _tell(slack, known, ledger, _Told(context, settings, workspace, self.task_id))


class _Told:
    """What the telling needs beside the incident."""

    def __init__(self, context: Context, settings: Lifecycle, workspace: SlackWorkspace, step: str) -> None:
        self.context = context
        self.settings = settings
        self.workspace = workspace
        self.step = step


def _resolved(context: Context, ledger: Ledger, settings: Lifecycle) -> KnownIncident:
    """Return the incident once it is resolved, by this attempt or an earlier one of this task."""
    from airflow_incident_provider.operators.known_incident import read_known
    from airflow_incident_provider.operators.what_is_due import this_moment
    from airflow_incident_provider.registry.tasks import TaskRegistry

    registry = TaskRegistry.of(context)
    for _ in range(_ATTEMPTS):
        known, now = read_known(context), this_moment(context)
        if known is None:
            break
        if known.record.status is Status.RESOLVED and ledger.intended_at(_RESOLVE) is not None:
            return known
        if due_closing(known.record, settings, now) is not Closing.RESOLVE:
            break
        ledger.intend(_RESOLVE)
        registry.resolve(known.stored, now)
    raise AirflowSkipException("It is not to be resolved now: an alert came meanwhile.")


def _tell(slack: WarRoomSlack, known: KnownIncident, ledger: Ledger, told: _Told) -> ThreadUpdates:
    from airflow_incident_provider.operators.posting import Poster
    from airflow_incident_provider.operators.room_keeping import RoomKeeper, channel_of

    room = known.room
    assert room is not None
    channel, writable = channel_of(slack, room)
    if not writable:
        raise AirflowSkipException("It is resolved; its room was archived before, and cannot be told.")
    keeper = RoomKeeper(slack, known, room, channel, step=told.step)
    keeper.keep_summary()
    in_thread = room.brief_ts if known.record.presence is Presence.THREAD else None
    poster = Poster(slack, room.channel_id or "", ledger)
    posted = poster.post(
        _message(slack, known, channel, told), key=f"{known.record.key}/{told.context['ti'].run_id}/resolved",
        thread_ts=in_thread,
    )
    keeper.keep()
    return ThreadUpdates(
        mode=told.workspace.mode,
        channel_id=room.channel_id,
        thread_ts=in_thread,
        messages=() if told.workspace.dry_run else (posted,),
        problems=tuple(keeper.problems),
        would_post=tuple(getattr(slack, "would_post", ())),
    )
