"""
Socket Mode: receive an app's interactions over WebSockets that this process opens to Slack.

Slack sends each interaction as an envelope, and shows the person a failure unless the envelope is acknowledged
within three seconds; interactions are never sent again. A connection lives for hours: Slack announces its end with
``disconnect``, and this process opens the next one before it drops the old one. An acknowledgement is sent over
the connection that the envelope came by.

slack_sdk's clients are not used: they reconnect at a fixed interval, even with a refused token, and close the old
connection before what arrived on it is acknowledged. Source:
https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.protocol import State

from airflow_incident_provider.exceptions import SlackConfigurationError, SlackUnavailableError
from airflow_incident_provider.slack.app_token import SocketAddress, silent_logger

ACKNOWLEDGE_SECONDS = 2.7
"""Slack waits three seconds, the way there and back included."""

CONNECT_SECONDS = 10.0
"""Time for a connection to open, and for Slack's ``hello`` after that."""

PING_SECONDS = 10.0
"""A connection that does not answer a ping for as long is lost."""

LINGER_SECONDS = 30.0
"""How long a replaced connection is read until Slack closes it; Slack announces the end ten seconds before."""

CLOSE_SECONDS = 2.0
STABLE_SECONDS = 60.0
"""A connection that lived as long was no failure."""

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0

log = logging.getLogger(__name__)


class InteractionType(StrEnum):
    """The envelopes that carry an interaction."""

    INTERACTIVE = "interactive"
    SLASH_COMMANDS = "slash_commands"


class Ending(StrEnum):
    """Why a connection ends: Slack's ``reason`` of ``disconnect``, or that it is lost."""

    WARNING = "warning"
    REFRESH_REQUESTED = "refresh_requested"
    LINK_DISABLED = "link_disabled"
    LOST = "lost"
    OTHER = "other"

    @property
    def is_scheduled(self) -> bool:
        """Whether Slack replaces the connection, as it does every few hours."""
        return self in (Ending.WARNING, Ending.REFRESH_REQUESTED)


@dataclass(frozen=True)
class Envelope:
    """One interaction.

    :param accepts_payload: whether the acknowledgement may hold a response for the person.
    """

    id: str
    type: InteractionType
    payload: Mapping[str, Any] = field(repr=False)
    accepts_payload: bool = False


class NotAcceptedError(Exception):
    """The interaction may not be acknowledged: Slack shows the person that it failed. The message says why."""


Handler = Callable[[Envelope], Awaitable[Mapping[str, Any] | None]]
"""Acts on an interaction and returns the response for the person, if any.

It raises :class:`NotAcceptedError` if the interaction is not acted upon.
"""

Observer = Callable[[bool, str], None]
"""Called with whether a connection is open, and with what happened."""


class Link:
    """One open connection.

    :param websocket: the connection, after Slack's ``hello``.
    """

    def __init__(self, websocket: ClientConnection, opened_at: float) -> None:
        self.websocket = websocket
        self.opened_at = opened_at
        self.ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.handling: set[asyncio.Task[None]] = set()

    def end(self, ending: Ending) -> None:
        """Say that the connection ends; the first reason counts."""
        if not self.ending.done():
            self.ending.set_result(ending)


