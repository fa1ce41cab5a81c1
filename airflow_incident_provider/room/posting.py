"""Post each message once, however often a task is tried: its effects are kept in Airflow's task state store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from pydantic import JsonValue

from airflow_incident_provider.exceptions import SlackRequestError, SlackUnavailableError
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.models import PostedMessage
from airflow_incident_provider.slack.errors import EDIT_REFUSED, MESSAGE_NOT_FOUND, THREAD_GONE
from airflow_incident_provider.slack.protocol import SlackClient
from airflow_incident_provider.text import digest

_STORE_KEY = "side_effects"
_SOON = timedelta(minutes=5)


class Store(Protocol):
    """The part of Airflow's task state store (``context["task_state_store"]``) that is used."""

    def get(self, key: str, default: JsonValue = None) -> JsonValue:
        """Return a stored value."""

    def set(self, key: str, value: JsonValue) -> None:
        """Store a value."""


class Ledger:
    """The side effects of one task instance, each with a key, written before and after it happens.

    Airflow keeps the task state store by run, task and map index: it outlives the attempt, the worker and a cleared
    task. An intention without a result means that the effect may have happened: look before repeating it. The
    same holds if a later attempt finds nothing at all, because Airflow deletes the state after a while, or when the
    task succeeds (``[state_store] clear_on_success``).

    :param context: the task's context. Without a store (an operator run by hand) nothing is remembered.
    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._store: Store | None = context.get("task_state_store")
        stored = self._store.get(_STORE_KEY) if self._store is not None else None
        self._entries: dict[str, Any] = dict(stored) if isinstance(stored, dict) else {}
        self.may_have_forgotten = not self._entries and getattr(context.get("ti"), "try_number", 1) > 1

    def result(self, key: str) -> JsonValue:
        """Return the result of an effect, or ``None`` if it is not known to have happened."""
        result: JsonValue = self._entries.get(key, {}).get("result")
        return result

    def intended_at(self, key: str) -> datetime | None:
        """Return when an effect was first intended, or ``None`` if it was not."""
        at = self._entries.get(key, {}).get("intended_at")
        return datetime.fromisoformat(at) if at else None

    def intend(self, *keys: str) -> None:
        """Write down what is about to be done; what was intended before keeps its first time."""
        now = datetime.now(UTC).isoformat()
        for key in keys:
            self._entries.setdefault(key, {"intended_at": now})
        self._save()

    def record(self, results: Mapping[str, JsonValue]) -> None:
        """Write down what was done."""
        self.remember(results)
        self._save()

    def remember(self, results: Mapping[str, JsonValue]) -> None:
        """Keep what was done, to be written with the next intention or result."""
        for key, result in results.items():
            self._entries.setdefault(key, {})["result"] = result

    def _save(self) -> None:
        if self._store is not None:
            self._store.set(_STORE_KEY, self._entries)


class Poster:
    """Posts into one channel. A message that is there already is updated instead.

    If somebody deleted the message, or Slack refuses to edit it, the message is posted again.

    :param slack: the workspace, or a dry run of it.
    :param channel_id: the channel.
    :param ledger: what earlier attempts of this task posted.
    :param for_another_run: whether these are the messages of a run that failed: those that it did post stay as they
        are.
    """

    def __init__(
        self, slack: SlackClient, channel_id: str, ledger: Ledger, *, for_another_run: bool = False
    ) -> None:
        self._slack = slack
        self._channel_id = channel_id
        self._ledger = ledger
        self._for_another_run = for_another_run

    def post(self, message: Message, *, key: str, thread_ts: str | None = None) -> PostedMessage:
        """Post a message, or update the one with this key, and return where it is.

        A reply to a message that somebody has deleted is posted into the channel itself.
        """
        try:
            return self._post_in(thread_ts, message, key)
        except SlackRequestError as error:
            if thread_ts is None or error.code not in THREAD_GONE:
                raise
            return self._post_in(None, message, key)

    def _post_in(self, thread_ts: str | None, message: Message, key: str) -> PostedMessage:
        if self._for_another_run:
            there = self._slack.find_message(self._channel_id, key, thread_ts=thread_ts)
            if there is not None:
                return PostedMessage(key=key, ts=there)
        ts = self._earlier(key, thread_ts)
        if ts is None or not self._update(ts, message, key):
            self._ledger.intend(key)
            ts = self._slack.post(self._channel_id, message, key=key, thread_ts=thread_ts)
        self._ledger.record({key: {"ts": ts, "channel": self._channel_id, "text": _fingerprint(message)}})
        return PostedMessage(key=key, ts=ts)

    def post_all(
        self, messages: Sequence[Message], *, key: str, thread_ts: str | None = None
    ) -> tuple[PostedMessage, ...]:
        """Post the parts of one text, in order."""
        return tuple(
            self.post(message, key=f"{key}/{number}", thread_ts=thread_ts)
            for number, message in enumerate(messages)
        )

    def _update(self, ts: str, message: Message, key: str) -> bool:
        """Update a message; return whether it now shows this text."""
        try:
            self._slack.update(self._channel_id, ts, message, key=key)
        except SlackRequestError as error:
            if error.code in EDIT_REFUSED:
                recorded = self._ledger.result(key)
                return isinstance(recorded, dict) and recorded.get("text") == _fingerprint(message)
            if error.code != MESSAGE_NOT_FOUND:
                raise
            # Otherwise the next attempt would not look for the message that replaces the deleted one.
            self._ledger.record({key: None})
            return False
        return True

    def _earlier(self, key: str, thread_ts: str | None) -> str | None:
        """Return the message that an earlier attempt posted, from the ledger or else from Slack."""
        recorded = recorded_ts(self._ledger, key, self._channel_id)
        if recorded is not None:
            return recorded
        attempted = self._ledger.intended_at(key)
        if attempted is None and not self._ledger.may_have_forgotten:
            return None
        return self._slack.find_message(self._channel_id, key, since=attempted, thread_ts=thread_ts)


def find_early_message(
    slack: SlackClient, channel_id: str, key: str, *, posted_after: datetime | None
) -> str | None:
    """Return the app's message with a key that was posted soon after a moment, or else later.

    So much may have been posted since that it is not among the newest messages. An app that Slack allows one such
    call a minute only looks at the first minutes.
    """
    early = None if is_recent(posted_after) or posted_after is None else posted_after + _SOON
    if early and (found := slack.find_message(channel_id, key, since=posted_after, until=early)):
        return found
    try:
        return slack.find_message(channel_id, key, since=posted_after)
    except SlackUnavailableError as error:
        if error.retry_after is None or early is None:
            raise
        return None


def is_recent(moment: datetime | None) -> bool:
    """Return whether only a few minutes have passed since, or it is not known how many."""
    return moment is None or datetime.now(UTC) - moment < _SOON


def recorded_ts(ledger: Ledger, key: str, channel_id: str) -> str | None:
    """Return the timestamp of a message that was posted into this channel."""
    recorded = ledger.result(key)
    if not isinstance(recorded, dict) or recorded.get("channel") != channel_id:
        return None
    return str(recorded["ts"])


def _fingerprint(message: Message) -> str:
    return digest(repr(message), 16)
