"""The Slack operations that a war room needs, implemented by the live and the dry-run client."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.slack.responses import mapping


@dataclass(frozen=True)
class Channel:
    """A channel, as ``conversations.info`` describes it.

    Slack returns topic and purpose with ``& < >`` as entities; here they are unescaped.
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
        """Read a ``channel`` object of a Slack response."""
        created = channel.get("created")
        return cls(
            id=channel["id"],
            name=str(channel.get("name") or ""),
            private=bool(channel.get("is_private")),
            archived=bool(channel.get("is_archived")),
            creator=channel.get("creator"),
            topic=html.unescape(str(mapping(channel.get("topic")).get("value") or "")),
            purpose=html.unescape(str(mapping(channel.get("purpose")).get("value") or "")),
            created_at=_moment(created),
        )


def _moment(created: object) -> datetime | None:
    """Return when a channel was created; ``None`` if that is no time, which a gateway may have made of it."""
    try:
        return datetime.fromtimestamp(created, tz=UTC) if isinstance(created, int | float) else None
    except (ValueError, OverflowError, OSError):
        return None


class ChannelNameTakenError(Exception):
    """A channel of this name exists: maybe archived, maybe one that the app cannot see."""


class SlackClient(Protocol):
    """A workspace in which a war room can be opened and kept.

    Every method raises the classes of :mod:`airflow_incident_provider.exceptions` and no others.
    """

    def within(self, seconds: float) -> SlackClient:
        """Return a client whose calls end within ``seconds`` from now, retries included."""

    @property
    def would_post(self) -> tuple[str, ...]:
        """The texts that a dry-run did not post; empty for a live workspace."""

    def create_channel(self, name: str, *, private: bool) -> Channel:
        """Create a channel.

        :raises ChannelNameTakenError: the name is taken.
        """

    def find_channel(self, name: str) -> Channel | None:
        """Return the channel of this name, if the app is a member of it."""

    def channel(self, channel_id: str) -> Channel:
        """Return a channel by id."""

    def join(self, channel_id: str) -> None:
        """Join a public channel."""

    def member_ids(self, channel_id: str) -> frozenset[str]:
        """Return the ids of all members of a channel, bots included."""

    def invite(self, channel_id: str, user_ids: Iterable[str]) -> dict[str, str]:
        """Invite people; return the error code of each who could not be invited."""

    def set_topic(self, channel_id: str, topic: str) -> None:
        """Set the topic (plain text, at most 250 characters)."""

    def set_purpose(self, channel_id: str, purpose: str) -> None:
        """Set the description (plain text, at most 250 characters)."""

    def bookmarks(self, channel_id: str) -> frozenset[str]:
        """Return the URLs that are bookmarked."""

    def add_bookmark(self, channel_id: str, title: str, url: str) -> None:
        """Bookmark a link."""

    def pin(self, channel_id: str, ts: str) -> None:
        """Pin a message; do nothing if it is pinned already."""

    def archive(self, channel_id: str) -> None:
        """Archive a channel; do nothing if it is archived already. An app cannot unarchive it."""

    def post(self, channel_id: str, message: Message, *, key: str, thread_ts: str | None = None) -> str:
        """Post a message with ``key`` in its metadata and return its timestamp."""

    def find_message(
        self,
        channel_id: str,
        key: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        thread_ts: str | None = None,
    ) -> str | None:
        """Return the timestamp of the app's message with this ``key``, posted between ``since`` and ``until``."""

    def update(self, channel_id: str, ts: str, message: Message, *, key: str) -> None:
        """Replace a message of the app."""

    def upload_picture(self, name: str, content: bytes, *, alt_text: str) -> str:
        """Upload a picture and return its id. Nobody sees it until it is shared.

        :param alt_text: a description of the picture, for screen readers.
        """

    def share_picture(self, file_id: str, channel_id: str, *, title: str, thread_ts: str | None = None) -> None:
        """Share an uploaded picture in a channel or thread."""

    def permalink(self, channel_id: str, ts: str) -> str | None:
        """Return the URL of a message."""

    def channel_url(self, channel_id: str) -> str | None:
        """Return the URL of a channel."""
