"""How much of anything an incident carries. Whatever is cut is flagged, so that nobody takes a part for all."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_incident_provider.intake.flags import Flags
from airflow_incident_provider.text import one_line, paragraphs, shorten

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


def bounded_line(text: str, limit: int, *, field: str, flags: Flags) -> str:
    """Return ``text`` as one clean line of at most ``limit`` characters; a cut is flagged."""
    clean = one_line(text[:_MAX_RAW])
    if len(clean) > limit or len(text) > _MAX_RAW:
        flags.add(field, clean, f"cut to {limit} characters")
    return shorten(clean, limit)


def bounded_paragraphs(text: str, limit: int, *, field: str, flags: Flags) -> str:
    """Return ``text`` as clean lines of at most ``limit`` characters in all; a cut is flagged."""
    clean = paragraphs(text[:_MAX_RAW])
    if len(clean) > limit or len(text) > _MAX_RAW:
        flags.add(field, clean, f"cut to {limit} characters")
    return shorten(clean, limit)


def bounded_names(
    names: Iterable[str], *, field: str, flags: Flags, count: int = MAX_NAMES, limit: int = MAX_NAME
) -> tuple[str, ...]:
    """Return at most ``count`` clean, distinct names in their order; case does not make a name distinct."""
    kept: dict[str, str] = {}
    for name in names:
        clean = bounded_line(name, limit, field=field, flags=flags)
        if not clean or clean.casefold() in kept:
            continue
        if len(kept) == count:
            flags.add(field, clean, f"only the first {count} are kept")
            break
        kept[clean.casefold()] = clean
    return tuple(kept.values())
