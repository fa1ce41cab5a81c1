"""Scalar values as senders write them: unset variables, text, yes or no, severities and times."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Final

from airflow_incident_provider.models import Severity
from airflow_incident_provider.text import for_error

SEVERITY_CHOICES: Final = "use critical, high, medium or low (or P1..P5, SEV-0..SEV-5)"
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
MAX_CLOCK_SKEW: Final = timedelta(days=1)
"""How far a sender's clock may run ahead of ours before its time is considered wrong."""

_NULL_WORDS = frozenset(
    {
        "",
        "null",
        "none",
        "nil",
        "undefined",
        "n/a",
        "n.a.",
        "no value",
        "not set",
        "unset",
        "nullptr",
        "object object",
    }
)
_AROUND_WORD = " \t\r\n<>()[]{}\"'`#-\u2013\u2014_"
"""Characters around a word that means nothing: ``<nil>``, ``(null)``, ``"none"``, ``--``."""
_LONGEST_NULL = 30
_UNRENDERED = re.compile(
    r"\$[A-Za-z][A-Za-z0-9_]*(?:\[[^\]]*\])?|[$#%]\{[^{}]{0,200}\}|\{\{[^{}]{0,200}\}\}|<%=?[^%]{0,200}%>"
    r"|([%@]|__)[A-Z][A-Z0-9_]{2,60}\1"
)
_SCALAR_NAMES = ("email", "value", "name", "url", "id")
"""The names under which an object contains its one value, the surest first."""
_MAX_WRAPPERS = 4
_LONGEST_NUMBER = 256
"""Bits; no id comes near, and Python refuses to print integers of more than 4,300 digits."""
_LONGEST_TIME = 64
"""Bits of a POSIX time in nanoseconds."""
_TRUE = frozenset({"true", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "no", "n", "off", "0"})

_BY_NUMBER = (Severity.CRITICAL, Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.LOW)


def _without_accents(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


_BY_WORD = {
    _without_accents(word): severity
    for severity, words in {
        Severity.CRITICAL: "critical crit fatal emergency emerg disaster blocker panic critico critica critique"
        " kritisch kritiek критический 严重 緊急 紧急 致命",
        Severity.HIGH: "high major error err severe urgent page alert hoch alta alto haute eleve elevee hoog"
        " высокий 高 重大",
        Severity.MEDIUM: "medium moderate warning warn average degraded normal mittel media medio moyen moyenne"
        " средний 中 警告",
        Severity.LOW: "low minor info information informational notice debug trivial niedrig baja baixa basso"
        " faible laag низкий 低",
    }.items()
    for word in words.split()
}
_NUMBERED = re.compile(r"(?:p|prio|priority|s|sev|severity|level)?([0-5])")
_NOT_IN_WORD = re.compile(r"[\W_]+")
_LABELS = frozenset({"p", "prio", "priority", "s", "sev", "severity", "level"})
_LABELLED_NUMBER = re.compile(rf"\b({'|'.join(sorted(_LABELS, key=len, reverse=True))})[^a-z0-9]+(?=[0-5]\b)")
_POSIX = re.compile(r"\d{1,19}(?:\.\d{1,9})?")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_HALF_DAY = re.compile(r"\b(1[0-2]|0?[1-9])((?::[0-5]\d){1,2})?\s?([ap])\.?m\b\.?", re.IGNORECASE)
_AGO = re.compile(r"(\d{1,4})\s*(s|m|h|d)[a-z]*(?:\s+ago)?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def is_unset(value: object) -> bool:
    """Return whether a template variable had no value.

    It may arrive as empty text, as ``null`` in any spelling and within any brackets or quotes, as a number that is
    none, or as the unrendered name of the variable (``$ALERT_ID``, ``${ID}``, ``{{ id }}``, ``%ID%``).
    """
    if isinstance(value, str):
        text = value.strip()
        word = text.strip(_AROUND_WORD).casefold() if len(text) <= _LONGEST_NULL else text
        return word in _NULL_WORDS or _UNRENDERED.fullmatch(text) is not None
    return value is None or value in ([], {}) or (isinstance(value, float) and not math.isfinite(value))


def unwrapped(value: object) -> object:
    """Return the value that a list of one item, or an object such as ``{"name": "checkout"}``, contains."""
    for _ in range(_MAX_WRAPPERS):
        if isinstance(value, list | tuple) and len(value) == 1:
            value = value[0]
        elif isinstance(value, dict):
            name = next((name for name in _SCALAR_NAMES if not is_unset(value.get(name))), None)
            if name is None:
                break
            value = value[name]
        else:
            break
    return value


def read_text(value: object) -> str | None:
    """Return a value as text; ``None`` if it is unset. A number is text, for templates leave quotes out.

    :raises ValueError: if it is neither text nor a number.
    """
    value = unwrapped(value)
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
    value = unwrapped(value)
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

    Understands P1..P5, SEV-0..SEV-5, numbers, and the words of common monitoring systems. Of several, as in
    ``P1 (urgent)`` or ``5 - Disaster``, a code counts before a word, and a word before a bare number, whose scale
    is unknown. Two different ones of a kind, or any other word, are not understood.
    """
    value = unwrapped(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return _BY_NUMBER[value] if 0 <= value < len(_BY_NUMBER) else None
    if not isinstance(value, str):
        return None
    text = _LABELLED_NUMBER.sub(r"\1", _without_accents(value[:100].casefold()))
    words = [word for word in _NOT_IN_WORD.split(text) if word and word not in _LABELS]
    # A word in another script may say what it is about.
    words = [word for word in words if word.isascii() or word in _BY_WORD]
    found = [_severity_word(word) for word in words]
    kinds = [{severity for kind, severity in found if kind == each} - {None} for each in _SeverityWord]
    named = next((kind for kind in kinds if kind), set())
    return named.pop() if len(named) == 1 and all(severity for _, severity in found) else None


class _SeverityWord(Enum):
    """The kinds of words that mean a severity, the surest first."""

    CODE = auto()
    WORD = auto()
    NUMBER = auto()


def _severity_word(word: str) -> tuple[_SeverityWord, Severity | None]:
    numbered = _NUMBERED.fullmatch(word)
    if numbered is None:
        return _SeverityWord.WORD, _BY_WORD.get(word)
    return (_SeverityWord.NUMBER if word.isdecimal() else _SeverityWord.CODE), _BY_NUMBER[int(numbered[1])]


def read_time(value: object, *, received_at: datetime | None = None) -> datetime | None:
    """Return the time that ``value`` means, or ``None`` if it is not understood.

    Numbers, also as text, are POSIX time in seconds, milliseconds, microseconds or nanoseconds. Other text is
    ISO 8601 or RFC 5322. With ``received_at``, a time of day means the latest such time before it (in UTC), and
    ``15 min ago`` counts back from it. A time without an offset comes back naive.
    """
    value = unwrapped(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        value = str(value) if not isinstance(value, int) or value.bit_length() <= _LONGEST_TIME else ""
    if not isinstance(value, str):
        return None
    text = _HALF_DAY.sub(_whole_day, " ".join(value.strip()[:60].split()))
    try:
        if _POSIX.fullmatch(text):
            return _from_posix(float(text))
        return (received_at and _relative(text.casefold(), received_at)) or _from_text(text)
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        return None


def _whole_day(found: re.Match[str]) -> str:
    """Return the 24-hour time of a 12-hour time."""
    hour = int(found[1]) % 12 + (12 if found[3].lower() == "p" else 0)
    return f"{hour:02}{found[2] or ':00'}"


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
