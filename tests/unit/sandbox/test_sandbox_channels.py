"""Channels: names, visibility, archiving, topics, members and invitations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from incident_sandbox import SandboxClient
from incident_sandbox.slack.channel_names import require_valid_name
from incident_sandbox.slack.errors import SlackError

if TYPE_CHECKING:
    from slack_sdk import WebClient


def subtypes(slack: WebClient, channel: str) -> list[str | None]:
    return [m.get("subtype") for m in slack.conversations_history(channel=channel)["messages"]]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", "invalid_name_required"),
        ("   ", "invalid_name_required"),
        ("a" * 81, "invalid_name_maxlength"),
        ("Inc-1", "invalid_name_specials"),
        ("inc 1", "invalid_name_specials"),
        ("inc.1", "invalid_name_specials"),
        ("inc-🔥", "invalid_name_specials"),
        ("#inc", "invalid_name_specials"),
        ("--_", "invalid_name_punctuation"),
        ("general", "name_taken"),
        ("inc-20260914-search-latency-81", "name_taken"),
        ("security-private", "name_taken"),
    ],
)
def test_invalid_name_is_rejected(
    slack: WebClient, error_response: Callable[..., Any], name: str, error: str
) -> None:
    assert error_response(slack.conversations_create, name=name)["error"] == error


@pytest.mark.parametrize("name", ["a", "a" * 80, "inc_1-x", "zażółć", "7"])
def test_valid_name_is_unchanged(slack: WebClient, name: str) -> None:
    channel = slack.conversations_create(name=name)["channel"]

    assert (channel["name"], channel["is_private"], channel["creator"]) == (name, False, "U0WARROOM01")


@given(st.text(max_size=100))
def test_any_name_is_valid_or_rejected(name: str) -> None:
    refused = None
    try:
        require_valid_name(name)
    except SlackError as error:
        refused = error.code

    is_plain = 0 < len(name) <= 80 and name == name.lower() and not set(name) & set(" .#@<>&/\n")
    assert is_plain if refused is None else refused.startswith("invalid_name_")


def test_private_channel_is_visible_to_members_only(
    slack: WebClient, control: SandboxClient, client_for: Callable[..., Any], error_response: Callable[..., Any]
) -> None:
    private = slack.conversations_create(name="inc-secret", is_private=True)["channel"]
    outsider = client_for(
        control.add_token("other", scopes=["groups:read", "channels:read"], user_id="U0DEPLOYBOT", app_id="A2")
    )
    both = "public_channel,private_channel"

    assert private["is_private"]
    assert private["id"] in {c["id"] for c in slack.conversations_list(types=both)["channels"]}
    assert private["id"] not in {c["id"] for c in outsider.conversations_list(types=both)["channels"]}
    assert error_response(outsider.conversations_info, channel=private["id"])["error"] == "channel_not_found"
    assert error_response(slack.conversations_info, channel="C0SECURITY1")["error"] == "channel_not_found"


def test_channels_are_listed_by_type_and_state(slack: WebClient, error_response: Callable[..., Any]) -> None:
    names = {c["name"] for c in slack.conversations_list()["channels"]}
    live = {c["name"] for c in slack.conversations_list(exclude_archived=True)["channels"]}

    assert "security-private" not in names
    assert names - live == {"inc-20260914-search-latency-81"}
    assert error_response(slack.conversations_list, types="secret")["error"] == "invalid_types"
    assert error_response(slack.conversations_list, limit="many")["error"] == "invalid_limit"


def test_users_conversations_lists_the_channels_of_the_user(slack: WebClient, room: str) -> None:
    assert [c["id"] for c in slack.users_conversations()["channels"]] == [room]
    assert room not in {c["id"] for c in slack.users_conversations(user="U0DANAREYES")["channels"]}


def test_topic_and_purpose_are_escaped_announced_and_limited(
    slack: WebClient, room: str, error_response: Callable[..., Any]
) -> None:
    slack.conversations_setTopic(channel=room, topic="p99 > 2s & rising")
    slack.conversations_setPurpose(channel=room, purpose="<b>")
    channel = slack.conversations_info(channel=room)["channel"]

    assert channel["topic"]["value"] == "p99 &gt; 2s &amp; rising"
    assert channel["topic"]["creator"] == "U0WARROOM01"
    assert channel["purpose"]["value"] == "&lt;b&gt;"
    assert subtypes(slack, room) == ["channel_purpose", "channel_topic", "channel_join"]
    assert slack.conversations_setTopic(channel=room, topic="x" * 250)["ok"]
    assert error_response(slack.conversations_setTopic, channel=room, topic="x" * 251)["error"] == "too_long"
    assert (
        error_response(slack.conversations_setTopic, channel="C0GENERAL01", topic="x")["error"] == "not_in_channel"
    )


def test_bot_cannot_use_an_archived_channel(
    slack: WebClient, room: str, error_response: Callable[..., Any]
) -> None:
    slack.conversations_invite(channel=room, users="U0ALICENG01")
    slack.conversations_archive(channel=room)

    assert error_response(slack.conversations_archive, channel=room)["error"] == "already_archived"
    assert error_response(slack.conversations_unarchive, channel=room)["error"] == "not_in_channel"
    assert error_response(slack.conversations_join, channel=room)["error"] == "is_archived"
    assert error_response(slack.conversations_setTopic, channel=room, topic="x")["error"] == "is_archived"
    assert error_response(slack.chat_postMessage, channel=room, text="x")["error"] == "is_archived"
    assert slack.conversations_members(channel=room)["members"] == ["U0ALICENG01"]


def test_user_can_unarchive_a_channel(
    slack: WebClient,
    room: str,
    control: SandboxClient,
    client_for: Callable[..., Any],
    error_response: Callable[..., Any],
) -> None:
    slack.conversations_archive(channel=room)
    priya = client_for(
        control.add_token("priya", scopes=["channels:manage"], value="xoxp-priya", user_id="U0PRIYAIYER")
    )

    priya.conversations_unarchive(channel=room)

    assert not slack.conversations_info(channel=room)["channel"]["is_archived"]
    assert error_response(priya.conversations_unarchive, channel=room)["error"] == "not_archived"
    assert error_response(slack.conversations_archive, channel="C0GENERAL01")["error"] == "cant_archive_general"


def test_join(slack: WebClient, error_response: Callable[..., Any]) -> None:
    first = slack.conversations_join(channel="C0INCIDENT1")
    second = slack.conversations_join(channel="C0INCIDENT1")

    assert first["channel"]["is_member"]
    assert "warning" not in first.data
    assert second["response_metadata"]["warnings"] == ["already_in_channel"]
    assert error_response(slack.conversations_join, channel="C0NOWHERE01")["error"] == "channel_not_found"
    assert subtypes(slack, "C0INCIDENT1")[0] == "channel_join"


def test_only_the_creator_can_rename_a_channel(
    slack: WebClient, room: str, error_response: Callable[..., Any]
) -> None:
    assert slack.conversations_rename(channel=room, name="inc-renamed")["channel"]["previous_names"] == ["inc-room"]
    assert error_response(slack.conversations_rename, channel=room, name="general")["error"] == "name_taken"
    slack.conversations_join(channel="C0INCIDENT1")
    assert error_response(slack.conversations_rename, channel="C0INCIDENT1", name="x")["error"] == "not_authorized"
    assert slack.conversations_create(name="inc-room")["ok"], "the old name is available again"


def test_invited_users_become_members(slack: WebClient, room: str) -> None:
    slack.conversations_invite(channel=room, users=["U0ALICENG01", "W0TOMASZ001", "U0GUESTMCG1"])
    newest = slack.conversations_history(channel=room)["messages"][0]

    assert slack.conversations_members(channel=room)["members"][1:] == ["U0ALICENG01", "W0TOMASZ001", "U0GUESTMCG1"]
    assert (newest["subtype"], newest["inviter"]) == ("channel_join", "U0WARROOM01")


@pytest.mark.parametrize(
    ("user", "error"),
    [
        ("U0NOBODY001", "user_not_found"),
        ("U0WARROOM01", "cant_invite_self"),
        ("U0DANAREYES", "already_in_channel"),
        ("U0DAVEGONE1", "user_disabled"),
        ("U0GUESTSCG1", "ura_max_channels"),
        ("U0GUESTLOCK", "user_is_restricted"),
        ("U0STRANGER1", "no_external_invite_permission"),
        ("USLACKBOT", "cant_invite"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_invalid_invitation_among_valid_ones(
    slack: WebClient, room: str, error_response: Callable[..., Any], *, user: str, error: str, force: bool
) -> None:
    slack.conversations_invite(channel=room, users="U0DANAREYES")
    invitation: dict[str, Any] = {"channel": room, "users": ["U0ALICENG01", user, "U0JOSEGARC1"], "force": force}
    response = (
        slack.conversations_invite(**invitation)
        if force
        else error_response(slack.conversations_invite, **invitation)
    )
    members = set(slack.conversations_members(channel=room)["members"])

    assert response["errors"] == [{"user": user, "ok": False, "error": error}]
    assert ({"U0ALICENG01", "U0JOSEGARC1"} <= members) is force
    if not force:
        assert response["error"] == error


def test_forced_invitation_can_be_configured_to_fail(
    slack: WebClient, room: str, error_response: Callable[..., Any], control: SandboxClient
) -> None:
    control.settings(forced_invite_ok=False)

    body = error_response(slack.conversations_invite, channel=room, users="U0NOBODY001,U0ALICENG01", force=True)

    assert body["error"] == "user_not_found"
    assert "U0ALICENG01" in slack.conversations_members(channel=room)["members"]


def test_invitation_limits(slack: WebClient, room: str, error_response: Callable[..., Any]) -> None:
    many = [f"U{number:09d}" for number in range(101)]

    assert error_response(slack.conversations_invite, channel=room, users=many)["error"] == "too_many_users"
    assert error_response(slack.conversations_invite, channel=room, users=many[:100])["error"] == "user_not_found"
    assert error_response(slack.conversations_invite, channel=room, users="")["error"] == "no_user"
    not_in = error_response(slack.conversations_invite, channel="C0GENERAL01", users="U0STRANGER1")
    assert not_in["error"] == "not_in_channel"
