"""
Bounds of an incident, and the warnings about a payload.

Every field is cleaned, redacted and bounded here; what was cut is reported as a warning, so that nobody takes a
part for the whole. The incident as a whole stays below the size of an XCom value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from airflow_incident_provider.models import Incident, ParseWarning
from airflow_incident_provider.text import for_error, one_line, paragraphs, shorten

MAX_TITLE = 300
MAX_DESCRIPTION = 3000
MAX_NAME = 200
MAX_HOST = 253
MAX_QUERY = 1000
MAX_NAMES = 50
MAX_HOSTS = 100
MAX_RESPONDERS = 100
MAX_LINKS = 20
MAX_TARGETS = 20
MAX_FIELDS = 20

_MAX_RAW = 20_000
"""Characters that are looked at at all: cleaning costs time for each."""


def bounded_line(text: str, limit: int, *, field: str, warnings: ParseWarnings) -> str:
    """Return ``text`` as one clean line of at most ``limit`` characters; a cut is flagged."""
    clean = one_line(text[:_MAX_RAW])
    if len(clean) > limit or len(text) > _MAX_RAW:
        warnings.add(field, clean, f"cut to {limit} characters")
    return shorten(clean, limit)


def bounded_paragraphs(text: str, limit: int, *, field: str, warnings: ParseWarnings) -> str:
    """Return ``text`` as clean lines of at most ``limit`` characters in all; a cut is flagged."""
    clean = paragraphs(text[:_MAX_RAW])
    if len(clean) > limit or len(text) > _MAX_RAW:
        warnings.add(field, clean, f"cut to {limit} characters")
    return shorten(clean, limit)


def bounded_names(
    names: Iterable[str], *, field: str, warnings: ParseWarnings, count: int = MAX_NAMES, limit: int = MAX_NAME
) -> tuple[str, ...]:
    """Return at most ``count`` clean, distinct names in their order; case does not make a name distinct."""
    kept: dict[str, str] = {}
    for name in names:
        clean = bounded_line(name, limit, field=field, warnings=warnings)
        if not clean or clean.casefold() in kept:
            continue
        if len(kept) == count:
            warnings.add(field, clean, f"only the first {count} are kept")
            break
        kept[clean.casefold()] = clean
    return tuple(kept.values())


MAX_WARNINGS = 50


class ParseWarnings:
    """The warnings of one payload, in the order they were found; at most ``MAX_WARNINGS`` are kept."""

    def __init__(self, warnings: Iterable[ParseWarning] = ()) -> None:
        self._warnings = list(warnings)

    def add(self, field: str, value: object, note: str) -> None:
        """ParseWarning ``field``, which held ``value``; ``note`` says what was made of it."""
        if len(self._warnings) < MAX_WARNINGS:
            name = shorten(one_line(field), 100)
            self._warnings.append(ParseWarning(field=name, value=for_error(value).strip("'"), note=note))

    def as_tuple(self) -> tuple[ParseWarning, ...]:
        """Return what was flagged so far."""
        return tuple(self._warnings)


MAX_BYTES = 40_000
"""Below the 48 KB of an XCom value, to leave room for the timing that the operator adds."""

_SHORTEST_TEXT = 100

_SHRINK_ORDER = (
    "fields",
    "metrics",
    "tags",
    "description",
    "links",
    "hosts",
    "snapshot_url",
    "flags",
    "teams",
    "services",
    "monitor_ids",
    "targets",
    "responders",
)
"""What is given up first; people are the last to go."""


def fitted(incident: Incident, limit: int = MAX_BYTES) -> Incident:
    """Return ``incident`` so that its XCom form takes at most ``limit`` bytes; what was cut is flagged."""
    for name in _SHRINK_ORDER:
        if encoded_size(incident) <= limit:
            return incident
        incident = _shrunk(incident, name, limit)
    return incident


def encoded_size(incident: Incident) -> int:
    """Return the bytes that the incident takes as JSON, with everything beyond ASCII escaped as Airflow does."""
    return len(json.dumps(incident.to_xcom()))


def _shrunk(incident: Incident, name: str, limit: int) -> Incident:
    whole = getattr(incident, name)
    if not whole:
        return incident
    warnings = ParseWarnings(incident.flags)
    warnings.add(name, whole, "cut: the incident was too large")
    incident = incident.model_copy(update={"flags": warnings.as_tuple()})
    kept = whole if name != "flags" else incident.flags
    while kept and encoded_size(incident) > limit:
        kept = _half(kept)
        incident = incident.model_copy(update={name: kept})
    return incident


def _half(
    value: str | tuple[object, ...] | dict[str, object],
) -> str | tuple[object, ...] | dict[str, object] | None:
    """Return the first half of a text, list or object; a text too short to be of use becomes nothing."""
    middle = len(value) // 2
    if isinstance(value, dict):
        return dict(list(value.items())[:middle])
    if isinstance(value, str) and middle < _SHORTEST_TEXT:
        return None
    return value[:middle]
