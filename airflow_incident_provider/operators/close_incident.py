"""The operators of ``incident_update`` that end an incident: it is resolved, and its room is archived."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import ConfKey
from airflow_incident_provider.exceptions import IncidentError, SlackRequestError
from airflow_incident_provider.intake.policies import Lifecycle
from airflow_incident_provider.lifecycle.closing import CloseRequest, Closing, archive_at, due_closing
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.messages.status_changes import (
    ResolvedIncident,
    archive_warning,
    archived_message,
    closed_message,
    failing_probes,
    resolved_message,
)
from airflow_incident_provider.models import Finding, ThreadUpdates
from airflow_incident_provider.operators.base import SlackStep, due_at, probe_findings, requested_by
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.room.posting import Ledger
from airflow_incident_provider.room.responders import later_responders
from airflow_incident_provider.room.session import RoomSession
from airflow_incident_provider.room.snapshot import IncidentSnapshot, snapshot_of_incident
from airflow_incident_provider.room.updates import RoomUpdater
from airflow_incident_provider.routing_file import active_routing_table
from airflow_incident_provider.slack.protocol import Channel

RESOLVE_ATTEMPTS = 3
"""How often the record is read again because an alert has changed it in between."""

_RESOLVE = "resolve"
_ARCHIVE = "archive"


# --- resolution -------------------------------------------------------------------------------------


class ResolveIncidentOperator(SlackStep):
    """Resolve an incident after its quiet period, if no alert has fired since: the record decides.

    An incident that a person closes is resolved at once, whatever its alerts say; a new firing reopens it.

    The record is resolved first. Then the room shows it: the summary with the time to recovery, brief and topic,
    and a message about what becomes of the room.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates`, pushed to XCom. The task is skipped if the
        incident fires again, or its quiet period has restarted.
    :raises SlackUnavailableError: Slack does not answer: the task is retried, and continues where it was.

    .. code-block:: python

        ResolveIncidentOperator(task_id="resolve_incident", inlets=[REGISTRY])
    """

    ui_color = "#fdf1e3"

    def run_step(self, context: Context) -> ThreadUpdates:
        """Resolve the incident and update its room."""
        table = active_routing_table().table
        settings = table.lifecycle
        snapshot = _resolved(context, settings)
        if snapshot.room is None:
            raise AirflowSkipException("It is resolved; there is no room to post it in.")
        session = RoomSession.begin(context, snapshot, conn_id=self.slack_conn_id, log=self.log)
        channel, writable = session.channel()
        if not writable:
            raise AirflowSkipException("It is resolved; its room was archived before.")
        message = _resolution_message(context, session, channel, settings)
        return _post_resolution(session, channel, message, announce_in=table.announce)


def _resolved(context: Context, settings: Lifecycle) -> IncidentSnapshot:
    """Return the incident once it is resolved, by this attempt or an earlier one of this task."""
    registry, ledger = TaskRegistry.of(context), Ledger(context)
    for _ in range(RESOLVE_ATTEMPTS):
        snapshot, now = snapshot_of_incident(context), due_at(context)
        if snapshot is None or snapshot.stored is None:
            break
        status = snapshot.stored.record.status
        if status is Status.RESOLVED and ledger.intended_at(_RESOLVE) is not None:
            return snapshot
        if not _resolution_is_due(context, snapshot.stored.record, settings, now):
            break
        ledger.intend(_RESOLVE)
        if not snapshot.is_registered:
            return snapshot.with_record(status=Status.RESOLVED, resolved_at=now)
        registry.resolve(snapshot.stored, now, by=_closed_by(context))
    raise AirflowSkipException("It is not resolved now: an alert fired in between, or it is resolved already.")


def _closed_by(context: Context) -> str | None:
    """Return the person who closes the incident; ``None`` if it is closed because the time has come."""
    return requested_by(context) if CloseRequest.of(context["dag_run"].conf) is not None else None


def _resolution_is_due(context: Context, record: IncidentRecord, settings: Lifecycle, now: datetime) -> bool:
    """Return whether the quiet period is over, or a person closes the incident."""
    if CloseRequest.of(context["dag_run"].conf) is not None:
        return record.status in (Status.OPEN, Status.RECOVERED)
    return due_closing(record, settings, now) is Closing.RESOLVE


def _post_resolution(
    session: RoomSession, channel: Channel | None, message: Message, *, announce_in: str | None
) -> ThreadUpdates:
    updater, responders = RoomUpdater(session, channel, announce_in=announce_in), later_responders(session)
    updater.update_summary(responders)
    posted = session.poster.post(message, key=f"{session.run_key}/resolved", thread_ts=session.main_thread_ts)
    updater.update(responders)
    return session.value([posted], problems=updater.problems)


def _resolution_message(
    context: Context, session: RoomSession, channel: Channel | None, settings: Lifecycle
) -> Message:
    snapshot, record = session.snapshot, session.snapshot.record
    assert record is not None
    assert snapshot.incident is not None
    at = record.resolved_at or record.last_signal_at
    by = _closed_by(context)
    if session.is_in_thread:
        return closed_message(at, "resolved", by=by)
    archived_later = snapshot.is_registered and may_be_archived(session, channel)
    resolved = ResolvedIncident(
        at=at,
        by=by,
        first_at=snapshot.incident.occurred_at,
        recovered_at=record.recovered_at,
        firing=record.firing_count,
        times=snapshot.times_fired,
        back_until=at + settings.reopen_window if snapshot.is_registered else None,
        archive_at=archive_at(record, settings) if archived_later else None,
        summary_url=_summary_url(session),
        doubts=failing_probes(_last_findings(context)),
    )
    return resolved_message(resolved)


def _summary_url(session: RoomSession) -> str | None:
    """Return the address of the summary, if it is in this room and Slack returns it."""
    summary = session.snapshot.summary
    if summary is None or summary.posted_ts is None or summary.room_url != session.room.url:
        return None
    try:
        return session.slack.permalink(session.room.channel_id or "", summary.posted_ts)
    except IncidentError:
        return None


def _last_findings(context: Context) -> list[Finding]:
    """Return what the probes found after the recovery, if the conf names the run that ran them."""
    ti, run_id = context["ti"], (context["dag_run"].conf or {}).get(ConfKey.CHECKED_BY)
    return probe_findings(context, dag_id=ti.dag_id, run_id=run_id) if isinstance(run_id, str) else []


# --- the end of the room ----------------------------------------------------------------------------


class ArchiveWarRoomOperator(SlackStep):
    """Warn the room of a resolved incident that it will be archived, or archive it: whichever is due.

    A room that a person archives is archived at once, after a message, if its incident is resolved.

    Only a room that this app created is archived: never a channel of another tool, never the triage channel. An
    app cannot unarchive a channel, so the record is closed first: a later alert opens a new incident.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates`, pushed to XCom. The task is skipped if the
        incident fires again, or there is no room to archive.
    :raises SlackUnavailableError: Slack does not answer: the task is retried.

    .. code-block:: python

        ArchiveWarRoomOperator(task_id="archive_war_room", inlets=[REGISTRY])
    """

    ui_color = "#e4eef8"

    def run_step(self, context: Context) -> ThreadUpdates:
        """Warn, or archive."""
        snapshot, settings = snapshot_of_incident(context), active_routing_table().table.lifecycle
        if snapshot is None or snapshot.record is None:
            raise AirflowSkipException("The registry has no such incident.")
        step = _closing_step(context, snapshot, settings)
        if step is None:
            raise AirflowSkipException("Nothing is due for the room: its incident is not resolved.")
        if snapshot.room is None:
            raise AirflowSkipException("There is no room.")
        session = RoomSession.begin(context, snapshot, conn_id=self.slack_conn_id, log=self.log)
        channel, writable = session.channel()
        if not writable or not may_be_archived(session, channel):
            raise AirflowSkipException("The channel is archived already, or was not created by this app.")
        if step is Closing.ARCHIVE:
            return _archive(context, session)
        at = archive_at(snapshot.record, settings)
        assert at is not None
        warning = archive_warning(now=due_at(context), at=at)
        return session.value([session.poster.post(warning, key=f"{session.run_key}/archive-warning")])


def may_be_archived(session: RoomSession, channel: Channel | None) -> bool:
    """Return whether the room was created by this app for this incident alone."""
    incident = session.snapshot.incident
    own_channel_id = incident.slack_channel_id if incident else None
    if session.is_in_thread or session.room.channel_id == own_channel_id is not None:
        return False
    return session.workspace.dry_run or (channel is not None and channel.creator == session.workspace.bot_user_id)


def _closing_step(context: Context, snapshot: IncidentSnapshot, settings: Lifecycle) -> Closing | None:
    """Return what is due; archiving only once the record says so, by this attempt or an earlier one."""
    assert snapshot.stored is not None
    ledger, now = Ledger(context), due_at(context)
    if snapshot.stored.record.status is Status.ARCHIVED and ledger.intended_at(_ARCHIVE) is not None:
        return Closing.ARCHIVE
    due = _due_or_requested(context, snapshot, settings, now)
    if due is not Closing.ARCHIVE:
        return due
    ledger.intend(_ARCHIVE)
    done = not snapshot.is_registered or TaskRegistry.of(context).archive(
        snapshot.stored, now, by=_closed_by(context)
    )
    return due if done else None


def _due_or_requested(
    context: Context, snapshot: IncidentSnapshot, settings: Lifecycle, now: datetime
) -> Closing | None:
    """Return what is due, or what a person requested and may have."""
    assert snapshot.record is not None
    if CloseRequest.of(context["dag_run"].conf) is not None:
        allowed = snapshot.record.status is Status.RESOLVED or not snapshot.is_registered
        return Closing.ARCHIVE if allowed else None
    due = due_closing(snapshot.record, settings, now)
    return due if due in (Closing.ARCHIVE, Closing.WARN) else None


def _archive(context: Context, session: RoomSession) -> ThreadUpdates:
    """Archive the room, unless people removed the app from it: that is how they keep it open."""
    posted = []
    try:
        if CloseRequest.of(context["dag_run"].conf) is not None:
            # There was no warning: the room shows who archives it.
            message = archived_message(at=due_at(context), by=requested_by(context))
            posted.append(session.poster.post(message, key=f"{session.run_key}/archived"))
        session.slack.archive(session.room.channel_id or "")
    except SlackRequestError as error:
        if error.code == "not_in_channel":
            raise AirflowSkipException("The app was removed from the room: people keep it open.") from None
        raise
    return session.value(posted)
