"""The announcement of an incident: one message in the announcement channel, edited in place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from airflow_incident_provider.exceptions import SlackConfigurationError, SlackRequestError
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.messages.coordination import digest_message
from airflow_incident_provider.room.posting import find_early_message
from airflow_incident_provider.room.snapshot import IncidentSnapshot
from airflow_incident_provider.slack.errors import EDIT_REFUSED, MESSAGE_NOT_FOUND
from airflow_incident_provider.slack.protocol import Channel, SlackClient


def announce(slack: SlackClient, snapshot: IncidentSnapshot, channel: str) -> None:
    """Post or update the announcement of an incident.

    A private incident is only announced in a private channel.

    :param channel: the announcement channel of the routing table: its id, or its name with ``#``.
    :raises IncidentError: Slack did not accept it; nothing else depends on it.
    """
    record = snapshot.record
    if record is None or (snapshot.workspace is not None and snapshot.workspace.dry_run):
        return
    there = named_channel(slack, channel, "announcement")
    if _is_private(snapshot, record) and not there.private:
        return
    key = f"{record.key}/announcement"
    room_url = snapshot.room.url if snapshot.room is not None else None
    message = digest_message(record, room_url=room_url, no_room=record.room.problem, now=datetime.now(UTC))
    for ts in _announcements(slack, there.id, key, record.opened_at):
        try:
            slack.update(there.id, ts, message, key=key)
        except SlackRequestError as error:
            if error.code not in EDIT_REFUSED | {MESSAGE_NOT_FOUND}:
                raise
        else:
            return
    slack.post(there.id, message, key=key)


def _announcements(slack: SlackClient, channel_id: str, key: str, opened_at: datetime) -> Iterator[str]:
    """Yield the announcement, and the one that has replaced it if it cannot be edited any more."""
    first = find_early_message(slack, channel_id, key, posted_after=opened_at)
    if first is None:
        return
    yield first
    newest = slack.find_message(channel_id, key, since=opened_at)
    if newest is not None and newest != first:
        yield newest


def named_channel(slack: SlackClient, channel: str, role: str) -> Channel:
    """Return a channel that the routing table names.

    :param channel: its id, or its name with ``#``.
    :param role: what it is for, such as "triage".
    :raises SlackConfigurationError: the app is not in a channel of this name.
    """
    found = slack.find_channel(channel.lstrip("#")) if channel.startswith("#") else slack.channel(channel)
    if found is None:
        raise SlackConfigurationError(
            f"The {role} channel {channel} was not found among the channels that the app is in.",
            fix="Invite the app into it, or name it by its id in the routing table.",
        )
    return found


def _is_private(snapshot: IncidentSnapshot, record: IncidentRecord) -> bool:
    """Return whether the incident or its room is private; one of which that is not known counts as private.

    The room of a public incident is private if another tool made it so.
    """
    if snapshot.room is not None and snapshot.room.private:
        return True
    if record.private is not None:
        return record.private
    return snapshot.incident is None or snapshot.incident.route.private
