"""Times as payloads write them, read as UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MAX_AHEAD = timedelta(days=1)
"""How far ahead of its arrival an incident's time may lie before it is taken for a mistake."""

_MAX_BITS = 64
_POSIX = re.compile(r"\d{1,15}(?:\.\d{1,9})?")
_LEAST_MILLISECONDS = 100_000_000_000
"""As seconds this is the year 5138, as milliseconds 1973: what is larger is milliseconds."""


def read_moment(said: object) -> datetime | None:
    """Return the time that ``said`` means, or nothing if it is not understood.

    Numbers, also as text, are POSIX time in milliseconds or seconds; other text is ISO 8601. A time without an
    offset comes back naive: whether that is good enough is for the caller to say.
    """
    if isinstance(said, bool):
        return None
    if isinstance(said, int | float):
        said = str(said) if not isinstance(said, int) or said.bit_length() <= _MAX_BITS else ""
    if not isinstance(said, str):
        return None
    text = said.strip()[:50]
    try:
        return _from_posix(float(text)) if _POSIX.fullmatch(text) else _from_iso(text)
    except (ValueError, OverflowError, OSError):
        return None


def is_plausible(moment: datetime, *, received_at: datetime) -> bool:
    """Return whether an incident that came in at ``received_at`` can have begun at ``moment`` (both aware)."""
    return EARLIEST <= moment <= received_at + MAX_AHEAD


def _from_posix(number: float) -> datetime:
    return datetime.fromtimestamp(number / 1000 if number >= _LEAST_MILLISECONDS else number, tz=UTC)


def _from_iso(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC)
