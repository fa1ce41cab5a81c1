"""What the steps need of Slack, whether it is a real workspace or a dry-run."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from airflow_incident_provider.messages.limits import Message


@dataclass(frozen=True)
class Channel:
    """A channel as ``conversations.info`` tells it, as far as the steps need it.

    Slack gives topic and purpose back with ``& < >`` as entities; here they are as they were set.
    """

    id: str
    name: str
    private: bool = False
    archived: bool = False
    creator: str | None = None
    topic: str = ""
    purpose: str = ""
    created_at: datetime | None = None

    @classmethod
    def from_slack(cls, channel: Mapping[str, Any]) -> Channel:
        """Read a ``channel`` object of Slack's answers."""
        return cls(
            id=channel["id"],
            name=channel.get("name", ""),
            private=bool(channel.get("is_private")),
            archived=bool(channel.get("is_archived")),
            creator=channel.get("creator"),
            topic=html.unescape((channel.get("topic") or {}).get("value", "")),
            purpose=html.unescape((channel.get("purpose") or {}).get("value", "")),
            created_at=datetime.fromtimestamp(channel["created"], tz=UTC) if "created" in channel else None,
        )


class ChannelNameTakenError(Exception):
    """A channel of this name exists already, perhaps archived, perhaps one that we cannot see."""


class WarRoomSlack(Protocol):
    """A workspace in which a war room can be opened and kept.

    Errors: every method raises the classes of :mod:`airflow_incident_provider.exceptions` and no others.
    """

    def create_channel(self, name: str, *, private: bool) -> Channel:
        """Create a channel; raise :class:`ChannelNameTakenError` when the name is taken."""

    def find_channel(self, name: str) -> Channel | None:
        """Return the channel of this name among those that the bot is in."""

    def channel(self, channel_id: str) -> Channel:
        """Return a channel by its id."""

    def join(self, channel_id: str) -> None:
        """Become a member of a public channel."""

    def member_ids(self, channel_id: str) -> frozenset[str]:
        """Return the ids of everybody in the channel, bots included."""

    def invite(self, channel_id: str, user_ids: Iterable[str]) -> dict[str, str]:
        """Invite people; return the error code of each who could not be invited."""

    def set_topic(self, channel_id: str, topic: str) -> None:
        """Set the topic (plain text, 250 characters at most)."""

    def set_purpose(self, channel_id: str, purpose: str) -> None:
        """Set the description (plain text, 250 characters at most)."""

    def bookmarks(self, channel_id: str) -> frozenset[str]:
        """Return the addresses that are bookmarked."""

    def add_bookmark(self, channel_id: str, title: str, url: str) -> None:
        """Add a link to the bookmarks bar."""

    def pin(self, channel_id: str, ts: str) -> None:
        """Pin a message; pinned already is fine."""

    def archive(self, channel_id: str) -> None:
        """Archive a channel; archived already is fine. An app cannot open it again."""

    def post(self, channel_id: str, message: Message, *, key: str, thread_ts: str | None = None) -> str:
        """Post a message that carries ``key`` and return its timestamp."""

    def find_message(
        self,
        channel_id: str,
        key: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        thread_ts: str | None = None,
    ) -> str | None:
        """Return the timestamp of our message that carries ``key``, if it was posted in that time."""

    def update(self, channel_id: str, ts: str, message: Message, *, key: str) -> None:
        """Replace a message of ours."""

    def permalink(self, channel_id: str, ts: str) -> str | None:
        """Return the web address of a message."""

    def channel_url(self, channel_id: str) -> str | None:
        """Return the web address of a channel."""
