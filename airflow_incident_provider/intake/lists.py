"""
Lists as people write them: in JSON, or as text with commas, semicolons, spaces or line breaks between the items.

A comma inside a person's name ("Reyes, Dana") separates nothing: a half of a name would find somebody else. So text
is split at a comma only where the parts cannot be the two halves of one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from airflow_incident_provider.intake.values import composed, is_unset, json_in, unwrapped

MAX_ITEMS = 1000
"""Items of a list that are looked at; far more than are kept."""
_MAX_TEXT = 100_000

_BULLET = re.compile(r"^\s*(?:[-*\u2022]\s+|\d{1,3}[.)]\s+)")
_LINES = re.compile(r"[\n\r;]+")
_COMMAS = re.compile(r"[,\n\r;]+")
_TAG_SEPARATOR = re.compile(r"[,\n\r;|]+")
_QUOTES = "\"'"
_TAG_PAIR = re.compile(r"\S:\S")
_TAG_KEY = re.compile(r"^([A-Za-z][\w./-]{0,99})(?:\s*(?:=>|:=|=|\uff1a)\s*|\s*:\s+|\s+:)(?=\S)")
"""A key before what stands for a colon: ``env=prod``, ``env: prod``."""
_URLS = re.compile(r"\s*[,;]\s*(?=[a-z][a-z0-9+.-]*://)|\s+", re.IGNORECASE)
_SLACK_MARKUP = re.compile(r"<(?:@|!subteam\^)([A-Z0-9]{2,32})(?:\|[^<>]*)?>|<mailto:([^<>|\s]+)(?:\|[^<>]*)?>")
_MAILBOX = re.compile(r"(?P<name>[^<>]*)<\s*(?:mailto:)?(?P<address>[^<>@\s]+@[^<>@\s]+)\s*>")
_ADDRESS = re.compile(r"(?:mailto:)?([^@\s,<>]+@[^@\s,<>?]+\.[^@\s,<>?]+)(?:\?[^\s<>]*)?", re.IGNORECASE)
_SLACK_ID = re.compile(r"[UWS][A-Z0-9]{6,31}")
_PERSON_SEPARATOR = re.compile(r"[\n\r;|\uff1b\u3001\uff0c\u060c\u2022]+|\s+(?:and|&|\+|/)\s+", re.IGNORECASE)
_COMMA_IN_LIST = re.compile(r",\s")
_PROTECTED = re.compile(r'"[^"\n]*"|<[^<>\n]*>|\([^()\n]*\)')
"""Quoted names, addresses and remarks: separators in them are text."""
_ADDRESS_MARK, _TEXT_MARK = "\ue000", "\ue001"
"""Stand for a protected text while a list is split: one in angle brackets, or another."""
_MARKED = re.compile(f"[{_ADDRESS_MARK}{_TEXT_MARK}](\\d+)[{_ADDRESS_MARK}{_TEXT_MARK}]")
_GIVEN_NAME_WITH_MORE = re.compile(
    f"[^\\s{_ADDRESS_MARK}{_TEXT_MARK}]+\\s+(?:{_ADDRESS_MARK}\\d+{_ADDRESS_MARK}|{_TEXT_MARK}\\d+{_TEXT_MARK})"
)
"""A given name with an address or a remark: "Dana <dana@acme.example>", "Dana (on call)"."""
_HAS_SCHEME = re.compile(r"[a-z][a-z0-9+.:-]*://", re.IGNORECASE)
_HOST_LIKE = re.compile(r"(?=\S*[.:0-9-])[^\W_]\S*|\[[0-9A-Fa-f:.]+\]\S*")


def items_of(value: object) -> tuple[object, ...]:
    """Return the items of a list; one value that is no list is its only item."""
    return tuple(value[:MAX_ITEMS]) if isinstance(value, list | tuple) else (value,)


ACCUMULATED = frozenset({"tags", "private"})
"""Fields that decide who may see an alert: where two of one are given, neither may hide the other."""


def merged_fields(outer: Mapping[str, object], inner: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of an alert with what stands around it: its own count before that, or join it."""
    both = {name for name in ACCUMULATED if name in outer and name in inner}
    return {**outer, **inner, **{name: [*items_of(outer[name]), *items_of(inner[name])] for name in both}}


def split_names(text: str) -> Iterator[str]:
    """Yield the names in a text with commas, semicolons or line breaks between them."""
    for part in _COMMAS.split(text[:_MAX_TEXT]):
        if name := _BULLET.sub("", part).strip().strip("\"'").strip():
            yield name