class SocketMode:
    """Keeps a connection to Slack open, and hands over what arrives.

    :param open_socket: returns the address of a new connection; called in a thread.
    :param handle: acts on an interaction.
    :param observe: called for every change of the connection, and every interaction that was not accepted.
    :param app_id: the app that is expected; any by default.
    :param acknowledge_seconds: time to act on an interaction.
    """

    def __init__(
        self,
        open_socket: Callable[[], SocketAddress],
        handle: Handler,
        observe: Observer,
        *,
        app_id: str | None = None,
        acknowledge_seconds: float = ACKNOWLEDGE_SECONDS,
    ) -> None:
        self._open_socket = open_socket
        self._handle = handle
        self._observe = observe
        self._app_id = app_id
        self._acknowledge_seconds = acknowledge_seconds
        self._links: set[Link] = set()
        self._readers: set[asyncio.Task[None]] = set()
        self._quick_failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Receive until ``stop`` is set; then acknowledge what is being handled, and close.

        :raises SlackConfigurationError: Slack refuses the app-level token, or Socket Mode is switched off.
        """
        stopping = asyncio.create_task(stop.wait())
        supervising = asyncio.create_task(self._supervise())
        try:
            await asyncio.wait({stopping, supervising}, return_when=asyncio.FIRST_COMPLETED)
            if supervising.done():
                supervising.result()
        finally:
            stopping.cancel()
            supervising.cancel()
            await asyncio.gather(supervising, return_exceptions=True)
            await self._close()

    # --- connections ------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        while True:
            try:
                link = await self._connect()
            except SlackUnavailableError as error:
                self._quick_failures += 1
                pause = max(self._pause(self._quick_failures), min(error.retry_after or 0, LONGEST_PAUSE_SECONDS))
                self._report(f"No connection: {error.message} Trying again in {pause:.0f} s.")
            else:
                pause = await self._until_it_ends(link)
            await asyncio.sleep(pause)

    async def _connect(self) -> Link:
        """Open a connection and start to read it.

        :raises SlackUnavailableError: it did not open.
        """
        address = await asyncio.to_thread(self._open_socket)
        tls = address.tls if address.url.startswith("wss:") else None
        options: dict[str, Any] = {"ssl": tls} if tls is not None else {}
        try:
            websocket = await connect(
                address.url,
                proxy=address.proxy or True,
                open_timeout=CONNECT_SECONDS,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                close_timeout=CLOSE_SECONDS,
                logger=silent_logger(__name__),
                **options,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            # Only the class is shown: the message may hold the address with its ticket.
            raise SlackUnavailableError(f"The WebSocket did not open: {type(error).__name__}.") from None
        try:
            hello = await asyncio.wait_for(_hello(websocket), CONNECT_SECONDS)
            self._require_own_app(hello)
        except BaseException as error:
            await websocket.close()
            if isinstance(error, TimeoutError | ConnectionClosed):
                raise SlackUnavailableError(f"Slack did not say hello: {type(error).__name__}.") from None
            raise
        link = Link(websocket, time.monotonic())
        self._links.add(link)
        self._keep(asyncio.create_task(self._read(link)))
        self._report(_connected(hello, own=len(self._links)))
        return link

    def _require_own_app(self, hello: Mapping[str, Any]) -> None:
        app_id = _info(hello).get("app_id")
        if self._app_id is not None and app_id is not None and app_id != self._app_id:
            raise SlackConfigurationError(
                f"The app-level token is of the app {app_id}, but app_id of the connection is {self._app_id}.",
                fix="Use a token of the same app.",
            )

    async def _until_it_ends(self, link: Link) -> float:
        """Wait until the connection ends, and return the seconds to wait before the next one is opened.

        :raises SlackConfigurationError: Socket Mode was switched off.
        """
        ending = await link.ending
        if ending is Ending.LINK_DISABLED:
            raise SlackConfigurationError(
                "Socket Mode was switched off for the Slack app.",
                code=ending,
                fix="Switch it on under 'Socket Mode' of the app, or use request URLs and stop this process.",
            )
        is_stable = time.monotonic() - link.opened_at >= STABLE_SECONDS
        self._quick_failures = 0 if is_stable else self._quick_failures + 1
        # The first of Slack's own replacements is immediate; if one follows the other, they are not, either.
        pause = self._pause(self._quick_failures - (1 if ending.is_scheduled else 0))
        self._report(f"The connection ends ({ending}). Opening another in {pause:.0f} s.")
        return pause

    @staticmethod
    def _pause(failures: int) -> float:
        """Return the seconds to wait after some failures in a row: doubled each time, with jitter."""
        if failures <= 0:
            return 0.0
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10))
        return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads load, protects nothing

    async def _close(self) -> None:
        """Stop reading, let what is being handled be acknowledged, then close every connection."""
        for reader in self._readers:
            reader.cancel()
        if handling := [task for link in self._links for task in link.handling]:
            await asyncio.wait(handling, timeout=self._acknowledge_seconds)
        await asyncio.gather(*(link.websocket.close() for link in self._links))
        self._links.clear()
        self._report("Disconnected.")

    # --- messages ---------------------------------------------------------------------------------------

    async def _read(self, link: Link) -> None:
        """Read a connection until it is closed; one that is being replaced for at most ``LINGER_SECONDS``."""
        try:
            await self._read_until_ending(link)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    async for message in link.websocket:
                        self._receive(link, message)
        except ConnectionClosed:
            pass
        finally:
            link.end(Ending.LOST)
        if link.handling:
            await asyncio.wait(link.handling)
        await link.websocket.close()
        self._links.discard(link)

    async def _read_until_ending(self, link: Link) -> None:
        async for message in link.websocket:
            self._receive(link, message)
            if link.ending.done():
                return

    def _receive(self, link: Link, raw: str | bytes) -> None:
        message = _message(raw)
        if message.get("type") == "disconnect":
            link.end(_ending(message.get("reason")))
        elif envelope_id := message.get("envelope_id"):
            task = asyncio.create_task(self._act(link, str(envelope_id), message))
            link.handling.add(task)
            task.add_done_callback(link.handling.discard)

    async def _act(self, link: Link, envelope_id: str, message: Mapping[str, Any]) -> None:
        envelope = _envelope(envelope_id, message)
        acknowledgement: dict[str, Any] = {"envelope_id": envelope_id}
        # What is no interaction, such as an event, is acknowledged: Slack would repeat it.
        if envelope is not None:
            try:
                response = await self._accept(envelope)
            except NotAcceptedError as error:
                self._report(f"Not acknowledged ({envelope.type}): {error}.")
                return
            if response and envelope.accepts_payload:
                acknowledgement["payload"] = response
        try:
            await link.websocket.send(json.dumps(acknowledgement))
        except ConnectionClosed:
            self._report(f"Not acknowledged ({message.get('type')}): the connection was lost; it took effect.")

    async def _accept(self, envelope: Envelope) -> Mapping[str, Any] | None:
        """Have an interaction acted upon in time.

        :raises NotAcceptedError: it was not, or it is not known whether it was.
        """
        try:
            async with asyncio.timeout(self._acknowledge_seconds):
                return await self._handle(envelope)
        except TimeoutError:
            raise NotAcceptedError(f"it took longer than {self._acknowledge_seconds:g} s") from None
        except NotAcceptedError:
            raise
        except Exception as error:
            # Whatever went wrong, the person is not left with an acknowledgement.
            log.exception("An interaction could not be handled")
            raise NotAcceptedError(f"{type(error).__name__}, see the log with --verbose") from error

    # --- bookkeeping ------------------------------------------------------------------------------------

    def _report(self, text: str) -> None:
        self._observe(any(link.websocket.state is State.OPEN for link in self._links), text)

    def _keep(self, reader: asyncio.Task[None]) -> None:
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)


async def _hello(websocket: ClientConnection) -> Mapping[str, Any]:
    """Return Slack's first message: after it, envelopes may arrive."""
    while True:
        message = _message(await websocket.recv())
        if message.get("type") == "hello":
            return message
        if message.get("type") == "disconnect":
            ending = _ending(message.get("reason"))
            if ending is Ending.LINK_DISABLED:
                raise SlackConfigurationError("Socket Mode is switched off for the Slack app.", code=ending)
            raise SlackUnavailableError(f"Slack refused the connection: {str(message.get('reason'))[:40]}.")


