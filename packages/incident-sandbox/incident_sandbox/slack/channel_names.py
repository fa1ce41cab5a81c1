"""Slack's rules for channel names. A bad name is refused, never changed silently."""

from __future__ import annotations

from incident_sandbox.slack.errors import SlackError

MAX_LENGTH = 80
PUNCTUATION = frozenset("-_")


def require_valid_name(name: str) -> None:
    """Check a channel name.

    Lower-case letters of any script, digits, hyphens and underscores are allowed.

    :raises SlackError: one of the ``invalid_name_*`` codes.
    """
    if not name.strip():
        raise SlackError("invalid_name_required")
    if len(name) > MAX_LENGTH:
        raise SlackError("invalid_name_maxlength")
    if not all(_allowed(char) for char in name):
        raise SlackError("invalid_name_specials")
    if all(char in PUNCTUATION for char in name):
        raise SlackError("invalid_name_punctuation")


def _allowed(char: str) -> bool:
    return char in PUNCTUATION or char.isdecimal() or (char.isalpha() and char == char.lower())
