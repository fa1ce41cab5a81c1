"""
A request's body, read within bounds.

An alert is at most a few kilobytes. What is larger or slower is refused before it costs anything: the size is
counted while the body is read, because a sender may not state it, or state it wrongly. What arrived of a refused
body is kept, so that the refusal can be reported with the alert's title.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.text import for_error

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY_BYTES = 256 * 1024
READ_SECONDS = 5.0
"""From the first to the last byte; Datadog gives up on an answer after 15 s."""


class BodyError(RequestError):
    """Reject a request for its body.

    :param received: what arrived of the body.
    """

    def __init__(self, status: int, error: str, *, received: bytes, fix: str | None = None) -> None:
        super().__init__(status, error, fix=fix, closes_connection=True)
        self.received = received


def decompress(body: bytes, encoding: str) -> bytes:
    """Return a body without its compression, within the same bounds.

    :param encoding: the header Content-Encoding.
    :raises BodyError: 415 for an encoding that is not known, or one that the body has not, 413 if it is too large.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        raise BodyError(
            415, f"The body is encoded as {for_error(name)}.", received=body, fix="Send it as it is, or as gzip."
        )
    try:
        # 32: zlib or gzip, detected by the header.
        plain = zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise BodyError(415, f"The body is not {name}, as its header says.", received=body) from None
    if len(plain) > MAX_BODY_BYTES:
        raise _too_large(plain)
    return plain


async def read_body(request: Request) -> bytes:
    """Return the body, read within its bounds.

    :raises BodyError: 413 if it is too large, 503 if it arrives too slowly, 400 if the connection ends.
    """
    import anyio
    from starlette.requests import ClientDisconnect

    body = bytearray()
    try:
        with anyio.fail_after(READ_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large(bytes(body))
    except ClientDisconnect:
        raise BodyError(400, "The connection ended before the body did.", received=bytes(body)) from None
    except TimeoutError:
        error = f"The body did not arrive within {READ_SECONDS:.0f} s."
        raise BodyError(503, error, received=bytes(body)) from None
    return bytes(body)


def _too_large(received: bytes) -> BodyError:
    return BodyError(413, f"The body is larger than {MAX_BODY_BYTES // 1024} KB.", received=received)
