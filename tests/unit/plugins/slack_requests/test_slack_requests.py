"""Requests of Slack: only those that Slack signed, from people who may act, take effect, and each once."""

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

from .one_incident import KEY, Registry, Workspace, open_incident  # isort: skip

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
ROOM = "C0ROOM"
DANA, STRANGER, GONE, RESPONDER = "U0DANAREYES", "U0STRANGER1", "U0DAVEGONE1", "U0PRIYAIYER"
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
    workspace = Workspace({ROOM: {DANA, GONE}}, {"@sre-oncall": {RESPONDER}}, {GONE})
    views: list[tuple[str, dict[str, Any]]] = []
    extra = json.dumps({"signing_secret": SECRET, "app_id": "A0WARROOM1", "team_id": "T0ACME"})
    verification = Verification(lambda: Connection(conn_id="slack", conn_type="slack", extra=extra))
    table = RoutingTable.model_validate({"interaction": {"groups": ["@sre-oncall"]}})
    receives = SlackReceiver(
        registry,
        Authorization(lambda: workspace),
        lambda: table,
        lambda trigger, view: views.append((trigger, view)),
    )
    with TestClient(create_app(slack=SlackService(verification, receives))) as client:
        yield App(client, registry, workspace, views, receives)


def test_a_member_of_the_room_takes_command(app: App) -> None:
    assert app.press().status_code == 200
    assert app.registry.record.coordination.roles[Role.COMMANDER].slack_id == DANA


def test_a_member_of_a_named_group_may_act_from_outside_the_room(app: App) -> None:
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
    ids=["wrong secret", "stale", "future", "other body", "short", "unsigned", "no time", "long time", "not ASCII"],
)
def test_what_slack_did_not_sign_is_refused(app: App, changes: dict[str, Any]) -> None:
    assert app.press(**changes).status_code == 401
    assert app.registry.applied == []


@pytest.mark.parametrize("bit", range(0, 512, 37))
def test_a_flipped_bit_is_refused(app: App, bit: int) -> None:
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
    ids=["another workspace", "another app", "not a form"],
)
def test_what_is_for_somebody_else_is_refused(app: App, changes: dict[str, Any], status: int) -> None:
    assert app.press(**changes).status_code == status
    assert app.registry.applied == []


def test_an_oversized_body_is_refused(app: App) -> None:
    assert app.send(ACTIONS, {"payload": "x" * 300_000}).status_code == 413


@pytest.mark.parametrize(("user", "reason"), [(STRANGER, "Only members"), (GONE, "deactivated")])
def test_a_person_without_permission_gets_the_reason(app: App, user: str, reason: str) -> None:
    assert reason in app.command("lead", user=user)
    assert app.press(user=user).status_code == 200
    assert app.registry.applied == []


def test_a_button_used_outside_the_room_does_nothing(app: App) -> None:
    assert app.press(channel="C0OTHER").status_code == 200
    assert app.registry.applied == []


def test_a_replay_acts_once_and_two_clicks_change_one_state(app: App) -> None:
    for trigger in ("1.1.a", "1.1.a", "1.2.b"):
        assert app.press(trigger=trigger).status_code == 200
    assert len(app.registry.applied) == 1


