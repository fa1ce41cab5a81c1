"""
Addresses, and one HTTP/1.1 request with its response over a stream; h11 implements the protocol.

A connection carries one exchange and is closed: bytes after a request never count as a second request, and no
connection to the engine outlives the call that opened it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h11

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket, written ``unix:///run/docker.sock``."""

    path: Path

    def __str__(self) -> str:
        return f"unix://{self.path}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection to this address."""
        return await asyncio.open_unix_connection(str(self.path))

    async def listen(self, handler: Handler) -> asyncio.Server:
        """Return a server that gives each connection to ``handler``; a stale socket is replaced."""
        return await asyncio.start_unix_server(handler, str(self.path))


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP port, written ``tcp://127.0.0.1:2375``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://{self.host}:{self.port}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection to this address."""
        return await asyncio.open_connection(self.host, self.port)

    async def listen(self, handler: Handler) -> asyncio.Server:
        """Return a server that gives each connection to ``handler``."""
        return await asyncio.start_server(handler, self.host, self.port)


Address = UnixAddress | TcpAddress


def parse_address(text: str) -> Address:
    """Return the address that ``unix:///path`` or ``tcp://host:port`` names.

    :raises ValueError: if it names none.
    """
    if text.startswith("unix:///"):
        return UnixAddress(Path(text.removeprefix("unix://")))
    match = re.fullmatch(r"tcp://([A-Za-z0-9._-]+):([0-9]{1,5})", text)
    if match is None:
        raise ValueError(f"{text!r} is neither unix:///path nor tcp://host:port")
    return TcpAddress(match[1], int(match[2]))


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
