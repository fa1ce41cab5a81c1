"""Pins, bookmarks and reactions."""

from __future__ import annotations

import re

from incident_sandbox.entities import Bookmark, Channel, Message, Pin
from incident_sandbox.slack import shapes
from incident_sandbox.slack.call import Answer, Call, handles
from incident_sandbox.slack.errors import SlackError

MAX_PINS = 100
MAX_BOOKMARKS = 100
TIMESTAMP = re.compile(r"\d{1,12}\.\d{6}")
EMOJI = re.compile(r":[^\s:]+:")
EMOJI_NAME = re.compile(r"[a-z0-9_+'-]+(::skin-tone-[2-6])?")


def _channel(call: Call, argument: str = "channel", *, not_member: str = "not_in_channel") -> Channel:
    channel = call.channel(argument)
    if channel.archived:
        raise SlackError("is_archived")
    if call.user_id not in channel.members:
        raise SlackError(not_member)
    return channel


def _message(call: Call, channel: Channel) -> Message:
    if not TIMESTAMP.fullmatch(call.args.text("timestamp")):
        raise SlackError("bad_timestamp")
    return call.message(channel, "timestamp")


@handles("pins.add")
def add_pin(call: Call) -> Answer:
    """Pin a message and announce it in the channel."""
    channel = _channel(call)
    message = _message(call, channel)
    if any(pin.ts == message.ts for pin in channel.pins):
        raise SlackError("already_pinned")
    if message.is_system:
        raise SlackError("not_pinnable")
    if len(channel.pins) >= MAX_PINS:
        raise SlackError("too_many_pins")
    channel.pins.append(Pin(ts=message.ts, created_by=call.user_id, created=call.workspace.now()))
    call.workspace.announce(
        channel,
        call.user_id,
        "pinned_item",
        f"<@{call.user_id}> pinned a message to this channel.",
        item_type="C",
        item={"type": "message", "channel": channel.id, "ts": message.ts},
    )
    return {}


@handles("bookmarks.add")
def add_bookmark(call: Call) -> Answer:
    """Add a bookmark; the same link can be added twice."""
    channel = _channel(call, "channel_id", not_member="permission_denied")
    if call.args.text("type") != "link":
        raise SlackError("invalid_bookmark_type")
    if len(channel.bookmarks) >= MAX_BOOKMARKS:
        raise SlackError("too_many_bookmarks")
    now = call.workspace.now()
    bookmark = Bookmark(
        id=call.workspace.new_id("Bk"),
        channel_id=channel.id,
        title=call.args.text("title"),
        link=_link(call),
        emoji=_emoji(call),
        created=now,
        updated=0,
        rank=f"{len(channel.bookmarks):04d}",
        last_updated_by=call.user_id,
    )
    channel.bookmarks.append(bookmark)
    call.workspace.touch()
    return {"bookmark": shapes.bookmark(bookmark)}


def _link(call: Call) -> str:
    link = call.args.text("link")
    if not link.startswith(("http://", "https://")):
        raise SlackError("invalid_link")
    return link


def _emoji(call: Call) -> str:
    emoji = call.args.text("emoji")
    if emoji and not EMOJI.fullmatch(emoji):
        raise SlackError("invalid_emoji")
    return emoji


@handles("bookmarks.list")
def list_bookmarks(call: Call) -> Answer:
    """List the bookmarks of a channel."""
    return {"bookmarks": [shapes.bookmark(item) for item in call.channel("channel_id").bookmarks]}


@handles("reactions.add")
def add_reaction(call: Call) -> Answer:
    """React to a message."""
    name = call.args.text("name").strip(":")
    if not EMOJI_NAME.fullmatch(name):
        raise SlackError("invalid_name")
    channel = _channel(call)
    users = _message(call, channel).reactions.setdefault(name, [])
    if call.user_id in users:
        raise SlackError("already_reacted")
    users.append(call.user_id)
    call.workspace.touch()
    return {}
