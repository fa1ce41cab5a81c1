"""Test requests of Slack: signature, authorization, deduplication and error responses."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from airflow.sdk import Connection
from fastapi.testclient import TestClient
from incident_sandbox.demo.processes import wait_until
from incident_sandbox.interactivity import sign

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle.coordination import ActionKind, Role
from airflow_incident_provider.messages.controls import FormContext, controls, form
from airflow_incident_provider.plugins.api.app import create_app
from airflow_incident_provider.plugins.slack_requests import receiver, service
from airflow_incident_provider.plugins.slack_requests.authorization import Authorization
from airflow_incident_provider.plugins.slack_requests.receiver import (
    ANSWER_SECONDS,
    FORM_NOT_OPENED,
    NOT_CONFIRMED,
    SlackReceiver,
)
from airflow_incident_provider.plugins.slack_requests.service import SlackService
from airflow_incident_provider.plugins.slack_requests.verification import Verification

from .one_incident import KEY, Registry, Workspace, open_incident

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
ROOM = "C0ROOM"
DANA, OUTSIDER, DEACTIVATED, RESPONDER = "U0DANAREYES", "U0STRANGER1", "U0DAVEGONE1", "U0PRIYAIYER"
ACTIONS, COMMANDS = "/slack/actions", "/slack/commands"


@dataclass
class App:
    client: TestClient
    registry: Registry
    workspace: Workspace
    views: list[tuple[str, dict[str, Any]]]
    receiver: SlackReceiver

    def send(self, path: str, fields: dict[str, str], **changes: Any) -> Any:
        body = urlencode(fields).encode()
        headers = {**sign(changes.get("secret", SECRET), body, timestamp=changes.get("timestamp"))}
        headers |= changes.get("headers", {})
        return self.client.post(path, content=changes.get("body", body), headers=headers)

    def press(self, kind: str = "lead", *, user: str = DANA, trigger: str = "1.1.a", **changes: Any) -> Any:
        payload: dict[str, Any] = {
            "type": "block_actions",
            "user": {"id": user, "username": user.lower()},
            "api_app_id": changes.pop("app", "A0WARROOM1"),
            "team": {"id": changes.pop("team", "T0ACME")},
            "channel": {"id": changes.pop("channel", ROOM)},
            "trigger_id": trigger,
            "actions": [{"type": "button", "action_id": f"incident.{kind}", "value": changes.pop("key", KEY)}],
        }
        return self.send(ACTIONS, {"payload": json.dumps(payload)}, **changes)

    def submit(self, view: dict[str, Any], value: str, *, user: str = DANA) -> Any:
        payload = {
            "type": "view_submission",
            "user": {"id": user, "username": user.lower()},
            "api_app_id": "A0WARROOM1",
            "team": {"id": "T0ACME"},
            "view": {**view, "id": "V1", "state": {"values": {"value": {"input": {"value": value}}}}},
        }
        response = self.send(ACTIONS, {"payload": json.dumps(payload)})
        assert response.status_code == 200
        return response.json() if response.content else None

    def command(self, text: str, *, user: str = DANA, trigger: str = "1.1.a", channel: str = ROOM) -> str:
        fields = {
            "team_id": "T0ACME",
            "api_app_id": "A0WARROOM1",
            "user_id": user,
            "user_name": user.lower(),
            "channel_id": channel,
            "command": "/incident",
            "text": text,
            "trigger_id": trigger,
        }
        response = self.send(COMMANDS, fields)
        assert response.status_code == 200
        return str(response.json()["text"]) if response.content else ""


@pytest.fixture
def app() -> Iterator[App]:
    registry = Registry(open_incident(ROOM))
    workspace = Workspace({ROOM: {DANA, DEACTIVATED}}, {"@sre-oncall": {RESPONDER}}, {DEACTIVATED})
    views: list[tuple[str, dict[str, Any]]] = []
    extra = json.dumps({"signing_secret": SECRET, "app_id": "A0WARROOM1", "team_id": "T0ACME"})
    verification = Verification(lambda: Connection(conn_id="slack", conn_type="slack", extra=extra))
    table = RoutingTable.model_validate({"interaction": {"groups": ["@sre-oncall"]}})
    slack_receiver = SlackReceiver(
        registry,
        Authorization(lambda: workspace),
        lambda: table,
        lambda trigger, view: views.append((trigger, view)),
    )
    with TestClient(create_app(slack=SlackService(verification, slack_receiver))) as client:
        yield App(client, registry, workspace, views, slack_receiver)


def test_room_member_takes_command(app: App) -> None:
    assert app.press().status_code == 200
    assert app.registry.record.coordination.roles[Role.COMMANDER].slack_id == DANA


def test_member_of_authorized_group_may_act_outside_the_room(app: App) -> None:
    app.press(user=RESPONDER)
    assert [action.actor.slack_id for action in app.registry.applied] == [RESPONDER]


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "another"},
        {"timestamp": int(time.time()) - 301},
        {"timestamp": int(time.time()) + 3600},
        {"body": b"payload=%7B%7D"},
        {"headers": {"X-Slack-Signature": "v0=00"}},
        {"headers": {"X-Slack-Signature": ""}},
        {"headers": {"X-Slack-Request-Timestamp": "soon"}},
        {"headers": {"X-Slack-Request-Timestamp": "9" * 400}},
        {"headers": {"X-Slack-Signature": b"v0=\xe9"}},
    ],
    ids=[
        "wrong secret",
        "stale",
        "future",
        "other body",
        "short",
        "unsigned",
        "invalid timestamp",
        "long timestamp",
        "not ASCII",
    ],
)
def test_invalid_signature_is_refused(app: App, changes: dict[str, Any]) -> None:
    assert app.press(**changes).status_code == 401
    assert app.registry.applied == []


@pytest.mark.parametrize("bit", range(0, 512, 37))
def test_tampered_body_is_refused(app: App, bit: int) -> None:
    body = bytearray(urlencode({"payload": json.dumps({"type": "block_actions", "x": "y" * 80})}).encode())
    headers = sign(SECRET, bytes(body))
    body[bit // 8] ^= 1 << bit % 8
    assert app.client.post(ACTIONS, content=bytes(body), headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"team": "T0GLOBEX"}, 403),
        ({"app": "A0OTHER"}, 403),
        ({"headers": {"Content-Type": "application/json"}}, 415),
    ],
    ids=["other workspace", "other app", "not a form"],
)
def test_request_for_another_app_is_refused(app: App, changes: dict[str, Any], status: int) -> None:
    assert app.press(**changes).status_code == status
    assert app.registry.applied == []


def test_oversized_body_is_refused(app: App) -> None:
    assert app.send(ACTIONS, {"payload": "x" * 300_000}).status_code == 413


@pytest.mark.parametrize(("user", "reason"), [(OUTSIDER, "Only members"), (DEACTIVATED, "deactivated")])
def test_unauthorized_user_is_refused_with_reason(app: App, user: str, reason: str) -> None:
    assert reason in app.command("lead", user=user)
    assert app.press(user=user).status_code == 200
    assert app.registry.applied == []


def test_button_outside_the_room_has_no_effect(app: App) -> None:
    assert app.press(channel="C0OTHER").status_code == 200
    assert app.registry.applied == []


def test_replayed_and_repeated_clicks_take_effect_once(app: App) -> None:
    for trigger in ("1.1.a", "1.1.a", "1.2.b"):
        assert app.press(trigger=trigger).status_code == 200
    assert len(app.registry.applied) == 1


def test_concurrent_clicks_take_effect_once(app: App) -> None:
    threads = [threading.Thread(target=app.press, kwargs={"trigger": f"1.{n}.x"}) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(app.registry.applied) == 1


def test_command_replies_to_the_user(app: App) -> None:
    assert app.command("severity critical") == "Severity: high → critical."
    assert "/incident lead" in app.command("", trigger="2")
    assert "is no severity" in app.command("severity awful", trigger="3")
    assert app.command("lead", trigger="4", channel="C0UNKNOWN") == "No incident belongs to this channel."


def test_command_is_refused_while_slack_is_unavailable(app: App) -> None:
    app.workspace.unavailable = True
    assert "Nothing was done" in app.command("lead")
    assert app.registry.applied == []


def test_blocked_database_is_reported_in_time(app: App) -> None:
    app.registry.blocked = threading.Event()
    started = time.monotonic()
    assert app.command("lead") == NOT_CONFIRMED
    assert time.monotonic() - started < 3
    app.registry.blocked.set()


def test_slow_signing_secret_returns_503(monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = threading.Event()
    monkeypatch.setattr(service, "ADMISSION_SECONDS", 0.05)

    def load() -> Connection:
        blocked.wait(20)
        raise LookupError

    try:
        with TestClient(create_app(slack=SlackService(Verification(load)))) as client:
            body = b"payload=%7B%7D"
            response = client.post(ACTIONS, content=body, headers=sign(SECRET, body))
            assert (response.status_code, "in time" in response.json()["error"]) == (503, True)
            blocked.set()
    finally:
        blocked.set()


def test_response_timeout_includes_reading_the_secret(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts: list[float] = []
    wait_for = asyncio.wait_for

    async def recorded_wait_for(work: Any, seconds: float) -> Any:
        timeouts.append(seconds)
        return await wait_for(work, seconds)

    monkeypatch.setattr(receiver.asyncio, "wait_for", recorded_wait_for)
    app.command("lead")
    _, action = timeouts
    assert action < ANSWER_SECONDS


def test_failing_database_is_reported(app: App) -> None:
    app.registry.failing = True
    assert app.command("lead") == NOT_CONFIRMED


def test_update_form_opens_and_posts_the_update(app: App) -> None:
    assert app.press("update", trigger="9.9.z").status_code == 200
    wait_until(lambda: bool(app.views), what="the form", timeout=60)
    [(trigger, view)] = app.views
    assert trigger == "9.9.z"
    assert FormContext.model_validate_json(view["private_metadata"]).key == KEY
    values = {
        "value": {"input": {"value": "We roll back"}},
        "next": {"input": {"selected_option": {"value": "15"}}},
    }
    payload = {
        "type": "view_submission",
        "user": {"id": DANA, "username": "dana"},
        "api_app_id": "A0WARROOM1",
        "team": {"id": "T0ACME"},
        "view": {**view, "id": "V1", "state": {"values": values}},
    }
    for _ in range(2):
        assert app.send(ACTIONS, {"payload": json.dumps(payload)}).status_code == 200
    [update] = app.registry.record.coordination.updates
    assert update.text == "We roll back"


def test_invalid_form_value_is_reported_in_the_form(app: App) -> None:
    view = form(FormContext(key=KEY, kind=ActionKind.INVITE, channel_id=ROOM), title="t")
    response = app.submit(view, "")
    assert response["response_action"] == "errors"
    assert "Nobody is named" in response["errors"]["value"]


def test_removed_member_is_refused_in_the_form(app: App) -> None:
    app.press("update", trigger="9.9.z")
    [(_, view)] = app.views
    app.workspace.channels[ROOM].remove(DANA)
    assert "Only members" in app.submit(view, "We roll back")["errors"]["value"]
    assert app.registry.applied == []

    app.workspace.channels[ROOM].add(DANA)
    assert app.submit(view, "We roll back") is None
    assert [action.text for action in app.registry.applied] == ["We roll back"]


@pytest.mark.parametrize(("failing", "text"), [(True, NOT_CONFIRMED), (False, "Only members")])
def test_form_without_fields_is_replaced_by_the_refusal(app: App, failing: bool, text: str) -> None:
    app.registry.failing = failing
    view = form(FormContext(key=KEY, kind=ActionKind.RESOLVE, channel_id=ROOM), title="t")
    response = app.submit(view, "", user=OUTSIDER)
    assert response["response_action"] == "update"
    assert text in json.dumps(response["view"]["blocks"])


@pytest.mark.parametrize("text", ["update", "item"])
@pytest.mark.parametrize("channel", ["C0OTHER", "D0DIRECT1"], ids=["other channel", "direct message"])
def test_form_command_outside_a_room_is_refused(app: App, text: str, channel: str) -> None:
    assert app.command(text, channel=channel) == "No incident belongs to this channel."
    assert app.views == []


def test_form_of_forwarded_message_does_not_open(app: App) -> None:
    app.press("update", channel="C0OTHER")
    app.press("update", key="another-incident")
    assert app.views == []


def test_failure_to_open_a_form_is_reported(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.registry.failing = True
    assert app.command("update") == FORM_NOT_OPENED
    app.registry.failing = False

    def refuse(*_: object) -> None:
        raise SlackUnavailableError("Slack did not answer.")

    monkeypatch.setattr(app.receiver, "_open_view", refuse)
    assert app.command("update", trigger="2") == FORM_NOT_OPENED


def test_new_member_is_authorized_immediately(app: App) -> None:
    assert "Only members" in app.command("lead", user=OUTSIDER)
    app.workspace.channels[ROOM].add(OUTSIDER)
    app.command("lead", user=OUTSIDER, trigger="2")
    assert [action.actor.slack_id for action in app.registry.applied] == [OUTSIDER]


@pytest.mark.parametrize(
    "team",
    [
        {"team": None, "enterprise": {"id": "E0ACME"}, "is_enterprise_install": True},
        {"team": None, "enterprise": {"id": "E0ACME"}},
        {"team": {"id": "T0OTHER"}, "enterprise": {"id": "E0ACME"}, "is_enterprise_install": True},
    ],
)
def test_organisation_wide_app_is_accepted_without_workspace(app: App, team: dict[str, Any]) -> None:
    user = "W0GRIDUSER"
    app.workspace.channels[ROOM].add(user)
    payload = {
        "type": "block_actions",
        "user": {"id": user, "username": "grid", "team_id": "T0OTHER"},
        "api_app_id": "A0WARROOM1",
        **team,
        "channel": {"id": ROOM},
        "trigger_id": "7.7.g",
        "actions": [{"type": "button", "action_id": "incident.lead", "value": KEY}],
    }
    assert app.send(ACTIONS, {"payload": json.dumps(payload)}).status_code == 200
    assert [action.actor.slack_id for action in app.registry.applied] == [user]


@pytest.mark.parametrize(
    "body",
    [
        b"payload=%7B%7D&payload=%7B%7D",
        b"payload=%FF",
        b"&".join(b"f%d=1" % number for number in range(60)),
        urlencode({"payload": "[" * 60_000}).encode(),
        urlencode({"payload": '{"a":' * 15_000}).encode(),
        urlencode({"payload": '{"type":' + "9" * 5_000 + "}"}).encode(),
    ],
    ids=["duplicate field", "invalid UTF-8", "many fields", "deep arrays", "deep objects", "long number"],
)
def test_invalid_signed_body_is_refused(app: App, body: bytes) -> None:
    response = app.client.post(ACTIONS, content=body, headers=sign(SECRET, body))
    assert (response.status_code, bool(response.json()["error"])) == (400, True)


@pytest.mark.parametrize("key", ["a\0b", "a\ud800"], ids=["NUL", "lone surrogate"])
def test_key_with_invalid_characters_finds_nothing(app: App, key: str) -> None:
    assert app.press(key=key).status_code == 200
    assert app.registry.applied == []


@pytest.mark.parametrize("timestamp", ["\u0661\u0667\u0660\u0660", " {now}", "+{now}", "{now}.0", "-1", "{now}\t1"])
def test_invalid_timestamp_is_refused(app: App, timestamp: str) -> None:
    value = timestamp.format(now=int(time.time())).encode()
    assert app.press(headers={"X-Slack-Request-Timestamp": value}).status_code == 401


@pytest.mark.parametrize("payload", ["", "[]", "null", "{", '{"type": 5}', "\x00"])
def test_unreadable_signed_payload_is_no_server_error(app: App, payload: str) -> None:
    assert app.send(ACTIONS, {"payload": payload}).status_code in (200, 400)
    assert app.registry.applied == []


def test_missing_signing_secret_is_reported() -> None:
    verification = Verification(lambda: Connection(conn_id="slack", conn_type="slack", extra="{}"))
    slack_receiver = SlackReceiver(None, None, None, None)  # type: ignore[arg-type]
    with TestClient(create_app(slack=SlackService(verification, slack_receiver))) as client:
        response = client.post(ACTIONS, content=b"payload={}", headers=sign("x", b"payload={}"))
    assert (response.status_code, "signing secret" in response.json()["error"]) == (503, True)


def test_rotated_secret_is_read_again() -> None:
    secrets = iter([SECRET, "rotated"])
    clock = [1_000_000.0]
    verification = Verification(
        lambda: Connection(conn_id="slack", conn_type="slack", extra=json.dumps({"signing_secret": next(secrets)})),
        clock=lambda: clock[0],
    )
    verification.app()
    clock[0] += 2
    body = b"payload={}"
    assert verification.admit(body, sign("rotated", body, timestamp=int(clock[0]))).signing_secret == "rotated"


def test_every_control_is_accepted(app: App) -> None:
    for number, element in enumerate(controls(KEY, has_commander=False, closed=False)["elements"]):
        if element["type"] == "button":
            assert app.press(element["action_id"].removeprefix("incident."), trigger=f"{number}").status_code == 200
