"""
Parsers that accept only input that can be read in one way: request targets and JSON.

A proxy that reads a request differently from the server behind it can be bypassed. Nothing is repaired: what is not
already in its plain form is refused, and the engine gets a target and a body built from the parsed parts.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from incident_docker_proxy.decision import RefusedError

OLDEST_API = (1, 40)
"""Before 1.24 a start takes host settings in its body; before 1.40 a container's IPC is shareable by default."""

_PATH = re.compile(r"/[A-Za-z0-9/._:@-]*")
_ENCODED_COLON_OR_AT = re.compile(r"%(?:3A|40)", re.IGNORECASE)  # what docker-py encodes in an image's name
_VERSION = re.compile(r"(/v([0-9]{1,2})\.([0-9]{1,3}))(/.*)")
_QUERY_NAME = re.compile(r"[A-Za-z_]{1,32}")
_QUERY_VALUE = re.compile(r"[A-Za-z0-9_.~%+*:,/@!'()-]*")


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a request target: ``/v1.41`` (or nothing), the path after it, and the query."""

    version: str
    path: str
    query: dict[str, str]


def parse_target(raw: str) -> Target:
    """Return the parts of a request target.

    :raises RefusedError: if it is not a plain path with an optional query, or asks for an API that is too old.
    """
    if not raw.startswith("/"):
        raise RefusedError("the request target must be a path")
    raw_path, _, raw_query = raw.partition("?")
    version, path = _split_version(_plain_path(raw_path))
    return Target(version, path, _plain_query(raw_query))


def _plain_path(raw: str) -> str:
    path = _ENCODED_COLON_OR_AT.sub(lambda encoded: unquote(encoded[0]), raw)
    if not _PATH.fullmatch(path):
        raise RefusedError("the path has encoded or unusual characters")
    if any(segment in ("", ".", "..") for segment in path[1:].split("/")):
        raise RefusedError("the path has empty or dot segments")
    return path


def _split_version(path: str) -> tuple[str, str]:
    match = _VERSION.fullmatch(path)
    if match is None:
        return "", path
    prefix, major, minor, rest = match.groups()
    if prefix != f"/v{int(major)}.{int(minor)}" or (int(major), int(minor)) < OLDEST_API:
        raise RefusedError("the API version must be {}.{} or later".format(*OLDEST_API))
    return prefix, rest


def _plain_query(raw: str) -> dict[str, str]:
    query: dict[str, str] = {}
    for pair in raw.split("&") if raw else ():
        name, equals, value = pair.partition("=")
        if not (equals and _QUERY_NAME.fullmatch(name) and _QUERY_VALUE.fullmatch(value)):
            raise RefusedError("the query is not a plain list of names and values")
        if name in query:
            raise RefusedError(f"the query names {name} twice")
        query[name] = _decoded(value)
    return query


def _decoded(value: str) -> str:
    try:
        decoded = unquote(value.replace("+", " "), errors="strict")
    except UnicodeDecodeError:
        raise RefusedError("the query is not UTF-8") from None
    if not decoded.isprintable():
        raise RefusedError("the query has control characters")
    return decoded


def parse_json(text: str | bytes, what: str) -> Any:
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
