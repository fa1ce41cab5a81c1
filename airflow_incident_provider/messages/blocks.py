"""
Block Kit blocks, Slack's size limits, and how long content becomes several messages.

Slack documents 50 blocks per message. It does not document the total size, which fails somewhere above 13,000
characters, nor that the fallback text of an update is counted in bytes after escaping: both limits here keep well
below what was observed to fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    decode_mrkdwn,
    escape,
    escaped_bytes,
    join,
    plain_length,
    truncate,
    unformatted,
    wrap,
)
from airflow_incident_provider.text import clean, one_line, url_problem

Block = dict[str, Any]

SECTION_LIMIT = 3_000
HEADER_LIMIT = 150
ALT_TEXT_LIMIT = 500
LINE_LIMIT = 2_900
MESSAGE_BLOCKS = 50
MESSAGE_CHARACTERS = 12_000
FALLBACK_BYTES = 3_000


# --- blocks -----------------------------------------------------------------------------------------------


def mrkdwn(text: Mrkdwn) -> dict[str, Any]:
    """Return a text object in which Slack creates no links of its own (``verbatim``)."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def header(title: str) -> Block:
    """Return a heading. Slack does not parse it, so the title is cleaned and truncated but not escaped."""
    words = truncate(one_line(title), HEADER_LIMIT, plain_length) or "(no title)"
    return {"type": "header", "text": {"type": "plain_text", "text": words, "emoji": False}}


def section(text: Mrkdwn, *, accessory: Block | None = None) -> Block:
    """
    Return a paragraph.

    :param accessory: an element shown beside the text, such as an image.
    :raises ValueError: Slack would reject the length of the text.
    """
    if not text.strip() or len(text) > SECTION_LIMIT:
        raise ValueError(f"a section holds 1 to {SECTION_LIMIT} characters, not {len(text)}")
    block = {"type": "section", "text": mrkdwn(text)}
    return block if accessory is None else {**block, "accessory": accessory}


def sections(lines: Iterable[Mrkdwn], *, accessory: Block | None = None) -> list[Block]:
    """Return lines as as few paragraphs as possible, the first of them with the accessory."""
    texts = wrap(lines, SECTION_LIMIT, separator="\n")
    return [section(text, accessory=None if number else accessory) for number, text in enumerate(texts)]


def context(text: Mrkdwn) -> Block:
    """Return a line in small print."""
    return {"type": "context", "elements": [mrkdwn(text)]}


def image(url: str, alt_text: str) -> Block:
    """Return an image, as a block or as an accessory; check the URL with :func:`is_image_url`."""
    words = truncate(one_line(alt_text), ALT_TEXT_LIMIT, plain_length) or "a graph"
    return {"type": "image", "image_url": url, "alt_text": words}


def is_image_url(url: str | None) -> bool:
    """Return whether Slack can be asked to fetch an image from the URL: it accepts only https."""
    return url is not None and not url_problem(url) and urlsplit(url).scheme.lower() == "https"


def preformatted(text: str) -> list[Block]:
    """Return untrusted text as preformatted blocks of at most ``SECTION_LIMIT``, broken at line ends if possible.

    Slack does not parse rich text, so the text is cleaned but not escaped.
    """
    pieces: list[str] = []
    for line in clean(text).expandtabs().rstrip().split("\n"):
        for start in range(0, max(len(line), 1), SECTION_LIMIT):
            part = line[start : start + SECTION_LIMIT]
            if pieces and len(pieces[-1]) + 1 + len(part) <= SECTION_LIMIT:
                pieces[-1] += f"\n{part}"
            else:
                pieces.append(part)
    shown = (piece for piece in pieces if piece.strip())
    elements = ({"type": "rich_text_preformatted", "elements": [{"type": "text", "text": each}]} for each in shown)
    return [{"type": "rich_text", "elements": [element]} for element in elements]


# --- messages ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """
    A Slack message.

    ``text`` is the fallback for notifications and screen readers; ``blocks`` are what the channel shows. ``names``
    maps mentioned user ids to names, for readers outside Slack; it is never sent.
    """

    text: Mrkdwn
    blocks: tuple[Block, ...]
    names: Mapping[str, str] = field(default_factory=dict)

    def as_arguments(self) -> dict[str, Any]:
        """Return the arguments of ``chat.postMessage``, without channel and thread."""
        return {**self.as_update_arguments(), "mrkdwn": True, "unfurl_links": False, "unfurl_media": False}

    def as_update_arguments(self) -> dict[str, Any]:
        """Return the arguments of ``chat.update``, which by default would link names."""
        return {"text": self.text, "blocks": list(self.blocks), "parse": "none", "link_names": False}


def fallback_text(text: str) -> Mrkdwn:
    """Return untrusted text as the fallback of a message: escaped, and short enough for an update."""
    return escape(truncate(unformatted(clean(text)), FALLBACK_BYTES, escaped_bytes))


def text_size(value: object) -> int:
    """Return the number of text characters in a block or a part of one."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(text_size(part) for part in value.values())
    if isinstance(value, list | tuple):
        return sum(text_size(part) for part in value)
    return 0


