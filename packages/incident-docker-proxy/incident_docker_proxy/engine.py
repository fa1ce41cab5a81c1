"""The Docker Engine behind the proxy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import h11

from incident_docker_proxy.decision import Allow
from incident_docker_proxy.streams import Address, BodyTooLargeError, HttpStream

CONNECT_SECONDS = 5.0
LARGEST_DOCUMENT = 8 * 1024 * 1024
_KEPT_HEADERS = frozenset({b"content-type", b"content-length", b"api-version", b"docker-experimental", b"ostype"})


class EngineError(Exception):
    """The engine does not answer, or not in a way that can be read."""


@dataclass(frozen=True, slots=True)
class EngineResponse:
    """The engine's answer: status, the headers that clients read, and the body still to come."""

    status: int
    headers: list[tuple[bytes, bytes]]
    stream: HttpStream

    async def document(self) -> Any:
        """Return the JSON value of the body.

        :raises EngineError: if it is none, or larger than ``LARGEST_DOCUMENT`` bytes.
        """
        try:
            return json.loads(await self.stream.read_body(LARGEST_DOCUMENT))
        except (OSError, ValueError, h11.RemoteProtocolError, BodyTooLargeError) as error:
            raise EngineError("the Docker Engine's answer cannot be read") from error


class Engine:
    """An engine at an address; each exchange has a connection of its own."""

    def __init__(self, address: Address) -> None:
        self._address = address

    @asynccontextmanager
    async def exchange(self, allow: Allow, container_id: str = "") -> AsyncIterator[EngineResponse]:
        """Send what the policy allowed and yield the answer.

        :param container_id: the container that the call is about.
        :raises EngineError: if there is no answer.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await self._address.connect()
        except (OSError, TimeoutError) as error:
            raise EngineError("the Docker Engine cannot be reached") from error
        stream = HttpStream(h11.CLIENT, reader, writer)
        try:
            yield await _send(stream, allow, container_id)
        finally:
            await stream.close()


async def _send(stream: HttpStream, allow: Allow, container_id: str) -> EngineResponse:
    headers = [("Host", "docker"), ("Connection", "close"), ("Content-Length", str(len(allow.body)))]
    if allow.body:
        headers.append(("Content-Type", "application/json"))
    if allow.registry_auth is not None:
        headers.append(("X-Registry-Auth", allow.registry_auth))
    request = h11.Request(method=allow.method, target=allow.engine_target(container_id), headers=headers)
    try:
        await stream.send(request, h11.Data(data=allow.body), h11.EndOfMessage())
        response = await stream.receive_response()
    except (OSError, h11.RemoteProtocolError) as error:
        raise EngineError("the Docker Engine broke off") from error
    if response is None:
        raise EngineError("the Docker Engine did not answer")
    kept = [(name, value) for name, value in response.headers if name in _KEPT_HEADERS]
    return EngineResponse(response.status_code, kept, stream)
