"""Test Socket Mode over real WebSockets: forwarding, deduplication, reconnection and shutdown."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from airflow.sdk import Connection
from fastapi import FastAPI
from incident_sandbox import Fault, SandboxServer
from incident_sandbox.demo.processes import wait_until
from incident_sandbox.entities import Message
from incident_sandbox.interactivity import APP_ID, SIGNING_SECRET
from incident_sandbox.seed import APP_LEVEL_TOKEN, BOT_ID, BOT_USER, INCIDENTS
from slack_sdk import WebClient
from websockets.sync.server import Server, ServerConnection, serve

from airflow_incident_provider.cli.socket_mode import ApiServerForwarder
from airflow_incident_provider.exceptions import SlackConfigurationError, SlackError
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle.coordination import Role
from airflow_incident_provider.messages.controls import MENU_ACTION_ID, VALUE_BLOCK, controls
from airflow_incident_provider.plugins.api.app import create_app
from airflow_incident_provider.plugins.slack_requests.authorization import Authorization
from airflow_incident_provider.plugins.slack_requests.receiver import SlackReceiver
from airflow_incident_provider.plugins.slack_requests.service import SlackService
from airflow_incident_provider.plugins.slack_requests.verification import Verification
from airflow_incident_provider.slack import socket_mode
from airflow_incident_provider.slack.app_token import AppLevelSlackHook
from airflow_incident_provider.slack.socket_mode import SocketMode

from .one_incident import KEY, Registry, Workspace, open_incident
from .tunnel import Proxy, running_proxy

DANA, OUTSIDER = "U0DANAREYES", "U0STRANGER1"
LEAD = "incident.lead"
TIMEOUT_S = 30.0
"""Long enough for an interaction on a loaded machine."""


class ApiServer:
    """The endpoints on a fixed port, so that the server can be restarted."""

    def __init__(self, app: FastAPI) -> None:
        self._app = FastAPI()
        self._app.mount("/incidents", app)
        with socket.create_server(("127.0.0.1", 0)) as sock:
            self.port = sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        config = uvicorn.Config(self._app, host="127.0.0.1", port=self.port, log_level="error", ws="none")
        self._server = server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: server.started, timeout=TIMEOUT_S, what="the API server")

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(TIMEOUT_S)


@dataclass
class SocketModeProcess:
    """A Socket Mode process, run in a thread."""

    lines: list[tuple[bool, str]] = field(default_factory=list)
    ended: Future[None] = field(default_factory=Future)
    request_stop: Callable[[], None] = lambda: None

    def stop(self) -> None:
        if not self.ended.done():
            self.request_stop()

    def observe(self, connected: bool, text: str) -> None:
        self.lines.append((connected, text))

    def has_logged(self, text: str, times: int = 1) -> bool:
        return sum(text in line for _, line in self.lines) >= times

    def wait_for(self, text: str, times: int = 1) -> None:
        wait_until(lambda: self.has_logged(text, times), timeout=TIMEOUT_S, what=f"{text!r} in {self.lines}")


@dataclass
class Environment:
    """A Slack sandbox, an API server with one incident, and Socket Mode processes between them."""

    slack: SandboxServer
    api: ApiServer
    registry: Registry
    secrets: list[str] = field(default_factory=lambda: [SIGNING_SECRET])
    running: list[SocketModeProcess] = field(default_factory=list)

    def receive(
        self,
        *,
        token: str = APP_LEVEL_TOKEN,
        app_id: str | None = None,
        seconds: float = TIMEOUT_S,
        **connection_extra: str,
    ) -> SocketModeProcess:
        """Start a process without waiting for its connection."""
        process = SocketModeProcess()
        self.running.append(process)

        async def main() -> None:
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            process.request_stop = lambda: loop.call_soon_threadsafe(stop.set)
            forwarder = ApiServerForwarder(self.api.url, lambda: self.secrets[-1], seconds=seconds)
            extra = {"base_url": self.slack.slack_base_url, "app_token": token, **connection_extra}
            connection = Connection(conn_id="slack", conn_type="slack", extra=json.dumps(extra))

            def open_socket() -> Any:
                return AppLevelSlackHook(connection, attempts=1).open_socket()

            mode = SocketMode(open_socket, forwarder, process.observe, app_id=app_id, acknowledge_seconds=seconds)
            try:
                await mode.run(stop)
            finally:
                await forwarder.close()

        def run() -> None:
            try:
                process.ended.set_result(asyncio.run(main()))
            except BaseException as error:  # noqa: BLE001 - for the test to check
                process.ended.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return process

    def connect(self, **options: Any) -> SocketModeProcess:
        """Start a process and wait until it is connected."""
        process = self.receive(**options)
        process.wait_for("Connected to Slack")
        return process

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, method: str = "POST") -> Any:
        response = httpx.request(method, f"{self.slack.url}{path}", json=body or {}, timeout=2 * TIMEOUT_S)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def command(self, text: str, *, user: str = DANA) -> str:
        """Send a slash command and return its delivery, as shown by Slack's client."""
        fields = {"user_id": user, "channel_id": INCIDENTS, "command": "/incident", "text": text}
        return str(self.post("/sandbox/commands", fields)["delivery"])

    def press(self, action_id: str, option: str | None = None) -> str:
        fields = {"user_id": DANA, "channel_id": INCIDENTS, "ts": self.brief, "action_id": action_id}
        fields |= {"option": option} if option else {}
        return str(self.post("/sandbox/actions", fields)["delivery"])

    @property
    def brief(self) -> str:
        channel = self.slack.workspace.channels[INCIDENTS]
        return next(ts for ts, message in channel.messages.items() if message.blocks)

    @property
    def replies(self) -> list[str]:
        return [message.text for message in self.slack.workspace.channels[INCIDENTS].ephemerals]

    @property
    def sockets(self) -> dict[str, int]:
        return dict(httpx.get(f"{self.slack.url}/sandbox/sockets", timeout=TIMEOUT_S).json())

    @property
    def actions(self) -> list[str]:
        return [str(action.kind) for action in self.registry.applied]

    @property
    def log(self) -> str:
        return json.dumps([process.lines for process in self.running])


