"""Times and severities as payloads write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from airflow_incident_provider.models import Severity

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


CHOICES = "use critical, high, medium or low (or P1..P5, SEV-0..SEV-5)"

_BY_NUMBER = {
    0: Severity.CRITICAL,
    1: Severity.CRITICAL,
    2: Severity.HIGH,
    3: Severity.MEDIUM,
    4: Severity.LOW,
    5: Severity.LOW,
}
_BY_WORD = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "major": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "moderate": Severity.MEDIUM,
    "low": Severity.LOW,
    "minor": Severity.LOW,
}
_NUMBERED = re.compile(r"(?:p|sev|severity|priority)?([0-5])")
_SEPARATORS = re.compile(r"[\s_-]+")


def read_severity(said: object) -> Severity | None:
    """Return the severity that ``said`` (text or a whole number) means, or nothing if it is not understood."""
    if isinstance(said, bool):
        return None
    if isinstance(said, int):
        return _BY_NUMBER.get(said)
    if not isinstance(said, str):
        return None
    word = _SEPARATORS.sub("", said[:100].casefold())
    numbered = _NUMBERED.fullmatch(word)
    return _BY_NUMBER[int(numbered[1])] if numbered else _BY_WORD.get(word)
