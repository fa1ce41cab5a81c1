"""The state of the stand-in: one workspace in memory, shared by every part of the sandbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from incident_sandbox import seed
from incident_sandbox.call_log import CallLog
from incident_sandbox.datadog.state import DatadogState
from incident_sandbox.entities import (
    HOME_TEAM,
    Channel,
    Message,
    Notifications,
    Person,
    StoredFile,
    Token,
    UserGroup,
)
from incident_sandbox.faults import FaultScript
from incident_sandbox.interactivity import Interactivity
from incident_sandbox.rate_limits import RateLimiter
from incident_sandbox.socket_mode import Sockets

MICROSECONDS = 1_000_000


class Settings(BaseModel):
    """What can be changed while the sandbox runs.

    :param latency_ms: added to every call.
    :param rate_limits: whether Slack's rate limits apply.
    :param history_limit: the largest page of history; Slack gives 15 to apps that are distributed commercially.
    :param history_calls_per_minute: the calls of each history method; Slack gives such apps one.
    :param short_pages: whether every page but the last is shorter than asked.
    :param forced_invite_ok: whether a forced invitation with some bad ids is ``ok``: Slack documents neither.
    :param invite_errors_listed: whether a refused invitation names the people in ``errors``.
    :param limit_required_above: the number of members from which ``users.list`` requires a limit.
    :param edit_window_s: seconds after which a message cannot be edited, as an administrator may set; no limit
        by default.
    :param unreachable_images: the beginnings of image addresses that Slack's servers cannot fetch; it fetches them
        when a message is posted and again at each update.
    :param channel_creation_restricted: whether only administrators may create channels.
    :param free_plan: whether the workspace lacks what paid plans have, such as user groups.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    latency_ms: int = Field(default=0, ge=0)
    rate_limits: bool = False
    history_limit: int | None = Field(default=None, ge=1)
    history_calls_per_minute: int | None = Field(default=None, ge=1)
    short_pages: bool = False
    invite_limit: int = Field(default=100, ge=1)
    forced_invite_ok: bool = True
    invite_errors_listed: bool = True
    limit_required_above: int = Field(default=10_000, ge=1)
    edit_window_s: int | None = Field(default=None, ge=0)
    unreachable_images: list[str] = []
    channel_creation_restricted: bool = False
    free_plan: bool = False


class Workspace:
    """Acme Retail, with everything that was done to it.

    Every read or write of more than one attribute happens under ``lock``. ``version`` grows with each change
    that a reader of the page would see.

    :param clock: the time in seconds since the epoch.
    """

    team_id = HOME_TEAM
    team_name = "Acme Retail"
    domain = "acme-retail"
    url = "https://acme-retail.slack.com/"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.version = 0
        self._last_ts = 0
        # Connections outlive a reset: the app that holds them is no part of the workspace.
        self.sockets = Sockets()
        self._start_over()

    def _start_over(self) -> None:
        self.settings = Settings()
        self.faults = FaultScript()
        self.calls = CallLog()
        self.limiter = RateLimiter(self.clock)
        self.datadog = DatadogState()
        self.interactivity = Interactivity()
        self.people: dict[str, Person] = {}
        self.usergroups: dict[str, UserGroup] = {}
        self.tokens: dict[str, Token] = {}
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, StoredFile] = {}
        self._emails: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._last_id = 0
        seed.plant(self)

    def reset(self) -> None:
        """Go back to the seeded workspace: settings, faults, log, keys and all."""
        with self.lock:
            self._start_over()
            self.touch()

    # --- identity -----------------------------------------------------------------------------------

    def now(self) -> int:
        """Return the time in whole seconds."""
        return int(self.clock())

    def new_ts(self, at: float | None = None) -> str:
        """Return a timestamp that no other message of the workspace has."""
        moment = int((self.clock() if at is None else at) * MICROSECONDS)
        self._last_ts = max(self._last_ts + 1, moment)
        return f"{self._last_ts // MICROSECONDS}.{self._last_ts % MICROSECONDS:06d}"

    def new_id(self, prefix: str) -> str:
        """Return an id that looks like Slack's and is unique."""
        self._last_id += 1
        return f"{prefix}0SBX{self._last_id:06d}"

    def touch(self) -> None:
        """Tell the page's readers that something changed."""
        self.version += 1

    # --- people -------------------------------------------------------------------------------------

    def add_people(self, people: Iterable[Person]) -> None:
        """Add members, or replace those with the same id."""
        with self.lock:
            for person in people:
                self.people[person.id] = person
                if person.email:
                    self._emails[person.email.casefold()] = person.id
            self.touch()

    def person_by_email(self, email: str) -> Person | None:
        """Return the user with this e-mail address, in any state."""
        user_id = self._emails.get(email.strip().casefold())
        return self.people[user_id] if user_id else None

    def add_usergroup(self, group: UserGroup) -> None:
        """Add a user group, or replace the one with the same id."""
        with self.lock:
            self.usergroups[group.id] = group
            self.touch()

    def add_token(self, token: Token) -> None:
        """Add a token, or replace the one with the same value."""
        with self.lock:
            self.tokens[token.value] = token

    # --- channels and messages ----------------------------------------------------------------------

    def channel_named(self, name: str) -> Channel | None:
        """Return the channel of this name, archived and private ones included."""
        channel_id = self._names.get(name)
        return self.channels[channel_id] if channel_id else None

    def open_channel(
        self, name: str, creator: str, *, private: bool = False, channel_id: str | None = None
    ) -> Channel:
        """Create a channel with its creator in it; the name must be free."""
        channel = Channel(
            id=channel_id or self.new_id("C"), name=name, creator=creator, created=self.now(), private=private
        )
        self.channels[channel.id] = channel
        self._names[name] = channel.id
        self.add_member(channel, creator)
        return channel

    def rename_channel(self, channel: Channel, name: str) -> None:
        """Give the channel another name; the old one becomes free."""
        channel.previous_names.insert(0, channel.name)
        del self._names[channel.name]
        channel.name = name
        self._names[name] = channel.id
        self.touch()

    def add_member(self, channel: Channel, user_id: str, *, inviter: str | None = None) -> None:
        """Let somebody in, with the message that says so."""
        if user_id in channel.members:
            return
        channel.members.append(user_id)
        extra = {"inviter": inviter} if inviter else {}
        self.announce(channel, user_id, "channel_join", f"<@{user_id}> has joined the channel", **extra)

    def announce(self, channel: Channel, user: str, subtype: str, text: str, **extra: Any) -> Message:
        """Post one of the messages that the system itself writes."""
        return self.post(
            channel, Message(ts="", user=user, text=text, subtype=subtype, extra=extra, notifies=Notifications())
        )

    def post(self, channel: Channel, message: Message) -> Message:
        """Give the message its timestamp, and put it into the channel."""
        message.ts = message.ts or self.new_ts()
        channel.messages[message.ts] = message
        self.touch()
        return message
