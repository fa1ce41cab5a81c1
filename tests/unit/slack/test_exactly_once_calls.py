"""Test calls whose response is lost: retried, checked first, or left to a later attempt of the task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import requests
from incident_sandbox import Fault, SandboxClient, SandboxServer
from incident_sandbox.demo.processes import wait_until

from airflow_incident_provider.exceptions import SlackRequestError, SlackUnavailableError
from airflow_incident_provider.messages.updates import note_messages
from airflow_incident_provider.slack.access import SCOPES

ALICE, PRIYA, BOT = "U0ALICENG01", "U0PRIYAIYER", "U0WARROOM01"
NAME, URL = "inc-room", "https://wiki.example.com/runbook"
LOST_RESPONSES: dict[str, dict[str, Any]] = {
    "dropped": {"drop": True},
    "HTML": {"status": 502, "body": "<html>"},
    "500": {"status": 500},
    "fatal_error": {"error": "fatal_error"},
}
TIMEOUTS: dict[str, dict[str, Any]] = {
    "no effect": {"delay_ms": 1300, "drop": True},
    "late effect": {"delay_ms": 1300},
    "late response": {"delay_ms": 1300, "when": "after"},
}


@pytest.fixture
def make_client(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Return a factory of clients with a timeout of one second."""

    def make_client(token: str | None = None) -> Any:
        from airflow_incident_provider.slack.client import LiveSlackClient
        from airflow_incident_provider.slack.hook import IncidentSlackHook

        connect(token, timeout=1)
        return LiveSlackClient(IncidentSlackHook())

    return make_client


@pytest.fixture
def client(make_client: Callable[..., Any], slack: SandboxServer) -> Iterator[Any]:
    yield make_client()
    wait_for_delayed_calls(slack)


@pytest.fixture
def room(client: Any) -> Any:
    return client.create_channel(NAME, private=False)


def wait_for_delayed_calls(slack: SandboxServer) -> None:
    """Wait until timed out calls have ended: they may still take effect, also in the next test's workspace."""
    requests.post(f"{slack.slack_base_url}api.test", timeout=60)
    control = SandboxClient(slack.url)

    def is_done() -> bool:
        calls = control.calls()
        return len(calls) >= calls[-1]["seq"]

    wait_until(is_done, what="the calls that timed out", timeout=60)


def count_announcements(control: SandboxClient, subtype: str) -> int:
    return sum(message.get("subtype") == subtype for message in control.channel(NAME)["messages"])


def bookmark_counts(control: SandboxClient) -> Counter[str]:
    return Counter(bookmark["link"] for bookmark in control.channel(NAME)["bookmarks"])


# --- idempotent calls -------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("failure", LOST_RESPONSES)
@pytest.mark.parametrize("method", ["chat.update", "pins.add", "conversations.join", "conversations.archive"])
def test_idempotent_call_is_retried(
    *, client: Any, room: Any, control: SandboxClient, method: str, failure: str, when: str
) -> None:
    ts = client.post(room.id, note_messages("one")[0], key="k")
    control.add_fault(Fault(method=method, when=when, **LOST_RESPONSES[failure]))
    match method:
        case "chat.update":
            client.update(room.id, ts, note_messages("two")[0], key="k")
        case "pins.add":
            client.pin(room.id, ts)
        case "conversations.join":
            client.join(room.id)
        case _:
            client.archive(room.id)
    found = control.channel(NAME)
    assert control.faults()[0]["consumed"] == 1
    assert method != "chat.update" or "two" in str(found["messages"])
    assert method != "pins.add" or found["pins"] == [ts]
    assert method != "conversations.archive" or found["is_archived"]


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_timed_out_update_is_retried(client: Any, room: Any, control: SandboxClient, timeout: str) -> None:
    ts = client.post(room.id, note_messages("one")[0], key="k")
    control.add_fault(Fault(method="chat.update", **TIMEOUTS[timeout]))
    client.update(room.id, ts, note_messages("two")[0], key="k")
    assert "two" in str(control.channel(NAME)["messages"])


# --- announced changes ------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("failure", LOST_RESPONSES)
@pytest.mark.parametrize("field", ["topic", "purpose"])
def test_topic_and_purpose_are_announced_once(
    *, client: Any, room: Any, control: SandboxClient, field: str, failure: str, when: str
) -> None:
    control.add_fault(Fault(method=f"conversations.set{field.title()}", when=when, **LOST_RESPONSES[failure]))
    getattr(client, f"set_{field}")(room.id, "a & b")
    assert control.channel(NAME)[field] == "a & b"
    assert count_announcements(control, f"channel_{field}") == 1


