"""
Validators of a single value: each returns a description of the problem, or ``None``.

The description follows the setting's name ("HostConfig.Memory must be ...") and never repeats the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], str | None]

_SIZE = re.compile(r"([1-9][0-9]{0,9})([kmg]?)")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def exactly(expected: object, words: str) -> Check:
    """Accept one value, of the same type (``1`` is not ``True``)."""
    return lambda value: None if type(value) is type(expected) and value == expected else f"must be {words}"


def boolean(value: object) -> str | None:
    """Accept true and false."""
    return None if isinstance(value, bool) else "must be true or false"


def integer(low: int, high: int) -> Check:
    """Accept a whole number from ``low`` to ``high``."""

    def check(value: object) -> str | None:
        # bool is a subclass of int, and the engine reads no number with a fraction here.
        fits = type(value) is int and low <= value <= high
        return None if fits else f"must be a whole number from {low} to {high}"

    return check


def matching(pattern: str, words: str) -> Check:
    """Accept text that the whole of ``pattern`` describes."""
    compiled = re.compile(pattern)

    def check(value: object) -> str | None:
        return None if isinstance(value, str) and compiled.fullmatch(value) else f"must be {words}"

    return check


def list_of(item: Check, most: int) -> Check:
    """Accept a list of at most ``most`` values that each pass ``item``."""

    def check(value: object) -> str | None:
        if not isinstance(value, list) or len(value) > most:
            return f"must be a list of at most {most}"
        problem = next((found for found in map(item, value) if found), None)
        return problem and f"has an item that {problem}"

    return check


def size(text: str) -> int | None:
    """Return the bytes that ``8m`` or the like means, or None if it means none."""
    match = _SIZE.fullmatch(text)
    return int(match[1]) * _UNITS[match[2]] if match else None


def size_up_to(high: int) -> Check:
    """Accept a size like ``8m`` of at most ``high`` bytes."""

    def check(value: object) -> str | None:
        found = size(value) if isinstance(value, str) else None
        return None if found is not None and found <= high else f"must be a size of at most {high} bytes"

    return check


text = matching(r"(?s:[^\0]{0,32768})", "text of at most 32768 characters")
"""Accept text that can be an argument of a process."""