def _message(raw: str | bytes) -> Mapping[str, Any]:
    """Return a message of Slack; empty if it cannot be read."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _connected(hello: Mapping[str, Any], *, own: int) -> str:
    """Return what to report: Slack spreads interactions over all of an app's connections."""
    count = hello.get("num_connections")
    text = f"Connected to Slack as the app {_info(hello).get('app_id', 'of the token')}."
    if isinstance(count, int) and count > own:
        text += (
            f" Slack counts {count} connections of this app, {own} of them here: interactions also go to the"
            " others, which are those of another process, or lost ones that Slack still counts."
        )
    return text


def _info(hello: Mapping[str, Any]) -> Mapping[str, Any]:
    info = hello.get("connection_info")
    return info if isinstance(info, Mapping) else {}


def _ending(reason: object) -> Ending:
    try:
        return Ending(str(reason))
    except ValueError:
        return Ending.OTHER


def _envelope(envelope_id: str, message: Mapping[str, Any]) -> Envelope | None:
    """Return the interaction in a message, or ``None`` for something else."""
    payload = message.get("payload")
    try:
        kind = InteractionType(str(message.get("type")))
    except ValueError:
        return None
    return Envelope(
        id=envelope_id,
        type=kind,
        payload=payload if isinstance(payload, Mapping) else {},
        accepts_payload=message.get("accepts_response_payload") is True,
    )
