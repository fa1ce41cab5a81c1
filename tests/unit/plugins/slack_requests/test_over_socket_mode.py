"""Socket Mode: interactions reach the endpoints over real WebSockets, act once, and are never lost silently."""

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

from .one_incident import KEY, Registry, Workspace, open_incident  # isort: skip
from .tunnel import Proxy, running_proxy  # isort: skip

DANA, STRANGER = "U0DANAREYES", "U0STRANGER1"
LEAD = "incident.lead"
PATIENCE = 30.0
"""Seconds for an interaction on a busy machine."""


class ApiServer:
    """The endpoints on a port that stays the same, so that they can be away for a while."""

    def __init__(self, app: FastAPI) -> None:
        self._app = FastAPI()
        self._app.mount("/incidents", app)
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            self.port = reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        config = uvicorn.Config(self._app, host="127.0.0.1", port=self.port, log_level="error", ws="none")
        self._server = server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: server.started, timeout=PATIENCE, what="the API server")

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(PATIENCE)


@dataclass
class Receiving:
    """A process of Socket Mode, in a thread of its own."""

    lines: list[tuple[bool, str]] = field(default_factory=list)
    ended: Future[None] = field(default_factory=Future)
    request_stop: Callable[[], None] = lambda: None

    def stop(self) -> None:
        if not self.ended.done():
            self.request_stop()

    def observe(self, connected: bool, text: str) -> None:
        self.lines.append((connected, text))

    def says(self, text: str, times: int = 1) -> bool:
        return sum(text in line for _, line in self.lines) >= times

    def wait_for(self, text: str, times: int = 1) -> None:
        wait_until(lambda: self.says(text, times), timeout=PATIENCE, what=f"{text!r} in {self.lines}")


@dataclass
class Site:
    """A Slack, an API server with one incident, and processes of Socket Mode between them."""

    slack: SandboxServer
    api: ApiServer
    registry: Registry
    secrets: list[str] = field(default_factory=lambda: [SIGNING_SECRET])
    running: list[Receiving] = field(default_factory=list)

    def receive(
        self,
        *,
        token: str = APP_LEVEL_TOKEN,
        app_id: str | None = None,
        seconds: float = PATIENCE,
        **connection_extra: str,
    ) -> Receiving:
        """Start a process; return it at once."""
        receiving = Receiving()
        self.running.append(receiving)

        async def main() -> None:
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            receiving.request_stop = lambda: loop.call_soon_threadsafe(stop.set)
            forwarder = ApiServerForwarder(self.api.url, lambda: self.secrets[-1], seconds=seconds)
            extra = {"base_url": self.slack.slack_base_url, "app_token": token, **connection_extra}
            connection = Connection(conn_id="slack", conn_type="slack", extra=json.dumps(extra))

            def open_socket() -> Any:
                return AppLevelSlackHook(connection, attempts=1).open_socket()

            mode = SocketMode(open_socket, forwarder, receiving.observe, app_id=app_id, acknowledge_seconds=seconds)
            try:
                await mode.run(stop)
            finally:
                await forwarder.close()

        def run() -> None:
            try:
                receiving.ended.set_result(asyncio.run(main()))
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                receiving.ended.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return receiving

    def connect(self, **options: Any) -> Receiving:
        """Start a process and wait until it is connected."""
        receiving = self.receive(**options)
        receiving.wait_for("Connected to Slack")
        return receiving

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, method: str = "POST") -> Any:
        response = httpx.request(method, f"{self.slack.url}{path}", json=body or {}, timeout=2 * PATIENCE)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def command(self, text: str, *, user: str = DANA) -> str:
        """Send a slash command and return what Slack's client shows: the delivery."""
        typed = {"user_id": user, "channel_id": INCIDENTS, "command": "/incident", "text": text}
        return str(self.post("/sandbox/commands", typed)["delivery"])

    def press(self, action_id: str, option: str | None = None) -> str:
        used = {"user_id": DANA, "channel_id": INCIDENTS, "ts": self.brief, "action_id": action_id}
        used |= {"option": option} if option else {}
        return str(self.post("/sandbox/actions", used)["delivery"])

    @property
    def brief(self) -> str:
        channel = self.slack.workspace.channels[INCIDENTS]
        return next(ts for ts, message in channel.messages.items() if message.blocks)

    @property
    def replies(self) -> list[str]:
        return [each.text for each in self.slack.workspace.channels[INCIDENTS].ephemerals]

    @property
    def sockets(self) -> dict[str, int]:
        return dict(httpx.get(f"{self.slack.url}/sandbox/sockets", timeout=PATIENCE).json())

    @property
    def actions(self) -> list[str]:
        return [str(action.kind) for action in self.registry.applied]

    @property
    def said(self) -> str:
        return json.dumps([receiving.lines for receiving in self.running])


