"""
Who may act on an incident: the members of its room, and of the user groups that the routing table names.

That somebody may act counts for :data:`CACHE_SECONDS`. A refusal is never remembered: a new member of the room may
act at once. If Slack does not respond, no one is authorized, and the reply says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID
from airflow_incident_provider.exceptions import SlackError, SlackRequestError
from airflow_incident_provider.slack.access import live_slack_client
from airflow_incident_provider.slack.responses import objects, required_object

CACHE_SECONDS = 5.0
MAX_CACHED = 1_000


class Members(Protocol):
    """The questions to Slack."""

    def channel_members(self, channel_id: str) -> frozenset[str]:
        """Return the ids of a channel's members."""

    def group_members(self, group: str) -> frozenset[str]:
        """Return the ids of a user group's members; ``group`` is its id or handle."""

    def is_active(self, user_id: str) -> bool:
        """Return whether this is a person who is not deactivated."""


class NotAuthorizedError(Exception):
    """The person may not act; the message is for them."""


class Authorization:
    """Decides who may act.

    :param members: asks Slack.
    :param clock: seconds that never go back.
    """

    def __init__(self, members: Callable[[], Members], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._members = members
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: dict[tuple[str, str], tuple[float, frozenset[str]]] = {}

    def require(self, user_id: str, room_channel_id: str | None, groups: Sequence[str]) -> None:
        """Return if the person may act on the incident of this room.

        :raises NotAuthorizedError: they may not, or Slack does not say who they are.
        """
        try:
            if not self._is_in(user_id, ("active", user_id), lambda: self._active(user_id)):
                raise NotAuthorizedError("Your account is deactivated, or an app's.")
            if room_channel_id is not None and self._is_in(
                user_id, ("channel", room_channel_id), lambda: self._members().channel_members(room_channel_id)
            ):
                return
            if any(self._is_in(user_id, ("group", group), partial(self._group, group)) for group in groups):
                return
        except SlackError as error:
            raise NotAuthorizedError(
                f"Slack does not say who is in the room ({error.message}) Nothing was done; try again."
            ) from error
        raise NotAuthorizedError("Only members of this incident's room can do that. Join the room first.")

    def _active(self, user_id: str) -> frozenset[str]:
        return frozenset({user_id} if self._members().is_active(user_id) else ())

    def _group(self, group: str) -> frozenset[str]:
        try:
            return self._members().group_members(group)
        except SlackRequestError:
            # A group that does not exist authorizes no one; the other groups still count.
            return frozenset()

    def _is_in(self, user_id: str, key: tuple[str, str], question: Callable[[], frozenset[str]]) -> bool:
        """Return whether a person is among those of an answer: of a recent one, else of a new one."""
        with self._lock:
            at, people = self._cache.get(key, (0.0, frozenset()))
        if user_id in people and self._clock() - at < CACHE_SECONDS:
            return True
        people = question()
        with self._lock:
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            self._cache[key] = (self._clock(), people)
        return user_id in people


class SlackMembers:
    """:class:`Members` by Slack's API.

    :param seconds: time for one question, retries included.
    """

    def __init__(self, seconds: float) -> None:
        self._client = live_slack_client(DEFAULT_SLACK_CONN_ID).within(seconds)

    def channel_members(self, channel_id: str) -> frozenset[str]:
        """Return the ids of a channel's members (``conversations.members``)."""
        return self._client.member_ids(channel_id)

    def group_members(self, group: str) -> frozenset[str]:
        """Return the ids of a user group's members (``usergroups.list``)."""
        wanted = group.removeprefix("@").casefold()
        response = self._client.hook.read(
            "usergroups.list", include_users=True, include_disabled=False, **self._client.team_argument
        )
        for each in objects(response, "usergroups"):
            if wanted in (str(each.get("id")).casefold(), str(each.get("handle")).casefold()):
                users = each.get("users")
                return (
                    frozenset(user for user in users if isinstance(user, str))
                    if isinstance(users, list)
                    else frozenset()
                )
        return frozenset()

    def is_active(self, user_id: str) -> bool:
        """Return whether this is a person who is not deactivated (``users.info``)."""
        user = required_object(self._client.hook.read("users.info", user=user_id), "users.info", "user")
        return not any(user.get(flag) for flag in ("deleted", "is_bot", "is_workflow_bot"))
