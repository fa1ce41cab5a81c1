"""Invitations into a channel, such that one who cannot come keeps nobody else out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.exceptions import SlackRequestError, SlackUnavailableError
from airflow_incident_provider.slack.errors import INVITE, PER_USER
from airflow_incident_provider.slack.hook import IncidentSlackHook

if TYPE_CHECKING:
    from slack_sdk.web import SlackResponse

BATCH = 100
"""How many ids one ``conversations.invite`` takes (Slack's reference, May 2026; it has said 30 and 1000)."""

_ALREADY_HERE = frozenset({"already_in_channel", "cant_invite_self"})
_ABOUT_PEOPLE = frozenset(PER_USER) | _ALREADY_HERE | {"too_many_users"}


class Invitations:
    """Invites people, whichever of its documented and undocumented ways Slack takes to refuse some of them.

    :param hook: the hook that sends the calls.
    :param member_ids: tells who is in a channel.
    """

    def __init__(self, hook: IncidentSlackHook, member_ids: Callable[[str], frozenset[str]]) -> None:
        self._hook = hook
        self._member_ids = member_ids

    def send(self, channel_id: str, user_ids: Iterable[str]) -> dict[str, str]:
        """Invite everybody and return the error code of each who could not be invited."""
        ids = list(dict.fromkeys(user_ids))
        failures: dict[str, str] = {}
        for start in range(0, len(ids), BATCH):
            failures |= self._invite(channel_id, ids[start : start + BATCH])
        return failures

    def _invite(self, channel_id: str, ids: Sequence[str]) -> dict[str, str]:
        """Invite a batch: once more without those whom Slack names; where it names nobody, each half alone."""
        try:
            return _failures(_named(self._send_once(channel_id, ids)))
        except SlackRequestError as error:
            if error.code not in _ABOUT_PEOPLE:
                raise
            named = {user: code for user, code in _named(error.details).items() if user in ids}
            if not named and len(ids) == 1:
                named = {ids[0]: str(error.code)}
        if not named:
            half = len(ids) // 2
            return self._invite(channel_id, ids[:half]) | self._invite(channel_id, ids[half:])
        others = [user_id for user_id in ids if user_id not in named]
        return _failures(named) | (self._invite(channel_id, others) if others else {})

    def _send_once(self, channel_id: str, ids: Sequence[str]) -> Mapping[str, Any]:
        """Send one invitation; where its answer was lost, look who is there and invite the others."""
        try:
            return _errors(self._hook.write(INVITE, **_invitation(channel_id, ids)))
        except SlackUnavailableError as error:
            if not error.effect_possible:
                raise
        here = self._member_ids(channel_id)
        absent = [user_id for user_id in ids if user_id not in here]
        return _errors(self._hook.put(INVITE, **_invitation(channel_id, absent))) if absent else {}


def _invitation(channel_id: str, ids: Sequence[str]) -> dict[str, Any]:
    return {"channel": channel_id, "users": ",".join(ids), "force": True}


def _errors(answer: SlackResponse) -> Mapping[str, Any]:
    return {"errors": answer.get("errors")}


def _named(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the error codes of those whom an answer names."""
    entries = answer.get("errors") or ()
    return {entry["user"]: str(entry.get("error")) for entry in entries if not entry.get("ok") and "user" in entry}


def _failures(named: Mapping[str, str]) -> dict[str, str]:
    """Return who could not be invited; that somebody is in the room already is no failure."""
    return {user_id: code for user_id, code in named.items() if code not in _ALREADY_HERE}
