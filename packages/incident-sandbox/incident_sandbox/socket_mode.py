"""Socket Mode: an app's open WebSockets, and the interactions that are sent over them as envelopes.

While at least one connection is open, interactions go to one of them and not to the request URLs. As Slack does,
the sandbox waits three seconds for the acknowledgement and sends no interaction again. Source: https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field
from starlette.websockets import WebSocketState

from incident_sandbox.interactivity import APP_ID, Delivery, Sent
from incident_sandbox.transport import TRANSPORT

if TYPE_CHECKING:
    from incident_sandbox.workspace import Workspace

MAX_CONNECTIONS = 10
TICKET_SECONDS = 30.0
APPROXIMATE_CONNECTION_TIME = 18_060
"""Seconds that Slack says a connection will last."""

TOO_MANY_CONNECTIONS = "too_many_websockets"
_NORMAL_CLOSURE = 1000
_POLICY_VIOLATION = 1008

Json = dict[str, Any]


class EnvelopeType(StrEnum):
    """The types of envelopes that the sandbox sends."""

    INTERACTIVE = "interactive"
    SLASH_COMMANDS = "slash_commands"


class ScriptedDisconnect(BaseModel):
    """The end of every open connection.

    :param reason: as Slack gives it: ``warning``, ``refresh_requested`` or ``link_disabled``.
    :param grace_seconds: how long the connections stay open after the message.
    """

    model_config = ConfigDict(extra="forbid")

    reason: str = "refresh_requested"
    grace_seconds: float = Field(default=10.0, ge=0)


class SocketSettings(BaseModel):
    """How envelopes are sent.

    :param copies: how often each interaction is sent; 2 sends each twice, over different connections if there are.
    """

    model_config = ConfigDict(extra="forbid")

    copies: int = Field(default=1, ge=1, le=10)


@dataclass(eq=False)
class Socket:
    """An open connection.

    :param leaving: whether its end was announced: interactions prefer another one.
    """

    websocket: WebSocket
    leaving: bool = False
    pending: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    acknowledged: list[Json] = field(default_factory=list)

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a message, unless the app has closed the connection."""
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self.websocket.send_text(json.dumps(message))

    def receive(self, text: str) -> None:
        """Read an acknowledgement."""
        try:
            message = json.loads(text)
        except ValueError:
            return
        if isinstance(message, dict) and (waiting := self.pending.get(str(message.get("envelope_id")))):
            self.acknowledged.append(message)
            if not waiting.done():
                waiting.set_result(message)

    def abort(self) -> None:
        """Drop the connection without a closing handshake."""
        self.websocket.scope["state"][TRANSPORT].abort()


