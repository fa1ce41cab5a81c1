"""What a workspace is made of. Nothing here knows Slack's methods or HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

HOME_TEAM = "T0ACME"
ENTERPRISE = "E0ACMEORG"
"""The Enterprise Grid organisation that Acme Retail belongs to, as far as organisation-wide tokens show it."""
THREAD_BROADCAST = "thread_broadcast"


class Person(BaseModel):
    """A member as the workspace's directory keeps them; bots and strangers are members too.

    ``invite_error`` is the error code of any invitation of this person, for refusals that follow from a policy the
    sandbox does not model. ``ignored_when_invited`` is the "removed" state, in which Slack reports no error and
    invites nobody. ``teams`` are the workspaces of an organisation that the person belongs to.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    username: str
    real_name: str = ""
    display_name: str = ""
    email: str | None = None
    title: str = ""
    team_id: str = HOME_TEAM
    tz: str = "Europe/Madrid"
    deleted: bool = False
    is_bot: bool = False
    bot_id: str | None = None
    multi_channel_guest: bool = False
    single_channel_guest: bool = False
    is_admin: bool = False
    updated: int = 1_760_000_000
    invite_error: str | None = None
    ignored_when_invited: bool = False
    teams: list[str] = []

    @property
    def is_guest(self) -> bool:
        """Whether the person is a guest of either kind."""
        return self.multi_channel_guest or self.single_channel_guest

    @property
    def is_stranger(self) -> bool:
        """Whether the person belongs to another company (Slack Connect)."""
        return self.team_id != HOME_TEAM and not self.teams

    @property
    def is_in_another_workspace(self) -> bool:
        """Whether the person belongs to the organisation, but not to this workspace."""
        return bool(self.teams) and HOME_TEAM not in self.teams

    @property
    def label(self) -> str:
        """The name that the workspace shows for this person."""
        return self.display_name or self.real_name or self.username


class UserGroup(BaseModel):
    """A user group: a handle that stands for several people."""

    model_config = ConfigDict(extra="forbid")

    id: str
    handle: str
    name: str
    description: str = ""
    users: list[str] = []
    disabled: bool = False
    created: int = 1_700_000_000


class TokenStatus(StrEnum):
    """Whether a token still opens the door, or the error code that says why not."""

    ACTIVE = "active"
    REVOKED = "token_revoked"
    EXPIRED = "token_expired"
    ACCOUNT_INACTIVE = "account_inactive"


class Token(BaseModel):
    """A credential of the sandbox: whose it is and what it may do. ``name`` stands for it in logs.

    ``organisation_wide`` is the token of an app that is installed for a whole Enterprise Grid organisation.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    value: str
    user_id: str
    scopes: list[str]
    app_id: str = "A0WARROOM1"
    status: TokenStatus = TokenStatus.ACTIVE
    organisation_wide: bool = False

    @property
    def is_bot_token(self) -> bool:
        """Whether this is a bot's token (``xoxb-``), not a person's (``xoxp-``)."""
        return self.value.startswith("xoxb-")

    @property
    def is_app_level(self) -> bool:
        """Whether this is the token of the app itself (``xapp-``), for Socket Mode."""
        return self.value.startswith("xapp-")


@dataclass
class Notifications:
    """The mentions and links in a text, parsed as Slack parses them."""

    mass: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    usergroups: list[str] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    links: list[dict[str, str | None]] = field(default_factory=list)

    def extend(self, other: Notifications) -> None:
        """Add what ``other`` reaches, each once."""
        for mine, theirs in (
            (self.mass, other.mass),
            (self.users, other.users),
            (self.usergroups, other.usergroups),
            (self.channels, other.channels),
        ):
            mine.extend(item for item in theirs if item not in mine)
        self.links.extend(link for link in other.links if link not in self.links)


@dataclass
class Message:
    """One message, a person's, a bot's or the system's. ``extra`` holds the fields of its subtype."""

    ts: str
    user: str
    text: str
    subtype: str | None = None
    bot_id: str | None = None
    app_id: str | None = None
    blocks: list[dict[str, Any]] | None = None
    attachments: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] | None = None
    thread_ts: str | None = None
    broadcast: bool = False
    edited_ts: str | None = None
    edits: int = 0
    reactions: dict[str, list[str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    notifies: Notifications = field(default_factory=Notifications)
    delivery: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_reply(self) -> bool:
        """Whether the message hangs under another one."""
        return self.thread_ts is not None and self.thread_ts != self.ts

    @property
    def is_system(self) -> bool:
        """Whether the system wrote it: nobody can edit, pin or answer it."""
        return self.subtype not in (None, THREAD_BROADCAST)

    @property
    def in_channel(self) -> bool:
        """Whether the message shows in the channel itself, not only in a thread."""
        return not self.is_reply or self.broadcast


@dataclass
class Note:
    """A channel's topic or purpose, with who set it and when (seconds since the epoch)."""

    value: str = ""
    creator: str = ""
    last_set: int = 0


@dataclass
class Bookmark:
    """A link in the bar above a channel."""

    id: str
    channel_id: str
    title: str
    link: str
    emoji: str
    created: int
    updated: int
    rank: str
    last_updated_by: str


@dataclass
class Pin:
    """A pinned message, with the user and the time (seconds since the epoch)."""

    ts: str
    created_by: str
    created: int


@dataclass
class Ephemeral:
    """A message that only one person sees and no history keeps."""

    ts: str
    user: str
    text: str
    blocks: list[dict[str, Any]] | None
    thread_ts: str | None


@dataclass
class Channel:
    """A public or private channel with all that happened in it, messages in the order of their ``ts``."""

    id: str
    name: str
    creator: str
    created: int
    private: bool = False
    general: bool = False
    archived: bool = False
    members: list[str] = field(default_factory=list)
    topic: Note = field(default_factory=Note)
    purpose: Note = field(default_factory=Note)
    previous_names: list[str] = field(default_factory=list)
    messages: dict[str, Message] = field(default_factory=dict)
    ephemerals: list[Ephemeral] = field(default_factory=list)
    pins: list[Pin] = field(default_factory=list)
    bookmarks: list[Bookmark] = field(default_factory=list)
    canvas: Canvas | None = None

    def replies(self, thread_ts: str) -> list[Message]:
        """Return the replies under a parent, oldest first."""
        return [m for m in self.messages.values() if m.is_reply and m.thread_ts == thread_ts]


@dataclass
class Canvas:
    """The document in a channel's tab."""

    id: str
    user: str
    title: str
    markdown: str


@dataclass
class StoredFile:
    """A file on its way or uploaded: ``content`` is absent until the bytes arrived."""

    id: str
    name: str
    length: int
    user: str
    created: int
    upload_key: str
    title: str = ""
    alt_text: str = ""
    content: bytes | None = None
    channels: list[str] = field(default_factory=list)
