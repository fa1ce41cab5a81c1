"""
Lists as people write them: in JSON, or as text with commas, semicolons, spaces or line breaks between the items.

A comma inside a person's name ("Reyes, Dana") separates nothing: a half of a name would find somebody else. So text
is split at a comma only where the parts cannot be the two halves of one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_incident_provider.text import for_error

MAX_ITEMS = 1000
"""Items of a list that are looked at; far more than are kept."""
_MAX_TEXT = 100_000

_BULLET = re.compile(r"^\s*(?:[-*\u2022]\s+|\d{1,3}[.)]\s+)")
_LINES = re.compile(r"[\n\r;]+")
_COMMAS = re.compile(r"[,\n\r;]+")
_URLS = re.compile(r"\s*[,;]\s*(?=[a-z][a-z0-9+.-]*://)|\s+", re.IGNORECASE)
_SLACK_MARKUP = re.compile(r"<(?:@|!subteam\^)([A-Z0-9]{2,32})(?:\|[^<>]*)?>|<mailto:([^<>|\s]+)(?:\|[^<>]*)?>")
_MAILBOX = re.compile(r"(?P<name>[^<>]*)<\s*(?:mailto:)?(?P<address>[^<>@\s]+@[^<>@\s]+)\s*>")
_ADDRESS = re.compile(r"(?:mailto:)?([^@\s,<>]+@[^@\s,<>]+\.[^@\s,<>]+)", re.IGNORECASE)
_SLACK_ID = re.compile(r"[UWS][A-Z0-9]{6,31}")
_AND = re.compile(r"\s+(?:and|&|\+|/|\|)\s+", re.IGNORECASE)
_NAME_PART = re.compile(r"[^\W\d_][^\d_,;:@<>]*")
_HAS_SCHEME = re.compile(r"[a-z][a-z0-9+.:-]*://", re.IGNORECASE)
_HOST_LIKE = re.compile(r"(?=\S*[.:0-9-])[^\W_]\S*|\[[0-9A-Fa-f:.]+\]\S*")


def items_of(value: object) -> tuple[object, ...]:
    """Return the items of a list; one value that is no list is its only item.

    :raises ValueError: for an object, whose values have no order that means anything.
    """
    if isinstance(value, list | tuple):
        return tuple(value[:MAX_ITEMS])
    if isinstance(value, dict):
        raise ValueError(f"{for_error(value)} is not a list")
    return (value,)


def split_names(text: str) -> Iterator[str]:
    """Yield the names in a text with commas, semicolons or line breaks between them."""
    for part in _COMMAS.split(text[:_MAX_TEXT]):
        if name := _BULLET.sub("", part).strip().strip("\"'").strip():
            yield name


def split_urls(text: str) -> Iterator[str]:
    """Yield the URLs in a text with spaces, line breaks, or commas before the next scheme between them."""
    yield from (part for part in (p.strip(" ,;") for p in _URLS.split(text[:_MAX_TEXT])) if part)


def split_targets(text: str) -> Iterator[str]:
    """Yield what may be probe targets. Words that are none stay together, so that they are reported as written."""
    for line in _LINES.split(text[:_MAX_TEXT]):
        for part in _split_before_scheme(_BULLET.sub("", line)):
            words = part.split()
            if len(words) > 1 and not all(_HAS_SCHEME.match(word) or _HOST_LIKE.fullmatch(word) for word in words):
                yield " ".join(words)
            else:
                yield from words


def _split_before_scheme(line: str) -> list[str]:
    """Split at commas, except within a URL, whose query may hold one, or a list of hosts after a scheme."""
    parts: list[str] = []
    for part in line.split(","):
        url = bool(parts) and _HAS_SCHEME.match(parts[-1].strip()) is not None
        # "redis://a:1,b:2/0" and "https://h/?x=1,2" go on; ", https://" and ", host" begin an item.
        if url and part and not part[0].isspace() and not _HAS_SCHEME.match(part):
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return [part.strip() for part in parts if part.strip()]


def split_people(text: str) -> Iterator[str]:
    """Yield the queries for people in a text.

    Understands e-mail addresses, ``@handles`` and Slack ids with any separator, mailboxes (``Dana <dana@...>``, of
    which the address counts), Slack's own markup, and names, one a line or with semicolons or commas between.
    """
    text = _SLACK_MARKUP.sub(lambda found: f" {found[1] or found[2]} ", text[:_MAX_TEXT])
    for line in _LINES.split(text):
        rest = _BULLET.sub("", line)
        while (mailbox := _MAILBOX.search(rest)) is not None:
            yield from _split_line(_before_display_name(mailbox["name"]))
            yield mailbox["address"]
            rest = rest[mailbox.end() :]
        yield from _split_line(rest)


def _before_display_name(text: str) -> str:
    """Return what stands before the display name of a mailbox: other people of the same line."""
    if (quoted := re.search(r"\"[^\"]*\"\s*$", text)) is not None:
        return text[: quoted.start()]
    parts = text.split(",")
    display = parts.pop().strip()
    if parts and _is_name(parts[-1]) and " " not in parts[-1].strip() and display:
        parts.pop()  # "Reyes, Dana <dana@...>"
    return ",".join(parts)


def _split_line(line: str) -> Iterator[str]:
    parts = [part.strip().strip("\"'").strip() for part in line.split(",")]
    parts = [part for part in parts if part]
    if _are_last_first(parts):
        yield from (f"{last}, {first}" for last, first in zip(parts[::2], parts[1::2], strict=True))
        return
    for part in parts:
        for piece in _AND.split(part):
            yield from _split_words(piece)


def _are_last_first(parts: list[str]) -> bool:
    """Return whether the parts are names as "Last, First", one after the other.

    In doubt they are: a query that finds nobody is reported, half a name may call in a stranger.
    """
    if not parts or len(parts) % 2 or not all(_is_name(part) for part in parts):
        return False
    single = [" " not in part for part in parts]
    return all(single) or (parts[2:] == [] and any(single))


def _is_name(text: str) -> bool:
    text = text.strip()
    return (
        bool(text)
        and _NAME_PART.fullmatch(text) is not None
        and any(c.isupper() or not c.islower() for c in text if c.isalpha())
        and _AND.search(text) is None
    )


def _split_words(text: str) -> Iterator[str]:
    """Yield addresses, ids and handles one by one, and the words between them as names."""
    name: list[str] = []
    for word in text.split():
        address = _ADDRESS.fullmatch(word)
        if address or _SLACK_ID.fullmatch(word) or word.startswith("@"):
            if name:
                yield " ".join(name)
            name = []
            if word.startswith("@") and not address:
                name = [word]  # "@Dana Reyes" is one display name
            else:
                yield address[1] if address else word
        else:
            name.append(word)
    if name:
        yield " ".join(name)
