"""
An incident's key: the same for every notification of one incident, different for different incidents.

The run id, the channel and every message derive from it, so it is made only of what Airflow allows in a run id.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from slugify import slugify

MAX_PART = 80
_DISALLOWED = r"[^A-Za-z0-9_.~:+-]+"
_ALLOWED = re.compile(r"[A-Za-z0-9_.~:+-]+")


def alert_key(
    monitor_id: str | None, cycle_key: str | None, event_id: str | None, scope: Iterable[str], title: str
) -> str:
    """Return the key of a monitor's alert.

    Whether a cycle key is unique to a group is not documented, so the group (the scope) is part of the key. The
    event's id changes with each notification: it stands in only when there is no cycle key, and the title only
    when there is no id either.
    """
    parts = ["dd", monitor_id, cycle_key or event_id]
    if not any(parts[1:]):
        parts.append("t" + digest(title))
    groups = sorted(set(scope))
    return _joined([*parts, digest(",".join(groups)) if groups else None])


def incident_key(public_id_or_uuid: str) -> str:
    """Return the key of a Datadog incident."""
    return _joined(["ddi", public_id_or_uuid])


def manual_key(given_id: str) -> str:
    """Return the key of an incident that a person described."""
    return _joined(["man", given_id])


def digest(text: str) -> str:
    """Return six hexadecimal digits that tell texts apart."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def slug(text: str, limit: int = MAX_PART) -> str:
    """Return ``text`` in the characters of a run id, transliterated where it is not ASCII; it may be empty."""
    made: str = slugify(text[:1000], lowercase=False, regex_pattern=_DISALLOWED, max_length=limit)
    return re.sub(r"\.{2,}", ".", made).strip(".-")


def _joined(parts: Iterable[str | None]) -> str:
    return ".".join(_part(part) for part in parts if part)


def _part(text: str) -> str:
    """Return ``text`` as a part of a key; when that changes it, a digest keeps it apart from its likes."""
    if len(text) <= MAX_PART and _ALLOWED.fullmatch(text) and ".." not in text and text.strip(".") == text:
        return text
    short = slug(text, MAX_PART - 7)
    return f"{short}-{digest(text)}" if short else digest(text)
