"""Messages that are posted once, however often the step that posts them is tried."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_incident_provider.exceptions import SlackRequestError
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.models import PostedMessage
from airflow_incident_provider.room.ledger import Ledger
from airflow_incident_provider.slack.errors import MESSAGE_NOT_FOUND
from airflow_incident_provider.slack.protocol import SlackClient


class Poster:
    """Posts into one channel. A message that is there already is brought up to date instead.

    One that somebody deleted since is posted anew: who tries a step again wants to read what it says.

    :param slack: the workspace, or a dry-run of it.
    :param channel_id: where to post.
    :param ledger: what earlier attempts of this task posted.
    """

    def __init__(self, slack: SlackClient, channel_id: str, ledger: Ledger) -> None:
        self._slack = slack
        self._channel_id = channel_id
        self._ledger = ledger

    def post(self, message: Message, *, key: str, thread_ts: str | None = None) -> PostedMessage:
        """Post a message, or update the one with this key, and return where it is."""
        ts = self._earlier(key, thread_ts)
        if ts is None or not self._is_updated(ts, message, key):
            self._ledger.intend(key)
            ts = self._slack.post(self._channel_id, message, key=key, thread_ts=thread_ts)
        self._ledger.record({key: {"ts": ts, "channel": self._channel_id}})
        return PostedMessage(key=key, ts=ts)

    def _is_updated(self, ts: str, message: Message, key: str) -> bool:
        """Bring a message up to date and return whether it was there."""
        try:
            self._slack.update(self._channel_id, ts, message, key=key)
        except SlackRequestError as error:
            if error.code != MESSAGE_NOT_FOUND:
                raise
            # Or the next attempt would take the deleted one for posted, and not look for the one that follows it.
            self._ledger.record({key: None})
            return False
        return True

    def post_all(
        self, messages: Sequence[Message], *, key: str, thread_ts: str | None = None
    ) -> tuple[PostedMessage, ...]:
        """Post the parts of one text, in their order."""
        return tuple(
            self.post(message, key=f"{key}/{number}", thread_ts=thread_ts)
            for number, message in enumerate(messages)
        )

    def _earlier(self, key: str, thread_ts: str | None) -> str | None:
        """Return the message that an earlier attempt posted: as it recorded, else as Slack tells."""
        recorded = recorded_ts(self._ledger, key, self._channel_id)
        if recorded is not None:
            return recorded
        attempted = self._ledger.intended_at(key)
        if attempted is None and not self._ledger.may_have_forgotten:
            return None
        return self._slack.find_message(self._channel_id, key, since=attempted, thread_ts=thread_ts)


def recorded_ts(ledger: Ledger, key: str, channel_id: str) -> str | None:
    """Return the timestamp of a message that was posted in this channel, and not in one that is gone since."""
    recorded = ledger.result(key)
    if not isinstance(recorded, dict) or recorded.get("channel") != channel_id:
        return None
    return str(recorded["ts"])
