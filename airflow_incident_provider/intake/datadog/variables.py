"""
Datadog's template variables, as they arrive.

A variable without a value comes in four forms: empty text, the text ``null``, JSON ``null``, or its own name. A
variable that holds JSON comes as an object, as a list, or as text when the template put quotes around it.
"""

from __future__ import annotations

import json
import math
import re

from airflow_incident_provider.intake.flags import Flags
from airflow_incident_provider.text import for_error

_OWN_NAME = re.compile(r"\$[A-Z][A-Z0-9_]*(?:\[[^\]]*\])?")
_LONGEST_NUMBER = 256
"""Bits; no id of Datadog's comes near, and Python refuses to print integers of more than 4,300 digits."""


def is_unset(value: object) -> bool:
    """Return whether a variable had no value."""
    if isinstance(value, str):
        text = value.strip()
        return text in {"", "null"} or _OWN_NAME.fullmatch(text) is not None
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def text_variable(value: object) -> str | None:
    """Return a variable's text, or nothing when it is unset; a number, if the template left it unquoted, is text.

    :raises ValueError: if it is neither text nor a number.
    """
    if is_unset(value):
        return None
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{for_error(value)} is not text")
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
        raise ValueError(f"{for_error(value)} is not an id")
    return str(value)


def json_variable(value: object, *, field: str, flags: Flags) -> object:
    """Return the object or list that a variable holds, or nothing when it is unset or (flagged) not JSON."""
    if is_unset(value):
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            flags.add(field, value, "left out: it is not JSON")
            return None
    if value is not None and not isinstance(value, dict | list):
        flags.add(field, value, "left out: it is neither an object nor a list")
        return None
    return value