@pytest.fixture(scope="module")
def slack() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def site(slack: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    slack.workspace.reset()
    slack.workspace.interactivity.response_seconds = PATIENCE
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
    running = Site(slack, api, registry)
    yield running
    for receiving in running.running:
        receiving.stop()
    for receiving in running.running:
        receiving.ended.exception(PATIENCE)
    api.stop()
    assert APP_LEVEL_TOKEN not in running.said
    assert "ticket" not in running.said


def test_commands_and_buttons_arrive_and_the_person_reads_the_reply(site: Site) -> None:
    site.connect()
    assert site.command("severity critical") == "ok"
    assert site.replies == ["Severity: high → critical."]
    assert site.press(LEAD) == "ok"
    assert site.actions == ["severity", "lead"]
    assert site.registry.record.coordination.roles[Role.COMMANDER].slack_id == DANA


def test_who_may_not_act_is_refused_as_over_http(site: Site) -> None:
    site.connect()
    assert site.command("lead", user=STRANGER) == "ok"
    assert "Only members" in site.replies[0]
    assert site.actions == []


def test_a_form_opens_shows_its_errors_and_acts(site: Site) -> None:
    site.connect()
    assert site.press(MENU_ACTION_ID, "invite") == "ok"
    views = site.slack.workspace.interactivity.views
    wait_until(lambda: bool(views), timeout=PATIENCE, what="a form")
    [view_id] = views
    path = f"/sandbox/views/{view_id}/submit"
    errors = site.post(path, {"user_id": DANA, "values": {VALUE_BLOCK: ""}})["errors"]
    assert "Nobody is named" in errors[VALUE_BLOCK]
    assert site.post(path, {"user_id": DANA, "values": {VALUE_BLOCK: "@sre-oncall"}})["errors"] == {}
    assert site.actions == ["invite"]
    assert not views


@pytest.mark.parametrize("processes", [1, 2])
def test_an_envelope_that_arrives_twice_acts_once(site: Site, processes: int) -> None:
    for _ in range(processes):
        site.connect()
    site.slack.workspace.sockets.settings.copies = 2
    assert site.press(LEAD) == "ok"
    assert site.command("severity critical") == "ok"
    assert site.actions == ["lead", "severity"]


def test_a_dropped_connection_is_opened_again(site: Site) -> None:
    receiving = site.connect()
    for times in (2, 3):
        site.post("/sandbox/sockets/drop")
        receiving.wait_for("Connected to Slack", times)
        assert site.command(f"item dropped {times}") == "ok"
    assert receiving.says("The connection ends (lost)", 2)
    assert site.actions == ["item", "item"]


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
def test_a_connection_is_replaced_before_it_is_closed(site: Site, reason: str) -> None:
    receiving = site.connect()
    site.post("/sandbox/sockets/disconnect", {"reason": reason, "grace_seconds": 600})
    receiving.wait_for("Connected to Slack", 2)
    assert site.sockets == {"open": 2, "staying": 1}
    assert all(connected for connected, line in receiving.lines if "ends" in line)
    assert site.command("lead") == "ok"
    # Slack may still use the old one.
    for socket_ in site.slack.workspace.sockets.open:
        socket_.leaving = not socket_.leaving
    assert site.command("severity critical") == "ok"
    assert site.actions == ["lead", "severity"]


def test_an_old_connection_is_closed_in_the_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_mode, "LINGER_SECONDS", 0.1)
    receiving = site.connect()
    site.post("/sandbox/sockets/disconnect", {"grace_seconds": 600})
    receiving.wait_for("Connected to Slack", 2)
    wait_until(lambda: site.sockets == {"open": 1, "staying": 1}, timeout=PATIENCE, what="one connection")


