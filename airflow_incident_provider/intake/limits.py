"""
Bounds of an incident, and the warnings about a payload.

All text of an incident is cleaned, redacted and bounded here. What was cut is reported as a warning, so that no one
takes a part for the whole. The incident as a whole stays below the size of an XCom value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from airflow_incident_provider.models import Incident, ParseWarning
from airflow_incident_provider.text import (
    encoded_size,
    for_error,
    one_line,
    paragraphs,
    redact,
    shorten,
    shrink_to_fit,
)

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
MAX_WARNINGS = 50
MAX_BYTES = 40_000
"""Of an incident: below the 48 KB of an XCom value, to leave room for the timing that the operator adds."""

_MAX_RAW = 20_000
"""Characters that are looked at at all: cleaning costs time for each."""
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
"""The order in which fields are dropped; people come last."""


class ParseWarnings:
    """The warnings about one payload, in the order they were found; at most ``MAX_WARNINGS`` are kept."""

    def __init__(self, warnings: Iterable[ParseWarning] = ()) -> None:
        self._warnings = list(warnings)

    def add(self, field: str, value: object, note: str) -> None:
        """Report that ``field`` held ``value``, and what was made of it."""
        if len(self._warnings) < MAX_WARNINGS:
            name = shorten(redact(one_line(field)), 100)
            self._warnings.append(ParseWarning(field=name, value=for_error(value).strip("'"), note=note))

    def as_tuple(self) -> tuple[ParseWarning, ...]:
        """Return the warnings so far."""
        return tuple(self._warnings)


def bounded_line(text: str, limit: int, *, field: str, warnings: ParseWarnings) -> str:
    """Return ``text`` as one clean line of at most ``limit`` characters, without secrets; a cut is reported."""
    return _bounded(one_line, text, limit, field, warnings)


def bounded_paragraphs(text: str, limit: int, *, field: str, warnings: ParseWarnings) -> str:
    """Return ``text`` as clean lines of at most ``limit`` characters in all; as :func:`bounded_line`."""
    return _bounded(paragraphs, text, limit, field, warnings)


def _bounded(clean: Callable[[str], str], text: str, limit: int, field: str, warnings: ParseWarnings) -> str:
    cleaned = clean(text[:_MAX_RAW])
    plain = redact(cleaned)
    if plain != cleaned:
        warnings.add(field, plain, "a secret in it was redacted")
    if len(plain) > limit or len(text) > _MAX_RAW:
        warnings.add(field, plain, f"cut to {limit} characters")
    return shorten(plain, limit)


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


def fit_incident(incident: Incident, limit: int = MAX_BYTES) -> Incident:
    """Return ``incident`` so that its XCom form takes at most ``limit`` bytes; what was cut is reported.

    Every field has bounds of its own; only a payload that drives many of them to their limits at once, or writes
    in characters that take many bytes, comes this far.
    """
    return shrink_to_fit(
        incident,
        limit,
        size=lambda value: encoded_size(value.to_xcom()),
        steps=[_halving(name) for name in _SHRINK_ORDER],
    )


def _halving(name: str) -> Callable[[Incident], Incident | None]:
    """Return the step that halves a field of an incident, and reports the first time that it does."""
    reported = False

    def halve(incident: Incident) -> Incident | None:
        nonlocal reported
        whole = getattr(incident, name)
        if not whole:
            return None
        update: dict[str, object] = {name: _half(whole)}
        if not reported:
            reported = True
            warnings = ParseWarnings(incident.flags)
            warnings.add(name, whole, "cut: the incident was too large")
            update = {"flags": warnings.as_tuple(), **update}
        return incident.model_copy(update=update)

    return halve


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
