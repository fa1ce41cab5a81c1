"""Pins, bookmarks, reactions and files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests
from incident_sandbox import SandboxServer, Workspace

if TYPE_CHECKING:
    from slack_sdk import WebClient


@pytest.fixture
def message(slack: WebClient, room: str) -> str:
    return str(slack.chat_postMessage(channel=room, text="the brief")["ts"])


def test_pins(slack: WebClient, room: str, message: str, error_response: Callable[..., Any]) -> None:
    slack.pins_add(channel=room, timestamp=message)
    newest, pinned = slack.conversations_history(channel=room)["messages"][:2]

    assert newest["subtype"] == "pinned_item"
    assert pinned["pinned_to"] == [room]
    assert error_response(slack.pins_add, channel=room, timestamp=message)["error"] == "already_pinned"
    assert error_response(slack.pins_add, channel=room, timestamp="1.000001")["error"] == "message_not_found"
    assert error_response(slack.pins_add, channel=room, timestamp="yesterday")["error"] == "bad_timestamp"
    assert error_response(slack.pins_add, channel=room)["error"] == "no_item_specified"
    assert error_response(slack.pins_add, channel=room, timestamp=newest["ts"])["error"] == "not_pinnable"


def test_channel_accepts_a_hundred_pins(
    slack: WebClient, room: str, message: str, error_response: Callable[..., Any], workspace: Workspace
) -> None:
    channel = workspace.channels[room]
    slack.pins_add(channel=room, timestamp=message)
    channel.pins *= 100
    another = slack.chat_postMessage(channel=room, text="x")["ts"]

    assert error_response(slack.pins_add, channel=room, timestamp=another)["error"] == "too_many_pins"


def test_bookmarks(slack: WebClient, room: str, error_response: Callable[..., Any]) -> None:
    link = {"channel_id": room, "title": "Monitor", "type": "link", "link": "https://dd.example/1"}
    slack.bookmarks_add(**link, emoji=":bell:")
    slack.bookmarks_add(**link)

    assert [b["title"] for b in slack.bookmarks_list(channel_id=room)["bookmarks"]] == ["Monitor"] * 2
    for change, error in (
        ({"link": "javascript:alert(1)"}, "invalid_link"),
        ({"link": ""}, "invalid_link"),
        ({"emoji": "bell"}, "invalid_emoji"),
        ({"type": "canvas"}, "invalid_bookmark_type"),
        ({"channel_id": "C0GENERAL01"}, "permission_denied"),
        ({"channel_id": "C0NOWHERE01"}, "channel_not_found"),
    ):
        assert error_response(slack.bookmarks_add, **{**link, **change})["error"] == error


def test_reactions(slack: WebClient, room: str, message: str, error_response: Callable[..., Any]) -> None:
    slack.reactions_add(channel=room, timestamp=message, name="eyes")

    reactions = slack.conversations_history(channel=room)["messages"][0]["reactions"]
    assert reactions == [{"name": "eyes", "users": ["U0WARROOM01"], "count": 1}]
    duplicate = {"channel": room, "timestamp": message, "name": "eyes"}
    assert error_response(slack.reactions_add, **duplicate)["error"] == "already_reacted"
    assert error_response(slack.reactions_add, **{**duplicate, "name": "NOT AN EMOJI"})["error"] == "invalid_name"


def test_file_upload_into_a_thread(slack: WebClient, room: str, message: str, workspace: Workspace) -> None:
    response = slack.files_upload_v2(
        channel=room,
        thread_ts=message,
        filename="evidence.txt",
        title="Evidence",
        content="HTTP 503",
        initial_comment="see",
    )
    reply = slack.conversations_replies(channel=room, ts=message)["messages"][-1]

    assert response["file"]["shares"] == {}, "the file is shared after the response"
    assert (reply["text"], reply["files"][0]["title"]) == ("see", "Evidence")
    assert workspace.files[response["file"]["id"]].content == b"HTTP 503"


def test_invalid_upload_is_rejected(
    slack: WebClient, room: str, error_response: Callable[..., Any], server: SandboxServer
) -> None:
    reserved = slack.files_getUploadURLExternal(filename="a.txt", length=3)
    share = {"files": [{"id": reserved["file_id"]}], "channel_id": room}

    assert error_response(slack.files_completeUploadExternal, **share)["error"] == "file_not_found"
    assert requests.post(f"{server.url}/upload/v1/guess", data=b"x", timeout=60).status_code == 404
    assert requests.post(reserved["upload_url"], data=b"abc", timeout=60).text == "OK - 3"
    other_channel = {**share, "channel_id": "C0GENERAL01"}
    assert error_response(slack.files_completeUploadExternal, **other_channel)["error"] == "not_in_channel"
    assert error_response(slack.files_getUploadURLExternal, filename="a", length=0)["error"] == "invalid_arguments"
    huge = {"filename": "a", "length": 1_000_001, "snippet_type": "text"}
    assert error_response(slack.files_getUploadURLExternal, **huge)["error"] == "snippet_too_large"


def test_channel_has_one_canvas(slack: WebClient, room: str, error_response: Callable[..., Any]) -> None:
    content = {"type": "markdown", "markdown": "# Draft"}
    created = slack.conversations_canvases_create(channel_id=room, document_content=content)
    assert str(created["canvas_id"]).startswith("F")
    duplicate = error_response(slack.conversations_canvases_create, channel_id=room, document_content=content)
    assert duplicate["error"] == "channel_canvas_already_exists"
    wrong = error_response(
        slack.api_call, "conversations.canvases.create", json={"channel_id": room, "document_content": 5}
    )
    assert wrong["error"] == "invalid_arguments"


def test_free_plan_has_no_canvas(
    slack: WebClient, room: str, error_response: Callable[..., Any], workspace: Workspace
) -> None:
    workspace.settings.free_plan = True
    refused = error_response(
        slack.conversations_canvases_create, channel_id=room, document_content={"type": "markdown"}
    )
    assert refused["error"] == "team_tier_cannot_create_channel_canvases"
