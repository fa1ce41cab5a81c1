"""Scalar values as senders write them: unset variables, text, yes or no, severities and times."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from airflow_incident_provider.models import Severity
from airflow_incident_provider.text import for_error

SEVERITY_CHOICES: Final = "use critical, high, medium or low (or P1..P5, SEV-0..SEV-5)"
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
MAX_CLOCK_SKEW: Final = timedelta(days=1)
"""How far a sender's clock may run ahead of ours before its time is considered wrong."""

_NULL_WORDS = frozenset(
    {"", "null", "none", "nil", "undefined", "n/a", "<nil>", "<null>", "(null)", "<no value>", "[no value]"}
)
_UNRENDERED = re.compile(
    r"\$[A-Za-z][A-Za-z0-9_]*(?:\[[^\]]*\])?|\$\{[^{}]{0,200}\}|\{\{[^{}]{0,200}\}\}|<%=?[^%]{0,200}%>"
)
_LONGEST_NUMBER = 256
"""Bits; no id comes near, and Python refuses to print integers of more than 4,300 digits."""
_LONGEST_TIME = 64
"""Bits of a POSIX time in nanoseconds."""
_TRUE = frozenset({"true", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "no", "n", "off", "0"})

_BY_NUMBER = (Severity.CRITICAL, Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.LOW)
_BY_WORD = {
    word: severity
    for severity, words in {
        Severity.CRITICAL: "critical crit fatal emergency emerg disaster blocker panic",
        Severity.HIGH: "high major error err severe urgent page alert",
        Severity.MEDIUM: "medium moderate warning warn average degraded normal",
        Severity.LOW: "low minor info information informational notice debug trivial",
    }.items()
    for word in words.split()
}
_NUMBERED = re.compile(r"(?:p|prio|priority|s|sev|severity)?([0-5])")
_NOT_IN_WORD = re.compile(r"[^a-z0-9]+")
_POSIX = re.compile(r"\d{1,19}(?:\.\d{1,9})?")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_AGO = re.compile(r"(\d{1,4})\s*(s|m|h|d)[a-z]*(?:\s+ago)?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def is_unset(value: object) -> bool:
    """Return whether a template variable had no value.

    It may arrive as empty text, as ``null`` in any spelling, as a number that is none, or as the unrendered name
    of the variable (``$ALERT_ID``, ``${ID}``, ``{{ id }}``).
    """
    if isinstance(value, str):
        text = value.strip()
        return text.casefold() in _NULL_WORDS or _UNRENDERED.fullmatch(text) is not None
    return value is None or value in ([], {}) or (isinstance(value, float) and not math.isfinite(value))


def read_text(value: object) -> str | None:
    """Return a value as text; ``None`` if it is unset. A number is text, for templates leave quotes out.

    :raises ValueError: if it is neither text nor a number.
    """
    if is_unset(value):
        return None
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
            raise ValueError(f"{for_error(value)} is not an id")
        return str(value)
    raise ValueError(f"{for_error(value)} is not text")


def read_yes_or_no(value: object) -> bool | None:
    """Return a truth value; ``None`` if it is unset.

    :raises ValueError: if it is neither true nor false.
    """
    if isinstance(value, bool):
        return value
    if is_unset(value):
        return None
    word = str(value).strip().casefold() if isinstance(value, str | int) else ""
    if word not in _TRUE | _FALSE:
        raise ValueError(f"{for_error(value)} is neither true nor false")
    return word in _TRUE


def read_severity(value: object) -> Severity | None:
    """Return the severity that text or a whole number means, or ``None`` if it is not understood.

    Understands P1..P5, SEV-0..SEV-5, numbers, the words of common monitoring systems, and a number with a word
    (``1 - Critical``) as long as both mean the same.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return _BY_NUMBER[value] if 0 <= value < len(_BY_NUMBER) else None
    if not isinstance(value, str):
        return None
    text = value[:100].casefold()
    compact = _NOT_IN_WORD.sub("", text)
    if (numbered := _NUMBERED.fullmatch(compact)) is not None:
        return _BY_NUMBER[int(numbered[1])]
    if compact in _BY_WORD:
        return _BY_WORD[compact]
    words = [
        word for word in _NOT_IN_WORD.split(re.sub(r"(sev|severity|prio|priority)[^a-z0-9]+", r"\1", text)) if word
    ]
    found = {_severity_word(word) for word in words}
    return found.pop() if len(found) == 1 else None


def _severity_word(word: str) -> Severity | None:
    numbered = _NUMBERED.fullmatch(word)
    return _BY_NUMBER[int(numbered[1])] if numbered else _BY_WORD.get(word)


def read_time(value: object, *, received_at: datetime | None = None) -> datetime | None:
    """Return the time that ``value`` means, or ``None`` if it is not understood.

    Numbers, also as text, are POSIX time in seconds, milliseconds, microseconds or nanoseconds. Other text is
    ISO 8601 or RFC 5322. With ``received_at``, a time of day means the latest such time before it (in UTC), and
    ``15 min ago`` counts back from it. A time without an offset comes back naive.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        value = str(value) if not isinstance(value, int) or value.bit_length() <= _LONGEST_TIME else ""
    if not isinstance(value, str):
        return None
    text = " ".join(value.strip()[:60].split())
    try:
        if _POSIX.fullmatch(text):
            return _from_posix(float(text))
        return (received_at and _relative(text.casefold(), received_at)) or _from_text(text)
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        return None


def _from_posix(number: float) -> datetime:
    """Return the time of a number, whose magnitude determines its unit: as seconds, 1e11 is the year 5138."""
    for bound, divisor in ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3)):
        if number >= bound:
            number /= divisor
            break
    return datetime.fromtimestamp(number, tz=UTC)


def _from_text(text: str) -> datetime:
    iso = re.sub(r"\s*(?:UTC|GMT|Z)$", "+00:00", text, flags=re.IGNORECASE)
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC)


def _relative(text: str, received_at: datetime) -> datetime | None:
    if text == "now":
        return received_at
    if (ago := _AGO.fullmatch(text)) is not None:
        return received_at - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    if (clock := _CLOCK.fullmatch(re.sub(r"\s*(?:utc|gmt|z)$", "", text))) is None:
        return None
    today = received_at.astimezone(UTC)
    at = today.replace(hour=int(clock[1]), minute=int(clock[2]), second=int(clock[3] or 0), microsecond=0)
    return at if at <= today else at - timedelta(days=1)


def settle_time(moment: datetime | None, *, received_at: datetime) -> tuple[datetime, str | None]:
    """Return a usable time for what a sender stated, and a note where that differs from the statement.

    A time without an offset is read as UTC; what cannot be right, or lies ahead of our clock, is replaced by the
    time of arrival, so that no order of events and no duration goes backwards.

    :param received_at: when the statement arrived (aware).
    """
    note = None
    if moment is None:
        return received_at, "no time, or none that is understood: the time of arrival was taken"
    if moment.tzinfo is None:
        moment, note = moment.replace(tzinfo=UTC), "no time zone given: read as UTC"
    if not EARLIEST <= moment <= received_at + MAX_CLOCK_SKEW:
        return received_at, "not a time that can be right: the time of arrival was taken"
    if moment > received_at:
        ahead = round((moment - received_at).total_seconds())
        return received_at, f"{ahead} s ahead of our clock: the time of arrival was taken" if ahead > 1 else note
    return moment, note
