"""
The key of an incident: the same for every notification of one incident, different for different incidents.

The run id, the channel and every message derive from it, so it is made only of characters that Airflow allows in a
run id. What does not fit is replaced by a digest of 64 bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from slugify import slugify

from airflow_incident_provider.text import digest, digest_of, redact

MAX_PART = 80
FORMER_DIGITS = 6
"""Hexadecimal digits of the digests in the keys of version 0.1.0."""

_DIGITS = 16
_DISALLOWED = r"[^A-Za-z0-9_.~:+-]+"
_ALLOWED = re.compile(r"[A-Za-z0-9_.~:+-]+")


def alert_key(
    monitor_id: str | None,
    cycle_key: str | None,
    event_id: str | None,
    scope: Iterable[str],
    title: str,
    *,
    digits: int = _DIGITS,
) -> str:
    """Return the key of a monitor's alert.

    Whether a cycle key is unique to a group is not documented, so the group (the scope) is part of the key. The
    event's id changes with each notification: it stands in only when there is no cycle key, and the title only
    when there is no id either.

    :param digits: of each digest; ``FORMER_DIGITS`` for the key that version 0.1.0 made.
    """
    parts = ["dd", monitor_id, cycle_key or event_id]
    if not any(parts[1:]):
        parts.append("t" + digest(title, digits))
    groups = sorted(set(scope))
    return _joined([*parts, digest(",".join(groups), digits) if groups else None], digits)


def incident_key(public_id_or_uuid: str, *, digits: int = _DIGITS) -> str:
    """Return the key of a Datadog incident."""
    return _joined(["ddi", public_id_or_uuid], digits)


def report_key(given_id: str, *, digits: int = _DIGITS) -> str:
    """Return the key of an incident that was reported under an id of its own."""
    return _joined(["man", given_id], digits)


def report_fingerprint(title: str, places: Iterable[Iterable[str]]) -> str:
    """Return what identifies a report without an id: its title, and where it happens."""
    return digest_of(
        [title.casefold(), *(sorted({name.casefold() for name in names}) for names in places)], _DIGITS
    )


def slug(text: str, limit: int = MAX_PART) -> str:
    """Return ``text`` in the characters of a run id, transliterated where it is not ASCII; it may be empty."""
    made: str = slugify(text[:1000], lowercase=False, regex_pattern=_DISALLOWED, max_length=limit)
    return re.sub(r"\.{2,}", ".", made).strip(".-")


def _joined(parts: Iterable[str | None], digits: int) -> str:
    return ".".join(_part(part, digits) for part in parts if part)


def _part(text: str, digits: int) -> str:
    """Return ``text`` as a part of a key; when that changes it, a digest keeps it apart from similar texts.

    A key gets into run ids and channel names, so it holds no secret.
    """
    public = redact(text)
    if (
        public == text
        and len(text) <= MAX_PART
        and _ALLOWED.fullmatch(text)
        and ".." not in text
        and text.strip(".") == text
    ):
        return text
    short = slug(public, MAX_PART - digits - 1)
    return f"{short}-{digest(text, digits)}" if short else digest(text, digits)
