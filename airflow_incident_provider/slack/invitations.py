"""Invite people into a channel, although Slack refuses some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.exceptions import SlackRequestError, SlackUnavailableError
from airflow_incident_provider.slack.errors import ALREADY_MEMBER, INVITE, PER_USER
from airflow_incident_provider.slack.responses import objects

if TYPE_CHECKING:
    from airflow_incident_provider.slack.client import LiveSlackClient

INVITE_BATCH = 100
"""How many ids one ``conversations.invite`` takes (Slack's reference of May 2026; it has said 30 and 1000)."""

MAX_INVITE_CALLS = 24
"""After this many calls that invited no one, the rest of the batch is not tried one by one."""

_TOO_MANY = "too_many_users"
_ABOUT_THE_CHANNEL = frozenset(
    {
        "channel_not_found",
        "is_archived",
        "not_in_channel",
        "method_not_supported_for_channel_type",
        "channel_is_limited_access",
        "too_many_members",
        "unknown_method",
        "invalid_arguments",
    }
)


class Inviter:
    """Invites people into one channel, in whichever way Slack refuses some of them."""

    def __init__(self, client: LiveSlackClient, channel_id: str) -> None:
        self._client = client
        self._channel_id = channel_id
        self._calls = 0
        self._invited_somebody = False

    def invite(self, ids: Sequence[str]) -> dict[str, str]:
        """Invite everybody; return the error code of each who could not be invited."""
        failures: dict[str, str] = {}
        for start in range(0, len(ids), INVITE_BATCH):
            failures |= self._invite_batch(ids[start : start + INVITE_BATCH])
        return failures

    def _invite_batch(self, ids: Sequence[str]) -> dict[str, str]:
        """Invite a batch; on refusal without the people that Slack names, or, if it names none, in halves."""
        try:
            response = self._send(ids)
            self._invited_somebody = True
            return _failures(_named_errors(response))
        except SlackRequestError as error:
            named = {user: code for user, code in _named_errors(error.details).items() if user in ids}
            if not named and (len(ids) == 1 or self._is_hopeless(error)):
                if error.code in _ABOUT_THE_CHANNEL:
                    raise
                named = dict.fromkeys(ids, str(error.code))
        if not named:
            half = len(ids) // 2
            return self._invite_batch(ids[:half]) | self._invite_batch(ids[half:])
        others = [user_id for user_id in ids if user_id not in named]
        return _failures(named) | (self._invite_batch(others) if others else {})

    def _is_hopeless(self, error: SlackRequestError) -> bool:
        """Return whether dividing the batch will not help: the refusal is not about one of its people."""
        if error.code in _ABOUT_THE_CHANNEL:
            return True
        unknown = error.code not in PER_USER and error.code not in ALREADY_MEMBER and error.code != _TOO_MANY
        return unknown and self._calls >= MAX_INVITE_CALLS and not self._invited_somebody

    def _send(self, ids: Sequence[str]) -> Mapping[str, Any]:
        """Send one invitation; after a lost response, see who is there and invite the others."""
        self._calls += 1
        hook = self._client.hook
        try:
            return _errors_in(hook.write(INVITE, **self._arguments(ids)))
        except SlackUnavailableError as error:
            if not error.effect_possible:
                raise
        members = self._client.member_ids(self._channel_id)
        absent = [user_id for user_id in ids if user_id not in members]
        return _errors_in(hook.put(INVITE, **self._arguments(absent))) if absent else {}

    def _arguments(self, ids: Sequence[str]) -> dict[str, Any]:
        return {"channel": self._channel_id, "users": ",".join(ids), "force": True}


def _errors_in(response: Any) -> Mapping[str, Any]:
    return {"errors": response.get("errors")}


def _named_errors(response: Mapping[str, Any]) -> dict[str, str]:
    """Return the error code of each person that a response names."""
    return {
        entry["user"]: str(entry.get("error"))
        for entry in objects(response, "errors")
        if not entry.get("ok") and isinstance(entry.get("user"), str)
    }


def _failures(named: Mapping[str, str]) -> dict[str, str]:
    """Return those who could not be invited; being in the channel already is no failure."""
    return {user_id: code for user_id, code in named.items() if code not in ALREADY_MEMBER}
