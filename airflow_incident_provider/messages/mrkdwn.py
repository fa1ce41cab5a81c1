"""
Build Slack mrkdwn from untrusted text, times and links.

Slack interprets ``<!channel>``, ``<@U1>`` and ``<https://evil|https://good>`` in every mrkdwn text, also in code
blocks, and no client library escapes them. Text that is safe to send has the type :data:`Mrkdwn`; untrusted text
has the type ``str``. The functions here take ``str`` and return ``Mrkdwn``, so text is escaped exactly once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import NewType
from urllib.parse import urlsplit

from airflow_incident_provider.text import clean, one_line, url_problem

_SHORTEST_IN_SECONDS_MS = 100
_LONGEST_IN_TENTHS_MS = 9_950
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def duration(milliseconds: int) -> str:
    """Return a duration as a person says it: ``40 ms``, ``0.2 s``, ``41 s``, ``3 min 5 s``, ``2 h 5 min``."""
    if milliseconds < _SHORTEST_IN_SECONDS_MS:
        return f"{milliseconds} ms"
    if milliseconds < _LONGEST_IN_TENTHS_MS:
        return f"{milliseconds / 1000:.1f} s"
    seconds = round(milliseconds / 1000)
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return _two_parts(seconds, _MINUTE, "min", 1, "s")
    if seconds < _DAY:
        return _two_parts(seconds, _HOUR, "h", _MINUTE, "min")
    return _two_parts(seconds, _DAY, "d", _HOUR, "h")


def _two_parts(seconds: int, large: int, large_name: str, small: int, small_name: str) -> str:
    """Return ``3 min 5 s``, or ``3 min`` when the smaller part is nothing."""
    count, rest = divmod(seconds, large)
    part = rest // small
    return f"{count} {large_name} {part} {small_name}" if part else f"{count} {large_name}"


def between(earlier: datetime, later: datetime) -> int:
    """Return the milliseconds from one moment to another; negative when they are the other way round."""
    return round((later - earlier) / timedelta(milliseconds=1))


def clock(at: datetime, *, seconds: bool = True, seen_from: datetime | None = None) -> str:
    """
    Return the UTC time of day, without the letters ``UTC``.

    :param seen_from: a moment the reader knows the date of; when ``at`` lies on another UTC day, its date
        is written too.
    """
    moment = at.astimezone(UTC)
    elsewhere = seen_from is not None and seen_from.astimezone(UTC).date() != moment.date()
    day = f"{moment.date().isoformat()} " if elsewhere else ""
    return day + moment.strftime("%H:%M:%S" if seconds else "%H:%M")


Mrkdwn = NewType("Mrkdwn", str)
"""Slack markup that may be sent as it is: every untrusted part of it has been escaped."""

INLINE_LIMIT = 300
CODE_SPAN_LIMIT = 200
_SHORTEST_LIMIT = 40
_LONGEST_CLUSTER = 32

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ENTITY_LENGTH = {"&": 5, "<": 4, ">": 4}
# Slack has no escape for its formatting characters; these are read the same and format nothing.
_LOOKALIKES = {"*": "\u2217", "_": "\u02cd", "~": "\u223c", "`": "\u02cb"}
_BACKTICK = str.maketrans({"`": _LOOKALIKES["`"]})
# An underscore within a word formats nothing, and names such as missing_scope must stay copyable.
_FORMATTING = re.compile(r"[*~`]|(?<![^\W_])_|_(?![^\W_])")
_USER_ID = re.compile(r"[A-Z0-9]{2,32}")
_ADDRESS_LIKE = re.compile(r"://|^www\.", re.IGNORECASE)


def escape(text: str) -> Mrkdwn:
    """Return the text with ``& < >`` as entities, and nothing else changed."""
    return Mrkdwn(text.translate(_ENTITIES))


def escaped_length(character: str) -> int:
    """Return how many characters this one takes once escaped."""
    return _ENTITY_LENGTH.get(character, 1)


def escaped_bytes(character: str) -> int:
    """Return how many UTF-8 bytes this character takes once escaped."""
    return _ENTITY_LENGTH.get(character) or len(character.encode("utf-8", "replace"))


def unescaped_length(_character: str) -> int:
    """Return how many characters this one takes in plain text, which Slack does not parse: one."""
    return 1


def cut(text: str, limit: int, measure: Callable[[str], int] = escaped_length) -> str:
    """
    Return the text, or as much of it as fits with a note of how many characters are missing.

    The text is measured as it will be after escaping but cut before it, so no entity is ever split; a letter
    is not parted from its accents nor an emoji from its joiners.

    :param limit: what the result may measure, note included; at least 40.
    :param measure: what one character of the text measures.
    """
    if limit < _SHORTEST_LIMIT:
        raise ValueError(f"limit {limit} leaves no room for the note; it must be at least {_SHORTEST_LIMIT}")
    if len(text) <= limit and sum(map(measure, text)) <= limit:
        return text
    # The note counts fewer characters than the text has, so a note on all of them is the longest.
    budget = limit - sum(map(measure, _cut_note(len(text))))
    kept = 0
    for character in text:
        budget -= measure(character)
        if budget < 0:
            break
        kept += 1
    kept = _grapheme_start(text, kept)
    return text[:kept] + _cut_note(len(text) - kept)


def _cut_note(missing: int) -> str:
    """Return the words that stand for what was cut."""
    return f"… (cut, {missing} more characters)"


def _grapheme_start(text: str, index: int) -> int:
    """Return the start of the visible character that ``index`` lies in, as far as a short look back tells."""
    for start in range(index, max(index - _LONGEST_CLUSTER, 0), -1):
        if start >= len(text) or not (_extends(text[start]) or text[start - 1] == "\u200d"):
            return start
    return max(index - _LONGEST_CLUSTER, 0)


def _extends(character: str) -> bool:
    """Return whether this character belongs to the one before it: accents, joiners, skin tones, flag tags."""
    return (
        character == "\u200d"
        or unicodedata.category(character) in {"Mn", "Mc", "Me"}
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
    )


def unformatted(text: str) -> str:
    """Return the text with characters that would make it bold, italic, struck or code made harmless."""
    return _FORMATTING.sub(lambda found: _LOOKALIKES[found.group()], text)


def inline(text: str, limit: int = INLINE_LIMIT) -> Mrkdwn:
    """Return untrusted text as part of a line: one line, no formatting, at most ``limit`` when escaped."""
    return escape(cut(unformatted(one_line(text)), limit))


def code_span(text: str, limit: int = CODE_SPAN_LIMIT) -> Mrkdwn:
    """Return untrusted text as inline code; what has nothing to show is said to be empty."""
    shown = cut(one_line(text).translate(_BACKTICK), limit)
    return Mrkdwn(f"`{escape(shown)}`") if shown else Mrkdwn("(empty)")


def code_blocks(text: str, size: int) -> list[Mrkdwn]:
    """
    Return untrusted text as one or more fenced blocks, broken at line ends where that is possible.

    :param size: how long each block may be, fences included, once escaped.
    """
    fence = "```"
    room = size - 2 * (len(fence) + 1)
    pieces: list[str] = []
    for line in clean(text).expandtabs().rstrip().translate(_BACKTICK).split("\n"):
        for part in _broken(line, room):
            joined = f"{pieces[-1]}\n{part}" if pieces else part
            if pieces and len(escape(joined)) <= room:
                pieces[-1] = joined
            else:
                pieces.append(part)
    return [Mrkdwn(f"{fence}\n{escape(piece)}\n{fence}") for piece in pieces if piece.strip()]


def _broken(line: str, room: int) -> Iterable[str]:
    """Yield a line in parts that each measure at most ``room`` once escaped."""
    start = length = 0
    for index, character in enumerate(line):
        if length + escaped_length(character) > room:
            stop = max(_grapheme_start(line, index), start + 1)
            yield line[start:stop]
            start, length = stop, len(escape(line[stop:index]))
        length += escaped_length(character)
    yield line[start:]


def quote(text: str, limit: int) -> list[Mrkdwn]:
    """Return untrusted text as quoted lines; ``limit`` bounds the text once escaped, quotation marks aside."""
    lines = cut(unformatted(clean(text).strip()), limit).split("\n")
    return [Mrkdwn(f"> {escape(' '.join(line.split()))}") for line in lines if line.strip()]


def bold(text: str) -> Mrkdwn:
    """Return untrusted text in bold."""
    return Mrkdwn(f"*{inline(text)}*") if one_line(text) else Mrkdwn("")


def link(url: str, label: str) -> Mrkdwn:
    """
    Return a link, or the label with a remark when the address cannot be linked.

    A label that looks like an address could disguise where the link leads, so the real host is added to it.
    """
    words = cut(unformatted(one_line(label).replace("|", "/")), CODE_SPAN_LIMIT) or "link"
    if url_problem(url):
        return Mrkdwn(f"{escape(words)} (no usable address)")
    if _ADDRESS_LIKE.search(words):
        words = f"{words} (leads to {urlsplit(url).hostname})"
    return Mrkdwn(f"<{escape(url)}|{escape(words)}>")


def mention(user_id: str, name: str) -> Mrkdwn:
    """Return a mention of a member, or the plain name when the id is not one that Slack gives."""
    return Mrkdwn(f"<@{user_id}>") if _USER_ID.fullmatch(user_id) else inline(name)


def slack_date(at: datetime, *, form: str = "{time_secs}", fallback: str | None = None) -> Mrkdwn:
    """
    Return a moment that Slack draws in the reader's own time.

    :param form: Slack's date format; our own words only, never untrusted text.
    :param fallback: what is shown where Slack cannot draw it; the UTC time by default.
    """
    return Mrkdwn(f"<!date^{int(at.timestamp())}^{form}|{fallback or f'{clock(at)} UTC'}>")


def utc_and_local(at: datetime, *, seen_from: datetime | None = None) -> Mrkdwn:
    """Return the UTC time, followed by the reader's own time where Slack can draw it."""
    own = slack_date(at, form="UTC ({time} your time)", fallback="UTC")
    return Mrkdwn(f"{clock(at, seen_from=seen_from)} {own}")


def join(parts: Iterable[Mrkdwn], separator: str = " · ") -> Mrkdwn:
    """Return the parts that hold something, with our own separator between them."""
    return Mrkdwn(separator.join(part for part in parts if part))


def wrap(parts: Iterable[Mrkdwn], limit: int, separator: str = " · ") -> list[Mrkdwn]:
    """Return the parts as lines of at most ``limit``, broken between parts; a longer part stands alone."""
    lines: list[Mrkdwn] = []
    for part in filter(None, parts):
        joined = Mrkdwn(f"{lines[-1]}{separator}{part}") if lines else part
        if lines and len(joined) <= limit:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines
