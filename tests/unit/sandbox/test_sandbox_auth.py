"""Tokens, scopes, argument encodings and unknown methods."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests
from incident_sandbox import SandboxClient, SandboxServer
from incident_sandbox.slack.call import HANDLERS, Call
from incident_sandbox.slack.catalog import METHODS
from incident_sandbox.slack.errors import SlackError

if TYPE_CHECKING:
    from slack_sdk import WebClient


def post(server: SandboxServer, method: str, **kwargs: Any) -> requests.Response:
    return requests.post(f"{server.slack_base_url}{method}", timeout=60, **kwargs)


def test_auth_test_returns_identity_and_scopes(slack: WebClient) -> None:
    response = slack.auth_test()

    assert (response["team_id"], response["user_id"], response["bot_id"]) == (
        "T0ACME",
        "U0WARROOM01",
        "B0WARROOM01",
    )
    assert response["url"] == "https://acme-retail.slack.com/"
    assert "channels:manage" in response.headers["x-oauth-scopes"].split(",")


def test_catalog_and_handlers_match() -> None:
    assert set(METHODS) == set(HANDLERS) | {"api.test"}


def test_error_code_missing_from_the_catalog_is_a_server_error(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Call) -> dict[str, Any]:
        raise SlackError("not_a_code_of_slack")

    monkeypatch.setitem(HANDLERS, "auth.teams.list", fail)

    assert post(server, "auth.teams.list", data={"token": server.token}).status_code == 500


@pytest.mark.parametrize("name", ["chat.fly", "files.upload", "conversations.create."])
def test_unknown_method_is_an_error(server: SandboxServer, name: str) -> None:
    assert post(server, name).json()["error"] == "unknown_method"


def test_missing_token_is_not_authed(server: SandboxServer) -> None:
    assert post(server, "auth.test").json() == {"ok": False, "error": "not_authed"}


def test_unknown_token_is_invalid_auth(client_for: Callable[..., Any], error_response: Callable[..., Any]) -> None:
    assert error_response(client_for("xoxb-unknown").auth_test)["error"] == "invalid_auth"


@pytest.mark.parametrize("status", ["token_revoked", "token_expired", "account_inactive"])
def test_inactive_token_returns_its_status(
    control: SandboxClient, client_for: Callable[..., Any], error_response: Callable[..., Any], status: str
) -> None:
    token = control.add_token("old", scopes=["chat:write"], status=status)

    assert error_response(client_for(token).auth_test)["error"] == status


def test_token_of_a_deactivated_user_is_inactive(
    control: SandboxClient, client_for: Callable[..., Any], error_response: Callable[..., Any]
) -> None:
    token = control.add_token("dave", scopes=[], value="xoxp-dave", user_id="U0DAVEGONE1")

    assert error_response(client_for(token).auth_test)["error"] == "account_inactive"


def test_missing_scope_error_lists_needed_and_provided(
    control: SandboxClient, client_for: Callable[..., Any], error_response: Callable[..., Any]
) -> None:
    slack = client_for(control.add_token("poor", scopes=["chat:write", "users:read"]))

    body = error_response(slack.pins_add, channel="C0GENERAL01", timestamp="1.000001")

    assert (body["error"], body["needed"], body["provided"]) == (
        "missing_scope",
        "pins:write",
        "chat:write,users:read",
    )


@pytest.mark.parametrize("scope", ["channels:manage", "channels:write.topic"])
def test_any_scope_of_a_method_is_sufficient(
    control: SandboxClient, client_for: Callable[..., Any], slack: WebClient, room: str, scope: str
) -> None:
    narrow = client_for(control.add_token("narrow", scopes=[scope]))

    assert narrow.conversations_setTopic(channel=room, topic="x")["ok"]


def test_private_channels_require_group_scopes(
    control: SandboxClient, client_for: Callable[..., Any], slack: WebClient, error_response: Callable[..., Any]
) -> None:
    private = slack.conversations_create(name="inc-private", is_private=True)["channel"]["id"]
    public_only = client_for(control.add_token("public", scopes=["channels:manage", "channels:read"]))

    assert error_response(public_only.conversations_info, channel=private)["needed"] == "groups:read"
    assert error_response(public_only.conversations_create, name="x", is_private=True)["needed"] == "groups:write"
    assert (
        error_response(public_only.conversations_list, types="public_channel,private_channel")["needed"]
        == "groups:read"
    )


@pytest.mark.parametrize(
    "request_kwargs",
    [
        {"data": {"channel": "C0GENERAL01", "include_num_members": "1"}},
        {"data": {"channel": "C0GENERAL01", "include_num_members": "true"}},
        {"json": {"channel": "C0GENERAL01", "include_num_members": True}},
        {"params": {"channel": "C0GENERAL01", "include_num_members": 1}},
        {"files": {"channel": (None, "C0GENERAL01"), "include_num_members": (None, "true")}},
    ],
    ids=["form", "form-true", "json", "query", "multipart"],
)
def test_arguments_are_read_in_every_encoding(server: SandboxServer, request_kwargs: dict[str, Any]) -> None:
    response = post(
        server, "conversations.info", headers={"Authorization": f"Bearer {server.token}"}, **request_kwargs
    )

    assert response.json()["channel"]["num_members"] == 23


def test_token_is_accepted_as_a_query_argument(server: SandboxServer) -> None:
    url = f"{server.slack_base_url}conversations.info"
    query = {"token": server.token, "channel": "C0GENERAL01", "include_num_members": "0"}

    body = requests.get(url, params=query, timeout=60).json()

    assert body["ok"]
    assert "num_members" not in body["channel"]


@pytest.mark.parametrize("users", ["U0ALICENG01,U0JOSEGARC1", '["U0ALICENG01", "U0JOSEGARC1"]'])
def test_list_is_accepted_as_comma_separated_or_json(
    server: SandboxServer, slack: WebClient, room: str, users: str
) -> None:
    post(server, "conversations.invite", data={"token": server.token, "channel": room, "users": users})

    assert slack.conversations_members(channel=room)["members"] == ["U0WARROOM01", "U0ALICENG01", "U0JOSEGARC1"]


def test_blocks_are_accepted_as_a_json_string(server: SandboxServer, room: str) -> None:
    blocks = json.dumps([{"type": "divider"}])

    body = post(server, "chat.postMessage", data={"token": server.token, "channel": room, "blocks": blocks}).json()

    assert body["message"]["blocks"][0]["type"] == "divider"


@pytest.mark.parametrize(("body", "error"), [("{", "invalid_json"), ("[1]", "json_not_object")])
def test_invalid_json_is_an_error(server: SandboxServer, body: str, error: str) -> None:
    response = post(server, "auth.test", data=body, headers={"Content-Type": "application/json"})

    assert response.json()["error"] == error


def test_missing_argument_is_named(slack: WebClient, error_response: Callable[..., Any]) -> None:
    body = error_response(slack.api_call, "users.lookupByEmail")

    assert body["response_metadata"]["messages"] == ["[ERROR] missing required field: email"]


def test_api_test_echoes_arguments_without_the_token(server: SandboxServer) -> None:
    body = post(server, "api.test", data={"foo": "bar", "token": "xoxb-secret"}).json()

    assert body == {"ok": True, "args": {"foo": "bar"}}
    assert post(server, "api.test", data={"error": "my_error"}).json()["error"] == "my_error"


def test_log_contains_no_token(server: SandboxServer, slack: WebClient, control: SandboxClient) -> None:
    slack.api_test(error="")
    post(server, "auth.test", data={"token": "xoxb-guess", "x": "1"})

    assert "xoxb" not in json.dumps(control.calls())
    assert control.calls("auth.test")[-1]["args"] == {"x": "1"}
