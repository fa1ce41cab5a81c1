"""Injected faults and rate limits, as the real client sees them."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from incident_sandbox import Fault, SandboxClient, SandboxServer, Workspace
from incident_sandbox.rate_limits import Quota, RateLimiter
from pydantic import ValidationError

if TYPE_CHECKING:
    from slack_sdk import WebClient


def texts(control: SandboxClient, channel: str) -> list[str]:
    return [m["text"] for m in control.channel(channel)["messages"] if "subtype" not in m]


def test_error_on_the_nth_call(
    slack: WebClient, room: str, control: SandboxClient, error_response: Callable[..., Any]
) -> None:
    control.add_fault(Fault(method="chat.postMessage", nth=2, error="internal_error", fields={"detail": "x"}))

    slack.chat_postMessage(channel=room, text="1")
    body = error_response(slack.chat_postMessage, channel=room, text="2")
    slack.chat_postMessage(channel=room, text="3")

    assert (body["error"], body["detail"]) == ("internal_error", "x")
    assert texts(control, room) == ["1", "3"]
    fault = control.faults()[0]
    assert (fault["seen"], fault["consumed"]) == (2, 1)


def test_fault_for_the_next_calls_or_every_call(
    slack: WebClient, control: SandboxClient, error_response: Callable[..., Any]
) -> None:
    control.add_fault(Fault(method="auth.test", times=2, error="internal_error"))
    assert [error_response(slack.auth_test)["error"] for _ in range(2)] == ["internal_error"] * 2
    assert slack.auth_test()["ok"]

    control.add_fault(Fault(times=None, error="fatal_error"))
    assert [error_response(slack.auth_test)["error"] for _ in range(4)] == ["fatal_error"] * 4
    control.clear_faults()
    assert slack.auth_test()["ok"]


def test_datadog_fault_does_not_affect_slack(
    slack: WebClient, control: SandboxClient, error_response: Callable[..., Any]
) -> None:
    control.add_fault(Fault(method="datadog.*", times=None, error="fatal_error"))
    assert slack.auth_test()["ok"]

    control.add_fault(Fault(method="auth.*", error="internal_error"))
    assert error_response(slack.auth_test)["error"] == "internal_error"


def test_error_after_the_effect(
    slack: WebClient, room: str, control: SandboxClient, error_response: Callable[..., Any]
) -> None:
    control.add_fault(Fault(method="chat.postMessage", when="after", error="fatal_error"))

    error_response(slack.chat_postMessage, channel=room, text="posted anyway")

    assert texts(control, room) == ["posted anyway"]


@pytest.mark.parametrize("retry_after", ["1", "0.5", "3600"])
def test_too_many_requests_with_any_retry_after(slack: WebClient, control: SandboxClient, retry_after: str) -> None:
    from slack_sdk.errors import SlackApiError

    body = {"ok": False, "error": "ratelimited"}
    control.add_fault(Fault(status=429, headers={"Retry-After": retry_after}, body=body))

    with pytest.raises(SlackApiError) as caught:
        slack.auth_test()

    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == retry_after


@pytest.mark.parametrize("body", ["<html>Bad Gateway</html>", None])
def test_response_of_a_proxy(slack: WebClient, control: SandboxClient, body: str | None) -> None:
    from slack_sdk.errors import SlackApiError

    control.add_fault(Fault(status=502, body=body))

    with pytest.raises(SlackApiError) as caught:
        slack.auth_test()

    assert caught.value.response.status_code == 502


@pytest.mark.parametrize("when", ["before", "after"])
def test_dropped_connection_before_or_after_the_effect(
    slack: WebClient, room: str, control: SandboxClient, when: str
) -> None:
    control.add_fault(Fault(method="chat.postMessage", drop=True, when=when))

    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        slack.chat_postMessage(channel=room, text="x")

    assert texts(control, room) == (["x"] if when == "after" else [])
    logged = control.calls("chat.postMessage")[-1]
    assert (logged["outcome"], logged["status"]) == ("dropped", None)


def test_default_client_posts_twice_after_a_dropped_connection(
    server: SandboxServer, room: str, control: SandboxClient
) -> None:
    from slack_sdk import WebClient

    control.add_fault(Fault(method="chat.postMessage", drop=True, when="after"))

    WebClient(token=server.token, base_url=server.slack_base_url).chat_postMessage(channel=room, text="x")

    assert texts(control, room) == ["x", "x"]


def test_delay_causes_a_client_timeout(server: SandboxServer, control: SandboxClient) -> None:
    from slack_sdk import WebClient

    control.add_fault(Fault(method="auth.test", delay_ms=1500))
    client = WebClient(token=server.token, base_url=server.slack_base_url, timeout=1, retry_handlers=[])

    with pytest.raises(TimeoutError):
        client.auth_test()
    assert client.auth_test()["ok"]


def test_latency_is_added_to_every_call(slack: WebClient, control: SandboxClient) -> None:
    control.settings(latency_ms=30)

    slack.auth_test()

    # An event loop may wake up one clock tick early.
    assert control.calls("auth.test")[-1]["duration_ms"] > 25


@pytest.mark.parametrize(
    "fault",
    [{}, {"error": "x", "drop": True}, {"status": 500, "error": "x"}, {"nth": 0, "drop": True}, {"oops": 1}],
)
def test_invalid_fault_is_rejected(fault: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Fault(**fault)


def test_log_contains_every_call_in_order(
    slack: WebClient, room: str, control: SandboxClient, error_response: Callable[..., Any]
) -> None:
    slack.chat_postMessage(channel=room, text="x")
    error_response(slack.users_info, user="U0NOBODY001")
    calls = control.calls()

    assert [(c["method"], c["outcome"], c["status"], c["token"]) for c in calls] == [
        ("conversations.create", "ok", 200, "full"),
        ("chat.postMessage", "ok", 200, "full"),
        ("users.info", "user_not_found", 200, "full"),
    ]
    assert [c["seq"] for c in calls] == [1, 2, 3]
    assert calls[1]["args"]["text"] == "x"
    assert control.calls(after=2) == calls[2:]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_rate_limit_window_slides() -> None:
    clock = Clock()
    limiter = RateLimiter(clock)
    quotas: dict[tuple[str, ...], Quota] = {("app", "m"): Quota(calls=2, seconds=60)}

    assert [limiter.admit(quotas) for _ in range(3)] == [0, 0, 60]
    clock.now += 59.5
    assert limiter.admit(quotas) == 1
    clock.now += 0.5
    assert limiter.admit(quotas) == 0


def test_rejected_call_uses_no_quota() -> None:
    limiter = RateLimiter(Clock())
    tight: tuple[str, ...] = ("tight",)
    wide: tuple[str, ...] = ("wide",)
    limiter.admit({tight: Quota(1, 60)})

    assert limiter.admit({tight: Quota(1, 60), wide: Quota(1, 60)}) == 60
    assert limiter.admit({wide: Quota(1, 60)}) == 0


def test_rate_limit_tiers_over_http(slack: WebClient, control: SandboxClient) -> None:
    from slack_sdk.errors import SlackApiError

    control.settings(rate_limits=True)
    for _ in range(20):
        slack.users_list(limit=1)

    with pytest.raises(SlackApiError) as caught:
        slack.users_list(limit=1)

    assert caught.value.response.status_code == 429
    assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 60
    assert caught.value.response["error"] == "ratelimited"
    assert slack.users_info(user="U0DANAREYES")["ok"], "each method has its own budget"


def test_one_message_per_second_and_channel(slack: WebClient, room: str, control: SandboxClient) -> None:
    from slack_sdk.errors import SlackApiError

    control.settings(rate_limits=True)
    slack.chat_postMessage(channel=room, text="1")

    with pytest.raises(SlackApiError) as caught:
        slack.chat_postMessage(channel=room, text="2")

    assert caught.value.response.headers["Retry-After"] == "1"
    assert slack.chat_postMessage(channel="C0GENERAL01", text="3")["ok"]


def test_rate_limits_are_off_by_default(slack: WebClient) -> None:
    assert all(slack.users_list(limit=1)["ok"] for _ in range(25))


def test_workspace_uses_the_given_clock() -> None:
    clock = Clock()
    workspace = Workspace(clock)
    first, second = workspace.new_ts(), workspace.new_ts()

    assert first < second
    assert second.startswith("1000.")
