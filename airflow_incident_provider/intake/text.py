"""
Cleaning of text that a stranger wrote.

Alert text decides nothing and hides nothing: control characters, bidirectional overrides, zero-width and other
invisible format characters go, whitespace collapses. Escaping for Slack is the business of ``messages``.
"""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = frozenset({"Cc", "Cf", "Cs"})
_LINE_BREAK = re.compile(r"\r\n|[\n\r\v\f\x85\u2028\u2029]")
_BLANK_LINES = re.compile(r"\n{3,}")
_SHOWN_LENGTH = 80
_LONGEST_SHOWN_NUMBER = 64
"""Bits: a longer integer is a mistake, and Python refuses to print one of more than 4,300 digits."""


def one_line(text: str) -> str:
    """Return ``text`` as one line of visible characters, with single spaces and no space at its ends."""
    spaced = "".join(" " if c.isspace() else c for c in text)
    return " ".join("".join(c for c in spaced if unicodedata.category(c) not in _INVISIBLE).split())


def paragraphs(text: str) -> str:
    """Return ``text`` cleaned line by line, with its line breaks kept and at most one blank line in a row."""
    lines = (one_line(line) for line in _LINE_BREAK.split(text))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def shorten(text: str, limit: int) -> str:
    """Return ``text`` if it has at most ``limit`` characters, else its beginning and an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "\u2026"


def shown(value: object) -> str:
    """Return how ``value`` reads in an error or a flag: cleaned, short, and never the inside of a container."""
    if isinstance(value, str):
        return f"'{shorten(one_line(value[: 4 * _SHOWN_LENGTH]), _SHOWN_LENGTH)}'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > _LONGEST_SHOWN_NUMBER:
        return "a very long number"
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return shorten(one_line(str(value)), _SHOWN_LENGTH)
