"""Organisations, plans and policies of a workspace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox import SandboxClient
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

DANA, PRIYA, SAM = "U0DANAREYES", "U0PRIYAIYER", "U0SAMWONG01"
ALL_SCOPES = [
    "channels:manage", "channels:read", "channels:history", "chat:write", "users:read", "usergroups:read",
]  # fmt: skip


ErrorResponse = Callable[..., dict[str, Any]]


@pytest.fixture
def organisation(client_for: Callable[[str | None], WebClient], control: SandboxClient) -> WebClient:
    """Return the client of an app that is installed organisation-wide."""
    return client_for(control.add_token("organisation", scopes=ALL_SCOPES, organisation_wide=True))


PER_TEAM = {
    "conversations_create": {"name": "inc-room"},
    "users_list": {"limit": 10},
    "usergroups_list": {},
    "usergroups_users_list": {"usergroup": "S0SREONCALL"},
    "users_conversations": {},
}


@pytest.mark.parametrize("method", PER_TEAM)
def test_organisation_wide_token_requires_the_team(
    organisation: WebClient, method: str, error_response: ErrorResponse
) -> None:
    arguments = PER_TEAM[method]
    response = error_response(getattr(organisation, method), **arguments)
    assert response["error"] == "missing_argument"
    assert response["response_metadata"]["messages"] == ["[ERROR] missing required field: team_id"]
    assert (
        error_response(getattr(organisation, method), **arguments, team_id="T0OTHER")["error"]
        == "team_access_not_granted"
    )
    assert getattr(organisation, method)(**arguments, team_id="T0ACME")["ok"]


def test_organisation_wide_token_is_reported(organisation: WebClient, slack: WebClient) -> None:
    identity = organisation.auth_test()
    assert identity["is_enterprise_install"]
    assert identity["team_id"] == identity["enterprise_id"] == "E0ACMEORG"
    assert organisation.auth_teams_list()["teams"] == [{"id": "T0ACME", "name": "Acme Retail"}]
    assert not slack.auth_test()["is_enterprise_install"]


def test_members_of_an_organisation(
    slack: WebClient, control: SandboxClient, error_response: ErrorResponse
) -> None:
    control.add_members(
        people=[
            {"id": "W0HERE00001", "username": "here", "teams": ["T0ACMELAB", "T0ACME"]},
            {"id": "W0THERE0001", "username": "there", "teams": ["T0ACMELAB"]},
        ]
    )
    here = slack.users_info(user="W0HERE00001")["user"]
    assert here["enterprise_user"]["teams"] == ["T0ACMELAB", "T0ACME"]
    room = slack.conversations_create(name="inc-room")["channel"]["id"]
    assert slack.conversations_invite(channel=room, users="W0HERE00001")["ok"]
    response = error_response(slack.conversations_invite, channel=room, users="W0THERE0001")
    assert response["error"] == "org_user_not_in_team"


@pytest.mark.parametrize("listed", [True, False])
def test_partial_invitations(
    slack: WebClient, control: SandboxClient, listed: bool, error_response: ErrorResponse
) -> None:
    control.settings(invite_errors_listed=listed, forced_invite_ok=False)
    control.add_members(people=[{"id": SAM, "username": "sam.wong", "invite_error": "user_removed"}])
    room = slack.conversations_create(name="inc-room")["channel"]["id"]
    users = f"{DANA},{SAM},{PRIYA}"
    response = error_response(slack.conversations_invite, channel=room, users=users)
    assert response["error"] == "user_removed"
    assert response.get("errors") == ([{"user": SAM, "ok": False, "error": "user_removed"}] if listed else None)
    assert DANA not in control.channel("inc-room")["members"]
    error_response(slack.conversations_invite, channel=room, users=users, force=True)
    assert {DANA, PRIYA} < set(control.channel("inc-room")["members"])


def test_removed_user_is_ignored_silently(slack: WebClient, control: SandboxClient) -> None:
    control.add_members(people=[{"id": SAM, "username": "sam.wong", "ignored_when_invited": True}])
    room = slack.conversations_create(name="inc-room")["channel"]["id"]
    assert slack.conversations_invite(channel=room, users=f"{SAM},{PRIYA}")["ok"]
    members = control.channel("inc-room")["members"]
    assert (SAM in members, PRIYA in members) == (False, True)


def test_message_cannot_be_edited_after_the_window(
    slack: WebClient, control: SandboxClient, error_response: ErrorResponse
) -> None:
    room = slack.conversations_create(name="inc-room")["channel"]["id"]
    ts = slack.chat_postMessage(channel=room, text="one")["ts"]
    control.settings(edit_window_s=3600)
    assert slack.chat_update(channel=room, ts=ts, text="two")["ok"]
    control.settings(edit_window_s=0)
    assert error_response(slack.chat_update, channel=room, ts=ts, text="three")["error"] == "edit_window_closed"


def test_image_is_fetched_on_post_and_on_each_update(
    slack: WebClient, control: SandboxClient, error_response: ErrorResponse
) -> None:
    room = slack.conversations_create(name="inc-room")["channel"]["id"]
    image = {"type": "image", "image_url": "https://graphs.acme.example/1.png", "alt_text": "graph"}
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "text"}, "accessory": image}
    for blocks in ([image], [section]):
        control.settings(unreachable_images=[])
        ts = slack.chat_postMessage(channel=room, text="brief", blocks=blocks)["ts"]
        control.settings(unreachable_images=["https://graphs.acme.example/"])
        for response in (
            error_response(slack.chat_update, channel=room, ts=ts, text="brief", blocks=blocks),
            error_response(slack.chat_postMessage, channel=room, text="brief", blocks=blocks),
        ):
            assert response["error"] == "invalid_blocks"
            assert "downloading image failed" in response["response_metadata"]["messages"][0]
    assert slack.chat_update(channel=room, ts=ts, text="no image")["ok"]


def test_history_of_a_limited_app_is_one_page_per_minute(slack: WebClient, control: SandboxClient) -> None:
    room = slack.conversations_create(name="inc-room")["channel"]["id"]
    for number in range(20):
        slack.chat_postMessage(channel=room, text=str(number))
    control.settings(history_calls_per_minute=1, history_limit=15)
    assert len(slack.conversations_history(channel=room, limit=200)["messages"]) == 15
    with pytest.raises(SlackApiError) as raised:
        slack.conversations_history(channel=room)
    assert raised.value.response.status_code == 429
    assert 50 < int(raised.value.response.headers["retry-after"]) <= 60


def test_restricted_creation_and_the_free_plan(
    slack: WebClient, control: SandboxClient, error_response: ErrorResponse
) -> None:
    control.settings(channel_creation_restricted=True, free_plan=True)
    assert error_response(slack.conversations_create, name="inc-room")["error"] == "restricted_action"
    assert error_response(slack.usergroups_list)["error"] == "plan_upgrade_required"


def test_disabled_groups_are_listed_on_request_only(slack: WebClient) -> None:
    assert "mainframe-oncall" not in {group["handle"] for group in slack.usergroups_list()["usergroups"]}
    [disabled] = [
        group
        for group in slack.usergroups_list(include_disabled=True)["usergroups"]
        if group["handle"] == "mainframe-oncall"
    ]
    assert 0 < disabled["date_delete"] <= time.time()
