"""A call: the caller, the arguments, and what the caller may see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from incident_sandbox.entities import Channel, Message, Person, Token
from incident_sandbox.slack.arguments import Arguments
from incident_sandbox.slack.catalog import Method
from incident_sandbox.slack.errors import SlackError
from incident_sandbox.workspace import Workspace

Answer = dict[str, Any]
Handler = Callable[["Call"], Answer]

HANDLERS: dict[str, Handler] = {}


def handles(name: str) -> Callable[[Handler], Handler]:
    """Register a function as the handler of one Slack method."""

    def register(handler: Handler) -> Handler:
        HANDLERS[name] = handler
        return handler

    return register


def missing_scope(needed: tuple[str, ...], token: Token) -> SlackError:
    """Return the refusal for a token that lacks every one of the needed scopes."""
    return SlackError("missing_scope", needed=",".join(needed), provided=",".join(token.scopes))


@dataclass(frozen=True)
class Call:
    """One authenticated call. ``root_url`` is the server's own address, for the upload URL."""

    workspace: Workspace
    method: Method
    token: Token
    args: Arguments
    root_url: str

    @property
    def user_id(self) -> str:
        """The id of the caller."""
        return self.token.user_id

    @property
    def caller(self) -> Person:
        """The caller's entry in the directory."""
        return self.workspace.people[self.token.user_id]

    def has_scope(self, scope: str) -> bool:
        """Return whether the token was granted this scope."""
        return scope in self.token.scopes

    def require_scope(self, *needed: str) -> None:
        """Refuse unless the token has at least one of the scopes."""
        if needed and not any(self.has_scope(scope) for scope in needed):
            raise missing_scope(needed, self.token)

    def require_channel_scope(self, *, private: bool) -> None:
        """Refuse unless the token may use this method on this kind of channel."""
        kind = "groups:" if private else "channels:"
        self.require_scope(*(scope for scope in self.method.scopes if scope.startswith(kind)))

    def can_see(self, channel: Channel) -> bool:
        """Return whether the channel exists as far as the caller can tell."""
        return not channel.private or self.user_id in channel.members

    def channel(self, argument: str = "channel", *, by_name: bool = False) -> Channel:
        """Return the channel that an argument names, or answer ``channel_not_found``.

        :param by_name: whether the method also takes a channel's name, as ``chat.postMessage`` does.
        """
        reference = self.args.text(argument)
        channel = self.workspace.channels.get(reference)
        if channel is None and by_name:
            channel = self.workspace.channel_named(reference.removeprefix("#"))
        if channel is None or not self.can_see(channel):
            raise SlackError("channel_not_found")
        self.require_channel_scope(private=channel.private)
        return channel

    def require_member(self, channel: Channel) -> None:
        """Refuse callers that are not in the channel."""
        if self.user_id not in channel.members:
            raise SlackError("not_in_channel")

    def message(self, channel: Channel, argument: str = "ts", *, error: str = "message_not_found") -> Message:
        """Return the message that an argument names by its timestamp, or answer ``error``."""
        message = channel.messages.get(self.args.text(argument))
        if message is None:
            raise SlackError(error)
        return message