@pytest.fixture(scope="module")
def slack() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def env(slack: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    slack.workspace.reset()
    slack.workspace.interactivity.response_seconds = TIMEOUT_S
    slack.workspace.sockets.settings.copies = 1
    slack.workspace.post(
        slack.workspace.channels[INCIDENTS],
        Message(
            ts="",
            user=BOT_USER,
            bot_id=BOT_ID,
            text="brief",
            blocks=[controls(KEY, has_commander=False, closed=False)],
        ),
    )
    monkeypatch.setattr(socket_mode, "FIRST_PAUSE_SECONDS", 0.05)
    registry = Registry(open_incident(INCIDENTS))
    members = Workspace({INCIDENTS: {DANA}}, {}, set())

    def open_view(trigger_id: str, view: dict[str, Any]) -> None:
        WebClient(slack.token, base_url=slack.slack_base_url).views_open(trigger_id=trigger_id, view=view)

    extra = json.dumps({"signing_secret": SIGNING_SECRET, "app_id": APP_ID})
    receiver = SlackReceiver(
        registry,
        Authorization(lambda: members),
        lambda: RoutingTable.model_validate({}),
        open_view,
    )
    verification = Verification(lambda: Connection(conn_id="slack", conn_type="slack", extra=extra))
    api = ApiServer(create_app(slack=SlackService(verification, receiver)))
    api.start()
    running = Environment(slack, api, registry)
    yield running
    for process in running.running:
        process.stop()
    for process in running.running:
        process.ended.exception(TIMEOUT_S)
    api.stop()
    assert APP_LEVEL_TOKEN not in running.log
    assert "ticket" not in running.log


def test_command_and_button_take_effect_and_reply(env: Environment) -> None:
    env.connect()
    assert env.command("severity critical") == "ok"
    assert env.replies == ["Severity: high → critical."]
    assert env.press(LEAD) == "ok"
    assert env.actions == ["severity", "lead"]
    assert env.registry.record.coordination.roles[Role.COMMANDER].slack_id == DANA


def test_unauthorized_user_is_refused(env: Environment) -> None:
    env.connect()
    assert env.command("lead", user=OUTSIDER) == "ok"
    assert "Only members" in env.replies[0]
    assert env.actions == []


def test_form_opens_shows_errors_and_takes_effect(env: Environment) -> None:
    env.connect()
    assert env.press(MENU_ACTION_ID, "invite") == "ok"
    views = env.slack.workspace.interactivity.views
    wait_until(lambda: bool(views), timeout=TIMEOUT_S, what="a form")
    [view_id] = views
    path = f"/sandbox/views/{view_id}/submit"
    errors = env.post(path, {"user_id": DANA, "values": {VALUE_BLOCK: ""}})["errors"]
    assert "Nobody is named" in errors[VALUE_BLOCK]
    assert env.post(path, {"user_id": DANA, "values": {VALUE_BLOCK: "@sre-oncall"}})["errors"] == {}
    assert env.actions == ["invite"]
    assert not views


@pytest.mark.parametrize("processes", [1, 2])
def test_duplicate_envelope_takes_effect_once(env: Environment, processes: int) -> None:
    for _ in range(processes):
        env.connect()
    env.slack.workspace.sockets.settings.copies = 2
    assert env.press(LEAD) == "ok"
    assert env.command("severity critical") == "ok"
    assert env.actions == ["lead", "severity"]


def test_dropped_connection_is_reopened(env: Environment) -> None:
    process = env.connect()
    for times in (2, 3):
        env.post("/sandbox/sockets/drop")
        process.wait_for("Connected to Slack", times)
        assert env.command(f"item dropped {times}") == "ok"
    assert process.has_logged("The connection ends (lost)", 2)
    assert env.actions == ["item", "item"]


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
def test_connection_is_replaced_before_it_is_closed(env: Environment, reason: str) -> None:
    process = env.connect()
    env.post("/sandbox/sockets/disconnect", {"reason": reason, "grace_seconds": 600})
    process.wait_for("Connected to Slack", 2)
    assert env.sockets == {"open": 2, "staying": 1}
    assert all(connected for connected, line in process.lines if "ends" in line)
    assert env.command("lead") == "ok"
    # Slack may still use the old connection.
    for connection in env.slack.workspace.sockets.open:
        connection.leaving = not connection.leaving
    assert env.command("severity critical") == "ok"
    assert env.actions == ["lead", "severity"]


def test_replaced_connection_is_closed_eventually(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_mode, "LINGER_SECONDS", 0.1)
    process = env.connect()
    env.post("/sandbox/sockets/disconnect", {"grace_seconds": 600})
    process.wait_for("Connected to Slack", 2)
    wait_until(lambda: env.sockets == {"open": 1, "staying": 1}, timeout=TIMEOUT_S, what="one connection")


def test_nothing_is_acknowledged_while_api_server_is_down(env: Environment) -> None:
    process = env.connect(seconds=0.5)
    env.slack.workspace.interactivity.response_seconds = 1
    env.api.stop()
    assert env.command("lead") == "operation_timeout"
    assert env.press(LEAD) == "operation_timeout"
    process.wait_for("Not acknowledged (slash_commands)")
    process.wait_for("Not acknowledged (interactive)")
    env.slack.workspace.interactivity.response_seconds = TIMEOUT_S
    env.api.start()
    assert env.actions == []
    # The process above has the short timeout: replace it.
    process.stop()
    process.ended.result(TIMEOUT_S)
    env.connect()
    assert env.command("lead") == "ok"
    assert env.actions == ["lead"]


def test_interaction_is_retried_while_api_server_restarts(env: Environment) -> None:
    env.connect()
    env.api.stop()
    with ThreadPoolExecutor(1) as pool:
        delivery = pool.submit(env.command, "lead")
        wait_until(lambda: bool(env.slack.workspace.sockets.open[0].pending), timeout=TIMEOUT_S, what="the command")
        env.api.start()
        assert delivery.result(TIMEOUT_S) == "ok"
    assert env.actions == ["lead"]


def test_interaction_refused_by_api_server_is_not_acknowledged(env: Environment) -> None:
    env.secrets.append("another secret")
    process = env.connect()
    env.slack.workspace.interactivity.response_seconds = 1
    assert env.command("lead") == "operation_timeout"
    process.wait_for("HTTP 401 (The request is not signed for this app")
    assert env.actions == []
    assert "another secret" not in env.log


def test_rotated_signing_secret_is_used(env: Environment) -> None:
    env.secrets.append("an old secret")
    env.connect()
    env.secrets.append(SIGNING_SECRET)
    assert env.command("lead") == "ok"
    assert env.actions == ["lead"]


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "has no app-level token"),
        ("xoxb-sandbox-0000000000-full", "is no app-level token"),
        ("xapp-wrong", "invalid_auth"),
    ],
)
def test_rejected_token_ends_the_process(env: Environment, token: str, message: str) -> None:
    error = env.receive(token=token).ended.exception(TIMEOUT_S)
    assert isinstance(error, SlackConfigurationError)
    assert message in error.message
    assert "connections:write" in str(error.fix)
    assert not token or token not in str(error)


