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
_CHUNK = 1024
READ_SECONDS = 5.0
"""From the first to the last byte; Datadog gives up on an answer after 15 s."""


class BodyError(RequestError):
    """Reject a request for its body.

    :param received: what arrived of the body.
    :param is_cut: whether that is the beginning of the body, and the rest will not come.
    """

    def __init__(
        self, status: int, error: str, *, received: bytes, fix: str | None = None, is_cut: bool = False
    ) -> None:
        super().__init__(status, error, fix=fix, closes_connection=True)
        self.received = received
        self.is_cut = is_cut


def decompress(body: bytes, encoding: str) -> bytes:
    """Return a body without its compression, within the same bounds.

    A proxy may lose the header, so a body in gzip is recognised without it. Of one that is damaged or cut off, what
    could be read before that is returned.

    :param encoding: the header Content-Encoding.
    :raises BodyError: 415 for an encoding that is not known, or a body that cannot be read, 413 if it is too large.
    """
    name = encoding.strip().lower()
    if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise BodyError(
            415, f"The body is encoded as {for_error(name)}.", received=body, fix="Send it as it is, or as gzip."
        )
    if name in ("", "identity") and not body.startswith(_GZIP):
        return body
    plain = _decompressed(body)
    if not plain and body:
        raise BodyError(415, f"The body is not {name or 'gzip'}, as its header says.", received=body)
    if len(plain) > MAX_BODY_BYTES:
        raise _too_large(plain)
    return plain


_GZIP = b"\x1f\x8b"


def _decompressed(body: bytes) -> bytes:
    """Return as much of a compressed body as can be read, and one byte more than is accepted at most."""
    plain = bytearray()
    while body and len(plain) <= MAX_BODY_BYTES:
        # 32: zlib or gzip, detected by the header. A body may consist of several of them.
        stream = zlib.decompressobj(32 + zlib.MAX_WBITS)
        for start in range(0, len(body), _CHUNK):
            try:
                plain += stream.decompress(body[start : start + _CHUNK], MAX_BODY_BYTES + 1 - len(plain))
            except zlib.error:
                return bytes(plain)
            if stream.eof or len(plain) > MAX_BODY_BYTES:
                body = stream.unused_data + body[start + _CHUNK :]
                break
        else:
            break
    return bytes(plain)


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
        error = "The connection ended before the body did."
        raise BodyError(400, error, received=bytes(body), is_cut=True) from None
    except TimeoutError:
        error = f"The body did not arrive within {READ_SECONDS:.0f} s."
        raise BodyError(503, error, received=bytes(body)) from None
    return bytes(body)


def _too_large(received: bytes) -> BodyError:
    error = f"The body is larger than {MAX_BODY_BYTES // 1024} KB."
    return BodyError(413, error, received=received[:MAX_BODY_BYTES], is_cut=True)
