"""A client that posts nothing: it logs what it would do and keeps the texts for the summary."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_incident_provider.messages.blocks import Message, dry_run_text
from airflow_incident_provider.slack.protocol import Channel

if TYPE_CHECKING:
    from airflow.sdk.types import Logger


class DryRunSlackClient:
    """Replaces :class:`~airflow_incident_provider.slack.client.LiveSlackClient` where there is no Slack connection.

    :param channel_name: the channel named in the heading of each text.
    :param log: receives the texts.
    """

    def __init__(self, channel_name: str, log: Logger) -> None:
        self.channel_name = channel_name
        self.log = log
        self._texts: list[str] = []

    def within(self, seconds: float) -> DryRunSlackClient:  # noqa: ARG002 - the protocol's signature
        """Return this client: it makes no calls."""
        return self

    @property
    def would_post(self) -> tuple[str, ...]:
        """The texts that were not posted."""
        return tuple(self._texts)

    def _log(self, what: str) -> None:
        self.log.warning("DRY-RUN: would %s", what)

    def create_channel(self, name: str, *, private: bool) -> Channel:
        """Log the channel."""
        self._log(f"create the {'private' if private else 'public'} channel #{name}")
        return Channel(id="", name=name, private=private)

    def find_channel(self, name: str) -> Channel | None:  # noqa: ARG002
        """Return ``None``: Slack is not asked."""
        return None

    def channel(self, channel_id: str) -> Channel:
        """Return a channel with the configured name."""
        return Channel(id=channel_id, name=self.channel_name)

    def join(self, channel_id: str) -> None:
        """Log the channel."""
        self._log(f"join {channel_id}")

    def member_ids(self, channel_id: str) -> frozenset[str]:  # noqa: ARG002
        """Return no members: Slack is not called."""
        return frozenset()

    def invite(self, channel_id: str, user_ids: Iterable[str]) -> dict[str, str]:  # noqa: ARG002
        """Log who would be invited."""
        if ids := list(user_ids):
            self._log(f"invite {', '.join(ids)}")
        return {}

    def set_topic(self, channel_id: str, topic: str) -> None:  # noqa: ARG002
        """Log the topic."""
        self._log(f"set the topic: {topic}")

    def set_purpose(self, channel_id: str, purpose: str) -> None:  # noqa: ARG002
        """Log the description."""
        self._log(f"set the description: {purpose}")

    def bookmarks(self, channel_id: str) -> frozenset[str]:  # noqa: ARG002
        """Return none: Slack is not asked."""
        return frozenset()

    def add_bookmark(self, channel_id: str, title: str, url: str) -> None:  # noqa: ARG002
        """Log the bookmark."""
        self._log(f"bookmark {title}: {url}")

    def pin(self, channel_id: str, ts: str) -> None:  # noqa: ARG002
        """Log the pin."""
        self._log("pin the brief")

    def archive(self, channel_id: str) -> None:  # noqa: ARG002
        """Log the archiving."""
        self._log("archive the channel")

    def post(self, channel_id: str, message: Message, *, key: str, thread_ts: str | None = None) -> str:  # noqa: ARG002
        """Log and keep the text."""
        text = dry_run_text(message, self.channel_name)
        self.log.warning("%s", text)
        self._texts.append(text)
        return ""

    def find_message(
        self,
        channel_id: str,  # noqa: ARG002
        key: str,  # noqa: ARG002
        *,
        since: datetime | None = None,  # noqa: ARG002
        until: datetime | None = None,  # noqa: ARG002
        thread_ts: str | None = None,  # noqa: ARG002
    ) -> str | None:
        """Return ``None``: Slack is not asked."""
        return None

    def update(self, channel_id: str, ts: str, message: Message, *, key: str) -> None:
        """Do nothing: the message was logged when it was posted."""

    def upload_picture(self, name: str, content: bytes, *, alt_text: str) -> str:
        """Log the picture; return its name."""
        self._log(f"upload {name} ({len(content)} bytes): {alt_text}")
        return name

    def share_picture(self, file_id: str, channel_id: str, *, title: str, thread_ts: str | None = None) -> None:
        """Do nothing: the picture was logged when it was uploaded."""

    def permalink(self, channel_id: str, ts: str) -> str | None:  # noqa: ARG002
        """Return ``None``: there is no message."""
        return None

    def channel_url(self, channel_id: str) -> str | None:  # noqa: ARG002
        """Return ``None``: there is no channel."""
        return None