def test_topic_is_set_without_channels_read_scope(make_client: Callable[..., Any], control: SandboxClient) -> None:
    slack = make_client(control.add_token("blind", scopes=[scope for scope in SCOPES if scope != "channels:read"]))
    room = slack.create_channel(NAME, private=False)
    control.add_fault(Fault(method="conversations.setTopic", drop=True))
    slack.set_topic(room.id, "a topic")
    assert control.channel(NAME)["topic"] == "a topic"


# --- calls that are not idempotent ------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("failure", LOST_RESPONSES)
def test_bookmark_with_lost_response_is_added_once(
    client: Any, room: Any, control: SandboxClient, failure: str, when: str
) -> None:
    control.add_fault(Fault(method="bookmarks.add", when=when, **LOST_RESPONSES[failure]))
    client.add_bookmark(room.id, "Runbook", URL)
    assert bookmark_counts(control) == {URL: 1}


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_timed_out_bookmark_is_not_retried(
    *, client: Any, room: Any, slack: SandboxServer, control: SandboxClient, timeout: str
) -> None:
    control.add_fault(Fault(method="bookmarks.add", **TIMEOUTS[timeout]))
    with nullcontext() if timeout == "late response" else pytest.raises(SlackUnavailableError, match="Timeout"):
        client.add_bookmark(room.id, "Runbook", URL)
    wait_for_delayed_calls(slack)
    assert len(control.calls("bookmarks.add")) == 1
    assert bookmark_counts(control).total() == (timeout != "no effect")


def test_bookmark_is_not_retried_without_bookmarks_read_scope(
    make_client: Callable[..., Any], control: SandboxClient
) -> None:
    """A missing bookmark is reported; a duplicate would stay."""
    slack = make_client(control.add_token("blind", scopes=[scope for scope in SCOPES if scope != "bookmarks:read"]))
    room = slack.create_channel(NAME, private=False)
    control.add_fault(Fault(method="bookmarks.add", drop=True, when="after"))
    with pytest.raises(SlackUnavailableError) as exc_info:
        slack.add_bookmark(room.id, "Runbook", URL)
    assert exc_info.value.effect_possible
    assert bookmark_counts(control) == {URL: 1}


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_timed_out_message_is_not_retried(client: Any, room: Any, control: SandboxClient, timeout: str) -> None:
    """The call may still take effect, so the next attempt of the task searches for the message."""
    control.add_fault(Fault(method="chat.postMessage", **TIMEOUTS[timeout]))
    with pytest.raises(SlackUnavailableError) as exc_info:
        client.post(room.id, note_messages("news")[0], key="k")
    assert (exc_info.value.code, exc_info.value.effect_possible) == ("TimeoutError", True)
    assert control.calls("conversations.history") == []
    assert len(control.calls("chat.postMessage")) <= 1


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_timed_out_invitation_takes_effect(client: Any, room: Any, control: SandboxClient, timeout: str) -> None:
    control.add_fault(Fault(method="conversations.invite", **TIMEOUTS[timeout]))
    assert client.invite(room.id, [ALICE, PRIYA]) == {}
    assert set(control.channel(NAME)["members"]) == {BOT, ALICE, PRIYA}


# --- rate limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("retry_after", ["0.1", "0", "", "soon", "-3", "nan", "Mon, 23 Nov 2026 09:35:00 GMT"])
@pytest.mark.parametrize("response", [{"status": 429}, {"error": "ratelimited"}, {"error": "rate_limited"}])
def test_every_form_of_retry_after_is_accepted(
    client: Any, room: Any, control: SandboxClient, retry_after: str, response: dict[str, Any]
) -> None:
    headers = {"Retry-After": retry_after} if retry_after else {}
    control.add_fault(Fault(method="chat.postMessage", headers=headers, **response))
    assert client.post(room.id, note_messages("news")[0], key="k")
    assert len(control.calls("chat.postMessage")) == 2


def test_total_wait_for_rate_limits_is_bounded(
    client: Any, control: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_incident_provider.slack.hook.MAX_CALL_S", 1.5)
    control.add_fault(Fault(method="auth.test", status=429, headers={"Retry-After": "1"}, times=None))
    with pytest.raises(SlackUnavailableError) as exc_info:
        client.hook.read("auth.test")
    assert exc_info.value.retry_after == 1
    assert len(control.calls("auth.test")) == 2


def test_repeated_pin_raises_already_pinned(client: Any, room: Any) -> None:
    ts = client.post(room.id, note_messages("one")[0], key="k")
    client.hook.put("pins.add", channel=room.id, timestamp=ts)
    with pytest.raises(SlackRequestError) as exc_info:
        client.hook.put("pins.add", channel=room.id, timestamp=ts)
    assert exc_info.value.code == "already_pinned"
