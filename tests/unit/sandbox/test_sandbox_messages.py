"""Messages: channels, limits, threads, updates, history and permalinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from incident_sandbox import SandboxClient

if TYPE_CHECKING:
    from slack_sdk import WebClient


pytestmark = pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing")

HELLO = "hello"


def text_section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def stored(control: SandboxClient, channel: str) -> list[dict[str, Any]]:
    """Return the messages of a channel without system messages."""
    return [m for m in control.channel(channel)["messages"] if "subtype" not in m]


def test_posted_message_is_in_the_history(slack: WebClient, room: str) -> None:
    posted = slack.chat_postMessage(channel=room, text="a & b <c>", parse="none")
    read = slack.conversations_history(channel=room)["messages"][0]

    assert posted["channel"] == room
    assert isinstance(posted["ts"], str)
    assert read["text"] == "a &amp; b &lt;c&gt;" == posted["message"]["text"]
    assert (read["bot_id"], read["user"]) == ("B0WARROOM01", "U0WARROOM01")


def test_escaped_text_is_not_escaped_again(slack: WebClient, room: str) -> None:
    assert slack.chat_postMessage(channel=room, text="a &amp; &lt;b&gt;")["message"]["text"] == "a &amp; &lt;b&gt;"


def test_timestamps_are_unique_and_in_order(slack: WebClient, room: str) -> None:
    stamps = [slack.chat_postMessage(channel=room, text=str(n))["ts"] for n in range(30)]

    assert stamps == sorted(set(stamps))
    assert all(len(ts.split(".")[1]) == 6 for ts in stamps)


def test_channels_that_accept_messages(
    slack: WebClient,
    room: str,
    control: SandboxClient,
    client_for: Callable[..., Any],
    error_response: Callable[..., Any],
) -> None:
    member_only = client_for(control.add_token("narrow", scopes=["chat:write"]))

    assert slack.chat_postMessage(channel="C0GENERAL01", text=HELLO)["ok"]
    assert slack.chat_postMessage(channel="#inc-room", text=HELLO)["channel"] == room
    assert (
        error_response(member_only.chat_postMessage, channel="C0GENERAL01", text=HELLO)["error"] == "not_in_channel"
    )
    assert error_response(slack.chat_postMessage, channel="C0SECURITY1", text=HELLO)["error"] == "channel_not_found"
    assert error_response(slack.chat_postMessage, channel="C0ARCHIVED1", text=HELLO)["error"] == "is_archived"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"text": ""}, "no_text"),
        ({"text": "x", "markdown_text": "y"}, "markdown_text_conflict"),
        ({"text": "x", "blocks": "{not json"}, "invalid_blocks_format"),
        ({"text": "x", "blocks": '{"type": "divider"}'}, "invalid_blocks_format"),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": [text_section("")]}, "invalid_blocks"),
        ({"text": "x", "blocks": [text_section("y" * 2900)] * 5}, "msg_blocks_too_long"),
        ({"text": "x", "attachments": [{"text": "y"}] * 101}, "too_many_attachments"),
        ({"text": "x", "metadata": "nonsense"}, "invalid_metadata_format"),
        ({"text": "x", "metadata": {"event_type": "e"}}, "invalid_metadata_format"),
        (
            {"text": "x", "metadata": {"event_type": "e", "event_payload": {"a": {"b": {"c": 1}}}}},
            "invalid_metadata_schema",
        ),
        ({"text": "x", "metadata": {"event_type": "e", "event_payload": {"a": "y" * 8200}}}, "metadata_too_large"),
        ({"text": "x", "thread_ts": "1700000000.000001"}, "thread_not_found"),
    ],
)
def test_invalid_message_is_rejected(
    slack: WebClient,
    room: str,
    error_response: Callable[..., Any],
    control: SandboxClient,
    *,
    message: dict[str, Any],
    error: str,
) -> None:
    assert error_response(slack.chat_postMessage, channel=room, **message)["error"] == error
    assert stored(control, room) == []


def test_invalid_blocks_error_contains_a_json_pointer(
    slack: WebClient, room: str, error_response: Callable[..., Any]
) -> None:
    body = error_response(slack.chat_postMessage, channel=room, text="x", blocks=[text_section("y" * 3001)])

    assert body["response_metadata"]["messages"] == [
        "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    ]


def test_long_text_is_truncated_silently(slack: WebClient, room: str) -> None:
    assert len(slack.chat_postMessage(channel=room, text="x" * 40_001)["message"]["text"]) == 40_000


def test_reply_requires_a_valid_parent(slack: WebClient, room: str, error_response: Callable[..., Any]) -> None:
    parent = slack.chat_postMessage(channel=room, text="parent")["ts"]
    reply = slack.chat_postMessage(channel=room, text="reply", thread_ts=parent)
    join = slack.conversations_history(channel=room)["messages"][-1]["ts"]

    assert reply["message"]["thread_ts"] == parent
    for bad in (reply["ts"], join):
        body = error_response(slack.chat_postMessage, channel=room, text="x", thread_ts=bad)
        assert body["error"] == "cannot_reply_to_message"


def test_thread_is_read_separately_from_the_channel(slack: WebClient, room: str) -> None:
    parent = slack.chat_postMessage(channel=room, text="parent")["ts"]
    replies = [slack.chat_postMessage(channel=room, text=str(n), thread_ts=parent)["ts"] for n in range(3)]
    broadcast = slack.chat_postMessage(channel=room, text="loud", thread_ts=parent, reply_broadcast=True)["ts"]

    shown = slack.conversations_history(channel=room)["messages"]
    thread = slack.conversations_replies(channel=room, ts=parent)["messages"]

    assert [m["ts"] for m in shown[:2]] == [broadcast, parent]
    assert shown[0]["subtype"] == "thread_broadcast"
    assert (shown[1]["reply_count"], shown[1]["latest_reply"]) == (4, broadcast)
    assert [m["ts"] for m in thread] == [parent, *replies, broadcast]
    assert slack.conversations_replies(channel=room, ts=replies[1])["messages"] == thread


def test_thread_pagination(slack: WebClient, room: str) -> None:
    parent = slack.chat_postMessage(channel=room, text="parent")["ts"]
    for number in range(7):
        slack.chat_postMessage(channel=room, text=str(number), thread_ts=parent)

    pages = [page["messages"] for page in slack.conversations_replies(channel=room, ts=parent, limit=3)]

    assert [len(page) for page in pages] == [3, 3, 2]
    assert [m["text"] for page in pages for m in page] == ["parent", *"0123456"]


def test_history_pagination_is_not_shifted_by_new_messages(slack: WebClient, room: str) -> None:
    for number in range(6):
        slack.chat_postMessage(channel=room, text=str(number))
    first = slack.conversations_history(channel=room, limit=3)
    slack.chat_postMessage(channel=room, text="new")
    second = slack.conversations_history(channel=room, limit=3, cursor=first["response_metadata"]["next_cursor"])

    assert [m["text"] for m in first["messages"]] == ["5", "4", "3"]
    assert [m["text"] for m in second["messages"]] == ["2", "1", "0"]
    assert first["has_more"]


def test_history_between_two_timestamps(slack: WebClient, room: str, error_response: Callable[..., Any]) -> None:
    a, b, c = (slack.chat_postMessage(channel=room, text=text)["ts"] for text in "abc")

    def texts(**kwargs: Any) -> list[str]:
        return [m["text"] for m in slack.conversations_history(channel=room, **kwargs)["messages"]]

    assert texts(oldest=a, latest=c) == ["b"]
    assert texts(oldest=a, latest=c, inclusive=True) == ["c", "b", "a"]
    assert texts(oldest=b) == ["c"]
    assert (
        error_response(slack.conversations_history, channel=room, oldest="yesterday")["error"]
        == "invalid_ts_oldest"
    )
    assert error_response(slack.conversations_history, channel=room, cursor="bWU=")["error"] == "invalid_cursor"
    assert error_response(slack.conversations_history, channel="C0GENERAL01")["error"] == "not_in_channel"
    assert error_response(slack.conversations_replies, channel=room, ts="1.000001")["error"] == "thread_not_found"


def test_history_limit_of_unlisted_apps(slack: WebClient, room: str, control: SandboxClient) -> None:
    for number in range(20):
        slack.chat_postMessage(channel=room, text=str(number))
    control.settings(history_limit=15)

    assert len(slack.conversations_history(channel=room, limit=100)["messages"]) == 15
    assert len(slack.conversations_history(channel=room)["messages"]) == 15


def test_metadata_payload_is_returned_only_on_request(slack: WebClient, room: str) -> None:
    metadata = {"event_type": "incident_update", "event_payload": {"key": "dd.1", "n": 1}}
    slack.chat_postMessage(channel=room, text="x", metadata=metadata)

    plain = slack.conversations_history(channel=room)["messages"][0]
    full = slack.conversations_history(channel=room, include_all_metadata=True)["messages"][0]

    assert plain["metadata"] == {"event_type": "incident_update"}
    assert full["metadata"] == metadata


def test_message_update(slack: WebClient, room: str, control: SandboxClient) -> None:
    metadata = {"event_type": "e", "event_payload": {}}
    ts = slack.chat_postMessage(channel=room, text="one", blocks=[text_section("one")], metadata=metadata)["ts"]

    response = slack.chat_update(channel=room, ts=ts, text="two", blocks=[text_section("two")])
    message = stored(control, room)[0]

    assert (response["ts"], response["text"]) == (ts, "two")
    assert message["blocks"][0]["text"]["text"] == "two"
    assert message["edits"] == 1
    assert message["metadata"] == metadata, "an update without metadata keeps the metadata"
    slack.chat_update(channel=room, ts=ts, text="three", metadata={})
    assert "blocks" not in stored(control, room)[0]
    assert "metadata" not in stored(control, room)[0]


def test_invalid_update_is_rejected(
    slack: WebClient,
    room: str,
    error_response: Callable[..., Any],
    control: SandboxClient,
    client_for: Callable[..., Any],
) -> None:
    ts = slack.chat_postMessage(channel=room, text="x")["ts"]
    join = slack.conversations_history(channel=room)["messages"][-1]["ts"]
    other = client_for(
        control.add_token("o", scopes=["chat:write", "channels:join"], user_id="U0DEPLOYBOT", app_id="A2")
    )
    other.conversations_join(channel=room)

    for client, stamp, text, error in (
        (slack, "1700000000.000001", "x", "message_not_found"),
        (slack, join, "x", "cant_update_message"),
        (other, ts, "x", "cant_update_message"),
        (slack, ts, "", "no_text"),
        (slack, ts, "&" * 801, "msg_too_long"),
        (slack, ts, "é" * 2001, "msg_too_long"),
    ):
        assert error_response(client.chat_update, channel=room, ts=stamp, text=text)["error"] == error
    assert slack.chat_update(channel=room, ts=ts, text="&" * 800)["ok"]
    slack.conversations_archive(channel=room)
    assert error_response(slack.chat_update, channel=room, ts=ts, text="x")["error"] == "is_inactive"


def test_delete_and_permalink(slack: WebClient, room: str, error_response: Callable[..., Any]) -> None:
    parent = slack.chat_postMessage(channel=room, text="x")["ts"]
    reply = slack.chat_postMessage(channel=room, text="y", thread_ts=parent)["ts"]
    digits = parent.replace(".", "")

    link = slack.chat_getPermalink(channel=room, message_ts=parent)["permalink"]
    assert link == f"https://acme-retail.slack.com/archives/{room}/p{digits}"
    assert f"thread_ts={parent}" in slack.chat_getPermalink(channel=room, message_ts=reply)["permalink"]
    slack.chat_delete(channel=room, ts=parent)
    assert error_response(slack.chat_getPermalink, channel=room, message_ts=parent)["error"] == "message_not_found"
    assert error_response(slack.chat_delete, channel=room, ts=parent)["error"] == "message_not_found"


def test_ephemeral_message_is_not_in_the_history(
    slack: WebClient, room: str, error_response: Callable[..., Any], control: SandboxClient
) -> None:
    slack.conversations_invite(channel=room, users="U0ALICENG01")
    slack.chat_postEphemeral(channel=room, user="U0ALICENG01", text="psst")
    outside = error_response(slack.chat_postEphemeral, channel=room, user="U0DANAREYES", text="x")

    assert outside["error"] == "user_not_in_channel"
    assert stored(control, room) == []
    assert control.channel(room)["ephemerals"][0]["text"] == "psst"
