"""Members, user groups and pagination."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from incident_sandbox import SandboxClient, Workspace

if TYPE_CHECKING:
    from slack_sdk import WebClient


def all_members(slack: WebClient, **kwargs: Any) -> list[dict[str, Any]]:
    return [member for page in slack.users_list(limit=200, **kwargs) for member in page["members"]]


def test_lookup_by_email(slack: WebClient) -> None:
    user = slack.users_lookupByEmail(email="DANA@acme.example")["user"]

    assert (user["id"], user["profile"]["email"]) == ("U0DANAREYES", "dana@acme.example")


@pytest.mark.parametrize("email", ["dave@acme.example", "nobody@acme.example", "dana+x@acme.example"])
def test_lookup_by_unknown_or_inactive_email(
    slack: WebClient, error_response: Callable[..., Any], email: str
) -> None:
    assert error_response(slack.users_lookupByEmail, email=email)["error"] == "users_not_found"


def test_email_addresses_are_omitted_without_the_scope(
    control: SandboxClient, client_for: Callable[..., Any], error_response: Callable[..., Any]
) -> None:
    slack = client_for(control.add_token("no-mail", scopes=["users:read"]))

    assert "email" not in slack.users_info(user="U0DANAREYES")["user"]["profile"]
    assert all("email" not in member["profile"] for member in all_members(slack))
    assert error_response(slack.users_lookupByEmail, email="dana@acme.example")["needed"] == "users:read.email"


def test_seed_contains_difficult_members(slack: WebClient) -> None:
    members = {member["id"]: member for member in all_members(slack)}
    displayed = [m["profile"]["display_name"] for m in members.values()]

    assert len(members) >= 30
    assert displayed.count("Chris") == 2
    assert "" in displayed
    assert members["USLACKBOT"]["is_bot"] is False
    assert members["U0DAVEGONE1"]["deleted"] is True
    assert members["U0STRANGER1"]["team_id"] != "T0ACME"
    assert (members["U0GUESTMCG1"]["is_restricted"], members["U0GUESTMCG1"]["is_ultra_restricted"]) == (True, False)
    assert (members["U0GUESTSCG1"]["is_restricted"], members["U0GUESTSCG1"]["is_ultra_restricted"]) == (True, True)
    assert members["U0ALICENG01"]["name"] == members["U0IMITATOR1"]["profile"]["display_name"]
    assert members["U0JOSEGARC1"]["profile"]["real_name_normalized"] == "Jose Garcia"
    assert members["U0WARROOM01"]["is_bot"] is True


def test_user_info_of_an_unknown_user(slack: WebClient, error_response: Callable[..., Any]) -> None:
    assert error_response(slack.users_info, user="U0NOBODY001")["error"] == "user_not_found"


def test_user_groups(slack: WebClient, error_response: Callable[..., Any]) -> None:
    groups = {group["handle"]: group for group in slack.usergroups_list(include_users=True)["usergroups"]}

    assert len(groups["sre-oncall"]["users"]) == 3
    assert "mainframe-oncall" not in groups
    assert len(slack.usergroups_list(include_disabled=True)["usergroups"]) == len(groups) + 1
    assert "U0DAVEGONE1" in slack.usergroups_users_list(usergroup="S0PLATFORM1")["users"]
    assert error_response(slack.usergroups_users_list, usergroup="S0NOTHERE01")["error"] == "no_such_subteam"


@pytest.mark.parametrize("short_pages", [False, True])
def test_pagination_returns_every_member_once(slack: WebClient, control: SandboxClient, short_pages: bool) -> None:
    control.add_members(count=1500)
    control.settings(short_pages=short_pages)

    ids = [member["id"] for member in all_members(slack)]

    assert len(ids) == len(set(ids)) == 1500 + 31


def test_large_workspace_requires_a_limit(
    slack: WebClient, control: SandboxClient, error_response: Callable[..., Any]
) -> None:
    control.add_members(count=200)
    control.settings(limit_required_above=100)

    assert error_response(slack.users_list)["error"] == "limit_required"
    assert error_response(slack.users_list, limit=1001)["error"] == "invalid_limit"


@pytest.mark.parametrize("cursor", ["nonsense", "%%%", base64.b64encode(b"conversations.list:3").decode()])
def test_invalid_cursor_is_rejected(slack: WebClient, error_response: Callable[..., Any], cursor: str) -> None:
    assert error_response(slack.users_list, limit=10, cursor=cursor)["error"] == "invalid_cursor"


def test_generated_members_are_reproducible(control: SandboxClient, slack: WebClient, workspace: Workspace) -> None:
    control.add_members(count=50_000)
    first = workspace.people["U1000012345"]
    control.reset()
    control.add_members(count=50_000)

    assert workspace.people["U1000012345"] == first
    assert len(slack.users_list(limit=1000)["members"]) == 1000
    assert slack.users_lookupByEmail(email=str(first.email))["user"]["id"] == first.id
