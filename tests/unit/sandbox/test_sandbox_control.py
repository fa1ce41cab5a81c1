"""Control API, response headers of the page, and concurrent calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests
from incident_sandbox import Fault, SandboxClient, SandboxServer, Workspace
from incident_sandbox.demo.processes import wait_until
from slack_sdk.errors import SlackApiError

if TYPE_CHECKING:
    from slack_sdk import WebClient


def test_state_contains_every_item_of_a_room(slack: WebClient, room: str, control: SandboxClient) -> None:
    brief = slack.chat_postMessage(channel=room, text="brief")["ts"]
    slack.chat_postMessage(channel=room, text="finding", thread_ts=brief)
    slack.conversations_setTopic(channel=room, topic="a & b")
    slack.pins_add(channel=room, timestamp=brief)
    slack.bookmarks_add(channel_id=room, title="Run", type="link", link="https://x.example")

    state = control.state()
    shown = next(channel for channel in state["channels"] if channel["id"] == room)
    message = next(m for m in shown["messages"] if m["ts"] == brief)

    assert (shown["topic"], shown["members"], shown["pins"]) == ("a & b", ["U0WARROOM01"], [brief])
    assert shown["bookmarks"] == [{"title": "Run", "link": "https://x.example", "emoji": ""}]
    assert [reply["text"] for reply in message["replies"]] == ["finding"]
    assert [c["name"] for c in state["channels"]] == sorted(c["name"] for c in state["channels"])
    assert control.channel("inc-room") == shown


def test_state_contains_no_tokens_or_email_addresses(control: SandboxClient, slack: WebClient) -> None:
    text = json.dumps(control.state(everybody=True))

    assert "xoxb" not in text
    assert "@acme.example" not in text


def test_reset_restores_the_seed(
    slack: WebClient, room: str, control: SandboxClient, error_response: Callable[..., Any]
) -> None:
    control.settings(latency_ms=1, short_pages=True)
    control.reset()

    assert error_response(slack.conversations_info, channel="inc-room")["error"] == "channel_not_found"
    assert control.settings()["short_pages"] is False
    assert slack.conversations_create(name="inc-room")["channel"]["id"] == room


def test_call_interrupted_by_a_reset_has_no_effect(
    slack: WebClient, control: SandboxClient, workspace: Workspace
) -> None:
    control.add_fault(Fault(method="conversations.create", delay_ms=500))
    [fault] = workspace.faults.entries()
    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(slack.conversations_create, name="inc-late")
        wait_until(lambda: fault.seen > 0, what="the call to arrive", timeout=30)
        control.reset()
        with pytest.raises(SlackApiError):
            late.result()
    slack.api_test()

    assert [(call["seq"], call["method"]) for call in control.calls()] == [(1, "api.test")]
    assert "inc-late" not in {channel["name"] for channel in control.state()["channels"]}


def test_members_channels_and_groups_can_be_added(slack: WebClient, control: SandboxClient) -> None:
    person = {"id": "U0NEW000001", "username": "new", "real_name": "New Hire", "email": "new@acme.example"}
    control.add_members(people=[person])
    control.add_channel("inc-theirs", members=["U0NEW000001"], topic="t", is_private=True)
    control.add_usergroup(id="S0NEW", handle="new-oncall", name="New", users=["U0NEW000001"])

    assert slack.users_lookupByEmail(email="new@acme.example")["user"]["id"] == "U0NEW000001"
    assert control.channel("inc-theirs")["is_private"]
    assert slack.usergroups_users_list(usergroup="S0NEW")["users"] == ["U0NEW000001"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("channels", {"name": "general"}, 409),
        ("channels", {"name": "Not A Name"}, 422),
        ("channels", {"name": "x", "members": ["U0NOBODY001"]}, 422),
        ("tokens", {"name": "x", "user_id": "U0NOBODY001"}, 422),
        ("faults", {"method": "auth.test"}, 422),
        ("members", {"count": -1}, 422),
    ],
)
def test_invalid_request_is_rejected(server: SandboxServer, path: str, body: dict[str, Any], status: int) -> None:
    assert requests.post(f"{server.url}/sandbox/{path}", json=body, timeout=60).status_code == status


def test_unknown_setting_is_rejected(server: SandboxServer) -> None:
    response = requests.put(f"{server.url}/sandbox/settings", json={"warp": 9}, timeout=60)

    assert response.status_code == 422


def test_changes_are_streamed_to_the_page(server: SandboxServer, slack: WebClient) -> None:
    with requests.get(f"{server.url}/sandbox/events", stream=True, timeout=60) as stream:
        lines = (line for line in stream.iter_lines() if line.startswith(b"data:"))
        before = json.loads(next(lines)[5:])["version"]
        slack.conversations_create(name="inc-new")
        after = json.loads(next(lines)[5:])["version"]

    assert after > before


def test_page_and_its_files_have_a_strict_content_security_policy(server: SandboxServer) -> None:
    for path in ("/", "/static/app.js", "/static/app.css", "/static/mark.svg"):
        response = requests.get(server.url + path, timeout=60)
        policy = response.headers["Content-Security-Policy"]
        assert response.status_code == 200
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_concurrent_calls_lose_nothing(slack: WebClient, room: str, control: SandboxClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda n: slack.chat_postMessage(channel=room, text=str(n)), range(60)))
        created = list(
            pool.map(lambda n: slack.api_call("conversations.create", params={"name": f"x-{n}"}), range(8))
        )

    assert len({response["ts"] for response in responses}) == 60
    assert len({response["channel"]["id"] for response in created}) == 8
    assert sum("subtype" not in m for m in control.channel(room)["messages"]) == 60


def test_concurrent_creation_takes_a_name_once(slack: WebClient, error_response: Callable[..., Any]) -> None:
    from slack_sdk.errors import SlackApiError

    def create(_: int) -> Any:
        try:
            return slack.conversations_create(name="inc-race")["ok"]
        except SlackApiError as error:
            return error.response["error"]

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(create, range(8)))

    assert sorted(outcomes, key=str) == [True, *["name_taken"] * 7]


def test_two_servers_run_side_by_side_and_release_their_ports() -> None:
    with SandboxServer() as one, SandboxServer() as two:
        assert one.url != two.url
        url = one.url
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)