def tag_items(value: object, *, depth: int = 4) -> list[object]:
    """Return the tags that a value holds: text each, but for items that are no tag, which stay as they are.

    They come as text with commas, bars, line breaks or (in hand-made payloads) spaces between, as lists, as an
    object of keys and values, or as objects with a ``key`` and a ``value``. However a tag is written, it is
    returned as ``key:value``.

    :param depth: how many lists in each other are read.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        parsed = json_in(value)
        value = value if parsed is None else parsed
    items: list[object] = list(value[:MAX_ITEMS]) if isinstance(value, list | tuple) else [value]
    tags: list[object] = []
    for item in items:
        if isinstance(item, dict):
            tags += _tags_of(item)
        elif isinstance(item, list | tuple) and depth:
            tags += tag_items(item, depth=depth - 1)
        elif isinstance(item, str) and (item is value or _is_tag_list(item)):
            tags += _split_tags(item)
        else:
            tags.append(item)
    return [_plain_tag(tag) if isinstance(tag, str) else tag for tag in tags[:MAX_ITEMS]]


def _is_tag_list(text: str) -> bool:
    parts = _TAG_SEPARATOR.split(text)
    return len(parts) > 1 and all(_TAG_PAIR.search(part) for part in parts)


def _split_tags(text: str) -> list[str]:
    stripped = text.strip()
    if stripped[:1] + stripped[-1:] in ("[]", "()", "{}"):
        text = stripped[1:-1]
    spaced = not _TAG_SEPARATOR.search(text) and len(_TAG_PAIR.findall(text)) > 1
    return text.split() if spaced else _TAG_SEPARATOR.split(text)


def _plain_tag(tag: str) -> str:
    """Return a tag without quotes, and with a single colon after its key: no tag holds an equals sign.

    Only the quotes around the tag, or around its value, are no part of it.
    """
    tag = composed(tag).strip().lstrip(_QUOTES).strip()
    key, colon, value = _TAG_KEY.sub(r"\1:", tag.removeprefix("#").strip(), count=1).partition(":")
    is_quoted = value[:1] in tuple(_QUOTES) and value[:1] == value[-1:]
    # A quote that nothing closes is a part of the value.
    value = value.strip(_QUOTES) if is_quoted or value[:1] not in tuple(_QUOTES) else value
    return f"{key}{colon}{value}" if colon else key.strip(_QUOTES)


def values_of(key: str, tags: Iterable[str]) -> tuple[str, ...]:
    """Return the values of the tags with this key, in their order, each once; Datadog's ``N/A`` is no value."""
    prefix = f"{key}:"
    found = (tag[len(prefix) :].strip() for tag in tags if tag.casefold().startswith(prefix))
    return tuple(dict.fromkeys(value for value in found if not is_unset(value)))


def _tags_of(keyed: dict[object, object]) -> Iterator[object]:
    pair = {str(key).casefold(): item for key, item in keyed.items()}
    if pair.keys() in ({"key", "value"}, {"name", "value"}):
        keyed = {pair.get("key", pair.get("name")): pair["value"]}
    for key, value in keyed.items():
        for item in map(unwrapped, value if isinstance(value, list) else [value]):
            if isinstance(item, bool):
                yield f"{key}:{str(item).lower()}"
            else:
                yield f"{key}:{item}" if isinstance(item, str | int | float) else item


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
    which the address counts), Slack's own markup, and names. Line breaks, semicolons, bars, "and", "&" and the
    commas of other scripts always separate people. A comma separates them too, unless what stands around it may be
    one person, "Reyes, Dana": such a pair stays one query, because two strangers may be called Reyes and Dana.
    :mod:`airflow_incident_provider.people.resolver` reads it as two people only if both are certain::

        "Smith, John; Doe, Jane"         -> "Smith, John" and "Doe, Jane"
        "van der Berg, Jan"              -> one query
        "dana@acme.example, @sre-oncall" -> two queries
        "Dana, Priya, Sam"               -> three queries: no pair
        "alice,bob"                      -> two usernames
    """
    protected: list[str] = []

    def protect(found: re.Match[str]) -> str:
        mark = _ADDRESS_MARK if found[0].startswith("<") else _TEXT_MARK
        protected.append(found[0])
        return f"{mark}{len(protected) - 1}{mark}"

    unmarked = text[:_MAX_TEXT].replace(_ADDRESS_MARK, "").replace(_TEXT_MARK, "")
    for line in _PERSON_SEPARATOR.split(_PROTECTED.sub(protect, unmarked)):
        for query in _split_at_commas(_BULLET.sub("", line)):
            restored = _MARKED.sub(lambda found: protected[int(found[1])], query).strip()
            if any(map(str.isalnum, restored)):
                yield _without_markup(restored)


def _split_at_commas(line: str) -> Iterator[str]:
    parts = [word for part in line.split(",") for word in _split_at_spaces(part.strip()) if word]
    # A script without capitals does not distinguish usernames.
    if not _COMMA_IN_LIST.search(line) and line == line.lower() != line.upper():
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
        family = names.pop() if names and _GIVEN_NAME_WITH_MORE.fullmatch(part) else None
        yield from _pair_names(names)
        yield f"{family}, {part}" if family else part
        names = []
    yield from _pair_names(names)


def _pair_names(names: list[str]) -> Iterator[str]:
    """Yield names, each two that may be "Last, First" as one.

    A family name of several words is followed by a single given name ("van der Berg, Jan"). An odd number of
    single words without such a name before them are no pairs.
    """
    at = 0
    while at < len(names):
        several_words = " " in names[at]
        singles = _count_single_words(names, at + several_words)
        if singles == 0 or singles % 2 != several_words:
            end = at + (1 if several_words else max(singles, 1))
            yield from names[at:end]
            at = end
        else:
            yield f"{names[at]}, {names[at + 1]}"
            at += 2


def _count_single_words(names: list[str], start: int) -> int:
    return next((at for at, name in enumerate(names[start:]) if " " in name), len(names) - start)


def _is_name(part: str) -> bool:
    """Return whether a part is a name, and nothing that is certain by itself, such as an address."""
    certain = "@" in part or _ADDRESS_MARK in part or _TEXT_MARK in part
    return not certain and not _SLACK_ID.fullmatch(part)


def _without_markup(query: str) -> str:
    """Return a query without quotes, a mailbox as its address, and Slack's markup as the id in it."""
    if found := _SLACK_MARKUP.fullmatch(query):
        return f"<!subteam^{found[1]}>" if query.startswith("<!") else found[1] or found[2]
    if found := _MAILBOX.fullmatch(query):
        return found["address"]
    address = _ADDRESS.fullmatch(query)
    return address[1] if address else query.strip("\"'").strip()
