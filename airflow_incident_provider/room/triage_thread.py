"""The thread of an incident that needs no room: one message in the standing triage channel, with its updates."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_incident_provider.exceptions import SlackConfigurationError
from airflow_incident_provider.messages.status_changes import room_opened_message, status_text, triage_message
from airflow_incident_provider.models import WarRoom
from airflow_incident_provider.room.opener import brief_key
from airflow_incident_provider.room.posting import Poster
from airflow_incident_provider.room.session import Visit
from airflow_incident_provider.slack.protocol import Channel, SlackClient


def open_thread(visit: Visit, channel: str) -> WarRoom:
    """Return the thread of the incident as the room that it stands for, opened once.

    :param channel: the triage channel of the routing table: its id, or its name with ``#``.
    :raises SlackConfigurationError: the app is not in the channel.
    """
    dry_run, known = visit.workspace.dry_run, visit.known
    there = Channel(id="", name=channel.lstrip("#")) if dry_run else _triage_channel(visit.slack, channel)
    message = triage_message(known.incident, status_text(known.record))
    posted = Poster(visit.slack, there.id, visit.ledger).post(message, key=brief_key(known.incident))
    return WarRoom(
        mode=visit.workspace.mode,
        channel_name=there.name,
        channel_id=None if dry_run else there.id,
        url=visit.slack.channel_url(there.id),
        private=there.private,
        opened_at=datetime.now(UTC),
        brief_ts=None if dry_run else posted.ts,
    )


def tell_thread_of_room(visit: Visit, channel: str) -> None:
    """Say in the thread that the incident has a room by now; an old thread that is not found is let be.

    :raises IncidentError: Slack did not take it; nothing else depends on that.
    """
    there = _triage_channel(visit.slack, channel)
    thread_ts = visit.slack.find_message(there.id, brief_key(visit.known.incident))
    if thread_ts is not None:
        message = room_opened_message(visit.room.channel_name, visit.room.url)
        poster = Poster(visit.slack, there.id, visit.ledger)
        poster.post(message, key=f"{visit.run_key}/room", thread_ts=thread_ts)


def _triage_channel(slack: SlackClient, channel: str) -> Channel:
    found = slack.find_channel(channel.lstrip("#")) if channel.startswith("#") else slack.channel(channel)
    if found is None:
        raise SlackConfigurationError(
            f"The triage channel {channel} was not found among the channels that the app is in.",
            fix="Invite the app into it, or name it by its id in the routing table.",
        )
    return found
