"""The few Block Kit blocks that the room is built of, as the plain dictionaries that Slack takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from airflow_incident_provider.messages.escaping import Mrkdwn, cut, unescaped_length
from airflow_incident_provider.text import one_line, url_problem

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
    """Return a picture; ``can_be_shown`` says whether its address may be given to Slack."""
    words = cut(one_line(alt_text), ALT_TEXT_LIMIT, unescaped_length) or "a graph"
    return {"type": "image", "image_url": url, "alt_text": words}


def can_be_shown(url: str | None) -> bool:
    """Return whether this is an https address, the only kind that Slack fetches pictures from for us."""
    return url is not None and not url_problem(url) and urlsplit(url).scheme.lower() == "https"
