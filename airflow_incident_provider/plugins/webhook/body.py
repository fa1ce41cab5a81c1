"""
A request's body, read within bounds and parsed as strict JSON.

An alert is at most a few kilobytes. What is larger, slower or not JSON is refused before it costs anything: the
size is counted while the body is read, because a sender may not say it, or say it wrongly.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.plugins.api.errors import RequestError

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY_BYTES = 256 * 1024
READ_SECONDS = 5.0
"""From the first to the last byte; Datadog gives up on an answer after 15 s."""

MAX_DEPTH = 32
"""Objects and lists in each other; Datadog's deepest payload has five."""

MAX_DIGITS = 100
"""Digits of an integer; Python itself refuses 4,300, in words about its settings."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_SURROGATES = range(0xD800, 0xE000)
_UNSTORABLE = {0: _REPLACEMENT, **dict.fromkeys(_SURROGATES, _REPLACEMENT)}
"""What JSON can say but PostgreSQL's JSON cannot hold. An alert is not lost over such a character."""


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that ``body`` holds, with characters that no database holds replaced.

    :raises RequestError: (400) it is not JSON as RFC 8259 defines it, nested too deeply, or no object.
    """
    try:
        value = json.loads(
            body.decode("utf-8-sig"), parse_constant=_refuse_constant, parse_float=_finite, parse_int=_bounded
        )
        value = _storable(value, MAX_DEPTH)
    except UnicodeDecodeError:
        raise RequestError(400, "The body is not UTF-8.") from None
    except RecursionError:
        raise RequestError(400, "The body's JSON is nested too deeply.") from None
    except ValueError as error:
        raise RequestError(400, f"The body is not JSON: {_reason(error)}.") from None
    if not isinstance(value, dict):
        raise RequestError(400, "The body is JSON, but not an object.")
    return value


def require_json(request: Request) -> None:
    """Return if the request declares an uncompressed JSON body.

    :raises RequestError: (415) it declares something else.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestError(415, "The body must be JSON.", fix="Send the header Content-Type: application/json.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise RequestError(415, "The body must not be compressed.", fix="Send it without Content-Encoding.")


async def read_body(request: Request) -> bytes:
    """Return the body, read within its bounds.

    :raises RequestError: 413 if it is too large, 503 if it arrives too slowly, 400 if the connection ends.
    """
    import anyio
    from starlette.requests import ClientDisconnect

    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > len(str(MAX_BODY_BYTES)) or int(announced) > MAX_BODY_BYTES):
        raise _too_large()
    body = bytearray()
    try:
        with anyio.fail_after(READ_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
    except ClientDisconnect:
        raise RequestError(400, "The connection ended before the body did.") from None
    except TimeoutError:
        raise RequestError(
            503, f"The body did not arrive within {READ_SECONDS:.0f} s.", closes_connection=True
        ) from None
    return bytes(body)


def _too_large() -> RequestError:
    return RequestError(413, f"The body is larger than {MAX_BODY_BYTES // 1024} KB.", closes_connection=True)


def _storable(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.translate(_UNSTORABLE) if not value.isascii() or "\0" in value else value
    if isinstance(value, dict | list) and depth == 0:
        raise RecursionError
    if isinstance(value, dict):
        return {_storable(key, depth): _storable(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item, depth - 1) for item in value]
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return number


def _bounded(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("a number is too long")
    return int(text)


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return str(error)
