"""
Build Slack mrkdwn from untrusted text, times and links; and read it as plain text.

Slack interprets ``<!channel>``, ``<@U1>`` and ``<https://evil|https://good>`` in every mrkdwn text, also in code
blocks, and no client library escapes them. Text that is safe to send has the type :data:`Mrkdwn`; untrusted text
has the type ``str``. The functions here take ``str`` and return ``Mrkdwn``, so text is escaped exactly once.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NewType
from urllib.parse import urlsplit

from airflow_incident_provider.text import clean, one_line, url_problem

Mrkdwn = NewType("Mrkdwn", str)
"""Slack markup that is safe to send: every untrusted part of it is escaped."""

INLINE_LIMIT = 300
CODE_SPAN_LIMIT = 200
COUNTED_FROM = 400
"""From this limit on, a truncated text says how many characters are missing; a shorter one ends in an ellipsis."""

_LONGEST_NOTE = 40
_LONGEST_CLUSTER = 32
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SHORTEST_IN_SECONDS_MS = 100
_LONGEST_IN_TENTHS_MS = 9_950

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ENTITY_LENGTH = {"&": 5, "<": 4, ">": 4}
# Slack has no escape for its formatting characters; these look the same and format nothing.
_LOOKALIKES = {"*": "\u2217", "_": "\u02cd", "~": "\u223c", "`": "\u02cb"}
_BACKTICK = str.maketrans({"`": _LOOKALIKES["`"]})
# An underscore inside a word formats nothing, and names such as missing_scope must remain copyable.
_FORMATTING = re.compile(r"[*~`]|(?<![^\W_])_|_(?![^\W_])")
# A name in capitals, such as "NOC" or "DANA", is no id: an id has a digit, or is longer than most names.
_USER_ID = re.compile(r"[UW](?=[A-Z]*[0-9])[A-Z0-9]{1,31}|[UW][A-Z]{8,31}")
_GROUP_ID = re.compile(r"S[A-Z0-9]{1,31}")
_TOKEN = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")
_ADDRESS_LIKE = re.compile(r"://|^www\.", re.IGNORECASE)


# --- times ------------------------------------------------------------------------------------------------


def duration(milliseconds: int) -> str:
    """Return a duration as text: ``40 ms``, ``0.2 s``, ``41 s``, ``3 min 5 s``, ``2 h 5 min``, ``1 d``."""
    if milliseconds < _SHORTEST_IN_SECONDS_MS:
        return f"{milliseconds} ms"
    if milliseconds < _LONGEST_IN_TENTHS_MS:
        return f"{milliseconds / 1000:.1f} s"
    seconds = round(milliseconds / 1000)
    for (large, large_name), (small, small_name) in pairwise(_UNITS):
        if seconds >= large:
            count, rest = divmod(seconds, large)
            part = f" {rest // small} {small_name}" if rest >= small else ""
            return f"{count} {large_name}{part}"
    return f"{seconds} s"


def between(earlier: datetime, later: datetime) -> int:
    """Return the milliseconds from ``earlier`` to ``later``; negative if they are swapped."""
    return round((later - earlier) / timedelta(milliseconds=1))


def clock(at: datetime, *, seconds: bool = True, seen_from: datetime | None = None) -> str:
    """
    Return the UTC time of day, without the suffix ``UTC``.

    :param seen_from: a time whose date the reader knows; if ``at`` is on another UTC day, its date is included.
    """
    utc = at.astimezone(UTC)
    other_day = seen_from is not None and seen_from.astimezone(UTC).date() != utc.date()
    day = f"{utc.date().isoformat()} " if other_day else ""
    return day + utc.strftime("%H:%M:%S" if seconds else "%H:%M")


def utc_and_local(at: datetime, *, seconds: bool = False, seen_from: datetime | None = None) -> Mrkdwn:
    """Return the UTC time, followed by the reader's local time where Slack can format it."""
    local = f"<!date^{int(at.timestamp())}^UTC ({{time}} your time)|UTC>"
    return Mrkdwn(f"{clock(at, seconds=seconds, seen_from=seen_from)} {local}")


# --- escaping and truncating ------------------------------------------------------------------------------


def escape(text: str) -> Mrkdwn:
    """Return the text with ``& < >`` as entities, otherwise unchanged."""
    return Mrkdwn(text.translate(_ENTITIES))


def escaped_length(character: str) -> int:
    """Return the length of a character after escaping."""
    return _ENTITY_LENGTH.get(character, 1)


def escaped_bytes(character: str) -> int:
    """Return the UTF-8 bytes of a character after escaping."""
    return _ENTITY_LENGTH.get(character) or len(character.encode("utf-8", "replace"))


def plain_length(_character: str) -> int:
    """Return 1: the length of a character in plain text, which Slack does not parse."""
    return 1


def truncate(text: str, limit: int, measure: Callable[[str], int] = escaped_length) -> str:
    """
    Return the text, truncated to ``limit`` with an ellipsis.

    The text is measured as it will be after escaping but truncated before it, so no entity is split. Neither is a
    letter separated from its accents or an emoji from its joiners.

    :param limit: the maximum size of the result, ellipsis included. From :data:`COUNTED_FROM` on, the ellipsis is
        followed by the number of missing characters.
    :param measure: the size of one character.
    """
    if len(text) <= limit and sum(map(measure, text)) <= limit:
        return text
    counted = limit >= COUNTED_FROM
    budget = limit - (_LONGEST_NOTE if counted else measure("…"))
    kept = 0
    for character in text:
        budget -= measure(character)
        if budget < 0:
            break
        kept += 1
    kept = _cluster_start(text, kept)
    return f"{text[:kept]}… ({len(text) - kept} more characters)" if counted else f"{text[:kept].rstrip()}…"


