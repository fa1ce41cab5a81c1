"""The thread of an incident that needs no room: one message in the standing triage channel, with its updates."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_incident_provider.exceptions import SlackConfigurationError
from airflow_incident_provider.hooks.war_room_slack import Channel, WarRoomSlack
from airflow_incident_provider.messages.status import status_words
from airflow_incident_provider.messages.turns import room_of_its_own_message, thread_message
from airflow_incident_provider.models import SlackWorkspace, WarRoom
from airflow_incident_provider.operators.known_incident import KnownIncident
from airflow_incident_provider.operators.ledger import Ledger
from airflow_incident_provider.operators.posting import Poster
from airflow_incident_provider.operators.room_opening import brief_key


def open_thread(
    slack: WarRoomSlack, known: KnownIncident, channel: str, ledger: Ledger, workspace: SlackWorkspace
) -> WarRoom:
    """Return the thread of the incident as the room that it stands for, opened once.

    :param channel: the triage channel of the routing table: its id, or its name with ``#``.
    :raises SlackConfigurationError: the app is not in the channel.
    """
    there = Channel(id="", name=channel.lstrip("#")) if workspace.dry_run else _triage_channel(slack, channel)
    message = thread_message(known.incident, status_words(known.record))
    posted = Poster(slack, there.id, ledger).post(message, key=brief_key(known.incident))
    dry_run = workspace.dry_run
    return WarRoom(
        mode=workspace.mode,
        channel_name=there.name,
        channel_id=None if dry_run else there.id,
        url=slack.channel_url(there.id),
        private=there.private,
        opened_at=datetime.now(UTC),
        brief_ts=None if dry_run else posted.ts,
    )


def tell_thread_of_room(
    slack: WarRoomSlack, known: KnownIncident, channel: str, ledger: Ledger, *, run_key: str
) -> None:
    """Say in the thread that the incident has a room by now; an old thread that is not found is let be."""
    assert known.room is not None
    there = _triage_channel(slack, channel)
    thread_ts = slack.find_message(there.id, brief_key(known.incident))
    if thread_ts is not None:
        message = room_of_its_own_message(known.room.channel_name, known.room.url)
        Poster(slack, there.id, ledger).post(message, key=f"{run_key}/room", thread_ts=thread_ts)


def _triage_channel(slack: WarRoomSlack, channel: str) -> Channel:
    found = slack.find_channel(channel.lstrip("#")) if channel.startswith("#") else slack.channel(channel)
    if found is None:
        raise SlackConfigurationError(
            f"The triage channel {channel} was not found among the channels that the app is in.",
            fix="Invite the app into it, or name it by its id in the routing table.",
        )
    return found