def test_token_of_another_app_ends_the_process(env: Environment) -> None:
    error = env.receive(app_id="A0OTHER").ended.exception(TIMEOUT_S)
    assert isinstance(error, SlackConfigurationError)
    assert APP_ID in error.message


def test_disabled_socket_mode_ends_the_process(env: Environment) -> None:
    process = env.connect()
    env.post("/sandbox/sockets/disconnect", {"reason": "link_disabled"})
    error = process.ended.exception(TIMEOUT_S)
    assert isinstance(error, SlackError)
    assert "switched off" in error.message


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"drop": True},
        {"error": "internal_error"},
        {"status": 429, "headers": {"Retry-After": "0"}},
    ],
)
def test_failed_connection_is_retried(env: Environment, fault: dict[str, Any]) -> None:
    env.slack.workspace.faults.add(Fault(method="apps.connections.open", times=3, **fault))
    process = env.connect()
    assert process.has_logged("No connection: ", 3)
    assert env.command("lead") == "ok"


def test_connection_over_the_limit_is_retried(env: Environment) -> None:
    processes = [env.connect() for _ in range(10)]
    assert processes[-1].has_logged("Slack counts 10 connections of this app, 1 of them here")
    process = env.receive()
    process.wait_for("too_many_websockets", 2)
    processes[0].stop()
    process.wait_for("Connected to Slack")


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with running_proxy() as running:
        yield running


