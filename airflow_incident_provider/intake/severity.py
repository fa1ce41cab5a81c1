"""How bad it is, in the words of whoever says so: P1..P5, SEV-0..SEV-5, a word or a number."""

from __future__ import annotations

import re

from airflow_incident_provider.models import Severity

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
