"""``airflow incident socket``: receive Slack's interactions over WebSockets until SIGTERM."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from airflow.configuration import conf
from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_incident_provider.cli.access import base_url
from airflow_incident_provider.cli.run import ExitCode, UsageError, command
from airflow_incident_provider.config import airflow_base_url
from airflow_incident_provider.exceptions import SlackConfigurationError
from airflow_incident_provider.slack.app_token import AppLevelSlackHook, SocketAddress, app_token
from airflow_incident_provider.slack.socket_mode import (
    ACKNOWLEDGE_SECONDS,
    Envelope,
    InteractionType,
    NotAcceptedError,
    SocketMode,
)

LOCAL_API_SERVER = "http://localhost:8080"
EXECUTION_API = "/execution"

OPEN_SECONDS = 5.0
"""Time for one ``apps.connections.open``; SIGTERM waits as long for it."""


@command
def socket(args: Namespace) -> ExitCode:
    """Receive interactions until SIGTERM; return ``OK`` then."""
    slack = StoredSlackConnection(args.conn_id)
    app_token(slack.read())
    log = ConnectionLog(_ready_file(args.ready_file))
    try:
        asyncio.run(_receive(slack, base_url(args.api_url) if args.api_url else default_api_server(), log))
    finally:
        log.mark(connected=False)
    return ExitCode.OK


async def _receive(slack: StoredSlackConnection, api_server: str, log: ConnectionLog) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    forwarder = ApiServerForwarder(api_server, slack.signing_secret)
    log(False, f"Interactions go to the API server at {api_server}.")
    try:
        await SocketMode(slack.open_socket, forwarder, log, app_id=slack.app_id()).run(stop)
    finally:
        await forwarder.close()


class StoredSlackConnection:
    """The Slack connection in Airflow, read again whenever it is needed, so that a rotated secret is used.

    While it cannot be read, as during an outage of the database, what was read last counts.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._last: Connection | None = None

    def read(self) -> Connection:
        """Return the connection.

        :raises SlackConfigurationError: it cannot be read, and has never been.
        """
        try:
            self._last = BaseHook.get_connection(self._conn_id)
        except Exception as error:  # noqa: BLE001 - every secrets backend has errors of its own
            if self._last is None:
                missing = isinstance(error, AirflowNotFoundException)
                reason = "does not exist" if missing else f"cannot be read: {type(error).__name__}"
                raise SlackConfigurationError(
                    f"The Airflow connection {self._conn_id} {reason}.",
                    fix="Create it, with the app's tokens: airflow incident setup airflow --yes",
                ) from None
        return self._last

    def signing_secret(self) -> str:
        """Return the signing secret.

        :raises SlackConfigurationError: there is none.
        """
        secret = self._extra("signing_secret")
        if secret is None:
            raise SlackConfigurationError(
                f"The connection {self._conn_id} has no signing secret: the API server would refuse everything.",
                fix='Put the app\'s "Signing Secret" into signing_secret of its extra.',
            )
        return secret

    def app_id(self) -> str | None:
        """Return the app's id, if the connection has it."""
        return self._extra("app_id")

    def open_socket(self) -> SocketAddress:
        """Return the address of a new WebSocket connection.

        :raises SlackError: Slack refuses, or does not answer.
        """
        return AppLevelSlackHook(self.read(), attempts=1).within(OPEN_SECONDS).open_socket()

    def _extra(self, name: str) -> str | None:
        value = self.read().extra_dejson.get(name)
        return value.strip() or None if isinstance(value, str) else None


class ConnectionLog:
    """Prints a line for each change, and keeps a file that exists while a connection is open, for health checks.

    :param ready_file: the file; ``None`` for none.
    """

    def __init__(self, ready_file: Path | None) -> None:
        self._ready_file = ready_file
        self.mark(connected=False)

    def __call__(self, connected: bool, text: str) -> None:
        """Print what happened, with the time in UTC."""
        self.mark(connected=connected)
        print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}", flush=True)

    def mark(self, *, connected: bool) -> None:
        """Create or remove the file."""
        if self._ready_file is None:
            return
        if connected:
            self._ready_file.touch()
        else:
            self._ready_file.unlink(missing_ok=True)


def default_api_server() -> str:
    """Return the API server that the tasks of this Airflow use."""
    execution_api = conf.get("core", "execution_api_server_url", fallback="") or ""
    if execution_api.startswith(("http://", "https://")):
        return str(execution_api.rstrip("/").removesuffix(EXECUTION_API))
    return airflow_base_url() or LOCAL_API_SERVER


def _ready_file(given: str | None) -> Path | None:
    if given is None:
        return None
    path = Path(given).expanduser()
    if not path.parent.is_dir():
        raise UsageError(f"--ready-file {given}: there is no folder {path.parent}.")
    return path


PATHS: Mapping[InteractionType, str] = {
    InteractionType.INTERACTIVE: "/incidents/slack/actions",
    InteractionType.SLASH_COMMANDS: "/incidents/slack/commands",
}
FORM = "application/x-www-form-urlencoded"
RETRY_SECONDS = 0.2

_GATEWAY_ERRORS = frozenset({httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT})
_RETRYABLE = (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError)
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
                failure = f"the API server does not answer: {type(error).__name__}"
                may_retry = isinstance(error, _RETRYABLE)
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
    given = {name: value for name, value in envelope.payload.items() if value is not None}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}


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
