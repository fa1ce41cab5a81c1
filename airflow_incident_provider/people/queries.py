"""What kind of thing a query for a person is: an id, an e-mail address, a handle, a user group or a name.

:func:`~airflow_incident_provider.intake.lists.split_people` splits lists into queries.
"""

from __future__ import annotations

import re
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
# A bare id is distinguished from a name in capitals ("WANG") by its digits, or by the length that ids have.
_FORMS: tuple[tuple[QueryKind, re.Pattern[str]], ...] = (
    (QueryKind.ID, re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")),
    (QueryKind.USERGROUP, re.compile(r"<!subteam\^(S[A-Z0-9]+)(?:\|[^>]*)?>")),
    (QueryKind.ID, re.compile(r"([UW](?=[A-Z]*[0-9])[A-Z0-9]+|[UW][A-Z]{8,})")),
    (QueryKind.USERGROUP, re.compile(r"(S(?=[A-Z]*[0-9])[A-Z0-9]{6,})")),
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

    :raises ValueError: the text holds no name, or is too long; the message says which.
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
