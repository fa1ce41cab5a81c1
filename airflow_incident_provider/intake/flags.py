"""What was odd about a payload and kept all the same, gathered while it is read."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_incident_provider.models import Flag
from airflow_incident_provider.text import for_error, one_line, shorten

MAX_FLAGS = 50


class Flags:
    """The flags of one payload, in the order they were found; at most ``MAX_FLAGS`` are kept."""

    def __init__(self, flags: Iterable[Flag] = ()) -> None:
        self._flags = list(flags)

    def add(self, field: str, value: object, note: str) -> None:
        """Flag ``field``, which held ``value``; ``note`` says what was made of it."""
        if len(self._flags) < MAX_FLAGS:
            name = shorten(one_line(field), 100)
            self._flags.append(Flag(field=name, value=for_error(value).strip("'"), note=note))

    def as_tuple(self) -> tuple[Flag, ...]:
        """Return what was flagged so far."""
        return tuple(self._flags)
