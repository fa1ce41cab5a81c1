"""
Block Kit blocks, Slack's size limits, and how long content becomes several messages.

Slack documents 50 blocks per message. It does not document the total size, which fails somewhere above 13,000
characters, nor that the fallback text of an update is counted in bytes after escaping: both limits here keep well
below what was observed to fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    cut,
    escape,
    escaped_bytes,
    join,
    unescaped_length,
    unformatted,
    wrap,
)
from airflow_incident_provider.text import clean, one_line, url_problem

Block = dict[str, Any]

SECTION_LIMIT = 3_000
HEADER_LIMIT = 150
ALT_TEXT_LIMIT = 500


def mrkdwn(text: Mrkdwn) -> dict[str, Any]:
    """Return a text object in which Slack adds no links of its own (``verbatim``)."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def header(title: str) -> Block:
    """Return a title line. Slack does not parse it, so it is cleaned and cut but not escaped."""
    words = cut(one_line(title), HEADER_LIMIT, unescaped_length) or "(no title)"
    return {"type": "header", "text": {"type": "plain_text", "text": words, "emoji": False}}


def section(text: Mrkdwn) -> Block:
    """Return a paragraph; a text that Slack would refuse is a mistake of the caller."""
    if not text.strip() or len(text) > SECTION_LIMIT:
        raise ValueError(f"a section holds 1 to {SECTION_LIMIT} characters, not {len(text)}")
    return {"type": "section", "text": mrkdwn(text)}


def sections(lines: Iterable[Mrkdwn]) -> list[Block]:
    """Return lines as as few paragraphs as hold them."""
    texts: list[Mrkdwn] = []
    for line in filter(None, lines):
        joined = Mrkdwn(f"{texts[-1]}\n{line}") if texts else line
        if texts and len(joined) <= SECTION_LIMIT:
            texts[-1] = joined
        else:
            texts.append(line)
    return [section(text) for text in texts]


def context(text: Mrkdwn) -> Block:
    """Return a line in small print."""
    return {"type": "context", "elements": [mrkdwn(text)]}


def image(url: str, alt_text: str) -> Block:
    """Return a picture; ``is_image_url`` says whether its address may be given to Slack."""
    words = cut(one_line(alt_text), ALT_TEXT_LIMIT, unescaped_length) or "a graph"
    return {"type": "image", "image_url": url, "alt_text": words}


def is_image_url(url: str | None) -> bool:
    """Return whether this is an https address, the only kind that Slack fetches pictures from for us."""
    return url is not None and not url_problem(url) and urlsplit(url).scheme.lower() == "https"


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


def fallback_text(text: str) -> Mrkdwn:
    """Return untrusted text as the fallback of a message: escaped, and never too long for an update."""
    return escape(cut(unformatted(clean(text)), FALLBACK_BYTES, escaped_bytes))


def text_size(value: object) -> int:
    """Return how many characters of text a block, or a part of one, holds."""
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
    Return the blocks as as few messages as Slack's limits allow, in order and with none left out.

    No blocks are no message.

    :param text: the untrusted words of the fallback; the second message and those after it say which they are.
    """
    pages: list[list[Block]] = []
    room = MESSAGE_CHARACTERS - FALLBACK_BYTES
    for block in blocks:
        if not pages or len(pages[-1]) == MESSAGE_BLOCKS or text_size(pages[-1]) + text_size(block) > room:
            pages.append([])
        pages[-1].append(block)
    heads = (
        text if number == 1 else f"(part {number} of {len(pages)}) {text}" for number in range(1, len(pages) + 1)
    )
    return [
        Message(fallback_text(head), tuple(page), dict(names or {}))
        for head, page in zip(heads, pages, strict=True)
    ]


LINE_LIMIT = 2_900


@dataclass(frozen=True)
class TruncatedList:
    """
    A labelled list of entries, of which a message shows only so many.

    :param label: our own words in front of the list; part of the markup.
    :param most: how many entries are shown; one too many is shown rather than counted.
    :param characters: how many characters the shown entries may take.
    """

    label: Mrkdwn
    entries: tuple[Mrkdwn, ...]
    most: int
    characters: int
    separator: str = " · "

    @property
    def shown(self) -> tuple[Mrkdwn, ...]:
        """The entries that the short form has room for."""
        wanted = len(self.entries) if len(self.entries) <= self.most + 1 else self.most
        used = 0
        for position, entry in enumerate(self.entries[:wanted]):
            used += len(entry) + len(self.separator)
            if used > self.characters:
                return self.entries[:position]
        return self.entries[:wanted]

    @property
    def hidden(self) -> int:
        """How many entries the short form leaves out."""
        return len(self.entries) - len(self.shown)

    def short(self) -> Mrkdwn:
        """Return the label, the entries there is room for and how many more there are; nothing when empty."""
        if not self.entries:
            return Mrkdwn("")
        words = str(join(self.shown, self.separator))
        if self.hidden:
            words += f" and {self.hidden} more, in the thread" if words else f"{self.hidden}, in the thread"
        return Mrkdwn(f"{self.label} {words}")

    def full(self) -> list[Mrkdwn]:
        """Return the label and every entry, in as many lines as that takes."""
        first, *rest = wrap(self.entries, LINE_LIMIT, self.separator)
        return [Mrkdwn(f"{self.label} {first}"), *rest]


def first_few(entries: Sequence[Mrkdwn], most: int = 3) -> Mrkdwn:
    """Return the first entries, and how many more there are."""
    more = f" and {len(entries) - most} more" if len(entries) > most else ""
    return Mrkdwn(f"{', '.join(entries[:most])}{more}")


def bullet_list(label: Mrkdwn, entries: list[Mrkdwn]) -> list[Mrkdwn]:
    """Return a single entry beside its label, or several below it, one a line; nothing when there is none."""
    if len(entries) <= 1:
        return [Mrkdwn(f"{label} {entry}") for entry in entries]
    return [label, *(Mrkdwn(f"• {entry}") for entry in entries)]