def split_line(text: str, limit: int, measure: Callable[[str], int] = escaped_length) -> list[str]:
    """
    Return the text in pieces of at most ``limit``, complete and in order, broken at spaces if possible.

    :param measure: the size of one character.
    """
    pieces: list[str] = []
    while sum(map(measure, text)) > limit:
        end, size = 0, 0
        while size + measure(text[end]) <= limit:
            size += measure(text[end])
            end += 1
        cut = text.rfind(" ", end // 2, end) + 1 or _cluster_start(text, end) or end
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]


def _cluster_start(text: str, index: int) -> int:
    """Return the start of the grapheme cluster at ``index``, looking back a limited number of characters."""
    for start in range(index, max(index - _LONGEST_CLUSTER, 0), -1):
        if start >= len(text) or not (_extends(text[start]) or text[start - 1] == "\u200d"):
            return start
    return max(index - _LONGEST_CLUSTER, 0)


def _extends(character: str) -> bool:
    """Return whether a character belongs to the one before it: accent, joiner, skin tone or flag tag."""
    return (
        character == "\u200d"
        or unicodedata.category(character) in {"Mn", "Mc", "Me"}
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
    )


def unformatted(text: str) -> str:
    """Return the text with the characters replaced that would make it bold, italic, struck or code."""
    return _FORMATTING.sub(lambda found: _LOOKALIKES[found.group()], text)


# --- parts of a line --------------------------------------------------------------------------------------


def inline(text: str, limit: int = INLINE_LIMIT) -> Mrkdwn:
    """Return untrusted text as part of a line: no line breaks, no formatting, at most ``limit`` when escaped."""
    return escape(truncate(unformatted(one_line(text)), limit))


def bold(text: str, limit: int = INLINE_LIMIT) -> Mrkdwn:
    """Return untrusted text in bold."""
    return Mrkdwn(f"*{inline(text, limit)}*") if one_line(text) else Mrkdwn("")


def code_span(text: str, limit: int = CODE_SPAN_LIMIT) -> Mrkdwn:
    """Return untrusted text as inline code; ``(empty)`` if nothing in it is visible."""
    shown = truncate(one_line(text).translate(_BACKTICK), limit)
    return Mrkdwn(f"`{escape(shown)}`") if shown else Mrkdwn("(empty)")


def quote(text: str, limit: int, *, lines: int | None = None) -> list[Mrkdwn]:
    """
    Return untrusted text as quoted lines.

    :param limit: the maximum size of the text after escaping, without the quotation marks.
    :param lines: the maximum number of lines; more are replaced by an ellipsis.
    """
    cleaned = [line for line in unformatted(clean(text)).split("\n") if line.strip()]
    if lines is not None and len(cleaned) > lines:
        cleaned = [*cleaned[:lines], "…"]
    shown = truncate("\n".join(" ".join(line.split()) for line in cleaned), limit)
    return [Mrkdwn(f"> {escape(line)}") for line in shown.split("\n") if line.strip()]


def link(url: str, label: str) -> Mrkdwn:
    """
    Return a link, or the label with a remark if the URL cannot be linked.

    A label that looks like a URL could disguise the target, so the target's host is appended.
    """
    words = truncate(unformatted(one_line(label).replace("|", "/")), CODE_SPAN_LIMIT) or "link"
    if url_problem(url):
        return Mrkdwn(f"{escape(words)} (no usable URL)")
    if _ADDRESS_LIKE.search(words):
        words = f"{words} (leads to {urlsplit(url).hostname})"
    return Mrkdwn(f"<{escape(url)}|{escape(words)}>")


def is_user_id(text: str) -> bool:
    """Return whether the text is an id that Slack gives to a member."""
    return _USER_ID.fullmatch(text) is not None


def mention(user_id: str, name: str) -> Mrkdwn:
    """Return a mention of a member, or the plain name if the id is not a Slack user id."""
    return Mrkdwn(f"<@{user_id}>") if is_user_id(user_id) else inline(name)


def mention_group(group_id: str, handle: str) -> Mrkdwn:
    """Return a mention of a user group, or its handle if the id is not that of one."""
    return Mrkdwn(f"<{group_reference(group_id)}>") if _GROUP_ID.fullmatch(group_id) else inline(handle)


def group_reference(group_id: str) -> str:
    """Return how Slack refers to a user group in a message."""
    return f"!subteam^{group_id}"


# --- lines ------------------------------------------------------------------------------------------------


def join(parts: Iterable[Mrkdwn], separator: str = " · ") -> Mrkdwn:
    """Return the parts that are not empty, joined."""
    return Mrkdwn(separator.join(part for part in parts if part))


def wrap(parts: Iterable[Mrkdwn], limit: int, separator: str = " · ") -> list[Mrkdwn]:
    """Return the parts as lines of at most ``limit``, broken between parts; a longer part is its own line."""
    lines: list[Mrkdwn] = []
    for part in filter(None, parts):
        joined = Mrkdwn(f"{lines[-1]}{separator}{part}") if lines else part
        if lines and len(joined) <= limit:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


# --- reading ----------------------------------------------------------------------------------------------


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
