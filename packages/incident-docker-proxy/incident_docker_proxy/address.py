"""Where a stream is listened on or connected to: a Unix socket or a TCP port."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket, written ``unix:///run/docker.sock``."""

    path: Path

    def __str__(self) -> str:
        return f"unix://{self.path}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection to whoever listens there."""
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
        """Return a connection to whoever listens there."""
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
