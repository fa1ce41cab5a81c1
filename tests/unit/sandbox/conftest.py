"""Fixtures for sandbox tests: a running sandbox and real clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from incident_sandbox import SandboxClient, SandboxServer, Workspace

if TYPE_CHECKING:
    from slack_sdk import WebClient


@pytest.fixture(scope="session")
def running_server() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def server(running_server: SandboxServer) -> SandboxServer:
    running_server.workspace.reset()
    return running_server


@pytest.fixture
def workspace(server: SandboxServer) -> Workspace:
    return server.workspace


@pytest.fixture
def control(server: SandboxServer) -> SandboxClient:
    return SandboxClient(server.url)


@pytest.fixture
def client_for(server: SandboxServer) -> Callable[[str | None], WebClient]:
    from slack_sdk import WebClient

    def make(token: str | None) -> WebClient:
        return WebClient(token=token, base_url=server.slack_base_url, retry_handlers=[])

    return make


@pytest.fixture
def slack(server: SandboxServer, client_for: Callable[[str | None], WebClient]) -> WebClient:
    return client_for(server.token)


@pytest.fixture
def error_response() -> Callable[..., dict[str, Any]]:
    """Return a function that makes a call that must fail, and returns the response body."""
    from slack_sdk.errors import SlackApiError

    def call(method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> dict[str, Any]:
        with pytest.raises(SlackApiError) as caught:
            method(*args, **kwargs)
        body: dict[str, Any] = caught.value.response.data
        return body

    return call


@pytest.fixture
def room(slack: WebClient) -> str:
    """Create a channel as the bot and return its ID."""
    return str(slack.conversations_create(name="inc-room")["channel"]["id"])
