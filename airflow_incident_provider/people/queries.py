"""What kind of thing a query for a person is: an id, an e-mail address, a handle, a user group or a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

LONGEST_QUERY = 320
"""Characters. The longest e-mail address (RFC 5321) has fewer, and Slack's names end at 80."""


class QueryKind(StrEnum):
    """How a query is to be answered."""

    ID = "id"
    EMAIL = "email"
    USERGROUP = "usergroup"
    HANDLE = "handle"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was understood: its kind, and the id, address, handle (without ``@``) or name in it."""

    kind: QueryKind
    value: str


# The order matters: a pasted mention is no handle, and an address in angle brackets is no mention.
# A bare id is told from a name in capitals ("WANG") by its digits, or by the length that ids have.
_FORMS: tuple[tuple[QueryKind, re.Pattern[str]], ...] = (
    (QueryKind.ID, re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")),
    (QueryKind.USERGROUP, re.compile(r"<!subteam\^(S[A-Z0-9]+)(?:\|[^>]*)?>")),
    (QueryKind.ID, re.compile(r"([UW](?=[A-Z]*[0-9])[A-Z0-9]+|[UW][A-Z]{8,})")),
    (QueryKind.EMAIL, re.compile(r"<?mailto:([^@\s<>|?]+@[^@\s<>|?]+)(?:[|?][^>]*)?>?", re.IGNORECASE)),
    (QueryKind.EMAIL, re.compile(r"[^<>]*<([^@\s<>|]+@[^@\s<>|]+)>")),
    (QueryKind.EMAIL, re.compile(r"([^@\s<>|,;]+@[^@\s<>|,;]+)")),
    (QueryKind.HANDLE, re.compile(r"@([^@\s]+)")),
)


def parse_query(text: str) -> Query:
    """Return what is asked for.

    Understood are ``U012ABC`` and ``<@U012ABC|name>``, ``<!subteam^S012ABC>``, ``a@example.com``,
    ``mailto:a@example.com`` and ``Name <a@example.com>``, ``@handle``; everything else is a name.

    :raises ValueError: when there is nothing in it, or more than a query has; the message says so in words.
    """
    text = text.strip()
    if not any(map(str.isalnum, text)):
        raise ValueError("there is no name in it")
    if len(text) > LONGEST_QUERY:
        raise ValueError(f"it is longer than {LONGEST_QUERY} characters")
    for kind, form in _FORMS:
        if found := form.fullmatch(text):
            value = found[1]
            return Query(kind, value.lower() if kind is QueryKind.EMAIL else value)
    return Query(QueryKind.NAME, text.removeprefix("@").strip())
