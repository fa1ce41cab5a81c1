"""JSON that can be read in one way only."""

from __future__ import annotations

import json
from typing import Any

from incident_docker_proxy.decision import RefusedError


def parse(text: str | bytes, what: str) -> Any:
    """Return the value that ``text`` holds.

    A name that occurs twice in an object is refused: parsers differ in which of the two they take.

    :param what: what is parsed, for the refusal.
    :raises RefusedError: if it is not JSON, or could be read in two ways.
    """
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        return json.loads(decoded, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # ValueError: bad UTF-8, bad JSON, an endless integer
        raise RefusedError(f"{what} is not well-formed JSON") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise RefusedError("a name occurs twice in a JSON object")
    return document


def _no_constant(name: str) -> Any:
    raise RefusedError(f"{name} is no JSON number")
