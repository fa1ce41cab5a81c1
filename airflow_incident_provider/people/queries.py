"""What people write to name somebody: split a list into queries, and tell what kind of query each is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MAX_QUERY_LENGTH = 320
"""Characters. The longest e-mail address (RFC 5321) has fewer, and Slack's names end at 80."""


class QueryKind(StrEnum):
    """How a query is answered."""

    ID = "id"
    EMAIL = "email"
    USERGROUP = "usergroup"
    HANDLE = "handle"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query: its kind, and the id, address, handle (without ``@``) or name in it."""

    kind: QueryKind
    value: str


_ADDRESS = r"[^@\s<>|,;()\"]+@[^@\s<>|,;()\"]+"

# The order matters: a pasted mention is no handle, and an address in angle brackets is no mention.
# A bare id is told from a name in capitals ("WANG") by its digits, or by the length that ids have.
_FORMS: tuple[tuple[QueryKind, re.Pattern[str]], ...] = (
    (QueryKind.ID, re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")),
    (QueryKind.USERGROUP, re.compile(r"<!subteam\^(S[A-Z0-9]+)(?:\|[^>]*)?>")),
    (QueryKind.ID, re.compile(r"([UW](?=[A-Z]*[0-9])[A-Z0-9]+|[UW][A-Z]{8,})")),
    (QueryKind.ID, re.compile(r"<?https://[\w.-]+/team/([UW][A-Z0-9]+)(?:\|[^>]*)?>?")),
    (QueryKind.EMAIL, re.compile(rf"<?mailto:({_ADDRESS.replace('|,', '|?,')})(?:[|?][^>]*)?>?", re.IGNORECASE)),
    (QueryKind.EMAIL, re.compile(rf"[^<>]*<(?:mailto:)?({_ADDRESS})(?:\|[^>]*)?>", re.IGNORECASE)),
    (QueryKind.EMAIL, re.compile(rf"({_ADDRESS})")),
    (QueryKind.EMAIL, re.compile(rf"[^@<>;,()]+\s\(?({_ADDRESS})\)?")),
    (QueryKind.EMAIL, re.compile(rf"({_ADDRESS})\s\([^@()]+\)")),
    (QueryKind.HANDLE, re.compile(r"@([^@\s]+)")),
)


def parse_query(text: str) -> Query:
    """Return what is asked for.

    Understood are ``U012ABC``, ``<@U012ABC|name>`` and a link to a Slack profile, ``<!subteam^S012ABC>``,
    ``a@example.com``, ``mailto:a@example.com``, ``Name <a@example.com>`` and ``Name (a@example.com)``, and
    ``@handle``; everything else is a name.

    :raises ValueError: the text holds no name, or is too long; the message says so in words.
    """
    text = text.strip().replace("\uff20", "@")
    if not any(map(str.isalnum, text)):
        raise ValueError("there is no name in it")
    if len(text) > MAX_QUERY_LENGTH:
        raise ValueError(f"it is longer than {MAX_QUERY_LENGTH} characters")
    for kind, form in _FORMS:
        if found := form.fullmatch(text):
            value = found[1]
            return Query(kind, value.lower().rstrip(".") if kind is QueryKind.EMAIL else value)
    return Query(QueryKind.NAME, text.removeprefix("@").strip().strip('"'))


# --- lists ------------------------------------------------------------------------------------------

_PAIR = 2
_PROTECTED = re.compile(r'"[^"\n]*"|<[^<>\n]*>|\([^()\n]*\)')
"""Quoted names, addresses and remarks: separators in them are text."""

_SEPARATOR = re.compile(
    r"[\n\r\t;|\uff1b\u3001\uff0c\u060c\u2022]+|\s+(?:and|&|\+|/)\s+|^\s*(?:[-*]|\d+[.)])\s+", re.MULTILINE
)
_COMMA_IN_LIST = re.compile(r",\s")
_ADDRESS_MARK, _TEXT_MARK = "\ue000", "\ue001"
"""Stand for a protected text while a list is split: one in angle brackets, or another."""
_MARKED = re.compile(f"[{_ADDRESS_MARK}{_TEXT_MARK}](\\d+)[{_ADDRESS_MARK}{_TEXT_MARK}]")
_MAILBOX = re.compile(f"[^\\s{_ADDRESS_MARK}{_TEXT_MARK}]+\\s+{_ADDRESS_MARK}\\d+{_ADDRESS_MARK}")


def split_people(text: str) -> tuple[str, ...]:
    """Return the queries in a list as people write it.

    Line breaks, semicolons, bars, bullets, "and", "&" and the commas of other scripts always separate people. A
    comma separates them too, unless what stands around it may be one person, "Smith, John": such a pair is
    returned as one query, because two strangers may be called Smith and John. :mod:`.resolver` reads it as two
    people only if both are certain::

        "Smith, John; Doe, Jane"         -> "Smith, John" and "Doe, Jane"
        "dana@acme.example, @sre-oncall" -> two queries
        "Dana, Priya, Sam"               -> three queries: no pair
        "alice,bob"                      -> two usernames
    """
    protected: list[str] = []

    def protect(found: re.Match[str]) -> str:
        mark = _ADDRESS_MARK if found[0].startswith("<") else _TEXT_MARK
        protected.append(found[0])
        return f"{mark}{len(protected) - 1}{mark}"

    unmarked = text.replace(_ADDRESS_MARK, "").replace(_TEXT_MARK, "")
    pieces = _SEPARATOR.split(_PROTECTED.sub(protect, unmarked))
    queries = (
        _MARKED.sub(lambda found: protected[int(found[1])], query).strip()
        for piece in pieces
        for query in _split_at_commas(piece)
    )
    return tuple(query for query in queries if any(map(str.isalnum, query)))


def _split_at_commas(piece: str) -> Iterator[str]:
    parts = [word for part in piece.split(",") for word in _split_at_spaces(part.strip()) if word]
    if not _COMMA_IN_LIST.search(piece) and piece == piece.lower():
        yield from parts
    else:
        yield from _join_names(parts)


def _split_at_spaces(part: str) -> list[str]:
    """Return the words of "@dana @priya" or "a@x.example b@x.example"; any other part as it is."""
    words = part.split()
    certain = _TEXT_MARK not in part and not any(map(_is_name, words))
    return words if len(words) > 1 and certain else [part]


def _join_names(parts: list[str]) -> Iterator[str]:
    """Yield the parts, with those that may be one "Last, First" joined again."""
    names: list[str] = []
    for part in parts:
        if _is_name(part):
            names.append(part)
            continue
        family = names.pop() if names and _MAILBOX.fullmatch(part) else None
        yield from _pair_names(names)
        yield f"{family}, {part}" if family else part
        names = []
    yield from _pair_names(names)


def _pair_names(names: list[str]) -> Iterator[str]:
    """Yield names, each pair that may be "Last, First" as one.

    A full name is followed by a given name only in a pair ("van der Berg, Jan"); an odd number of single words
    without a full name before them cannot be pairs.
    """
    at = 0
    while at < len(names):
        singles = _count_single_words(names, at + (" " in names[at]))
        starts_pairs = singles % 2 == (1 if " " in names[at] else 0) and singles > 0
        alone = len(names) == _PAIR and all(" " in name for name in names)
        if not (starts_pairs or alone):
            end = at + (1 if " " in names[at] else max(singles, 1))
            yield from names[at:end]
            at = end
            continue
        yield f"{names[at]}, {names[at + 1]}"
        at += _PAIR


def _count_single_words(names: list[str], start: int) -> int:
    return next((at for at, name in enumerate(names[start:]) if " " in name), len(names) - start)


def _is_name(part: str) -> bool:
    """Return whether a part is a name and nothing that is certain by itself, such as an address."""
    certain = "@" in part or _ADDRESS_MARK in part or _TEXT_MARK in part
    return not certain and not any(form.fullmatch(part) for _, form in _FORMS)
