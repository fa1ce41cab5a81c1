"""Scalar values as senders write them: unset variables, text, yes or no, and severities."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from enum import Enum, auto
from typing import Final

from airflow_incident_provider.models import Severity
from airflow_incident_provider.text import for_error

SEVERITY_CHOICES: Final = "use critical, high, medium or low (or P1..P5, SEV-0..SEV-5)"

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
_SCALAR_NAMES = ("email", "value", "name", "url", "id", "text", "state", "status", "title", "summary", "label")
"""The names under which an object contains its one value, the surest first."""
_MAX_WRAPPERS = 4
_LONGEST_NUMBER = 256
"""Bits; no id comes near, and Python refuses to print integers of more than 4,300 digits."""
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


_NOT_IN_NAME = re.compile(r"[^a-z0-9]+")


def json_in(text: str) -> object:
    """Return the value that a text holds as JSON; ``None`` if it holds none."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def plain_name(name: object) -> str:
    """Return the name of a field without case and punctuation: ``startedAt`` is ``started_at``."""
    return _NOT_IN_NAME.sub("", str(name)[:100].casefold())


def composed(text: str) -> str:
    """Return a text with composed characters: the same letters in two forms would be two names."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


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
        return composed(value).strip()
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