def test_proxy_of_the_connection_is_used(env: Environment, proxy: Proxy) -> None:
    env.connect(proxy=proxy.url)
    assert env.command("lead") == "ok"
    assert [url.rpartition("/")[2] for url in proxy.requests] == ["apps.connections.open"]
    assert proxy.tunnels == [env.slack.url.removeprefix("http://")]


def test_unresponsive_connection_is_replaced(
    env: Environment, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_mode, "PING_SECONDS", 0.5)
    process = env.connect(proxy=proxy.url)
    proxy.silence()
    process.wait_for("The connection ends (lost)")
    process.wait_for("Connected to Slack", 2)


class TestServerMessages:
    """Messages that the sandbox never sends, from a separate WebSocket server."""

    @pytest.fixture
    def exchange(self, env: Environment) -> Iterator[Callable[..., list[Any]]]:
        servers: list[Server] = []

        def exchange(*messages: str | bytes, expected: int) -> list[Any]:
            """Send messages over a connection and wait for the acknowledgements."""
            acknowledgements: list[Any] = []

            def serve_one(websocket: ServerConnection) -> None:
                for message in messages:
                    websocket.send(message)
                acknowledgements.extend(json.loads(raw) for raw in websocket)

            servers.append(server := serve(serve_one, "127.0.0.1", 0))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
            response = {"ok": True, "url": url}
            env.slack.workspace.faults.add(
                Fault(method="apps.connections.open", times=None, status=200, body=response)
            )
            env.connect()
            wait_until(lambda: len(acknowledgements) >= expected, timeout=TIMEOUT_S, what="acknowledgements")
            return acknowledgements

        yield exchange
        for server in servers:
            server.shutdown()

    HELLO = json.dumps({"type": "hello", "connection_info": {"app_id": APP_ID}, "num_connections": 1})

    def test_other_event_is_acknowledged_and_ignored(
        self, env: Environment, exchange: Callable[..., list[Any]]
    ) -> None:
        event = json.dumps({"type": "events_api", "envelope_id": "e1", "payload": {"event": {"type": "message"}}})
        assert exchange(self.HELLO, event, expected=1) == [{"envelope_id": "e1"}]
        assert env.actions == []

    def test_unreadable_message_is_ignored(self, env: Environment, exchange: Callable[..., list[Any]]) -> None:
        unreadable = ["", "hello", "[]", "null", "{", "[" * 100_000, b"\xff", '{"type": 5}', '{"type": []}']
        unreadable += ['{"type": "interactive"}', '{"type": "disconnected"}']
        invalid = [
            '{"type": "slash_commands", "envelope_id": "e1", "payload": 5}',
            '{"type": "slash_commands", "envelope_id": "e2", "payload": {"text": "\\ud800", "x": [true, null]}}',
            '{"envelope_id": "e3"}',
        ]
        acknowledgements = exchange(*unreadable, self.HELLO, *unreadable, *invalid, expected=3)
        assert {message["envelope_id"] for message in acknowledgements} == {"e1", "e2", "e3"}
        assert env.actions == []


def test_interaction_is_not_acknowledged_after_internal_error(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: ApiServerForwarder, envelope: socket_mode.Envelope) -> None:
        raise KeyError(envelope.id)

    monkeypatch.setattr(ApiServerForwarder, "__call__", fail)
    env.slack.workspace.interactivity.response_seconds = 1
    process = env.connect()
    assert env.command("lead") == "operation_timeout"
    process.wait_for("Not acknowledged (slash_commands): KeyError")


def test_pending_interaction_is_acknowledged_on_shutdown(env: Environment) -> None:
    process = env.connect()
    env.registry.blocked = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        delivery = pool.submit(env.command, "lead")
        wait_until(lambda: bool(env.slack.workspace.sockets.open[0].pending), timeout=TIMEOUT_S, what="the command")
        process.stop()
        env.registry.blocked.set()
        assert delivery.result(TIMEOUT_S) == "ok"
    process.ended.result(TIMEOUT_S)
    assert process.lines[-1] == (False, "Disconnected.")
    assert env.sockets["open"] == 0
    wait_until(lambda: env.actions == ["lead"], timeout=TIMEOUT_S, what="the action")


def test_backoff_grows_and_is_bounded() -> None:
    pauses = [SocketMode._pause(failures) for failures in range(40)]
    assert pauses[0] == 0
    assert all(0.5 <= pause <= 60 for pause in pauses[1:])
    assert min(pauses[10:]) >= 30
