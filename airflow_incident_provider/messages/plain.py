"""Messages as plain text, for logs, terminals and dry runs."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from airflow_incident_provider.messages.blocks import Block, Message

_TOKEN = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")


def plain_text(message: Message) -> str:
    """Return the text of the message's blocks, with links as ``label (URL)`` and times in UTC; without buttons."""
    return "\n".join(_block(block, message.names) for block in message.blocks if block["type"] != "actions")


def dry_run_text(message: Message, channel_name: str) -> str:
    """Return the message as a dry run shows it."""
    return f"DRY-RUN: would post to #{channel_name}\n{plain_text(message)}"


def _block(block: Block, names: Mapping[str, str]) -> str:
    match block["type"]:
        case "header":
            return str(block["text"]["text"])
        case "image":
            return _image(block)
        case "context":
            return "\n".join(decode_mrkdwn(element["text"], names) for element in block["elements"])
        case "rich_text":
            return "\n".join(_preformatted(element) for element in block["elements"])
        case _:
            text = decode_mrkdwn(block["text"]["text"], names)
            return f"{text}\n{_image(block['accessory'])}" if "accessory" in block else text


def _image(block: Block) -> str:
    return f"({block['alt_text']}: {block['image_url']})"


def _preformatted(element: Block) -> str:
    text = "".join(part["text"] for part in element["elements"])
    return f"```\n{text}\n```"


def decode_mrkdwn(text: str, names: Mapping[str, str]) -> str:
    """Return mrkdwn with its links, mentions, times and entities in readable form."""
    return html.unescape(_TOKEN.sub(lambda found: _token(found.group(1), found.group(2), names), text))


def _token(target: str, label: str | None, names: Mapping[str, str]) -> str:
    """Return the readable form of one token in angle brackets."""
    if target.startswith("@"):
        return f"@{names.get(target[1:], target[1:])}"
    if target.startswith("!"):
        return label or names.get(target, target)
    return f"{label} ({target})" if label else target
