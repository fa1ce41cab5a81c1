"""The server: read a request, apply the policy, relay the engine's response."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

import h11

from incident_docker_proxy import log
from incident_docker_proxy.decision import Allow, Answer, RefusedError
from incident_docker_proxy.engine import Engine, EngineError, EngineResponse
from incident_docker_proxy.policy import Policy, Request
from incident_docker_proxy.streams import BodyTooLargeError, HttpStream

HEALTH_TARGET = "/_proxy/health"
REQUEST_SECONDS = 10.0
LARGEST_REQUEST_BODY = 64 * 1024

_PING = Allow(method="GET", version="", path="/_ping")


class Proxy:
    """Serves connections, one request each."""

    def __init__(self, policy: Policy, engine: Engine) -> None:
        self._policy = policy
        self._engine = engine

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one request and close the connection."""
        client = HttpStream(h11.SERVER, reader, writer)
        try:
            request = await _read_request(client)
            if request is not None:
                await _until_client_disconnects(client, self._answer(client, request))
        except (OSError, h11.ProtocolError):
            pass  # the client disconnected, or the engine broke off: the closed connection shows it
        except asyncio.CancelledError:
            pass  # the proxy stops; asyncio's streams in Python 3.11 report a cancelled handler as an error
        finally:
            await client.close()

    async def _answer(self, client: HttpStream, request: Request) -> None:
        try:
            if request.target == HEALTH_TARGET:
                await self._answer_health(client)
            else:
                await self._forward(client, self._policy.allow(request))
        except RefusedError as refused:
            log.refused(request.method, request.target, refused.reason)
            await _send_refusal(client, refused.reason)
        except EngineError as error:
            log.failed(request.method, request.target, str(error))
            await _send_message(client, HTTPStatus.BAD_GATEWAY, str(error))

    async def _answer_health(self, client: HttpStream) -> None:
        async with self._engine.exchange(_PING) as response:
            if response.status != HTTPStatus.OK:
                raise EngineError("the Docker Engine is unhealthy")
        await _send_message(client, HTTPStatus.OK, "ok")

    async def _forward(self, client: HttpStream, allow: Allow) -> None:
        """Forward an allowed request and relay the response."""
        container_id = ""
        if allow.container is not None:
            async with self._engine.exchange(_inspection(allow), allow.container) as inspected:
                if inspected.status != HTTPStatus.OK:
                    return await _relay(client, inspected)
                # From here on by id: a name could pass to another container in between.
                container_id = self._policy.investigation_id(await inspected.document())
        async with self._engine.exchange(allow, container_id) as response:
            if response.status >= HTTPStatus.BAD_REQUEST or allow.answer is Answer.RELAY:
                await _relay(client, response)
            elif allow.answer is Answer.OUTPUT_STREAM:
                await _relay_output(client, response)
            else:
                await self._show_images(client, allow, await response.document())
        return None

    async def _show_images(self, client: HttpStream, allow: Allow, document: Any) -> None:
        if allow.answer is Answer.ALLOWED_IMAGES:
            shown = [image for image in document if self._policy.shows_image(image)]
            await _send_json(client, HTTPStatus.OK, shown)
        elif self._policy.shows_image(document):
            await _send_json(client, HTTPStatus.OK, document)
        else:
            raise RefusedError("this is not an allowed image")


def _inspection(allow: Allow) -> Allow:
    return Allow(method="GET", version=allow.version, path="/containers/{container}/json")


async def _read_request(client: HttpStream) -> Request | None:
    """Return the request, or ``None`` if it was unreadable and the client has received an error."""
    method = target = ""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            head = await client.receive_request()
            if head is None:
                return None
            method, target = head.method.decode("ascii"), head.target.decode("ascii")
            headers = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers)
            return Request(method, target, headers, await client.read_body(LARGEST_REQUEST_BODY))
    except TimeoutError:
        await _send_message(client, HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time")
    except BodyTooLargeError:
        log.refused(method, target, "the body is too large")
        await _send_refusal(client, "the body is too large")
    except h11.RemoteProtocolError as error:
        log.refused(method, target, f"malformed HTTP: {error}")
        await _send_message(client, HTTPStatus.BAD_REQUEST, f"malformed HTTP: {error}")
    return None


async def _until_client_disconnects(client: HttpStream, answering: Coroutine[Any, Any, None]) -> None:
    """Answer, and close the engine connection as soon as the client disconnects: a wait may last for hours."""
    answer = asyncio.create_task(answering)
    gone = asyncio.create_task(client.until_other_side_closes())
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        answer.cancel()
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
    with contextlib.suppress(asyncio.CancelledError):
        await answer


async def _relay(client: HttpStream, response: EngineResponse) -> None:
    headers = [*response.headers, (b"connection", b"close")]
    await client.send(h11.Response(status_code=response.status, headers=headers))
    async for chunk in response.stream.body():
        await client.send(h11.Data(data=chunk))
    await client.send(h11.EndOfMessage())


async def _relay_output(client: HttpStream, response: EngineResponse) -> None:
    """Relay output on an upgraded connection, as the engine does; nothing is read from the client."""
    if not client.offers_upgrade:
        return await _relay(client, response)
    headers = [*response.headers, (b"connection", b"Upgrade"), (b"upgrade", b"tcp")]
    await client.send(h11.InformationalResponse(status_code=HTTPStatus.SWITCHING_PROTOCOLS, headers=headers))
    async for chunk in response.stream.body():
        await client.send_raw(chunk)
    return None


async def _send_refusal(client: HttpStream, reason: str) -> None:
    await _send_message(client, HTTPStatus.FORBIDDEN, f"refused by the investigations' Docker proxy: {reason}")


async def _send_message(client: HttpStream, status: HTTPStatus, message: str) -> None:
    await _send_json(client, status, {"message": message})


async def _send_json(client: HttpStream, status: HTTPStatus, document: object) -> None:
    body = json.dumps(document).encode()
    await client.respond(status, [(b"Content-Type", b"application/json")], body)
