"""The content of a message: text, blocks, attachments and metadata, checked against Slack's limits."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from incident_sandbox.entities import Notifications
from incident_sandbox.slack import block_kit
from incident_sandbox.slack.call import Call
from incident_sandbox.slack.errors import SlackError
from incident_sandbox.slack.mrkdwn import as_stored, bare_mentions, notifications

Json = dict[str, Any]

TEXT_TRUNCATED_AT = 40_000
UPDATE_BYTES = 4_000
MARKDOWN_LIMIT = 12_000
METADATA_BYTES = 8 * 1024
MAX_ATTACHMENTS = 100
ATTACHMENT_TEXTS = ("pretext", "text", "title", "fallback", "footer", "value")


@dataclass
class Content:
    """The checked content of a call; ``None`` for parts that were not given."""

    text: str | None
    blocks: list[Json] | None
    attachments: list[Json] | None
    notifies: Notifications
    delivery: Json


def read_content(call: Call, *, default_parse: str) -> Content:
    """Check and return the content of a call.

    :param default_parse: what ``parse`` means when it is not given; the methods differ.
    :raises SlackError: one of the codes about content.
    """
    args = call.args
    if "markdown_text" in args and ("text" in args or "blocks" in args):
        raise SlackError("markdown_text_conflict")
    blocks = _blocks(call)
    attachments = _attachments(call)
    raw = args.text("markdown_text")[:MARKDOWN_LIMIT] or args.text("text")
    if not raw and not blocks and not attachments:
        raise SlackError("no_text")
    delivery = {
        "parse": args.text("parse") or default_parse,
        "link_names": args.flag("link_names"),
        "unfurl_links": args.flag("unfurl_links"),
        "unfurl_media": args.flag("unfurl_media", default=True),
    }
    text = as_stored(raw[:TEXT_TRUNCATED_AT]) if args.given("text") or raw else None
    return Content(text, blocks, attachments, _notifies(call, raw, blocks, attachments, delivery), delivery)


def require_short_for_update(text: str) -> None:
    """Refuse a text over 4,000 bytes after escaping, which posting accepts and updating does not."""
    if len(text.encode()) > UPDATE_BYTES:
        raise SlackError("msg_too_long")


def read_blocks(call: Call, *, argument: str = "blocks") -> list[Any] | None:
    """Return the blocks of an argument, whether sent as JSON or as a string of it."""
    blocks = call.args.structure(argument, error="invalid_blocks_format")
    if blocks is None:
        return None
    if not isinstance(blocks, list):
        raise SlackError("invalid_blocks_format")
    return blocks


def _blocks(call: Call) -> list[Json] | None:
    blocks = read_blocks(call)
    if blocks is None:
        return None
    found = block_kit.complaints(blocks)
    if found:
        messages = [f"[ERROR] {complaint}" for complaint in found]
        raise SlackError("invalid_blocks", errors=found, response_metadata={"messages": messages})
    _require_reachable_images(call, blocks)
    if block_kit.total_length(blocks) > block_kit.MAX_TOTAL:
        raise SlackError("msg_blocks_too_long")
    return [_stored_block(call, block) for block in copy.deepcopy(blocks)]


def _require_reachable_images(call: Call, blocks: list[Json]) -> None:
    """Fetch the images, as Slack does for every message with images that is posted or updated."""
    unreachable = tuple(call.workspace.settings.unreachable_images)
    complaints = [
        f"downloading image failed [json-pointer:/blocks/{index}/image_url]"
        for index, block in enumerate(blocks)
        for url in _image_urls(block)
        if unreachable and url.startswith(unreachable)
    ]
    if complaints:
        messages = [f"[ERROR] {complaint}" for complaint in complaints]
        raise SlackError("invalid_blocks", errors=complaints, response_metadata={"messages": messages})


def _image_urls(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("type") == "image" and isinstance(value.get("image_url"), str):
            yield value["image_url"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _image_urls(inner)


def _stored_block(call: Call, block: Json) -> Json:
    """Return the block as Slack gives it back: with an id, with defaults, with its texts escaped."""
    block.setdefault("block_id", call.workspace.new_id("b"))
    for text in _text_objects(block):
        if text["type"] == "mrkdwn":
            text["text"] = as_stored(text["text"])
            text.setdefault("verbatim", False)
        else:
            text.setdefault("emoji", True)
    return block


def _text_objects(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        if value.get("type") in ("mrkdwn", "plain_text") and isinstance(value.get("text"), str):
            yield value
        for inner in value.values():
            yield from _text_objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _text_objects(inner)


def _attachments(call: Call) -> list[Json] | None:
    attachments = call.args.structure("attachments", error="invalid_arguments")
    if attachments is None:
        return None
    if not isinstance(attachments, list):
        raise SlackError("invalid_arguments")
    if len(attachments) > MAX_ATTACHMENTS:
        raise SlackError("too_many_attachments")
    return attachments


def read_metadata(call: Call) -> Json | None:
    """Return the metadata of a call: ``None`` when not given, empty when it asks for its removal."""
    metadata = call.args.structure("metadata", error="invalid_metadata_format")
    if metadata is None:
        return None
    if metadata == {}:
        return {}
    if not isinstance(metadata, dict) or not isinstance(metadata.get("event_type"), str):
        raise SlackError("invalid_metadata_format")
    payload = metadata.get("event_payload")
    if not isinstance(payload, dict):
        raise SlackError("invalid_metadata_format")
    if not all(_shallow(value) for value in payload.values()):
        raise SlackError("invalid_metadata_schema")
    if len(json.dumps(metadata).encode()) > METADATA_BYTES:
        raise SlackError("metadata_too_large")
    if not call.token.is_bot_token:
        raise SlackError("metadata_must_be_sent_from_app")
    return metadata


def _shallow(value: Any) -> bool:
    """Return whether a payload's value is a scalar, a list of scalars, or an object of those."""
    inner = value.values() if isinstance(value, dict) else [value]
    return all(
        not isinstance(item, dict)
        and not (isinstance(item, list) and any(isinstance(entry, dict | list) for entry in item))
        for item in inner
    )