def split_into_messages(
    text: str, blocks: Iterable[Block], names: Mapping[str, str] | None = None
) -> list[Message]:
    """
    Return the blocks as as few messages as Slack's limits allow, in order and complete. No blocks, no message.

    :param text: the untrusted fallback text; from the second message on it is numbered.
    """
    pages: list[list[Block]] = []
    available = MESSAGE_CHARACTERS - FALLBACK_BYTES
    for group in _kept_together(blocks):
        is_full = bool(pages) and len(pages[-1]) + len(group) > MESSAGE_BLOCKS
        if not pages or is_full or text_size(pages[-1]) + text_size(group) > available:
            pages.append([])
        pages[-1] += group
    messages = []
    for number, page in enumerate(pages, 1):
        words = text if number == 1 else f"(part {number} of {len(pages)}) {text}"
        messages.append(Message(fallback_text(words), tuple(page), dict(names or {})))
    return messages


def _kept_together(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Yield blocks in groups that one message holds: buttons stay with what is above them."""
    group: list[Block] = []
    for block in blocks:
        if group and block["type"] != "actions":
            yield group
            group = []
        group.append(block)
    if group:
        yield group


# --- lists ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TruncatedList:
    """
    A labelled list that shows only its first entries and says how many more there are.

    :param label: trusted markup in front of the list.
    :param most: how many entries are shown; a single entry more is shown rather than counted.
    :param characters: the maximum size of the shown entries.
    """

    label: Mrkdwn
    entries: tuple[Mrkdwn, ...]
    most: int
    characters: int
    separator: str = " · "

    @property
    def shown(self) -> tuple[Mrkdwn, ...]:
        """The entries of the short form."""
        wanted = len(self.entries) if len(self.entries) <= self.most + 1 else self.most
        used = 0
        for position, entry in enumerate(self.entries[:wanted]):
            used += len(entry) + len(self.separator)
            if used > self.characters:
                return self.entries[:position]
        return self.entries[:wanted]

    @property
    def hidden(self) -> int:
        """The number of entries that the short form leaves out."""
        return len(self.entries) - len(self.shown)

    def short(self) -> Mrkdwn:
        """Return the label, the shown entries and the number of others; nothing if the list is empty."""
        if not self.entries:
            return Mrkdwn("")
        words = str(join(self.shown, self.separator))
        if self.hidden:
            words += f" and {self.hidden} more, in the thread" if words else f"{self.hidden}, in the thread"
        return join([self.label, Mrkdwn(words)], " ")

    def full(self) -> list[Mrkdwn]:
        """Return the label and every entry, in as many lines as needed."""
        first, *rest = wrap(self.entries, LINE_LIMIT, self.separator)
        return [join([self.label, first], " "), *rest]


def first_few(entries: Sequence[Mrkdwn], most: int = 3) -> Mrkdwn:
    """Return the first entries and the number of others."""
    more = f" and {len(entries) - most} more" if len(entries) > most else ""
    return Mrkdwn(f"{', '.join(entries[:most])}{more}")


def bullet_list(label: Mrkdwn, entries: Sequence[Mrkdwn]) -> list[Mrkdwn]:
    """Return a single entry beside the label, or several entries below it; nothing if there are none."""
    if len(entries) <= 1:
        return [Mrkdwn(f"{label} {entry}") for entry in entries]
    return [label, *(Mrkdwn(f"• {entry}") for entry in entries)]


# --- plain text, for logs, terminals and dry runs ---------------------------------------------------------


def plain_text(message: Message) -> str:
    """Return the text of the message's blocks, with links as ``label (URL)`` and times in UTC; without buttons."""
    return "\n".join(_plain_block(block, message.names) for block in message.blocks if block["type"] != "actions")


def dry_run_text(message: Message, channel_name: str) -> str:
    """Return the message as a dry run shows it."""
    return f"DRY-RUN: would post to #{channel_name}\n{plain_text(message)}"


def _plain_block(block: Block, names: Mapping[str, str]) -> str:
    match block["type"]:
        case "header":
            return str(block["text"]["text"])
        case "image":
            return _plain_image(block)
        case "context":
            return "\n".join(decode_mrkdwn(element["text"], names) for element in block["elements"])
        case "rich_text":
            texts = ("".join(part["text"] for part in element["elements"]) for element in block["elements"])
            return "\n".join(f"```\n{text}\n```" for text in texts)
        case _:
            text = decode_mrkdwn(block["text"]["text"], names)
            return f"{text}\n{_plain_image(block['accessory'])}" if "accessory" in block else text


def _plain_image(block: Block) -> str:
    return f"({block['alt_text']}: {block['image_url']})"
