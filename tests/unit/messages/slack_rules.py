"""Slack's limits and markup rules, independent of the implementation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import slackblocks

from airflow_incident_provider.messages.blocks import Message

TOKEN = re.compile(r"<([^<>]*)>")
ALLOWED_TOKEN = re.compile(
    r"@[A-Z0-9]{2,32}"
    r"|!date\^\d+\^[^|^]*\|[^|]*UTC"
    r"|https?://[^\s|]+\|[^|]+",
    re.IGNORECASE,
)
LONE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt);)")


def mrkdwn_texts(message: Message) -> Iterator[str]:
    """Yield every text in the message that Slack parses, the fallback first."""
    yield message.text
    for block in message.blocks:
        if block["type"] in ("rich_text", "actions"):
            continue
        texts = block["elements"] if block["type"] == "context" else [block.get("text", {})]
        for text in texts:
            if text.get("type") == "mrkdwn":
                assert text["verbatim"] is True, "Slack would create links"
                yield text["text"]


def assert_no_injected_markup(message: Message) -> None:
    """Fail on markup that the package did not create, and on broken entities."""
    for text in mrkdwn_texts(message):
        for token in TOKEN.findall(text):
            assert ALLOWED_TOKEN.fullmatch(token), f"injected markup: <{token}> in {text!r}"
        # ">" may only mark a quoted line.
        rest = re.sub(r"(?m)^> ", "", TOKEN.sub("", text))
        assert "<" not in rest, rest
        assert ">" not in rest, rest
        assert not LONE_AMPERSAND.search(text), text


def assert_slack_accepts(message: Message) -> None:
    """Fail if the message exceeds a limit of Slack."""
    assert 1 <= len(message.blocks) <= 50
    assert message.text.strip()
    assert len(message.text.encode()) <= 3000
    for block in message.blocks:
        _CHECKS[block["type"]](block)
        _check_with_slackblocks(block)
    assert len(message.text) + _count_characters(list(message.blocks)) <= 12_000
    json.dumps(message.as_arguments()).encode("utf-8")


def _count_characters(value: Any) -> int:
    """Count the characters of blocks, without their types."""
    if isinstance(value, dict):
        return sum(_count_characters(part) for key, part in value.items() if key != "type")
    if isinstance(value, list):
        return sum(map(_count_characters, value))
    return len(value) if isinstance(value, str) else 0


def _check_header(block: dict[str, Any]) -> None:
    assert block["text"]["type"] == "plain_text"
    assert block["text"]["emoji"] is False
    assert 1 <= len(block["text"]["text"]) <= 150


def _check_section(block: dict[str, Any]) -> None:
    assert block["text"]["text"].strip()
    assert len(block["text"]["text"]) <= 3000
    assert block["text"]["text"].count("```") % 2 == 0

    if "accessory" in block:
        _check_image(block["accessory"])


def _check_rich_text(block: dict[str, Any]) -> None:
    """Check type and size only: Slack does not parse rich text."""
    for element in block["elements"]:
        assert element["type"] == "rich_text_preformatted"
        for part in element["elements"]:
            assert set(part) == {"type", "text"}
            assert part["type"] == "text"
            assert 1 <= len(part["text"]) <= 3000


def _check_context(block: dict[str, Any]) -> None:
    assert 1 <= len(block["elements"]) <= 10
    assert all(1 <= len(element["text"]) <= 3000 for element in block["elements"])


def _check_image(block: dict[str, Any]) -> None:
    assert block["image_url"].lower().startswith("https://")
    assert len(block["image_url"]) <= 3000
    assert 1 <= len(block["alt_text"]) <= 2000


def _check_actions(block: dict[str, Any]) -> None:
    elements = block["elements"]
    assert 1 <= len(elements) <= 25
    ids = [element["action_id"] for element in elements]
    assert len(set(ids)) == len(ids)
    assert all(1 <= len(action_id) <= 255 for action_id in ids)
    assert len(block.get("block_id", "")) <= 255
    for element in elements:
        if element["type"] == "button":
            assert element["text"]["type"] == "plain_text"
            assert 1 <= len(element["text"]["text"]) <= 75
            assert 1 <= len(element["value"]) <= 2000
        else:
            assert element["type"] == "overflow"
            assert 1 <= len(element["options"]) <= 5


_CHECKS = {
    "actions": _check_actions,
    "header": _check_header,
    "section": _check_section,
    "context": _check_context,
    "rich_text": _check_rich_text,
}


def _check_with_slackblocks(block: dict[str, Any]) -> None:
    """Build the same block with slackblocks, which validates it."""
    if block["type"] == "header":
        slackblocks.HeaderBlock(slackblocks.Text(block["text"]["text"], slackblocks.TextType.PLAINTEXT))
    elif block["type"] == "section":
        slackblocks.SectionBlock(slackblocks.Text(block["text"]["text"], verbatim=True))
        if accessory := block.get("accessory"):
            slackblocks.ImageBlock(accessory["image_url"], alt_text=accessory["alt_text"])
    elif block["type"] == "context":
        slackblocks.ContextBlock([slackblocks.Text(element["text"]) for element in block["elements"]])
    elif block["type"] == "rich_text":
        slackblocks.RichTextBlock([slackblocks.RichTextCodeBlock(slackblocks.RichText("text"))])