def _notifies(
    call: Call, text: str, blocks: list[Json] | None, attachments: list[Json] | None, delivery: Json
) -> Notifications:
    found = notifications(text)
    if delivery["parse"] == "full" or delivery["link_names"]:
        groups = {g.handle: g.id for g in call.workspace.usergroups.values() if not g.disabled}
        bare = bare_mentions(text, groups)
        bare.usergroups = [groups[handle] for handle in bare.usergroups]
        found.extend(bare)
    for block in blocks or []:
        for text_object in _text_objects(block):
            if text_object["type"] == "mrkdwn":
                found.extend(notifications(text_object["text"]))
        found.extend(_rich_notifications(block))
        if block["type"] == "markdown":
            found.extend(notifications(block["text"]))
    for string in block_kit.strings_named(attachments or [], ATTACHMENT_TEXTS):
        found.extend(notifications(string))
    return found


def _rich_notifications(value: Any) -> Notifications:
    """Return the people that elements of rich text notify: they contain ids, without markup."""
    found = Notifications()
    if isinstance(value, list):
        for inner in value:
            found.extend(_rich_notifications(inner))
    elif isinstance(value, dict):
        kind = value.get("type")
        if kind == "broadcast":
            found.mass.append(str(value.get("range")))
        elif kind == "user" and "user_id" in value:
            found.users.append(str(value["user_id"]))
        elif kind == "usergroup" and "usergroup_id" in value:
            found.usergroups.append(str(value["usergroup_id"]))
        elif kind == "link" and "url" in value:
            found.links.append({"url": str(value["url"]), "label": value.get("text")})
        found.extend(_rich_notifications(value.get("elements")))
    return found