def test_concurrent_clicks_act_once(app: App) -> None:
    threads = [threading.Thread(target=app.press, kwargs={"trigger": f"1.{n}.x"}) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(app.registry.applied) == 1


def test_a_command_replies_to_the_person(app: App) -> None:
    assert app.command("severity critical") == "Severity: high → critical."
    assert "/incident lead" in app.command("", trigger="2")
    assert "is no severity" in app.command("severity awful", trigger="3")
    assert app.command("lead", trigger="4", channel="C0NOWHERE") == "No incident belongs to this channel."


def test_without_slack_nobody_is_authorized_and_the_person_is_informed(app: App) -> None:
    app.workspace.away = True
    assert "Nothing was done" in app.command("lead")
    assert app.registry.applied == []


def test_a_blocked_database_is_not_a_silent_success(app: App) -> None:
    app.registry.blocked = threading.Event()
    began = time.monotonic()
    assert app.command("lead") == NOT_CONFIRMED
    assert time.monotonic() - began < 3
    app.registry.blocked.set()


def test_a_signing_secret_that_cannot_be_read_in_time_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = threading.Event()
    monkeypatch.setattr(service, "ADMISSION_SECONDS", 0.05)

    def load() -> Connection:
        blocked.wait(20)
        raise LookupError

    try:
        with TestClient(create_app(slack=SlackService(Verification(load)))) as client:
            body = b"payload=%7B%7D"
            answer = client.post(ACTIONS, content=body, headers=sign(SECRET, body))
            assert (answer.status_code, "in time" in answer.json()["error"]) == (503, True)
            blocked.set()
    finally:
        blocked.set()


def test_the_time_to_read_the_signing_secret_is_part_of_the_answer_s(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    wait_for = asyncio.wait_for

    async def noted(work: Any, seconds: float) -> Any:
        waits.append(seconds)
        return await wait_for(work, seconds)

    monkeypatch.setattr(receiver.asyncio, "wait_for", noted)
    app.command("lead")
    _, action = waits
    assert action < ANSWER_SECONDS


def test_a_failing_database_is_not_a_silent_success(app: App) -> None:
    app.registry.broken = True
    assert app.command("lead") == NOT_CONFIRMED


def test_an_update_opens_its_form_and_the_form_posts_it(app: App) -> None:
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


def test_a_wrong_value_is_shown_in_the_form(app: App) -> None:
    view = form(FormContext(key=KEY, kind=ActionKind.INVITE, channel_id=ROOM), title="t")
    answer = app.submit(view, "")
    assert answer["response_action"] == "errors"
    assert "Nobody is named" in answer["errors"]["value"]


def test_somebody_who_was_removed_after_opening_a_form_reads_in_it_why_nothing_is_done(app: App) -> None:
    app.press("update", trigger="9.9.z")
    [(_, view)] = app.views
    app.workspace.channels[ROOM].remove(DANA)
    assert "Only members" in app.submit(view, "We roll back")["errors"]["value"]
    assert app.registry.applied == []

    app.workspace.channels[ROOM].add(DANA)
    assert app.submit(view, "We roll back") is None
    assert [action.text for action in app.registry.applied] == ["We roll back"]


@pytest.mark.parametrize(("broken", "said"), [(True, NOT_CONFIRMED), (False, "Only members")])
def test_a_form_without_a_field_is_replaced_by_the_refusal(app: App, broken: bool, said: str) -> None:
    app.registry.broken = broken
    view = form(FormContext(key=KEY, kind=ActionKind.RESOLVE, channel_id=ROOM), title="t")
    answer = app.submit(view, "", user=STRANGER)
    assert answer["response_action"] == "update"
    assert said in json.dumps(answer["view"]["blocks"])


@pytest.mark.parametrize("text", ["update", "item"])
@pytest.mark.parametrize("channel", ["C0OTHER", "D0DIRECT1"], ids=["another room", "a direct message"])
def test_a_form_of_no_incident_is_refused_instead_of_nothing(app: App, text: str, channel: str) -> None:
    assert app.command(text, channel=channel) == "No incident belongs to this channel."
    assert app.views == []


def test_the_form_of_a_forwarded_message_does_not_open(app: App) -> None:
    app.press("update", channel="C0OTHER")
    app.press("update", key="another-incident")
    assert app.views == []


def test_a_form_that_cannot_be_opened_is_no_silence(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.registry.broken = True
    assert app.command("update") == FORM_NOT_OPENED
    app.registry.broken = False

    def refuse(*_: object) -> None:
        raise SlackUnavailableError("Slack did not answer.")

    monkeypatch.setattr(app.receiver, "_open_view", refuse)
    assert app.command("update", trigger="2") == FORM_NOT_OPENED


def test_whoever_joins_may_act_at_once(app: App) -> None:
    assert "Only members" in app.command("lead", user=STRANGER)
    app.workspace.channels[ROOM].add(STRANGER)
    app.command("lead", user=STRANGER, trigger="2")
    assert [action.actor.slack_id for action in app.registry.applied] == [STRANGER]


@pytest.mark.parametrize(
    "team",
    [
        {"team": None, "enterprise": {"id": "E0ACME"}, "is_enterprise_install": True},
        {"team": None, "enterprise": {"id": "E0ACME"}},
        {"team": {"id": "T0OTHER"}, "enterprise": {"id": "E0ACME"}, "is_enterprise_install": True},
    ],
)
def test_an_app_of_a_whole_organisation_has_no_workspace(app: App, team: dict[str, Any]) -> None:
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
    ids=["a field twice", "no UTF-8", "many fields", "deep", "deep objects", "a long number"],
)
def test_a_signed_body_that_is_no_form_of_slack_is_refused(app: App, body: bytes) -> None:
    answer = app.client.post(ACTIONS, content=body, headers=sign(SECRET, body))
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)


@pytest.mark.parametrize("key", ["a\0b", "a\ud800"], ids=["NUL", "half a character"])
def test_a_key_that_no_database_takes_finds_nothing(app: App, key: str) -> None:
    assert app.press(key=key).status_code == 200
    assert app.registry.applied == []


@pytest.mark.parametrize("timestamp", ["\u0661\u0667\u0660\u0660", " {now}", "+{now}", "{now}.0", "-1", "{now}\t1"])
def test_a_time_that_is_no_plain_number_is_refused(app: App, timestamp: str) -> None:
    given = timestamp.format(now=int(time.time())).encode()
    assert app.press(headers={"X-Slack-Request-Timestamp": given}).status_code == 401


@pytest.mark.parametrize("payload", ["", "[]", "null", "{", '{"type": 5}', "\ud800"[:0] + "\x00"])
def test_a_signed_payload_that_cannot_be_read_is_no_server_error(app: App, payload: str) -> None:
    assert app.send(ACTIONS, {"payload": payload}).status_code in (200, 400)
    assert app.registry.applied == []


def test_without_signing_secret_the_endpoint_says_what_is_missing() -> None:
    verification = Verification(lambda: Connection(conn_id="slack", conn_type="slack", extra="{}"))
    receives = SlackReceiver(None, None, None, None)  # type: ignore[arg-type]
    with TestClient(create_app(slack=SlackService(verification, receives))) as client:
        response = client.post(ACTIONS, content=b"payload={}", headers=sign("x", b"payload={}"))
    assert (response.status_code, "signing secret" in response.json()["error"]) == (503, True)


def test_a_rotated_secret_is_known_within_a_second() -> None:
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
