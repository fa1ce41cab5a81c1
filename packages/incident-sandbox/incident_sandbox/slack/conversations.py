"""Channels: creating, naming, describing, listing and archiving them."""

from __future__ import annotations

from incident_sandbox.entities import Channel, Note
from incident_sandbox.slack import shapes
from incident_sandbox.slack.call import Answer, Call, handles
from incident_sandbox.slack.channel_names import require_valid_name
from incident_sandbox.slack.errors import SlackError
from incident_sandbox.slack.mrkdwn import escape
from incident_sandbox.slack.paging import page_of

NOTE_LIMIT = 250
LIST_DEFAULT = 100
CHANNEL_TYPES = frozenset({"public_channel", "private_channel", "mpim", "im"})


@handles("conversations.create")
def create(call: Call) -> Answer:
    """Create a channel; its name must be unused even by channels that the caller cannot see."""
    private = call.args.flag("is_private")
    call.require_channel_scope(private=private)
    name = call.args.text("name")
    require_valid_name(name)
    if call.workspace.settings.channel_creation_restricted:
        raise SlackError("restricted_action")
    if call.workspace.channel_named(name):
        raise SlackError("name_taken")
    channel = call.workspace.open_channel(name, call.user_id, private=private)
    return {"channel": shapes.channel(channel, call.user_id)}


@handles("conversations.info")
def info(call: Call) -> Answer:
    """Describe one channel."""
    count = call.args.flag("include_num_members")
    return {"channel": shapes.channel(call.channel(), call.user_id, members=count)}


@handles("conversations.list")
def list_channels(call: Call) -> Answer:
    """List the channels that the caller can see."""
    return _listing(call, [c for c in call.workspace.channels.values() if call.can_see(c)], members=True)


@handles("users.conversations")
def user_conversations(call: Call) -> Answer:
    """List the channels that a user is in, as far as the caller can see them."""
    user_id = call.args.text("user") or call.user_id
    if user_id not in call.workspace.people:
        raise SlackError("user_not_found")
    channels = [c for c in call.workspace.channels.values() if user_id in c.members and call.can_see(c)]
    return _listing(call, channels, members=False)


def _listing(call: Call, channels: list[Channel], *, members: bool) -> Answer:
    types = set(call.args.items("types")) or {"public_channel"}
    if not types <= CHANNEL_TYPES:
        raise SlackError("invalid_types")
    for kind, private in (("public_channel", False), ("private_channel", True)):
        if kind in types:
            call.require_channel_scope(private=private)
    live_only = call.args.flag("exclude_archived")
    wanted = [
        channel
        for channel in channels
        if ("private_channel" if channel.private else "public_channel") in types
        and not (live_only and channel.archived)
    ]
    page, cursor = page_of(call, wanted, LIST_DEFAULT)
    return {
        "channels": [shapes.channel(channel, call.user_id, members=members) for channel in page],
        "response_metadata": {"next_cursor": cursor},
    }


def _channel_to_change(call: Call) -> Channel:
    channel = call.channel()
    if channel.archived:
        raise SlackError("is_archived")
    call.require_member(channel)
    return channel


@handles("conversations.setTopic")
def set_topic(call: Call) -> Answer:
    """Set the topic; each call announces it, even one that changes nothing."""
    channel = _channel_to_change(call)
    channel.topic = _note(call, "topic")
    _announce_note(call, channel, "topic", channel.topic)
    return {"channel": shapes.channel(channel, call.user_id), "topic": escape(channel.topic.value)}


@handles("conversations.setPurpose")
def set_purpose(call: Call) -> Answer:
    """Set the purpose; each call announces it."""
    channel = _channel_to_change(call)
    channel.purpose = _note(call, "purpose")
    _announce_note(call, channel, "purpose", channel.purpose)
    return {"channel": shapes.channel(channel, call.user_id), "purpose": escape(channel.purpose.value)}


def _note(call: Call, argument: str) -> Note:
    value = call.args.text(argument)
    if len(value) > NOTE_LIMIT:
        raise SlackError("too_long")
    return Note(value=value, creator=call.user_id, last_set=call.workspace.now())


def _announce_note(call: Call, channel: Channel, kind: str, note: Note) -> None:
    value = escape(note.value)
    change = f"set the channel {kind}: {value}" if value else f"cleared channel {kind}"
    call.workspace.announce(
        channel, call.user_id, f"channel_{kind}", f"<@{call.user_id}> {change}", **{kind: value}
    )


@handles("conversations.rename")
def rename(call: Call) -> Answer:
    """Rename a channel; an app may rename only those that it created."""
    channel = _channel_to_change(call)
    if channel.creator != call.user_id:
        raise SlackError("not_authorized")
    name, old_name = call.args.text("name"), channel.name
    require_valid_name(name)
    if name != old_name and call.workspace.channel_named(name):
        raise SlackError("name_taken")
    call.workspace.rename_channel(channel, name)
    call.workspace.announce(
        channel,
        call.user_id,
        "channel_name",
        f'<@{call.user_id}> has renamed the channel from "{old_name}" to "{name}"',
        old_name=old_name,
        name=name,
    )
    return {"channel": shapes.channel(channel, call.user_id)}


@handles("conversations.archive")
def archive(call: Call) -> Answer:
    """Archive a channel. This removes bots from it, so that none can unarchive it."""
    channel = call.channel()
    if channel.general:
        raise SlackError("cant_archive_general")
    if channel.archived:
        raise SlackError("already_archived")
    call.require_member(channel)
    call.workspace.announce(
        channel,
        call.user_id,
        "channel_archive",
        f"<@{call.user_id}> archived the channel",
        members=channel.members[:],
    )
    channel.archived = True
    people = call.workspace.people
    channel.members = [user_id for user_id in channel.members if not people[user_id].is_bot]
    return {}


@handles("conversations.unarchive")
def unarchive(call: Call) -> Answer:
    """Unarchive a channel. Only people can: archiving removes every bot."""
    channel = call.channel()
    if not channel.archived:
        raise SlackError("not_archived")
    if call.token.is_bot_token:
        call.require_member(channel)
    channel.archived = False
    call.workspace.add_member(channel, call.user_id)
    call.workspace.announce(
        channel, call.user_id, "channel_unarchive", f"<@{call.user_id}> un-archived the channel"
    )
    return {}
