"""
What Slack accepts in one message, and how more than that becomes several messages.

Slack's documentation gives 50 blocks a message. It does not give the total, which fails somewhere above
13,000 characters, nor that the fallback text of an update is counted in bytes after escaping: both limits
here keep well below what was seen to fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_incident_provider.messages.blocks import Block
from airflow_incident_provider.messages.escaping import Mrkdwn, cut, escape, escaped_bytes, unformatted
from airflow_incident_provider.text import clean

MESSAGE_BLOCKS = 50
MESSAGE_CHARACTERS = 12_000
FALLBACK_BYTES = 3_000


@dataclass(frozen=True)
class Message:
    """
    One Slack message.

    ``text`` is what notifications and screen readers get; ``blocks`` are what the room shows. ``names`` says
    who the mentions in the blocks are, for readers outside Slack; it is never sent.
    """

    text: Mrkdwn
    blocks: tuple[Block, ...]
    names: Mapping[str, str] = field(default_factory=dict)

    def as_arguments(self) -> dict[str, Any]:
        """Return the arguments of ``chat.postMessage``, without the channel and the thread."""
        return {**self.as_update_arguments(), "mrkdwn": True, "unfurl_links": False, "unfurl_media": False}

    def as_update_arguments(self) -> dict[str, Any]:
        """Return the arguments of ``chat.update``, which would link names unless told not to."""
        return {"text": self.text, "blocks": list(self.blocks), "parse": "none", "link_names": False}


def fallback(text: str) -> Mrkdwn:
    """Return untrusted text as the fallback of a message: escaped, and never too long for an update."""
    return escape(cut(unformatted(clean(text)), FALLBACK_BYTES, escaped_bytes))


def size(value: object) -> int:
    """Return how many characters of text a block, or a part of one, holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(size(part) for part in value.values())
    if isinstance(value, list | tuple):
        return sum(size(part) for part in value)
    return 0


def fit(text: str, blocks: Iterable[Block], names: Mapping[str, str] | None = None) -> list[Message]:
    """
    Return the blocks as as few messages as Slack's limits allow, in order and with none left out.

    No blocks are no message.

    :param text: the untrusted words of the fallback; the second message and those after it say which they are.
    """
    pages: list[list[Block]] = []
    room = MESSAGE_CHARACTERS - FALLBACK_BYTES
    for block in blocks:
        if not pages or len(pages[-1]) == MESSAGE_BLOCKS or size(pages[-1]) + size(block) > room:
            pages.append([])
        pages[-1].append(block)
    heads = (
        text if number == 1 else f"(part {number} of {len(pages)}) {text}" for number in range(1, len(pages) + 1)
    )
    return [
        Message(fallback(head), tuple(page), dict(names or {})) for head, page in zip(heads, pages, strict=True)
    ]
