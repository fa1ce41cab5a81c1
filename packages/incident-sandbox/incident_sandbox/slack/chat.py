"""Messages: posting, updating, deleting and linking to them."""

from __future__ import annotations

from incident_sandbox.entities import THREAD_BROADCAST, Channel, Ephemeral, Message
from incident_sandbox.slack import shapes
from incident_sandbox.slack.call import Answer, Call, handles
from incident_sandbox.slack.content import read_content, read_metadata, require_short_for_update
from incident_sandbox.slack.errors import SlackError


def writable_channel(call: Call, argument: str = "channel") -> Channel:
    """Return the channel to post in; ``chat:write.public`` allows public channels that the app is not in."""
    channel = call.channel(argument, by_name=True)
    if channel.archived:
        raise SlackError("is_archived")
    if call.user_id not in channel.members and not call.has_scope("chat:write.public"):
        raise SlackError("not_in_channel")
    return channel


def thread_of(call: Call, channel: Channel) -> str | None:
    """Return the parent message, which must exist and must not be a reply."""
    if "thread_ts" not in call.args:
        return None
    parent = call.message(channel, "thread_ts", error="thread_not_found")
    if parent.is_reply or parent.is_system:
        raise SlackError("cannot_reply_to_message")
    return parent.ts


@handles("chat.postMessage")
def post_message(call: Call) -> Answer:
    """Post a message into a channel or a thread."""
    channel = writable_channel(call)
    content = read_content(call, default_parse="none")
    thread_ts = thread_of(call, channel)
    broadcast = thread_ts is not None and call.args.flag("reply_broadcast")
    message = Message(
        ts="",
        user=call.user_id,
        text=content.text or "",
        subtype=THREAD_BROADCAST if broadcast else None,
        bot_id=call.caller.bot_id,
        app_id=call.token.app_id if call.token.is_bot_token else None,
        blocks=content.blocks,
        attachments=content.attachments,
        metadata=read_metadata(call) or None,
        thread_ts=thread_ts,
        broadcast=broadcast,
        notifies=content.notifies,
        delivery=content.delivery,
    )
    call.workspace.post(channel, message)
    return {"channel": channel.id, "ts": message.ts, "message": _echo(call, channel, message)}


@handles("chat.postEphemeral")
def post_ephemeral(call: Call) -> Answer:
    """Show a message to one member only."""
    channel = writable_channel(call)
    if call.args.text("user") not in channel.members:
        raise SlackError("user_not_in_channel")
    content = read_content(call, default_parse="none")
    note = Ephemeral(
        ts=call.workspace.new_ts(),
        user=call.args.text("user"),
        text=content.text or "",
        blocks=content.blocks,
        thread_ts=thread_of(call, channel),
    )
    channel.ephemerals.append(note)
    return {"message_ts": note.ts}


@handles("chat.update")
def update(call: Call) -> Answer:
    """Replace one of the caller's messages.

    Blocks stay only when the call gives no text; metadata stays unless given. ``parse`` falls back to
    ``client``, not to what the message was posted with.
    """
    channel = call.channel()
    message = call.message(channel)
    if channel.archived:
        raise SlackError("is_inactive")
    if message.user != call.user_id or message.is_system:
        raise SlackError("cant_update_message")
    if not _may_be_edited(call, message):
        raise SlackError("edit_window_closed")
    content = read_content(call, default_parse="client")
    require_short_for_update(content.text or "")
    metadata = read_metadata(call)
    if content.text is not None or content.blocks is not None:
        message.blocks = content.blocks
    if content.text is not None:
        message.text = content.text
    if content.attachments is not None:
        message.attachments = content.attachments
    if metadata is not None:
        message.metadata = metadata or None
    message.notifies, message.delivery = content.notifies, content.delivery
    message.edits += 1
    message.edited_ts = f"{call.workspace.now()}.000000"
    call.workspace.touch()
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": _echo(call, channel, message)}


def _may_be_edited(call: Call, message: Message) -> bool:
    window = call.workspace.settings.edit_window_s
    return window is None or call.workspace.clock() - float(message.ts) < window


@handles("chat.delete")
def delete(call: Call) -> Answer:
    """Delete one of the caller's messages; replies to it stay."""
    channel = call.channel()
    message = call.message(channel)
    if message.user != call.user_id or message.is_system:
        raise SlackError("cant_delete_message")
    del channel.messages[message.ts]
    channel.pins = [pin for pin in channel.pins if pin.ts != message.ts]
    call.workspace.touch()
    return {"channel": channel.id, "ts": message.ts}


@handles("chat.getPermalink")
def get_permalink(call: Call) -> Answer:
    """Return the address of a message."""
    channel = call.channel()
    message = call.message(channel, "message_ts")
    link = f"{call.workspace.url}archives/{channel.id}/p{message.ts.replace('.', '')}"
    if message.is_reply:
        link += f"?thread_ts={message.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


def _echo(call: Call, channel: Channel, message: Message) -> Answer:
    """Return the message as the answer of a write shows it: without the thread's counters."""
    shown = shapes.message(call.workspace, channel, message, payload=True)
    return {name: value for name, value in shown.items() if name not in ("reply_users", "latest_reply")}