def test_while_the_api_server_is_away_nothing_is_acknowledged(site: Site) -> None:
    receiving = site.connect(seconds=0.5)
    site.slack.workspace.interactivity.response_seconds = 1
    site.api.stop()
    assert site.command("lead") == "operation_timeout"
    assert site.press(LEAD) == "operation_timeout"
    receiving.wait_for("Not acknowledged (slash_commands)")
    receiving.wait_for("Not acknowledged (interactive)")
    site.slack.workspace.interactivity.response_seconds = PATIENCE
    site.api.start()
    assert site.actions == []
    # The half second is for an API server that is away.
    receiving.stop()
    receiving.ended.result(PATIENCE)
    site.connect()
    assert site.command("lead") == "ok"
    assert site.actions == ["lead"]


def test_an_api_server_that_restarts_meanwhile_receives_it(site: Site) -> None:
    site.connect()
    site.api.stop()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(site.command, "lead")
        wait_until(lambda: bool(site.slack.workspace.sockets.open[0].pending), timeout=PATIENCE, what="it is sent")
        site.api.start()
        assert sending.result(PATIENCE) == "ok"
    assert site.actions == ["lead"]


def test_what_the_api_server_refuses_is_not_acknowledged(site: Site) -> None:
    site.secrets.append("another secret")
    receiving = site.connect()
    site.slack.workspace.interactivity.response_seconds = 1
    assert site.command("lead") == "operation_timeout"
    receiving.wait_for("HTTP 401 (The request is not signed for this app")
    assert site.actions == []
    assert "another secret" not in site.said


def test_a_rotated_signing_secret_is_used(site: Site) -> None:
    site.secrets.append("an old secret")
    site.connect()
    site.secrets.append(SIGNING_SECRET)
    assert site.command("lead") == "ok"
    assert site.actions == ["lead"]


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "has no app-level token"),
        ("xoxb-sandbox-0000000000-full", "is no app-level token"),
        ("xapp-wrong", "invalid_auth"),
    ],
)
def test_a_token_that_slack_refuses_ends_the_process(site: Site, token: str, message: str) -> None:
    error = site.receive(token=token).ended.exception(PATIENCE)
    assert isinstance(error, SlackConfigurationError)
    assert message in error.message
    assert "connections:write" in str(error.fix)
    assert not token or token not in str(error)


def test_a_token_of_another_app_ends_the_process(site: Site) -> None:
    error = site.receive(app_id="A0OTHER").ended.exception(PATIENCE)
    assert isinstance(error, SlackConfigurationError)
    assert APP_ID in error.message


def test_socket_mode_that_is_switched_off_ends_the_process(site: Site) -> None:
    receiving = site.connect()
    site.post("/sandbox/sockets/disconnect", {"reason": "link_disabled"})
    error = receiving.ended.exception(PATIENCE)
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
def test_while_slack_does_not_answer_it_is_tried_again(site: Site, fault: dict[str, Any]) -> None:
    site.slack.workspace.faults.add(Fault(method="apps.connections.open", times=3, **fault))
    receiving = site.connect()
    assert receiving.says("No connection: ", 3)
    assert site.command("lead") == "ok"


def test_an_eleventh_connection_is_refused_and_tried_again(site: Site) -> None:
    others = [site.connect() for _ in range(10)]
    assert others[-1].says("Slack counts 10 connections of this app, 1 of them here")
    receiving = site.receive()
    receiving.wait_for("too_many_websockets", 2)
    others[0].stop()
    receiving.wait_for("Connected to Slack")


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with running_proxy() as running:
        yield running


def test_the_proxy_of_the_connection_is_used(site: Site, proxy: Proxy) -> None:
    site.connect(proxy=proxy.url)
    assert site.command("lead") == "ok"
    assert [address.rpartition("/")[2] for address in proxy.requests] == ["apps.connections.open"]
    assert proxy.tunnels == [site.slack.url.removeprefix("http://")]


