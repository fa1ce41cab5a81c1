"""Times as senders and people write them: of machines, of the clock, in words, and how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Final

from airflow_incident_provider.intake.values import unwrapped

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
MAX_CLOCK_SKEW: Final = timedelta(days=1)
"""How far a sender's clock may run ahead of ours before its time is considered wrong."""

_LONGEST_TIME = 64
"""Bits of a POSIX time in nanoseconds."""
_POSIX = re.compile(r"\d{1,19}(?:\.\d{1,9})?")
_HALF_DAY = re.compile(r"\b(1[0-2]|0?[1-9])((?::[0-5]\d){1,2})?\s?([ap])\.?m\b\.?", re.IGNORECASE)

_AROUND_TIME = re.compile(
    r"^(?:(?:since|from|at|around|about|approx\.?|circa|ca\.?|seit|gegen|um|hacia|vers|\u2248|~)\s*)+"
    r"|\s*(?:uhr|o'clock|local(?: time)?)$"
)
_CLOCK = re.compile(
    r"(?:(?P<before>\w+),?\s+)?(?P<hour>\d{1,2})[:.h](?P<minute>\d{2})(?::(?P<second>\d{2}))?"
    r"(?:\s*(?P<zone>utc|gmt|z|[a-z]{3,4}|(?:utc|gmt)?[+-]\d{1,2}(?::?\d{2})?))?(?:,?\s+(?P<after>\w+))?"
)
_DAYS_AGO = {
    day: number
    for number, days in enumerate(("today heute hoy hoje oggi", "yesterday gestern ayer hier ontem ieri"))
    for day in days.split()
}
_HOURS_AHEAD = {
    "utc": 0, "gmt": 0, "z": 0, "wet": 0, "bst": 1, "cet": 1, "cest": 2, "eet": 2, "eest": 3, "msk": 3, "jst": 9,
    "aest": 10, "edt": -4, "est": -5, "cdt": -5, "mdt": -6, "pdt": -7, "pst": -8,
}  # fmt: skip
"""Zones whose abbreviation is certain enough: of several meanings the one that is written most."""

_UNITS = {
    word: timedelta(seconds=seconds)
    for seconds, words in {
        1: "s sec secs second seconds sek sekunde sekunden segundo segundos seconde secondes \u79d2",
        60: "m min mins minute minutes minuten minuto minutos minuti \u5206 \u5206\u949f",
        3600: "h hr hrs hour hours std stunde stunden hora horas heure heures ora ore \u5c0f\u65f6 \u6642\u9593",
        86400: "d day days tag tage tagen d\u00eda d\u00edas dia dias jour jours giorno giorni \u5929 \u65e5",
    }.items()
    for word in words.split()
}
_ONE = frozenset({"a", "an", "one", "ein", "eine", "einer", "einem", "un", "una", "une", "um", "uma"})
_AMOUNT = re.compile(r"(half (?:an?|one)(?=\s)|\d{1,4}(?:[.,]\d{1,2})?|[a-z]+(?=\s))\s*([^\W\d_]+)")
_AGO = re.compile(r"(?:vor|hace|il y a|h\u00e1|t?-)?\s*(?P<amounts>.*?)\s*(?:ago|earlier|back|fa|\u524d)?")
_DATE = re.compile(r"(\d{1,2})([./])(\d{1,2})\2(\d{4})(?:,?\s+(.*))?|(\d{4})/(\d{1,2})/(\d{1,2})(?:\s+(.*))?")
_DATE_ONLY = re.compile(
    r"\d{4}-\d\d?-\d\d?|\d{4}-?W\d\d(?:-?\d)?|\d{8}|\d{1,2}[./]\d{1,2}[./]\d{4}|\d{4}/\d\d?/\d\d?"
)
"""A day without a time of day; midnight would be a guess."""
_AROUND_OFFSET = re.compile(
    r"(?:(?<=\d) )?(?:GMT(?=[+-]))?(Z|[+-]\d\d:?\d\d)(?: [A-Z]{1,5}| [+-]\d{2,4}| \([^()]{1,40}\))?(?: m=\S+)?"
    r"(?:\[[\w/+-]+\])?$"
)
"""An offset with what Go, Java and JavaScript write around it: ``+0000 UTC``, ``Z[UTC]``, ``GMT+0100 (...)``."""
_ZONE_NAME = re.compile(
    r"(?P<clock>\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?) \(?(?!uhr\b|local\b)(?P<name>[a-z]{1,5})\)?"
    r"(?: (?P<year>\d{4}))?$",
    re.IGNORECASE,
)
_MONTHS = 12


