"""The workspace as JSON for people and tests, in an order that does not depend on how it came about."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from incident_sandbox.entities import Channel, Message, Person
from incident_sandbox.slack import shapes
from incident_sandbox.workspace import Workspace

Json = dict[str, Any]


def snapshot(workspace: Workspace, *, everybody: bool = False) -> Json:
    """Return the whole workspace.

    :param everybody: whether to list all members, or only those who appear in a channel.
    """
    with workspace.lock:
        return {
            **overview(workspace, everybody=everybody),
            "channels": [channel_snapshot(workspace, channel) for channel in _in_order(workspace)],
            "datadog": workspace.datadog.snapshot(),
        }


def overview(workspace: Workspace, *, everybody: bool = False) -> Json:
    """Return team, people, groups and channels, without what was said."""
    with workspace.lock:
        wanted = set(workspace.people) if everybody else _met(workspace)
        return {
            "version": workspace.version,
            "team": {"id": workspace.team_id, "name": workspace.team_name, "url": workspace.url},
            "settings": workspace.settings.model_dump(mode="json"),
            "member_count": len(workspace.people),
            "people": [person_snapshot(workspace.people[i]) for i in sorted(wanted & workspace.people.keys())],
            "usergroups": [group.model_dump() for _, group in sorted(workspace.usergroups.items())],
            "channels": [channel_summary(channel) for channel in _in_order(workspace)],
        }


def _in_order(workspace: Workspace) -> list[Channel]:
    return sorted(workspace.channels.values(), key=lambda channel: channel.name)


def _met(workspace: Workspace) -> set[str]:
    """Return the ids of everybody who is in a channel, wrote in one, or is mentioned in one."""
    met: set[str] = set()
    for channel in workspace.channels.values():
        met.update(channel.members)
        for message in channel.messages.values():
            met.update((message.user, *message.notifies.users))
    return met


def person_snapshot(person: Person) -> Json:
    """Return a member, without the e-mail address."""
    return {
        "id": person.id,
        "username": person.username,
        "label": person.label,
        "real_name": person.real_name,
        "title": person.title,
        "is_bot": person.is_bot,
        "is_guest": person.is_guest,
        "is_stranger": person.is_stranger,
        "deleted": person.deleted,
    }


def channel_summary(channel: Channel) -> Json:
    """Return a channel without its messages; topic and purpose as they were set, not escaped."""
    return {
        "id": channel.id,
        "name": channel.name,
        "is_private": channel.private,
        "is_archived": channel.archived,
        "creator": channel.creator,
        "created": channel.created,
        "members": sorted(channel.members),
        "topic": channel.topic.value,
        "purpose": channel.purpose.value,
        "message_count": len(channel.messages),
        "latest": next(reversed(channel.messages), None),
    }


def channel_snapshot(workspace: Workspace, channel: Channel) -> Json:
    """Return a channel with its bookmarks, pins and messages; each thread hangs under its parent."""
    with workspace.lock:
        top = [m for m in channel.messages.values() if m.in_channel]
        orphans = [m for m in channel.messages.values() if m.is_reply and m.thread_ts not in channel.messages]
        return {
            **channel_summary(channel),
            "bookmarks": [{"title": b.title, "link": b.link, "emoji": b.emoji} for b in channel.bookmarks],
            "pins": [pin.ts for pin in channel.pins],
            "canvas": asdict(channel.canvas) if channel.canvas is not None else None,
            "messages": [_message(workspace, channel, m) for m in top],
            "orphans": [_message(workspace, channel, m) for m in orphans],
            "ephemerals": [asdict(note) for note in channel.ephemerals],
        }


def _message(workspace: Workspace, channel: Channel, message: Message) -> Json:
    replies = [] if message.is_reply else channel.replies(message.ts)
    return {
        **shapes.message(workspace, channel, message, payload=True),
        "edits": message.edits,
        "notifies": asdict(message.notifies),
        "delivery": message.delivery,
        "replies": [_message(workspace, channel, reply) for reply in replies],
    }