def test_a_connection_that_has_gone_silent_is_replaced(
    site: Site, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_mode, "PING_SECONDS", 0.5)
    receiving = site.connect(proxy=proxy.url)
    proxy.silence()
    receiving.wait_for("The connection ends (lost)")
    receiving.wait_for("Connected to Slack", 2)


class TestWhatAServerMaySend:
    """Messages that the sandbox never sends, from a server of the test's own."""

    @pytest.fixture
    def exchange(self, site: Site) -> Iterator[Callable[..., list[Any]]]:
        servers: list[Server] = []

        def exchange(*messages: str | bytes, answers: int) -> list[Any]:
            """Send messages over a connection and return the acknowledgements."""
            acknowledged: list[Any] = []

            def serve_one(websocket: ServerConnection) -> None:
                for message in messages:
                    websocket.send(message)
                acknowledged.extend(json.loads(raw) for raw in websocket)

            servers.append(server := serve(serve_one, "127.0.0.1", 0))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
            answer = {"ok": True, "url": url}
            site.slack.workspace.faults.add(
                Fault(method="apps.connections.open", times=None, status=200, body=answer)
            )
            site.connect()
            wait_until(lambda: len(acknowledged) >= answers, timeout=PATIENCE, what="acknowledgements")
            return acknowledged

        yield exchange
        for server in servers:
            server.shutdown()

    HELLO = json.dumps({"type": "hello", "connection_info": {"app_id": APP_ID}, "num_connections": 1})

    def test_what_is_no_interaction_is_acknowledged_and_changes_nothing(
        self, site: Site, exchange: Callable[..., list[Any]]
    ) -> None:
        event = json.dumps({"type": "events_api", "envelope_id": "e1", "payload": {"event": {"type": "message"}}})
        assert exchange(self.HELLO, event, answers=1) == [{"envelope_id": "e1"}]
        assert site.actions == []

    def test_what_cannot_be_read_stops_nothing(self, site: Site, exchange: Callable[..., list[Any]]) -> None:
        unreadable = ["", "hello", "[]", "null", "{", "[" * 100_000, b"\xff", '{"type": 5}', '{"type": []}']
        unreadable += ['{"type": "interactive"}', '{"type": "disconnected"}']
        odd = [
            '{"type": "slash_commands", "envelope_id": "e1", "payload": 5}',
            '{"type": "slash_commands", "envelope_id": "e2", "payload": {"text": "\\ud800", "x": [true, null]}}',
            '{"envelope_id": "e3"}',
        ]
        acknowledged = exchange(*unreadable, self.HELLO, *unreadable, *odd, answers=3)
        assert {each["envelope_id"] for each in acknowledged} == {"e1", "e2", "e3"}
        assert site.actions == []


def test_a_mistake_of_the_process_is_not_acknowledged(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: ApiServerForwarder, envelope: socket_mode.Envelope) -> None:
        raise KeyError(envelope.id)

    monkeypatch.setattr(ApiServerForwarder, "__call__", fail)
    site.slack.workspace.interactivity.response_seconds = 1
    receiving = site.connect()
    assert site.command("lead") == "operation_timeout"
    receiving.wait_for("Not acknowledged (slash_commands): KeyError")


def test_when_it_stops_what_it_handles_is_acknowledged(site: Site) -> None:
    receiving = site.connect()
    site.registry.blocked = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(site.command, "lead")
        wait_until(lambda: bool(site.slack.workspace.sockets.open[0].pending), timeout=PATIENCE, what="it is sent")
        receiving.stop()
        site.registry.blocked.set()
        assert sending.result(PATIENCE) == "ok"
    receiving.ended.result(PATIENCE)
    assert receiving.lines[-1] == (False, "Disconnected.")
    assert site.sockets["open"] == 0
    wait_until(lambda: site.actions == ["lead"], timeout=PATIENCE, what="the action")


def test_pauses_grow_and_are_bounded() -> None:
    pauses = [SocketMode._pause(failures) for failures in range(40)]
    assert pauses[0] == 0
    assert all(0.5 <= pause <= 60 for pause in pauses[1:])
    assert min(pauses[10:]) >= 30
