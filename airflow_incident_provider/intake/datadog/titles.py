"""What Datadog puts before a monitor's name in a title, such as ``[P1] [Triggered on {service:checkout}]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TRANSITIONS = (
    "Triggered",
    "Re-Triggered",
    "Warn",
    "Re-Warn",
    "No Data",
    "Re-No Data",
    "Recovered",
    "Warn Recovered",
    "Renotify",
)
_BY_LETTERS = {re.sub(r"[^a-z]", "", name.lower()): name for name in _TRANSITIONS}

_PRIORITY = re.compile(r"\[(P[1-5])\]\s*", re.IGNORECASE)
_TEST = re.compile(r"\[TEST\]\s*", re.IGNORECASE)
_TRANSITION = re.compile(r"\[([A-Za-z -]{1,30}?)(?: on \{(.{0,1000}?)\})?\]\s*", re.IGNORECASE | re.DOTALL)
_MAX_PREFIXES = 6


@dataclass(frozen=True)
class Title:
    """A title taken apart: the monitor's name, and what its prefixes say."""

    name: str
    priority: str | None = None
    transition: str | None = None
    scope: str | None = None
    is_test: bool = False


def known_transition(said: str) -> str | None:
    """Return Datadog's name for a transition, however it is spelt, or nothing if Datadog has no such."""
    return _BY_LETTERS.get(re.sub(r"[^a-z]", "", said[:50].lower()))


def read_title(text: str) -> Title:
    """Return ``text`` without the prefixes that Datadog puts before a monitor's name, and what they say.

    A bracket that is none of Datadog's belongs to the name.
    """
    found: dict[str, str | None] = {}
    is_test = False
    rest = text.strip()
    for _ in range(_MAX_PREFIXES):
        if priority := _PRIORITY.match(rest):
            found["priority"] = priority[1].upper()
            rest = rest[priority.end() :]
        elif test := _TEST.match(rest):
            is_test = True
            rest = rest[test.end() :]
        elif (transition := _TRANSITION.match(rest)) and (name := known_transition(transition[1])):
            found |= {"transition": name, "scope": transition[2]}
            rest = rest[transition.end() :]
        else:
            break
    return Title(name=rest.strip(), is_test=is_test, **found)
