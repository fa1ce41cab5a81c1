"""Interactivity: signed requests, time limits and single-use triggers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.interactivity import RESPONSE_URL_USES, SIGNING_SECRET
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier

DANA, ALICE = "U0DANAREYES", "U0ALICENG01"
CHANNEL = "C0INCIDENT1"
BUTTON = {
    "type": "button",
    "action_id": "lead",
    "text": {"type": "plain_text", "text": "I'll lead"},
    "value": "KEY",
}
MENU = {
    "type": "overflow",
    "action_id": "more",
    "options": [{"text": {"type": "plain_text", "text": "Resolve"}, "value": "resolve"}],
}
BLOCKS = [{"type": "actions", "block_id": "acts", "elements": [BUTTON, MENU]}]
VIEW = {
    "type": "modal",
    "callback_id": "update",
    "private_metadata": "KEY",
    "title": {"type": "plain_text", "text": "Post an update"},
    "submit": {"type": "plain_text", "text": "Post"},
    "blocks": [
        {
            "type": "input",
            "block_id": "text",
            "label": {"type": "plain_text", "text": "Update"},
            "element": {"type": "plain_text_input", "action_id": "value", "multiline": True},
        }
    ],
}


@dataclass
class App:
    """An app that records its requests and returns configured responses."""

    url: str = ""
    requests: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    response: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda _: None
    release: threading.Event = field(default_factory=threading.Event)
    silent: bool = False

    def payload(self) -> dict[str, Any]:
        form = parse_qs(self.requests[-1][0].decode())
        return dict(json.loads(form["payload"][0]))


@pytest.fixture
def app() -> Iterator[App]:
    recorded = App()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            recorded.requests.append((body, dict(self.headers)))
            if recorded.silent:
                recorded.release.wait(20)
            form = parse_qs(body.decode())
            reply = recorded.response(json.loads(form["payload"][0]) if "payload" in form else {})
            content = json.dumps(reply).encode() if reply is not None else b""
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    recorded.url = f"http://127.0.0.1:{server.server_port}/"
    yield recorded
    recorded.release.set()
    server.shutdown()
    server.server_close()


@dataclass
class Page:
    """The sandbox page with a message that has a button and a menu."""

    server: SandboxServer
    slack: WebClient
    ts: str

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return httpx.post(f"{self.server.url}{path}", json=body, timeout=30)

    def press(self, user: str = DANA, action: str = "lead", **more: str) -> httpx.Response:
        payload = {"user_id": user, "channel_id": CHANNEL, "ts": self.ts, "action_id": action, **more}
        return self.post("/sandbox/actions", payload)


@pytest.fixture
def page(app: App) -> Iterator[Page]:
    with SandboxServer() as server:
        slack = WebClient(token=server.token, base_url=server.slack_base_url)
        slack.conversations_join(channel=CHANNEL)
        ts = slack.chat_postMessage(channel=CHANNEL, text="A brief", blocks=BLOCKS)["ts"]
        urls = {"request_url": app.url, "command_url": app.url}
        httpx.put(f"{server.url}/sandbox/interactivity", json=urls).raise_for_status()
        yield Page(server, slack, ts)


def test_button_sends_a_signed_block_action(page: Page, app: App) -> None:
    assert page.press().json()["delivery"] == "ok"
    body, headers = app.requests[-1]
    assert SignatureVerifier(SIGNING_SECRET).is_valid_request(body, headers)
    payload = app.payload()
    assert (payload["type"], payload["user"]["id"], payload["channel"]["id"]) == ("block_actions", DANA, CHANNEL)
    assert payload["container"]["message_ts"] == page.ts
    assert payload["actions"][0]["value"] == "KEY"


def test_menu_sends_its_selected_option(page: Page, app: App) -> None:
    page.press(action="more", option="resolve")
    assert app.payload()["actions"][0]["selected_option"]["value"] == "resolve"


@pytest.mark.parametrize(
    "arguments",
    [{"action": "other"}, {"action": "more", "option": "other"}, {"user": ALICE}],
    ids=["no such button", "no such option", "not in the channel"],
)
def test_unavailable_action_is_not_delivered(page: Page, app: App, arguments: dict[str, str]) -> None:
    assert page.press(**arguments).status_code == 409
    assert app.requests == []


def test_delivery_times_out_after_three_seconds(page: Page, app: App) -> None:
    app.silent = True
    response = page.press().json()
    assert response["delivery"] == "operation_timeout"
    assert len(app.requests) == 1


def test_app_without_request_url_receives_nothing(page: Page, app: App) -> None:
    page.server.workspace.interactivity.request_url = None
    assert page.press().json()["delivery"] == "not_configured"


def test_trigger_opens_one_modal_for_its_user(page: Page, app: App) -> None:
    page.press()
    trigger_id = app.payload()["trigger_id"]
    page.slack.views_open(trigger_id=trigger_id, view=VIEW)
    [shown] = httpx.get(f"{page.server.url}/sandbox/views", params={"user_id": DANA}).json()
    assert shown["title"]["text"] == "Post an update"
    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        page.slack.views_open(trigger_id=trigger_id, view=VIEW)


def test_trigger_expires_after_three_seconds(page: Page, app: App) -> None:
    page.press()
    workspace = page.server.workspace
    clock = workspace.clock
    workspace.clock = lambda: clock() + 4
    with pytest.raises(SlackApiError, match="expired_trigger_id"):
        page.slack.views_open(trigger_id=app.payload()["trigger_id"], view=VIEW)


def test_submission_contains_values_and_metadata_and_closes_the_modal(page: Page, app: App) -> None:
    page.press()
    view_id = page.slack.views_open(trigger_id=app.payload()["trigger_id"], view=VIEW)["view"]["id"]
    submitted = {"user_id": DANA, "values": {"text": "We roll back"}}
    app.response = lambda _: {"response_action": "errors", "errors": {"text": "Too short"}}
    assert page.post(f"/sandbox/views/{view_id}/submit", submitted).json()["errors"] == {"text": "Too short"}
    app.response = lambda _: None
    page.post(f"/sandbox/views/{view_id}/submit", submitted)
    payload = app.payload()
    assert payload["view"]["private_metadata"] == "KEY"
    assert payload["view"]["state"]["values"]["text"]["value"]["value"] == "We roll back"
    assert httpx.get(f"{page.server.url}/sandbox/views", params={"user_id": DANA}).json() == []


def test_command_is_signed_and_its_response_is_ephemeral(page: Page, app: App) -> None:
    app.response = lambda _: {"response_type": "ephemeral", "text": "Only you"}
    page.post(
        "/sandbox/commands", {"user_id": DANA, "channel_id": CHANNEL, "command": "/incident", "text": "lead now"}
    )
    body, headers = app.requests[-1]
    assert SignatureVerifier(SIGNING_SECRET).is_valid_request(body, headers)
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    assert (form["command"], form["text"], form["user_id"]) == ("/incident", "lead now", DANA)
    [note] = page.server.workspace.channels[CHANNEL].ephemerals
    assert (note.user, note.text) == (DANA, "Only you")


def test_response_url_works_five_times(page: Page, app: App) -> None:
    page.press()
    url = app.payload()["response_url"]
    statuses = [httpx.post(url, json={"text": "Done"}).status_code for _ in range(RESPONSE_URL_USES + 1)]
    assert statuses == [200] * RESPONSE_URL_USES + [404]


@pytest.mark.parametrize(
    "change",
    [{"type": "home"}, {"title": {"type": "plain_text", "text": "x" * 25}}, {"submit": None}, {"blocks": None}],
    ids=["not a modal", "long title", "inputs without submit", "no blocks"],
)
def test_invalid_view_is_rejected(page: Page, app: App, change: dict[str, Any]) -> None:
    page.press()
    view = {name: value for name, value in {**VIEW, **change}.items() if value is not None}
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        page.slack.views_open(trigger_id=app.payload()["trigger_id"], view=view)
