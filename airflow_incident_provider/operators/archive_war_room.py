"""The end of a room: it is warned, and later archived."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID
from airflow_incident_provider.exceptions import SlackRequestError
from airflow_incident_provider.lifecycle.closing import Closing, archive_at, due_closing
from airflow_incident_provider.lifecycle.records import Status
from airflow_incident_provider.models import ThreadUpdates
from airflow_incident_provider.operators.base import IncidentStep
from airflow_incident_provider.room.close_request import asked_closing, who_asked

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.intake.policies import Lifecycle
    from airflow_incident_provider.models import PostedMessage
    from airflow_incident_provider.room.session import Visit
    from airflow_incident_provider.room.snapshot import KnownIncident
    from airflow_incident_provider.slack.protocol import Channel

_ARCHIVE = "archive"


class ArchiveWarRoomOperator(IncidentStep):
    """Warn a room of a resolved incident that it will be archived, or archive it: whichever is due.

    A room that a person wants archived is told so, and archived at once, if its incident is resolved.

    Only a room that this app created is archived: never a channel of another tool, never the triage channel. An app
    cannot open a channel again, so the record is closed first: an alert after that opens a new incident.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates`, pushed to XCom. The task is skipped when the
        incident fires again, or there is no room to archive.
    :raises SlackUnavailableError: when Slack does not answer: the task is retried.
    """

    template_fields: Sequence[str] = ("slack_conn_id",)
    ui_color = "#e4eef8"

    def __init__(self, *, slack_conn_id: str = DEFAULT_SLACK_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slack_conn_id = slack_conn_id

    def run_step(self, context: Context) -> ThreadUpdates:
        """Warn, or archive."""
        from airflow_incident_provider.room.session import Visit
        from airflow_incident_provider.room.snapshot import read_known
        from airflow_incident_provider.room.updater import channel_of
        from airflow_incident_provider.routing_file import read_routing_table

        known, settings = read_known(context), read_routing_table().lifecycle
        if known is None:
            raise AirflowSkipException("The registry does not know the incident.")
        step = _step(context, known, settings)
        if step is None:
            raise AirflowSkipException(
                "The room is not to be closed now: its incident is not resolved, or not any more."
            )
        if known.room is None:
            raise AirflowSkipException("There is no room.")
        visit = Visit.begin(context, known, conn_id=self.slack_conn_id, log=self.log)
        channel, writable = channel_of(visit.slack, visit.room)
        if not writable or not may_be_archived(visit, channel):
            raise AirflowSkipException("The channel is archived already, or is not ours to archive.")
        if step is Closing.WARN:
            return _warn(context, visit, settings)
        return _archive(context, visit)


def may_be_archived(visit: Visit, channel: Channel | None) -> bool:
    """Return whether the room is one that this app made for this incident alone."""
    if visit.is_in_thread or visit.room.channel_id == visit.known.incident.slack_channel_id is not None:
        return False
    return visit.workspace.dry_run or (channel is not None and channel.creator == visit.workspace.bot_user_id)


def _step(context: Context, known: KnownIncident, settings: Lifecycle) -> Closing | None:
    """Return what is due; for archiving, once the record says so, by this attempt or an earlier one."""
    from airflow_incident_provider.operators.what_is_due import this_moment
    from airflow_incident_provider.registry.task_client import TaskRegistry
    from airflow_incident_provider.room.ledger import Ledger

    ledger, now = Ledger(context), this_moment(context)
    if known.record.status is Status.ARCHIVED and ledger.intended_at(_ARCHIVE) is not None:
        return Closing.ARCHIVE
    due = _due(context, known, settings, now)
    if due is not Closing.ARCHIVE:
        return due
    ledger.intend(_ARCHIVE)
    done = not known.is_registered or TaskRegistry.of(context).archive(known.stored, now)
    return due if done else None


def _due(context: Context, known: KnownIncident, settings: Lifecycle, now: datetime) -> Closing | None:
    """Return what the time has come for, or what a person asked for and may have."""
    if asked_closing(context) is not None:
        may_be = known.record.status is Status.RESOLVED or not known.is_registered
        return Closing.ARCHIVE if may_be else None
    due = due_closing(known.record, settings, now)
    return due if due in (Closing.ARCHIVE, Closing.WARN) else None


def _goodbye(context: Context, visit: Visit) -> tuple[PostedMessage, ...]:
    """Say who archives the room, if it is a person: nobody was warned of it."""
    from airflow_incident_provider.messages.status_changes import archived_message
    from airflow_incident_provider.operators.what_is_due import this_moment

    if asked_closing(context) is None:
        return ()
    message = archived_message(at=this_moment(context), by=who_asked(context))
    return (visit.poster.post(message, key=f"{visit.run_key}/archived"),)


def _archive(context: Context, visit: Visit) -> ThreadUpdates:
    """Archive the room, unless people put the app out of it: that is how they keep it open."""
    try:
        posted = _goodbye(context, visit)
        visit.slack.archive(visit.room.channel_id or "")
    except SlackRequestError as error:
        if error.code == "not_in_channel":
            raise AirflowSkipException("The app is not in the room any more: people keep it open.") from None
        raise
    return visit.value(posted)


def _warn(context: Context, visit: Visit, settings: Lifecycle) -> ThreadUpdates:
    from airflow_incident_provider.messages.status_changes import archive_warning
    from airflow_incident_provider.operators.what_is_due import this_moment

    at = archive_at(visit.known.record, settings)
    assert at is not None
    warning = archive_warning(now=this_moment(context), at=at)
    return visit.value([visit.poster.post(warning, key=f"{visit.run_key}/archive-warning")])
