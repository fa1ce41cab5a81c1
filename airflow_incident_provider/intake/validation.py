"""Explain pydantic's validation errors to the person who has to correct the input."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from airflow_incident_provider.text import for_error, one_line, shorten


def reasons(error: ValidationError) -> Iterable[tuple[tuple[int | str, ...], ErrorDetails, str]]:
    """Yield the place, the details and the plain reason of each thing that is wrong."""
    for details in error.errors(include_url=False):
        yield details["loc"], details, _reason(details)


def path_of(location: Iterable[int | str]) -> str:
    """Return a place in the input as people write it, such as ``rules[1].match.service``."""
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{shorten(one_line(step), 60)}"
    return path.lstrip(".")


def _reason(details: ErrorDetails) -> str:
    """Return what is wrong: in the words of our own validators, else in pydantic's with the value that it saw."""
    own = details.get("ctx", {}).get("error")
    if isinstance(own, ValueError):
        return str(own)
    return f"{for_error(details['input'])} is wrong: {details['msg'][:1].lower()}{details['msg'][1:]}"