def read_time(value: object, *, received_at: datetime | None = None) -> datetime | None:
    """Return the time that ``value`` means, or ``None`` if it is not understood.

    Numbers, also as text, are POSIX time in seconds, milliseconds, microseconds or nanoseconds. Other text is
    ISO 8601 or RFC 5322, or a date such as ``23.11.2026``; one whose day and month may be either is not understood.
    With ``received_at``, a time of day means the latest such time before it (in UTC, unless it has a zone), and
    ``15 min ago`` counts back from it. A time without an offset comes back naive.
    """
    value = unwrapped(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        value = str(value) if not isinstance(value, int) or value.bit_length() <= _LONGEST_TIME else ""
    if not isinstance(value, str):
        return None
    text = _HALF_DAY.sub(_whole_day, " ".join(value.strip()[:90].split()))
    try:
        if received_at is not None and (moment := _relative(text.casefold(), received_at)) is not None:
            return moment
        return _from_posix(float(text)) if _POSIX.fullmatch(text) else _from_text(text)
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
    if _DATE_ONLY.fullmatch(text):
        raise ValueError(text)
    text = _ZONE_NAME.sub(_offset_of, _AROUND_OFFSET.sub(r"\1", text))
    iso = re.sub(r"\s*\(?(?:UTC|GMT|Z)\)?$", "+00:00", _iso_date(text), flags=re.IGNORECASE)
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC)


def _offset_of(found: re.Match[str]) -> str:
    """Return the offset of a zone that is named behind a time of day, with the year where that comes last.

    :raises ValueError: the zone is not known; as no zone it would be read as UTC.
    """
    hours = _HOURS_AHEAD.get(found["name"].casefold())
    if hours is None:
        raise ValueError(found[0])
    day = f"{found['year']} " if found["year"] else ""
    return f"{day}{found['clock']}{'-' if hours < 0 else '+'}{abs(hours):02}00"


def _iso_date(text: str) -> str:
    """Return a text that begins with a date as ISO 8601 writes it.

    :raises ValueError: the month may be either of two numbers.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return text
    if found[6] is not None:
        year, month, day, rest = found[6], int(found[7]), int(found[8]), found[9]
    else:
        day, month, year, rest = int(found[1]), int(found[3]), found[4], found[5]
        if found[2] == "/" and max(day, month) <= _MONTHS and day != month:
            raise ValueError(text)
        if found[2] == "/" and month > _MONTHS:
            day, month = month, day
    clock = _AROUND_TIME.sub("", (rest or "").casefold()).strip()
    return f"{year}-{month:02}-{day:02}" + (f" {clock.zfill(5) if clock[1:2] == ':' else clock}" if clock else "")


def _relative(text: str, received_at: datetime) -> datetime | None:
    text = _AROUND_TIME.sub("", text).strip()
    if text in ("now", "just now", "right now", "jetzt", "ahora", "maintenant"):
        return received_at
    if (clock := _CLOCK.fullmatch(text)) is not None:
        return _at_clock(clock, received_at)
    ago = _AGO.fullmatch(text)
    before = _duration(ago["amounts"]) if ago is not None else None
    return received_at - before if before is not None else None


def _at_clock(clock: re.Match[str], received_at: datetime) -> datetime | None:
    """Return the time of a clock: the latest before ``received_at``, or that of the day which is named."""
    day = clock["before"] or clock["after"]
    zone = _zone(clock["zone"] or "utc")
    if zone is None or (day is not None and day not in _DAYS_AGO) or (clock["before"] and clock["after"]):
        return None
    there = received_at.astimezone(zone)
    at = there.replace(
        hour=int(clock["hour"]), minute=int(clock["minute"]), second=int(clock["second"] or 0), microsecond=0
    )
    days = _DAYS_AGO[day] if day is not None else int(at > there)
    return (at - timedelta(days=days)).astimezone(UTC)


def _zone(text: str) -> timezone | None:
    hours = _HOURS_AHEAD.get(text)
    offset = re.fullmatch(r"(?:utc|gmt)?([+-])(\d{1,2}):?(\d{2})?", text)
    if offset is None:
        return None if hours is None else timezone(timedelta(hours=hours))
    ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
    return timezone(ahead if offset[1] == "+" else -ahead)


def _duration(text: str) -> timedelta | None:
    """Return how long ago ``1h 30m``, ``an hour`` or ``half an hour`` is; ``None`` if a word is not understood."""
    total, end = timedelta(), 0
    for found in _AMOUNT.finditer(text):
        unit = _UNITS.get(found[2])
        if unit is None or text[end : found.start()].strip(" ,") not in ("", "and", "und", "y", "et"):
            return None
        if found[1].startswith("half"):
            number = 0.5
        elif found[1] in _ONE:
            number = 1.0
        else:
            number = float(found[1].replace(",", "."))
        total, end = total + number * unit, found.end()
    return total if end and end == len(text) else None


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
