"""Uploading a file: ask for an address, send the bytes there, then share it."""

from __future__ import annotations

import secrets

from incident_sandbox.entities import Message, StoredFile
from incident_sandbox.slack import shapes
from incident_sandbox.slack.call import Answer, Call, handles
from incident_sandbox.slack.chat import thread_of
from incident_sandbox.slack.errors import SlackError, explained
from incident_sandbox.slack.mrkdwn import as_stored, notifications
from incident_sandbox.workspace import Workspace

SNIPPET_LIMIT = 1_000_000
ALT_TEXT_LIMIT = 1_000
MAX_CHANNELS = 100


@handles("files.getUploadURLExternal")
def get_upload_url(call: Call) -> Answer:
    """Reserve a file and say where its bytes go."""
    length = call.args.number("length", 0, error="invalid_arguments")
    if length <= 0:
        raise explained("invalid_arguments", "must be greater than 0 [json-pointer:/length]")
    if "snippet_type" in call.args and length > SNIPPET_LIMIT:
        raise SlackError("snippet_too_large")
    if len(call.args.text("alt_txt")) > ALT_TEXT_LIMIT:
        raise SlackError("alt_txt_too_large")
    stored = StoredFile(
        id=call.workspace.new_id("F"),
        name=call.args.text("filename"),
        length=length,
        user=call.user_id,
        created=call.workspace.now(),
        upload_key=secrets.token_urlsafe(24),
        alt_text=call.args.text("alt_txt"),
    )
    call.workspace.files[stored.id] = stored
    return {"upload_url": f"{call.root_url}/upload/v1/{stored.upload_key}", "file_id": stored.id}


def receive_bytes(workspace: Workspace, upload_key: str, content: bytes) -> bool:
    """Keep the bytes sent to an upload address; return whether that address was given out."""
    stored = next((f for f in workspace.files.values() if f.upload_key == upload_key), None)
    if stored is None or stored.content is not None:
        return False
    stored.content = content
    return True


@handles("files.completeUploadExternal")
def complete_upload(call: Call) -> Answer:
    """Finish the uploads and share them; the share itself shows up a moment later."""
    files = [_uploaded(call, entry) for entry in _entries(call)]
    channels = [*call.args.items("channels"), *call.args.items("channel_id")]
    if len(channels) > MAX_CHANNELS:
        raise SlackError("channels_limit_exceeded")
    if "blocks" in call.args and "initial_comment" in call.args:
        raise SlackError("invalid_blocks")
    answer = {"files": [shapes.file(call.workspace, stored) for stored in files]}
    for channel_id in channels:
        _share(call, channel_id, files)
    return answer


def _entries(call: Call) -> list[Answer]:
    entries = call.args.structure("files", error="invalid_arguments")
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "id" in e for e in entries):
        raise explained("invalid_arguments", "must be a list of objects with an id [json-pointer:/files]")
    return entries


def _uploaded(call: Call, entry: Answer) -> StoredFile:
    stored = call.workspace.files.get(str(entry["id"]))
    if stored is None or stored.content is None or stored.user != call.user_id:
        raise SlackError("file_not_found")
    stored.title = str(entry.get("title") or stored.name)
    return stored


def _share(call: Call, channel_id: str, files: list[StoredFile]) -> None:
    channel = call.workspace.channels.get(channel_id)
    if channel is None or not call.can_see(channel):
        raise SlackError("channel_not_found")
    if channel.archived:
        raise SlackError("is_archived")
    call.require_member(channel)
    comment = call.args.text("initial_comment")
    call.workspace.post(
        channel,
        Message(
            ts="",
            user=call.user_id,
            text=as_stored(comment),
            bot_id=call.caller.bot_id,
            app_id=call.token.app_id,
            thread_ts=thread_of(call, channel),
            files=[stored.id for stored in files],
            notifies=notifications(comment),
        ),
    )
    for stored in files:
        stored.channels.append(channel.id)
