"""Socket Mode of the sandbox with slack_sdk's client, with and without acknowledgement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.demo.processes import wait_until
from incident_sandbox.seed import APP_LEVEL_TOKEN, FULL_TOKEN, INCIDENTS
from slack_sdk import WebClient
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

DANA = "U0DANAREYES"
Responder = Callable[[SocketModeRequest], SocketModeResponse | None]


@contextmanager
def sdk_client(server: SandboxServer, respond: Responder) -> Iterator[list[SocketModeRequest]]:
    """Connect slack_sdk's client and yield the requests it receives."""
    received: list[SocketModeRequest] = []
    client = SocketModeClient(APP_LEVEL_TOKEN, web_client=WebClient(base_url=server.slack_base_url))

    def listen(client: Any, request: SocketModeRequest) -> None:
        received.append(request)
        if (response := respond(request)) is not None:
            client.send_socket_mode_response(response)

    client.socket_mode_request_listeners.append(listen)
    client.connect()
    try:
        wait_until(lambda: bool(server.workspace.sockets.open), timeout=20, what="a connection")
        yield received
    finally:
        client.close()
        wait_until(lambda: not server.workspace.sockets.open, timeout=20, what="the connection to close")


def command(server: SandboxServer) -> Any:
    submitted = {"user_id": DANA, "channel_id": INCIDENTS, "command": "/incident", "text": "lead"}
    return httpx.post(f"{server.url}/sandbox/commands", json=submitted, timeout=30).json()


def test_slack_sdk_client_receives_and_responds(server: SandboxServer) -> None:
    server.workspace.interactivity.response_seconds = 20

    def respond(request: SocketModeRequest) -> SocketModeResponse:
        return SocketModeResponse(request.envelope_id, payload={"text": "Yes"})

    with sdk_client(server, respond) as received:
        page = {"Host": "the-page.example"}
        submitted = {"user_id": DANA, "channel_id": INCIDENTS, "command": "/incident", "text": "lead"}
        sent = httpx.post(f"{server.url}/sandbox/commands", json=submitted, headers=page, timeout=30).json()
        assert sent["delivery"] == "ok"
    # The app can reach the URL, whatever the host of the page.
    assert received[0].payload["response_url"].startswith(f"{server.url}/actions/")
    assert [(each.type, each.payload["text"], each.accepts_response_payload) for each in received] == [
        ("slash_commands", "lead", True)
    ]
    assert [each.text for each in server.workspace.channels[INCIDENTS].ephemerals] == ["Yes"]


def test_unacknowledged_request_times_out(server: SandboxServer) -> None:
    server.workspace.interactivity.response_seconds = 0.5
    with sdk_client(server, lambda _: None):
        assert command(server)["delivery"] == "operation_timeout"
    # Neither a connection nor a request URL is left.
    assert command(server)["delivery"] == "not_configured"


@pytest.mark.parametrize(
    ("token", "method", "error"),
    [
        (FULL_TOKEN, "apps.connections.open", "not_allowed_token_type"),
        (APP_LEVEL_TOKEN, "users.list", "not_allowed_token_type"),
        ("xapp-unknown", "apps.connections.open", "invalid_auth"),
    ],
)
def test_token_type_restricts_its_methods(
    client_for: Callable[[str | None], WebClient],
    error_response: Callable[..., Any],
    token: str,
    method: str,
    error: str,
) -> None:
    assert error_response(client_for(token).api_call, method)["error"] == error


def test_ticket_opens_one_connection(server: SandboxServer, client_for: Callable[[str | None], WebClient]) -> None:
    url = str(client_for(APP_LEVEL_TOKEN).api_call("apps.connections.open")["url"])
    with connect(url) as websocket:
        assert '"type": "hello"' in str(websocket.recv())
    with pytest.raises(InvalidStatus):
        connect(url)
