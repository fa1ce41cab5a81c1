"""
One HTTP/1.1 request and its response over a stream; h11 knows the protocol.

A connection carries one exchange and is closed. So no bytes after a request can pass for a second one, and
no connection to the engine outlives the call that it was opened for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import h11

CHUNK = 65536
Headers = Sequence[tuple[bytes, bytes]]


class BodyTooLargeError(Exception):
    """A body is larger than its reader takes."""


class HttpStream:
    """One side of an exchange: ``h11.SERVER`` towards the client, ``h11.CLIENT`` towards the engine."""

    def __init__(
        self,
        role: type[h11.CLIENT | h11.SERVER],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._connection = h11.Connection(role)
        self._reader = reader
        self._writer = writer
        self._request: h11.Request | None = None

    @property
    def offers_upgrade(self) -> bool:
        """Whether the client is ready to leave HTTP after its request."""
        return self._request is not None and any(name == b"upgrade" for name, _ in self._request.headers)

    async def receive_request(self) -> h11.Request | None:
        """Return the head of the request, or None if the client closed without one.

        :raises h11.RemoteProtocolError: if it is not HTTP/1.1.
        """
        event = await self._next_event()
        self._request = event if isinstance(event, h11.Request) else None
        return self._request

    async def receive_response(self) -> h11.Response | None:
        """Return the head of the response, or None if the other side closed without one.

        :raises h11.RemoteProtocolError: if it is not HTTP/1.1.
        """
        event = await self._next_event()
        return event if isinstance(event, h11.Response) else None

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""
        while isinstance(event := await self._next_event(), h11.Data):
            yield bytes(event.data)

    async def read_body(self, most: int) -> bytes:
        """Return the whole body.

        :raises BodyTooLargeError: if it has more than ``most`` bytes.
        """
        body = bytearray()
        async for chunk in self.body():
            body += chunk
            if len(body) > most:
                raise BodyTooLargeError
        return bytes(body)

    async def send(self, *events: h11.Event) -> None:
        """Send events, as one write."""
        await self.send_raw(b"".join(self._connection.send(event) or b"" for event in events))

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole response; a HEAD request gets its headers only."""
        length = (b"Content-Length", b"%d" % len(body))
        response = h11.Response(status_code=status, headers=[*headers, length, (b"Connection", b"close")])
        headers_only = self._request is not None and self._request.method == b"HEAD"
        await self.send(response, h11.Data(data=b"" if headers_only else body), h11.EndOfMessage())

    async def send_raw(self, chunk: bytes) -> None:
        """Send bytes as they are: output, once the connection has left HTTP."""
        self._writer.write(chunk)
        await self._writer.drain()

    async def until_other_side_closes(self) -> None:
        """Return when the other side is gone; what it still sends is dropped."""
        with contextlib.suppress(OSError):
            while await self._reader.read(CHUNK):
                pass

    async def close(self) -> None:
        """Close the connection; a broken one counts as closed."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _next_event(self) -> object:
        while (event := self._connection.next_event()) is h11.NEED_DATA:
            self._connection.receive_data(await self._reader.read(CHUNK))
        return event
