"""What kind of thing a query for a person is: an id, an e-mail address, a handle, a user group or a name.

:func:`~airflow_incident_provider.intake.lists.split_people` splits lists into queries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
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
    """A parsed query: its kind, and the id, address, handle (without ``@``) or name in it.

    ``name`` is the whole text of an id that may be a name in capitals: "Denzel WASHINGTON".
    """

    kind: QueryKind
    value: str
    name: str | None = None


_ADDRESS = r"[^@\s<>|,;()\[\]{}\"]+@[^@\s<>|,;()\[\]{}\"]+"
_PROFILE = r"https://[\w.-]+/(?:team|client/T[A-Z0-9]+(?:/[a-z_]+)?)"
_STRAY = " \t[](){}'\"\u2018\u2019\u201c\u201d`*\u2022,;:!?"
"""Punctuation that may be left around an item of a list or a sentence."""
_SEPARATES_PEOPLE = re.compile(r"[@<>;/&+|]")
_MARKED = re.compile(r"[<@/]")
"""Part of a mention or a link: what is in it is an id."""
_MIN_ID = 8
"""Characters of an id beside a name: "U2" may be a part of the name."""

# The order matters: a pasted mention is no handle, and an address in angle brackets is no mention.
# A bare id is distinguished from a name in capitals ("WANG") by its digits, or by the length that ids have.
_FORMS: tuple[tuple[QueryKind, re.Pattern[str]], ...] = (
    (QueryKind.ID, re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")),
    (QueryKind.USERGROUP, re.compile(r"<!subteam\^(S[A-Z0-9]+)(?:\|[^>]*)?>")),
    (QueryKind.ID, re.compile(r"([UW](?=[A-Z]*[0-9])[A-Z0-9]+|[UW][A-Z]{8,})")),
    (QueryKind.USERGROUP, re.compile(r"(S(?=[A-Z]*[0-9])[A-Z0-9]{6,})")),
    (QueryKind.ID, re.compile(rf"<?{_PROFILE}/([UW][A-Z0-9]+)/?(?:\?[^|>]*)?(?:\|[^>]*)?>?")),
    (QueryKind.EMAIL, re.compile(rf"<?mailto:({_ADDRESS.replace('|,', '|?,')})(?:[|?][^>]*)?>?", re.IGNORECASE)),
    (QueryKind.EMAIL, re.compile(rf"[^<>]*<(?:mailto:)?({_ADDRESS})(?:\|[^>]*)?>", re.IGNORECASE)),
    (QueryKind.EMAIL, re.compile(rf"({_ADDRESS})")),
    (QueryKind.HANDLE, re.compile(r"@([^@\s()]+)(?:\s*\([^@()]*)?")),
)


def parse_query(text: str) -> Query:
    """Return what is asked for.

    Understood are ``U012ABC``, ``<@U012ABC|name>`` and a link to a Slack profile, ``<!subteam^S012ABC>``,
    ``a@example.com`` and ``mailto:a@example.com``, each also beside a name, as in ``Name <a@example.com>``, and
    ``@handle``; everything else is a name.

    :raises ValueError: the text holds no name, or is too long; the message says which.
    """
    text = text.strip().replace("\uff20", "@")
    if not any(map(str.isalnum, text)):
        raise ValueError("there is no name in it")
    if len(text) > MAX_QUERY_LENGTH:
        raise ValueError(f"it is longer than {MAX_QUERY_LENGTH} characters")
    name = Query(QueryKind.NAME, text.removeprefix("@").strip().strip('"'))
    query = _certain(text) or _certain_beside_name(text) or name
    may_be_name = query.kind is QueryKind.ID and query.value.isalpha() and not _MARKED.search(text)
    return replace(query, name=name.value) if may_be_name else query


def _certain(text: str) -> Query | None:
    """Return the id, address or handle that a text is, apart from the punctuation around it."""
    bare = text.strip(_STRAY).rstrip(".")
    for kind, form in _FORMS:
        if found := form.fullmatch(bare):
            return Query(kind, found[1].lower() if kind is QueryKind.EMAIL else found[1])
    return None


def _certain_beside_name(text: str) -> Query | None:
    """Return the id or address in a text that holds one, and otherwise at most the name of one person."""
    queries = {word: _certain(word) for word in text.split()}
    found = {
        word: query
        for word, query in queries.items()
        if query is not None and query.kind is not QueryKind.HANDLE and len(query.value) >= _MIN_ID
    }
    name = " ".join(word for word in queries if word not in found)
    if len(found) != 1 or _SEPARATES_PEOPLE.search(name):
        return None
    [(word, query)] = found.items()
    return query if "," not in name or word.startswith("<") else None
