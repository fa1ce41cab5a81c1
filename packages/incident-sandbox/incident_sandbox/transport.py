"""Connections that end without an answer, as a client of a failing network sees them."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: TID253 - this module is the server's own

TRANSPORT = "transport"


class AbortableProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which also hands each request the transport it came in on."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the transport into the state of every request of this connection."""
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {**self.app_state, TRANSPORT: transport}


class DroppedConnection(Response):
    """An answer that is none: the TCP connection is closed before a byte is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Abort the transport and wait until the server has noticed."""
        transport = scope["state"].get(TRANSPORT)
        if transport is None:
            raise ConnectionAbortedError("a fault drops this connection")
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            continue
