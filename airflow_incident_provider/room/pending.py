"""
What a room still lacks, and when that is tried again.

If Slack does not answer, or rejects the app, the first run of an incident may end without a room, or with a room
that lacks its findings, its summary or some of its people, and a later run may end without its update. That is
pending work: runs of ``incident_update`` try again until it is done or the incident is over. No worker and no
trigger waits in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.messages.findings import findings_messages
from airflow_incident_provider.messages.summary import summary_message
from airflow_incident_provider.models import Mode, PostedMessage, RunOutcome
from airflow_incident_provider.room.progress import FAILED_STATES
from airflow_incident_provider.room.session import RoomSession
from airflow_incident_provider.room.snapshot import IncidentSnapshot, is_over
from airflow_incident_provider.room.summary import summary_key, summary_so_far

RETRY_INTERVAL = timedelta(seconds=40)
"""The time between the first attempts: while they last, Slack is used within a minute of its return."""

MAX_FAST_RETRIES = 60
"""How often it is tried at that interval, some 40 minutes."""

SLOW_RETRY_INTERVAL = timedelta(minutes=8)
"""Between two attempts after that."""


class Missing(StrEnum):
    """A part of a room that a run could not provide."""

    ROOM = "room"
    FINDINGS = "findings"
    SUMMARY = "summary"
    RESPONDERS = "responders"
    UPDATES = "updates"


def retry_delay(attempt: int) -> timedelta:
    """Return the time from an attempt to the next one.

    :param attempt: the number of attempts so far.
    """
    return RETRY_INTERVAL if attempt <= MAX_FAST_RETRIES else SLOW_RETRY_INTERVAL


def missing_parts(snapshot: IncidentSnapshot) -> tuple[Missing, ...]:
    """Return what the room of an incident lacks, by its first run and its record.

    Nothing is missing once the incident is over, in a dry run, or if triage keeps the incident out of rooms.
    """
    summary, room = snapshot.summary, snapshot.room
    if snapshot.incident is None or is_over(snapshot) or snapshot.is_in_triage or _is_dry_run(snapshot):
        return ()
    if room is None:
        was_raised = summary is None or summary.outcome is not RunOutcome.NOT_RAISED
        return tuple(Missing) if was_raised else ()
    record = snapshot.record
    missing = {Missing.UPDATES: record is not None and bool(record.room.missed_runs)}
    if summary is not None and not (record is not None and record.room.is_complete):
        failed = {step.task_id for step in summary.steps if step.state in FAILED_STATES}
        missing |= {
            Missing.FINDINGS: bool(snapshot.findings) and TaskId.POST_UPDATES in failed,
            Missing.SUMMARY: summary.posted_ts is None,
            Missing.RESPONDERS: bool(summary.unanswered),
        }
    return tuple(part for part in Missing if missing.get(part))


def _is_dry_run(snapshot: IncidentSnapshot) -> bool:
    workspace, room = snapshot.workspace, snapshot.room
    return (workspace is not None and workspace.dry_run) or (room is not None and room.mode is Mode.DRY_RUN)


def post_missing(session: RoomSession, missing: Sequence[Missing]) -> tuple[PostedMessage, ...]:
    """Post the findings and the summary of the first run into the room, each unless it is there.

    :raises IncidentError: Slack did not accept it.
    """
    snapshot, posted = session.snapshot, list[PostedMessage]()
    if Missing.FINDINGS in missing and snapshot.findings and snapshot.run is not None:
        key = f"{snapshot.key}/{snapshot.run.run_id}/{TaskId.POST_UPDATES}"
        findings = findings_messages(snapshot.findings, key=session.buttons_key)
        posted += _post_unless_there(session, findings, key, session.room.brief_ts)
    summary = summary_so_far(snapshot) or snapshot.summary
    if Missing.SUMMARY in missing and summary is not None:
        room = session.room
        summary = summary.model_copy(update={"room_url": room.url, "channel_name": room.channel_name})
        messages = summary_message(summary, snapshot.incident, called=room.invited)
        posted += _post_unless_there(session, messages, summary_key(snapshot), None)
    return tuple(posted)


def _post_unless_there(
    session: RoomSession, messages: Sequence[Message], key: str, thread_ts: str | None
) -> Sequence[PostedMessage]:
    """Post the parts of a text that another run may have posted before."""
    posted = []
    for number, message in enumerate(messages):
        part = f"{key}/{number}"
        if session.slack.find_message(session.room.channel_id or "", part, thread_ts=thread_ts) is None:
            posted.append(session.poster.post(message, key=part, thread_ts=thread_ts))
    return posted
