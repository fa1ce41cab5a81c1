"""Moments and durations in the words that the room uses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_SHORTEST_IN_SECONDS_MS = 100
_LONGEST_IN_TENTHS_MS = 9_950
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def duration(milliseconds: int) -> str:
    """Return a duration as a person says it: ``40 ms``, ``0.2 s``, ``41 s``, ``3 min 5 s``, ``2 h 5 min``."""
    if milliseconds < _SHORTEST_IN_SECONDS_MS:
        return f"{milliseconds} ms"
    if milliseconds < _LONGEST_IN_TENTHS_MS:
        return f"{milliseconds / 1000:.1f} s"
    seconds = round(milliseconds / 1000)
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return _two_parts(seconds, _MINUTE, "min", 1, "s")
    if seconds < _DAY:
        return _two_parts(seconds, _HOUR, "h", _MINUTE, "min")
    return _two_parts(seconds, _DAY, "d", _HOUR, "h")


def _two_parts(seconds: int, large: int, large_name: str, small: int, small_name: str) -> str:
    """Return ``3 min 5 s``, or ``3 min`` when the smaller part is nothing."""
    count, rest = divmod(seconds, large)
    part = rest // small
    return f"{count} {large_name} {part} {small_name}" if part else f"{count} {large_name}"


def between(earlier: datetime, later: datetime) -> int:
    """Return the milliseconds from one moment to another; negative when they are the other way round."""
    return round((later - earlier) / timedelta(milliseconds=1))


def clock(at: datetime, *, seconds: bool = True, seen_from: datetime | None = None) -> str:
    """
    Return the UTC time of day, without the letters ``UTC``.

    :param seen_from: a moment the reader knows the date of; when ``at`` lies on another UTC day, its date
        is written too.
    """
    moment = at.astimezone(UTC)
    elsewhere = seen_from is not None and seen_from.astimezone(UTC).date() != moment.date()
    day = f"{moment.date().isoformat()} " if elsewhere else ""
    return day + moment.strftime("%H:%M:%S" if seconds else "%H:%M")
