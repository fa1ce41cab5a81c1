"""Calls whose answer is lost: what is sent again, what is looked at first, and what is left to a later attempt."""

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
LOST: dict[str, dict[str, Any]] = {
    "dropped": {"drop": True},
    "HTML": {"status": 502, "body": "<html>"},
    "500": {"status": 500},
    "fatal_error": {"error": "fatal_error"},
}
TIMEOUTS: dict[str, dict[str, Any]] = {
    "never done": {"delay_ms": 1300, "drop": True},
    "done later": {"delay_ms": 1300},
    "done, answered late": {"delay_ms": 1300, "when": "after"},
}


@pytest.fixture
def live(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Return the workspace as an app with these scopes has it; it waits a second for an answer."""

    def live(token: str | None = None) -> Any:
        from airflow_incident_provider.slack.client import LiveSlackClient
        from airflow_incident_provider.slack.hook import IncidentSlackHook

        connect(token, timeout=1)
        return LiveSlackClient(IncidentSlackHook())

    return live


@pytest.fixture
def slack_app(live: Callable[..., Any], slack: SandboxServer) -> Iterator[Any]:
    yield live()
    wait_for_late_answers(slack)


@pytest.fixture
def room(slack_app: Any) -> Any:
    return slack_app.create_channel(NAME, private=False)


def wait_for_late_answers(slack: SandboxServer) -> None:
    """Wait until what was given up is over: it may still take effect, also in the next test's workspace."""
    requests.post(f"{slack.slack_base_url}api.test", timeout=60)
    control = SandboxClient(slack.url)

    def is_over() -> bool:
        calls = control.calls()
        return len(calls) >= calls[-1]["seq"]

    wait_until(is_over, what="the calls that were given up", timeout=60)


def announced(control: SandboxClient, subtype: str) -> int:
    return sum(each.get("subtype") == subtype for each in control.channel(NAME)["messages"])


def bookmarks(control: SandboxClient) -> Counter[str]:
    return Counter(mark["link"] for mark in control.channel(NAME)["bookmarks"])


# --- the same done twice is the same ----------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("trouble", LOST)
@pytest.mark.parametrize("method", ["chat.update", "pins.add", "conversations.join", "conversations.archive"])
def test_what_may_be_repeated_is(
    *, slack_app: Any, room: Any, control: SandboxClient, method: str, trouble: str, when: str
) -> None:
    ts = slack_app.post(room.id, note_messages("one")[0], key="k")
    control.add_fault(Fault(method=method, when=when, **LOST[trouble]))
    match method:
        case "chat.update":
            slack_app.update(room.id, ts, note_messages("two")[0], key="k")
        case "pins.add":
            slack_app.pin(room.id, ts)
        case "conversations.join":
            slack_app.join(room.id)
        case _:
            slack_app.archive(room.id)
    found = control.channel(NAME)
    assert control.faults()[0]["consumed"] == 1
    assert method != "chat.update" or "two" in str(found["messages"])
    assert method != "pins.add" or found["pins"] == [ts]
    assert method != "conversations.archive" or found["is_archived"]


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_update_that_timed_out_is_sent_again(
    slack_app: Any, room: Any, control: SandboxClient, timeout: str
) -> None:
    ts = slack_app.post(room.id, note_messages("one")[0], key="k")
    control.add_fault(Fault(method="chat.update", **TIMEOUTS[timeout]))
    slack_app.update(room.id, ts, note_messages("two")[0], key="k")
    assert "two" in str(control.channel(NAME)["messages"])


# --- what Slack announces ---------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("trouble", LOST)
@pytest.mark.parametrize("what", ["topic", "purpose"])
def test_topic_and_purpose_are_announced_once(
    *, slack_app: Any, room: Any, control: SandboxClient, what: str, trouble: str, when: str
) -> None:
    control.add_fault(Fault(method=f"conversations.set{what.title()}", when=when, **LOST[trouble]))
    getattr(slack_app, f"set_{what}")(room.id, "a & b")
    assert control.channel(NAME)[what] == "a & b"
    assert announced(control, f"channel_{what}") == 1


def test_topic_of_an_app_that_may_not_look_is_set(live: Callable[..., Any], control: SandboxClient) -> None:
    slack = live(control.add_token("blind", scopes=[scope for scope in SCOPES if scope != "channels:read"]))
    room = slack.create_channel(NAME, private=False)
    control.add_fault(Fault(method="conversations.setTopic", drop=True))
    slack.set_topic(room.id, "a topic")
    assert control.channel(NAME)["topic"] == "a topic"


# --- what would be there twice ----------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("trouble", LOST)
def test_bookmark_is_there_once(slack_app: Any, room: Any, control: SandboxClient, trouble: str, when: str) -> None:
    control.add_fault(Fault(method="bookmarks.add", when=when, **LOST[trouble]))
    slack_app.add_bookmark(room.id, "Runbook", URL)
    assert bookmarks(control) == {URL: 1}


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_bookmark_that_timed_out_is_never_doubled(
    *, slack_app: Any, room: Any, slack: SandboxServer, control: SandboxClient, timeout: str
) -> None:
    control.add_fault(Fault(method="bookmarks.add", **TIMEOUTS[timeout]))
    with (
        nullcontext() if timeout == "done, answered late" else pytest.raises(SlackUnavailableError, match="Timeout")
    ):
        slack_app.add_bookmark(room.id, "Runbook", URL)
    wait_for_late_answers(slack)
    assert len(control.calls("bookmarks.add")) == 1
    assert bookmarks(control).total() == (timeout != "never done")


def test_bookmark_of_an_app_that_may_not_look_is_left_open(
    live: Callable[..., Any], control: SandboxClient
) -> None:
    """Better a bookmark that may be missing, and said to be so, than one too many that nobody takes away."""
    slack = live(control.add_token("blind", scopes=[scope for scope in SCOPES if scope != "bookmarks:read"]))
    room = slack.create_channel(NAME, private=False)
    control.add_fault(Fault(method="bookmarks.add", drop=True, when="after"))
    with pytest.raises(SlackUnavailableError) as caught:
        slack.add_bookmark(room.id, "Runbook", URL)
    assert caught.value.effect_possible
    assert bookmarks(control) == {URL: 1}


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_message_that_timed_out_is_not_posted_again_at_once(
    slack_app: Any, room: Any, control: SandboxClient, timeout: str
) -> None:
    """A look now would come too early: the task looks, after its retry delay."""
    control.add_fault(Fault(method="chat.postMessage", **TIMEOUTS[timeout]))
    with pytest.raises(SlackUnavailableError) as caught:
        slack_app.post(room.id, note_messages("news")[0], key="k")
    assert (caught.value.code, caught.value.effect_possible) == ("TimeoutError", True)
    assert control.calls("conversations.history") == []
    assert len(control.calls("chat.postMessage")) <= 1


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_invitation_that_timed_out(slack_app: Any, room: Any, control: SandboxClient, timeout: str) -> None:
    control.add_fault(Fault(method="conversations.invite", **TIMEOUTS[timeout]))
    assert slack_app.invite(room.id, [ALICE, PRIYA]) == {}
    assert set(control.channel(NAME)["members"]) == {BOT, ALICE, PRIYA}


# --- how long a worker is held ----------------------------------------------------------------------


@pytest.mark.parametrize("said", ["0.1", "0", "", "soon", "-3", "nan", "Mon, 23 Nov 2026 09:35:00 GMT"])
@pytest.mark.parametrize("answer", [{"status": 429}, {"error": "ratelimited"}, {"error": "rate_limited"}])
def test_every_form_of_retry_after_is_understood(
    slack_app: Any, room: Any, control: SandboxClient, said: str, answer: dict[str, Any]
) -> None:
    headers = {"Retry-After": said} if said else {}
    control.add_fault(Fault(method="chat.postMessage", headers=headers, **answer))
    assert slack_app.post(room.id, note_messages("news")[0], key="k")
    assert len(control.calls("chat.postMessage")) == 2


def test_worker_is_not_held_by_call_after_call(
    slack_app: Any, control: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three waits of seven seconds each are one too many, although each alone would be fine."""
    monkeypatch.setattr("airflow_incident_provider.slack.hook.MAX_CALL_S", 1.5)
    control.add_fault(Fault(method="auth.test", status=429, headers={"Retry-After": "1"}, times=None))
    with pytest.raises(SlackUnavailableError) as caught:
        slack_app.hook.read("auth.test")
    assert caught.value.retry_after == 1
    assert len(control.calls("auth.test")) == 2


def test_a_repetition_gets_the_error_that_slack_returns(slack_app: Any, room: Any) -> None:
    ts = slack_app.post(room.id, note_messages("one")[0], key="k")
    slack_app.hook.put("pins.add", channel=room.id, timestamp=ts)
    with pytest.raises(SlackRequestError) as caught:
        slack_app.hook.put("pins.add", channel=room.id, timestamp=ts)
    assert caught.value.code == "already_pinned"