@dataclass
class Sockets:
    """The app's connections.

    :param app_sees: the sandbox's address as the app knows it.
    """

    app_sees: str | None = None
    open: list[Socket] = field(default_factory=list)
    settings: SocketSettings = field(default_factory=SocketSettings)
    tickets: dict[str, float] = field(default_factory=dict)

    def forget(self, socket: Socket) -> None:
        """Send nothing over a connection any more."""
        if socket in self.open:
            self.open.remove(socket)

    def new_ticket(self) -> str:
        """Return a ticket that opens one connection, within half a minute."""
        ticket = secrets.token_urlsafe(24)
        self.tickets[ticket] = time.monotonic() + TICKET_SECONDS
        return ticket

    def redeem(self, ticket: str) -> bool:
        """Return whether a ticket is valid; it is not afterwards."""
        return self.tickets.pop(ticket, 0.0) > time.monotonic()

    async def deliver(self, kind: EnvelopeType, payload: Mapping[str, Any], *, name: str, seconds: float) -> Sent:
        """Send an interaction and wait for its acknowledgement.

        :param name: the kind of interaction, for the log.
        """
        began = time.monotonic()
        envelope = {
            "envelope_id": str(uuid.uuid4()),
            "type": kind.value,
            "payload": payload,
            "accepts_response_payload": name != "block_actions",
        }
        answers = [await self._send(envelope, socket) for socket in self._chosen()]
        done, _ = await asyncio.wait(answers, timeout=seconds)
        elapsed_ms = (time.monotonic() - began) * 1000
        acknowledged = [answer.result() for answer in done if not answer.cancelled()]
        if not acknowledged:
            return Sent(Delivery.TIMED_OUT, duration_ms=elapsed_ms, kind=name)
        body = json.dumps(acknowledged[0]["payload"]) if acknowledged[0].get("payload") else ""
        return Sent(Delivery.OK, None, body, elapsed_ms, name)

    def _chosen(self) -> list[Socket]:
        staying = [socket for socket in self.open if not socket.leaving] or self.open
        copies = self.settings.copies
        shuffled = random.sample(staying, len(staying))
        return [shuffled[index % len(shuffled)] for index in range(copies)]

    async def _send(self, envelope: Mapping[str, Any], socket: Socket) -> asyncio.Future[Json]:
        envelope_id = str(envelope["envelope_id"])
        waiting = socket.pending.setdefault(envelope_id, asyncio.get_running_loop().create_future())
        await socket.send(envelope)
        return waiting

    async def disconnect(self, script: ScriptedDisconnect) -> None:
        """Announce the end of every connection, and close it after a while."""
        leaving = list(self.open)
        for socket in leaving:
            socket.leaving = True
            await socket.send(_disconnect(script.reason))
        if leaving:
            asyncio.get_running_loop().call_later(script.grace_seconds, _close_later, leaving)


_closing: set[asyncio.Task[None]] = set()


def _close_later(sockets: list[Socket]) -> None:
    for socket in sockets:
        task = asyncio.create_task(_close(socket))
        _closing.add(task)
        task.add_done_callback(_closing.discard)


async def _close(socket: Socket) -> None:
    if socket.websocket.client_state is WebSocketState.CONNECTED:
        with contextlib.suppress(RuntimeError):
            await socket.websocket.close(_NORMAL_CLOSURE)


def _disconnect(reason: str) -> Json:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-sandbox"}}


def _hello(connections: int) -> Json:
    return {
        "type": "hello",
        "num_connections": connections,
        "debug_info": {
            "host": "applink-sandbox",
            "build_number": 1,
            "approximate_connection_time": APPROXIMATE_CONNECTION_TIME,
        },
        "connection_info": {"app_id": APP_ID},
    }


def socket_router(workspace: Workspace) -> APIRouter:
    """Return the WebSocket, and the routes that script its behaviour."""
    router = APIRouter(include_in_schema=False)
    _add_link(router, workspace.sockets)
    _add_script(router, workspace.sockets)
    return router


def _add_link(router: APIRouter, sockets: Sockets) -> None:
    @router.websocket("/link/")
    async def link(websocket: WebSocket, ticket: str = "") -> None:
        if not sockets.redeem(ticket):
            await websocket.close(_POLICY_VIOLATION)
            return
        await websocket.accept()
        socket = Socket(websocket)
        if len(sockets.open) >= MAX_CONNECTIONS:
            await socket.send(_disconnect(TOO_MANY_CONNECTIONS))
            await websocket.close(_NORMAL_CLOSURE)
            return
        sockets.open.append(socket)
        try:
            await socket.send(_hello(len(sockets.open)))
            while True:
                socket.receive(await websocket.receive_text())
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            sockets.forget(socket)


def _add_script(router: APIRouter, sockets: Sockets) -> None:
    @router.get("/sandbox/sockets")
    async def get_sockets() -> Json:
        return {"open": len(sockets.open), "staying": sum(not socket.leaving for socket in sockets.open)}

    @router.put("/sandbox/sockets", status_code=204)
    async def put_settings(settings: SocketSettings) -> None:
        sockets.settings = settings

    @router.post("/sandbox/sockets/disconnect", status_code=204)
    async def disconnect(script: ScriptedDisconnect) -> None:
        await sockets.disconnect(script)

    @router.post("/sandbox/sockets/drop", status_code=204)
    async def drop() -> None:
        for socket in list(sockets.open):
            sockets.forget(socket)
            socket.abort()
