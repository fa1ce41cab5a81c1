"""Tags and scopes: comma-separated ``key:value`` pairs or bare words, in no sure order."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_incident_provider.intake.bounds import bounded_names
from airflow_incident_provider.intake.datadog.variables import is_unset
from airflow_incident_provider.intake.flags import Flags

_MAX_READ = 1000
"""Tags that are looked at; far more than are kept."""


def read_tags(value: object, *, field: str, flags: Flags) -> tuple[str, ...]:
    """Return the tags that a variable holds, as text with commas or as a list; anything else is flagged."""
    if is_unset(value):
        return ()
    if isinstance(value, str):
        parts = value.split(",", _MAX_READ)[:_MAX_READ]
    elif isinstance(value, list):
        parts = [tag for tag in value[:_MAX_READ] if isinstance(tag, str)]
        if len(parts) < len(value):
            flags.add(field, value, "tags that are not text, or too many, were left out")
    else:
        flags.add(field, value, "left out: tags are text with commas between, or a list")
        return ()
    return bounded_names(parts, field=field, flags=flags)


def values_of(key: str, tags: Iterable[str]) -> tuple[str, ...]:
    """Return the values of the tags with this key, in their order, each once."""
    prefix = f"{key}:"
    found = (tag[len(prefix) :].strip() for tag in tags if tag.casefold().startswith(prefix))
    return tuple(dict.fromkeys(value for value in found if value))
