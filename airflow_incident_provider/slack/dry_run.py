"""A workspace that nothing is written to: what would be done is logged and kept for the summary."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_incident_provider.messages.limits import Message
from airflow_incident_provider.messages.plain import dry_run_text
from airflow_incident_provider.slack.protocol import Channel

if TYPE_CHECKING:
    from airflow.sdk.types import Logger


class DryRunSlack:
    """Stands where :class:`~airflow_incident_provider.slack.client.LiveSlack` would, and posts nothing.

    :param channel_name: the channel that would be written to, for the heading of each text.
    :param log: where the texts go.
    """

    def __init__(self, channel_name: str, log: Logger) -> None:
        self.channel_name = channel_name
        self.log = log
        self.would_post: list[str] = []

    def _would(self, what: str) -> None:
        self.log.warning("DRY-RUN: would %s", what)

    def create_channel(self, name: str, *, private: bool) -> Channel:
        """Say that the channel would be created."""
        self._would(f"create the {'private' if private else 'public'} channel #{name}")
        return Channel(id="", name=name, private=private)

    def find_channel(self, name: str) -> Channel | None:  # noqa: ARG002 - the protocol's signature
        """Find nothing: Slack is not asked."""
        return None

    def channel(self, channel_id: str) -> Channel:
        """Return the channel that would be written to."""
        return Channel(id=channel_id, name=self.channel_name)

    def join(self, channel_id: str) -> None:
        """Say that the channel would be joined."""
        self._would(f"join {channel_id}")

    def member_ids(self, channel_id: str) -> frozenset[str]:  # noqa: ARG002
        """Find nobody: Slack is not asked."""
        return frozenset()

    def invite(self, channel_id: str, user_ids: Iterable[str]) -> dict[str, str]:  # noqa: ARG002
        """Say who would be invited."""
        if ids := list(user_ids):
            self._would(f"invite {', '.join(ids)}")
        return {}

    def set_topic(self, channel_id: str, topic: str) -> None:  # noqa: ARG002
        """Say what the topic would be."""
        self._would(f"set the topic: {topic}")

    def set_purpose(self, channel_id: str, purpose: str) -> None:  # noqa: ARG002
        """Say what the description would be."""
        self._would(f"set the description: {purpose}")

    def bookmarks(self, channel_id: str) -> frozenset[str]:  # noqa: ARG002
        """Find none: Slack is not asked."""
        return frozenset()

    def add_bookmark(self, channel_id: str, title: str, url: str) -> None:  # noqa: ARG002
        """Say what would be bookmarked."""
        self._would(f"bookmark {title}: {url}")

    def pin(self, channel_id: str, ts: str) -> None:  # noqa: ARG002
        """Say that the brief would be pinned."""
        self._would("pin the brief")

    def archive(self, channel_id: str) -> None:  # noqa: ARG002
        """Say that the channel would be archived."""
        self._would("archive the channel")

    def post(self, channel_id: str, message: Message, *, key: str, thread_ts: str | None = None) -> str:  # noqa: ARG002
        """Log and keep what would be posted."""
        text = dry_run_text(message, self.channel_name)
        self.log.warning("%s", text)
        self.would_post.append(text)
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
        """Find nothing: Slack is not asked."""
        return None

    def update(self, channel_id: str, ts: str, message: Message, *, key: str) -> None:
        """Keep quiet: the message that would be replaced was shown when it was new."""

    def permalink(self, channel_id: str, ts: str) -> str | None:  # noqa: ARG002
        """Return none: there is no message."""
        return None

    def channel_url(self, channel_id: str) -> str | None:  # noqa: ARG002
        """Return none: there is no channel."""
        return None
