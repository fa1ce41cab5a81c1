"""Find or create the channel of a war room: once, and never somebody else's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from airflow_incident_provider.exceptions import SlackConfigurationError, SlackRequestError, SlackUnavailableError
from airflow_incident_provider.messages.channel import purpose_key
from airflow_incident_provider.room.posting import Ledger
from airflow_incident_provider.slack.protocol import Channel, ChannelNameTakenError, SlackClient

NAMES_TRIED = 5
"""How many names are tried: the second contains a digest of the key, so a third is rare."""

UNFINISHED_WAIT_S = 2.0
"""Seconds to wait for the purpose of a channel that another run may have created a moment ago."""

_CHANNEL = "channel"
_RECORDED = ("id", "name", "private")


@dataclass(frozen=True)
class ChannelRequest:
    """The channel to open.

    :param key: the incident key; the channel's purpose contains it, which identifies the room.
    :param name: the name at the nth attempt, the first being 0.
    :param private: whether it has to be private; a private room is never replaced by a public one.
    :param existing_id: a channel that another tool has created for the incident.
    :param tried_before: whether another task began to open this room, without success; it may have left a channel.
    """

    key: str
    name: Callable[[int], str]
    private: bool
    existing_id: str | None = None
    tried_before: bool = False


@dataclass(frozen=True)
class OpenedChannel:
    """A channel, whether this attempt created it, and why it is not the one that another tool created."""

    channel: Channel
    created: bool
    note: str | None = None


class ChannelOpener:
    """Finds or creates the channel of a room.

    :param slack: the workspace.
    :param bot_user_id: the app's user; a channel that somebody else created is never used.
    :param ledger: what earlier attempts of this task did.
    """

    def __init__(self, slack: SlackClient, bot_user_id: str | None, ledger: Ledger) -> None:
        self._slack = slack
        self._bot_user_id = bot_user_id
        self._ledger = ledger

    def open(self, request: ChannelRequest) -> OpenedChannel:
        """Return the room's channel; the ledger stores it with the caller's next entry.

        :raises SlackRequestError: every name that was tried belongs to another channel.
        """
        if (recorded := self._recorded_channel()) is not None:
            return OpenedChannel(recorded, created=False)
        existing, note = self._join_existing(request)
        opened = OpenedChannel(existing, created=False) if existing else self._find_or_create(request)
        self._ledger.remember({_CHANNEL: {field: getattr(opened.channel, field) for field in _RECORDED}})
        return replace(opened, note=note)

    def _recorded_channel(self) -> Channel | None:
        """Return the channel that an earlier attempt recorded, unless it has been archived since."""
        recorded = self._ledger.result(_CHANNEL)
        if not isinstance(recorded, dict) or not recorded.get("id"):
            return None
        try:
            channel = self._slack.channel(str(recorded["id"]))
        except SlackConfigurationError:
            # An app that may not read its channel can still write to it.
            return Channel(**{field: recorded[field] for field in _RECORDED})  # type: ignore[arg-type]
        except SlackRequestError:
            # It has been deleted since.
            return None
        return None if channel.archived else channel

    def _join_existing(self, request: ChannelRequest) -> tuple[Channel | None, str | None]:
        """Return the channel that another tool created for this incident, or why it is not used."""
        if request.existing_id is None:
            return None, None
        label = f"The incident's own channel {request.existing_id}"
        try:
            channel = self._slack.channel(request.existing_id)
            if request.private and not channel.private:
                return None, f"{label} is not known to be private, but this incident is"
            if channel.archived:
                return None, f"{label} is archived"
            if not channel.private:  # The app is a member of every private channel that it sees.
                self._slack.join(request.existing_id)
        except (SlackConfigurationError, SlackRequestError) as error:
            return None, f"{label} could not be joined; invite the app into it: {error.message}"
        return channel, None

    def _find_or_create(self, request: ChannelRequest) -> OpenedChannel:
        for attempt in range(NAMES_TRIED):
            name = request.name(attempt)
            tried_before = request.tried_before or self._ledger.intended_at(name) is not None
            self._ledger.intend(name)
            try:
                return OpenedChannel(self._slack.create_channel(name, private=request.private), created=True)
            except ChannelNameTakenError:
                found = self._ours(name, request, tried_before=tried_before)
            except SlackUnavailableError as error:
                if not error.effect_possible:
                    raise
                found = self._ours(name, request, tried_before=True)
                if found is None:
                    raise
            if found is not None:
                return OpenedChannel(found, created=False)
        raise SlackRequestError(
            f"No channel could be opened: {request.name(0)!r} and {NAMES_TRIED - 1} other names are taken "
            "by channels that are not this incident's.",
            code="name_taken",
        )

    def _ours(self, name: str, request: ChannelRequest, *, tried_before: bool) -> Channel | None:
        """Return the channel of this name if it belongs to this incident and can be used.

        A channel of this app without a key was created by an attempt that ended before it set the purpose: of this
        incident, if there was one before, else of another incident.
        """
        try:
            found = self._slack.find_channel(name)
        except SlackConfigurationError:
            # An app that may not look uses another name: two rooms are better than none.
            return None
        if found is None or found.creator != self._bot_user_id:
            return None
        if not tried_before and purpose_key(found.purpose) is None:
            found = self._wait_for_key(found)
        key = purpose_key(found.purpose)
        mine = key == request.key or (key is None and tried_before)
        usable = not found.archived and found.private == request.private
        return found if mine and usable else None

    def _wait_for_key(self, channel: Channel) -> Channel:
        patiently = Retrying(
            stop=stop_after_delay(UNFINISHED_WAIT_S),
            wait=wait_fixed(UNFINISHED_WAIT_S / 8),
            retry=retry_if_result(lambda found: purpose_key(found.purpose) is None),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else channel,
            sleep=time.sleep,
        )
        return patiently(self._slack.channel, channel.id)
