"""
Hand interactions of Socket Mode to the API server, on the routes that Slack would call.

Each is sent as the form that Slack would post, signed with the app's signing secret. So there is one implementation
of what an interaction does: its authorization, its protection against replays, and its transaction.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx

from airflow_incident_provider.slack.socket_mode import (
    ACKNOWLEDGE_SECONDS,
    Envelope,
    InteractionType,
    NotAcceptedError,
)

PATHS: Mapping[InteractionType, str] = {
    InteractionType.INTERACTIVE: "/incidents/slack/actions",
    InteractionType.SLASH_COMMANDS: "/incidents/slack/commands",
}
FORM = "application/x-www-form-urlencoded"
RETRY_SECONDS = 0.2

_GATEWAY_ERRORS = frozenset({httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT})
_MAX_DETAIL = 200


class ApiServerForwarder:
    """Hands interactions to an API server.

    :param base_url: the API server's address.
    :param signing_secret: returns the app's signing secret; it may have been rotated since the last call.
    :param seconds: time for one interaction.
    """

    def __init__(
        self, base_url: str, signing_secret: Callable[[], str], *, seconds: float = ACKNOWLEDGE_SECONDS
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._signing_secret = signing_secret
        self._secret = signing_secret()
        self._seconds = seconds
        self._http = httpx.AsyncClient(timeout=seconds, trust_env=True)

    async def __call__(self, envelope: Envelope) -> Mapping[str, Any] | None:
        """Return the API server's response for the person, if it has one.

        A connection that is refused, as during a restart, is tried again while Slack waits: a request that arrives
        twice acts once.

        :raises NotAcceptedError: the API server did not accept it.
        """
        # A text may hold half a surrogate pair, which has no encoding.
        body = urlencode(_form(envelope), errors="replace").encode()
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                response = await self._post(PATHS[envelope.type], body)
            except httpx.HTTPError as error:
                failure, may_retry = f"the API server does not answer: {type(error).__name__}", _is_retryable(error)
            else:
                if response.is_success:
                    return _response(response)
                failure = f"the API server refused it: HTTP {response.status_code}{_detail(response)}"
                may_retry = response.status_code in _GATEWAY_ERRORS or await self._is_rotated(response)
            if not may_retry or time.monotonic() + RETRY_SECONDS >= deadline:
                raise NotAcceptedError(failure)
            await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, path: str, body: bytes) -> httpx.Response:
        # slack_sdk is slow to import; this process needs it anyway.
        from slack_sdk.signature import SignatureVerifier

        timestamp = str(int(time.time()))
        signature = SignatureVerifier(self._secret).generate_signature(timestamp=timestamp, body=body)
        headers = {
            "Content-Type": FORM,
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": str(signature),
        }
        return await self._http.post(f"{self._base_url}{path}", content=body, headers=headers)

    async def _is_rotated(self, response: httpx.Response) -> bool:
        """Return whether the signing secret was replaced since the request was signed; then use the new one."""
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return False
        before, self._secret = self._secret, await asyncio.to_thread(self._signing_secret)
        return before != self._secret


def _form(envelope: Envelope) -> dict[str, str]:
    """Return the form that Slack would post to a request URL."""
    if envelope.type is InteractionType.INTERACTIVE:
        return {"payload": json.dumps(envelope.payload)}
    return {name: _text(value) for name, value in envelope.payload.items() if value is not None}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _is_retryable(error: httpx.HTTPError) -> bool:
    return isinstance(error, httpx.ConnectError | httpx.RemoteProtocolError | httpx.ReadError)


def _response(response: httpx.Response) -> Mapping[str, Any] | None:
    try:
        content = response.json() if response.content else None
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _detail(response: httpx.Response) -> str:
    content = _response(response) or {}
    error = content.get("error")
    return f" ({error[:_MAX_DETAIL]})" if isinstance(error, str) else ""
