"""Detect which users, groups and channels a text notifies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from incident_sandbox import SandboxClient
from incident_sandbox.slack.mrkdwn import as_stored, notifications

if TYPE_CHECKING:
    from slack_sdk import WebClient


NOBODY: dict[str, list[str]] = {"mass": [], "users": [], "usergroups": [], "channels": [], "links": []}


def notified(control: SandboxClient, channel: str) -> dict[str, Any]:
    notified: dict[str, Any] = control.channel(channel)["messages"][-1]["notifies"]
    return notified


@pytest.mark.parametrize("mention", ["channel", "here", "everyone"])
@pytest.mark.parametrize("frame", ["{}", "```{}```", "`{}`", "> {}", "*{}*"])
def test_mass_mention_is_detected_in_any_markup(
    slack: WebClient, room: str, control: SandboxClient, mention: str, frame: str
) -> None:
    slack.chat_postMessage(channel=room, text=frame.format(f"<!{mention}>"))

    assert notified(control, room)["mass"] == [mention]


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("<!channel|x>", "mass", ["channel"]),
        ("<@U0DANAREYES> <@U0DANAREYES|d>", "users", ["U0DANAREYES"]),
        ("<!subteam^S0SREONCALL|@sre>", "usergroups", ["S0SREONCALL"]),
        ("<#C0GENERAL01>", "channels", ["C0GENERAL01"]),
        (
            "<https://evil.example|https://good.example>",
            "links",
            [{"url": "https://evil.example", "label": "https://good.example"}],
        ),
        ("see https://x.example/a", "links", [{"url": "https://x.example/a", "label": None}]),
    ],
)
def test_other_mentions_and_links(
    slack: WebClient, room: str, control: SandboxClient, *, text: str, kind: str, expected: Any
) -> None:
    slack.chat_postMessage(channel=room, text=text)

    assert notified(control, room)[kind] == expected


@pytest.mark.parametrize(
    "text", ["&lt;!channel&gt;", "@channel @here", "< !channel>", "<!nobody>", "user@channel", "<b>"]
)
def test_text_resembling_a_mention_notifies_nobody(
    slack: WebClient, room: str, control: SandboxClient, text: str
) -> None:
    slack.chat_postMessage(channel=room, text=text)

    assert notified(control, room) == NOBODY


@pytest.mark.parametrize("options", [{"parse": "full"}, {"link_names": True}])
def test_bare_names_notify_if_names_are_linked(
    slack: WebClient, room: str, control: SandboxClient, options: dict[str, Any]
) -> None:
    slack.chat_postMessage(channel=room, text="@channel, @sre-oncall and @mainframe-oncall", **options)

    assert notified(control, room)["mass"] == ["channel"]
    assert notified(control, room)["usergroups"] == ["S0SREONCALL"]


def test_delivery_options_are_stored(slack: WebClient, room: str, control: SandboxClient) -> None:
    ts = slack.chat_postMessage(channel=room, text="x", parse="none", link_names=False, unfurl_media=False)["ts"]
    sent = control.channel(room)["messages"][-1]["delivery"]
    slack.chat_update(channel=room, ts=ts, text="y")
    updated = control.channel(room)["messages"][-1]["delivery"]

    assert sent == {"parse": "none", "link_names": False, "unfurl_links": False, "unfurl_media": False}
    assert updated["parse"] == "client", "an update does not keep the delivery options of the post"


@pytest.mark.parametrize(
    ("block", "mass"),
    [
        ({"type": "section", "text": {"type": "mrkdwn", "text": "<!here>"}}, ["here"]),
        ({"type": "section", "fields": [{"type": "mrkdwn", "text": "<!here>"}]}, ["here"]),
        ({"type": "context", "elements": [{"type": "mrkdwn", "text": "<!here>"}]}, ["here"]),
        ({"type": "header", "text": {"type": "plain_text", "text": "<!here>"}}, []),
        ({"type": "section", "text": {"type": "plain_text", "text": "<!here>"}}, []),
        (
            {
                "type": "rich_text",
                "elements": [{"type": "rich_text_section", "elements": [{"type": "broadcast", "range": "here"}]}],
            },
            ["here"],
        ),
    ],
)
def test_mentions_in_blocks(
    slack: WebClient, room: str, control: SandboxClient, block: dict[str, Any], mass: list[str]
) -> None:
    slack.chat_postMessage(channel=room, text="x", blocks=[block])

    assert notified(control, room)["mass"] == mass


def test_fallback_text_and_attachments_notify(slack: WebClient, room: str, control: SandboxClient) -> None:
    slack.chat_postMessage(
        channel=room, text="<!channel>", blocks=[{"type": "divider"}], attachments=[{"text": "<!here>"}]
    )

    assert notified(control, room)["mass"] == ["channel", "here"]


@given(st.text(alphabet="<>&!@|#channelhertpsU0ltg;:/. ", max_size=60))
def test_escaped_text_contains_no_mentions_and_only_bare_links(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    result = notifications(escaped)

    assert (result.mass, result.users, result.usergroups, result.channels) == ([], [], [], [])
    assert all(link["label"] is None for link in result.links)
    assert as_stored(escaped) == escaped


@given(st.text(max_size=80))
def test_storing_text_is_idempotent(text: str) -> None:
    assert as_stored(as_stored(text)) == as_stored(text)
