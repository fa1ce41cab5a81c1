"""
A request's body, read within bounds.

An alert is at most a few kilobytes. What is larger or slower is refused before it costs anything: the size is
counted while the body is read, because a sender may not state it, or state it wrongly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_incident_provider.plugins.api.errors import RequestError

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY_BYTES = 256 * 1024
READ_SECONDS = 5.0
"""From the first to the last byte; Datadog gives up on an answer after 15 s."""


def require_uncompressed(request: Request) -> None:
    """Return if the request's body is not compressed.

    :raises RequestError: (415) it is.
    """
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
