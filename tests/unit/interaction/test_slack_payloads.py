"""Parse Slack payloads into typed requests and reject those of other apps."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.interaction.requests import SlackRequest, read_command, read_interaction
from airflow_incident_provider.lifecycle.coordination import ActionKind
from airflow_incident_provider.messages.controls import FORMS, FormContext, controls, feedback_controls, form
from airflow_incident_provider.models import Severity

KEY = "dd.148275309.7716548234011230001"
SENDER: dict[str, Any] = {
    "type": "block_actions",
    "user": {"id": "U0DANAREYES", "username": "dana.reyes", "team_id": "T0ACME"},
    "api_app_id": "A0WARROOM1",
    "team": {"id": "T0ACME", "domain": "acme"},
    "channel": {"id": "C0ROOM", "name": "inc"},
    "trigger_id": "1.2.abc",
    "response_url": "https://hooks.slack.example/x",
}


def read_action(
    block: dict[str, Any], element: dict[str, Any], option: dict[str, Any] | None = None
) -> SlackRequest:
    action = {
        "type": element["type"],
        "action_id": element["action_id"],
        "block_id": block.get("block_id", "b"),
        "value": element.get("value", ""),
        **({"selected_option": option} if option else {}),
    }
    return read_interaction({**SENDER, "actions": [action]})


def read_submission(kind: ActionKind, value: str | None, next_minutes: str | None = None) -> SlackRequest:
    view = form(FormContext(key=KEY, kind=kind, channel_id="C0ROOM"), title="Checkout is slow")
    entered = {"value": value, "next": next_minutes}
    values: dict[str, Any] = {}
    for block in view["blocks"]:
        if block["type"] != "input":
            continue
        element, typed = block["element"], entered[block["block_id"]]
        filled = (
            {"value": typed}
            if element["type"] == "plain_text_input"
            else {"selected_option": {"value": typed} if typed else None}
        )
        values[block["block_id"]] = {element["action_id"]: filled}
    payload = {**SENDER, "type": "view_submission", "view": {**view, "id": "V1", "state": {"values": values}}}
    return read_interaction(payload)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("has_commander", [False, True])
def test_every_control_of_the_brief_is_parsed(has_commander: bool, closed: bool) -> None:
    block = controls(KEY, has_commander=has_commander, closed=closed)
    for element in block["elements"]:
        options = element.get("options") or [None]
        for option in options:
            request = read_action(block, element, option)
            assert request.key == KEY
            assert (request.command is None) != (request.form is None)
            assert request.form is None or request.form in FORMS


def test_feedback_names_its_finding() -> None:
    block = feedback_controls(KEY, "http/checkout")
    requests = [read_action(block, element) for element in block["elements"]]
    assert [request.command.arguments for request in requests if request.command] == [
        {"finding": "http/checkout", "useful": True},
        {"finding": "http/checkout", "useful": False},
    ]


@pytest.mark.parametrize(
    ("kind", "value", "next_minutes", "arguments"),
    [
        (ActionKind.UPDATE, "We roll back", "15", {"text": "We roll back", "minutes": 15}),
        (ActionKind.UPDATE, "We roll back", None, {"text": "We roll back"}),
        (ActionKind.SEVERITY, "critical", None, {"severity": Severity.CRITICAL}),
        (ActionKind.ITEM, "Alert on queues", None, {"text": "Alert on queues"}),
        (ActionKind.INVITE, "@sre-oncall", None, {"names": ("@sre-oncall",)}),
        (ActionKind.RESOLVE, None, None, {}),
    ],
)
def test_forms(kind: ActionKind, value: str | None, next_minutes: str | None, arguments: dict[str, Any]) -> None:
    request = read_submission(kind, value, next_minutes)
    assert request.command is not None
    assert (request.key, request.command.kind, request.command.arguments) == (KEY, kind, arguments)


def test_form_of_another_app_is_rejected() -> None:
    view = {"id": "V1", "private_metadata": "{}", "state": {"values": {}}}
    with pytest.raises(InvalidPayloadError, match="private_metadata"):
        read_interaction({**SENDER, "type": "view_submission", "view": view})


def test_replay_has_the_same_id_but_a_second_click_does_not() -> None:
    block = controls(KEY, has_commander=False, closed=False)
    first, replay = read_action(block, block["elements"][0]), read_action(block, block["elements"][0])
    assert first.id == replay.id
    second_click = read_interaction(
        {
            **SENDER,
            "trigger_id": "1.3.def",
            "actions": [{"type": "button", "action_id": "incident.lead", "value": KEY}],
        }
    )
    assert second_click.id != first.id


def test_command_without_text_requests_help_or_its_form() -> None:
    fields = {
        "team_id": "T0ACME",
        "api_app_id": "A0WARROOM1",
        "user_id": "U0DANAREYES",
        "user_name": "dana",
        "channel_id": "C0ROOM",
        "trigger_id": "1.2.abc",
        "text": "",
    }
    assert read_command(fields).wants_help
    assert read_command({**fields, "text": "update"}).form is ActionKind.UPDATE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from(sorted(SENDER)),
    JSON,
    st.sampled_from(["block_actions", "view_submission"]),
    st.lists(
        st.dictionaries(st.sampled_from(["action_id", "value", "selected_option", "block_id"]), JSON), max_size=2
    ),
)
def test_damaged_payload_raises_only_invalid_payload(name: str, value: Any, kind: str, actions: Any) -> None:
    payload = json.loads(json.dumps({**SENDER, "type": kind, "actions": actions, "view": value, name: value}))
    with suppress(InvalidPayloadError):
        read_interaction(payload)
