"""Announcements: one message per public incident, edited in place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient, SandboxServer

from .lifecycle_harness import (
    BROKEN,
    HEALTHY,
    TABLE,
    LifecycleHarness,
    Monitor,
    one_hour_earlier,
    post_messages,
    post_update,
    recover,
    resolve,
)

TABLE_WITH_ANNOUNCEMENTS = TABLE + "announce: '#incident-news'\n"


@pytest.fixture
def harness(make_harness: Callable[..., LifecycleHarness], monkeypatch: pytest.MonkeyPatch) -> LifecycleHarness:
    from airflow_incident_provider.operators import final_summary
    from airflow_incident_provider.slack import hook

    monkeypatch.setattr(final_summary, "request_run", lambda *_: True)
    monkeypatch.setattr(hook, "_backoff", lambda _: 0.0)
    return make_harness(TABLE_WITH_ANNOUNCEMENTS)


@pytest.fixture
def announcements(harness: LifecycleHarness, app: Any, control: SandboxClient) -> Callable[[], list[str]]:
    """Return a function that reads the app's messages in the announcement channel."""
    channel = app.create_channel("incident-news", private=False)

    def announcements() -> list[str]:
        messages = control.channel(channel.id)["messages"]
        return [json.dumps(each["blocks"], ensure_ascii=False) for each in messages if each.get("metadata")]

    return announcements


def test_announcement_is_updated_in_place(
    harness: LifecycleHarness, monitor: Monitor, announcements: Callable[[], list[str]]
) -> None:
    harness.run_response(monitor("Triggered"), BROKEN)
    [announcement] = announcements()
    assert "Checkout 5xx ratio above 2%" in announcement
    assert "*Open*" in announcement
    monitor("Triggered", "P1")
    post_update(harness)
    [announcement] = announcements()
    assert "critical" in announcement
    recover(harness, monitor, HEALTHY)
    assert "*Recovered*" in announcements()[0]
    resolve(harness)
    [announcement] = announcements()
    assert "*Resolved*" in announcement


def test_incident_without_room_is_announced_with_reason(
    harness: LifecycleHarness, monitor: Monitor, announcements: Callable[[], list[str]], control: SandboxClient
) -> None:
    control.add_fault(Fault(method="conversations.create", error="restricted_action", times=None))
    harness.run_response_with_failures(monitor("Triggered"), BROKEN)
    [announcement] = announcements()
    assert "*No room:*" in announcement
    assert "restricted" in announcement


def test_private_incident_is_not_announced(
    harness: LifecycleHarness, monitor: Monitor, announcements: Callable[[], list[str]]
) -> None:
    from airflow_incident_provider.room.announcement import announce
    from airflow_incident_provider.room.snapshot import IncidentSnapshot
    from airflow_incident_provider.slack.access import live_slack_client

    monitor("Triggered")
    stored = harness.stored()
    private = stored.model_copy(update={"record": stored.record.model_copy(update={"private": True})})
    announce(live_slack_client("slack_api_default"), IncidentSnapshot(stored=private), "#incident-news")
    assert announcements() == []


@pytest.mark.parametrize(
    ("message_count", "settings"),
    [
        (2300, {}),
        (200, {"history_limit": 15}),
        (40, {"history_limit": 15, "history_calls_per_minute": 1, "rate_limits": True}),
    ],
)
def test_announcement_is_found_behind_many_messages(
    harness: LifecycleHarness,
    monitor: Monitor,
    announcements: Callable[[], list[str]],
    slack: SandboxServer,
    control: SandboxClient,
    *,
    message_count: int,
    settings: dict[str, Any],
) -> None:
    with one_hour_earlier(harness, slack):
        harness.run_response(monitor("Triggered"), BROKEN)
    post_messages(slack, "incident-news", message_count)
    control.settings(**settings)
    monitor("Re-Triggered", "P1")
    post_update(harness)
    [announcement] = announcements()
    assert "critical" in announcement


def test_uneditable_announcement_is_replaced_once(
    harness: LifecycleHarness,
    monitor: Monitor,
    announcements: Callable[[], list[str]],
    slack: SandboxServer,
    control: SandboxClient,
) -> None:
    with one_hour_earlier(harness, slack):
        harness.run_response(monitor("Triggered"), BROKEN)
    control.settings(edit_window_s=1800)
    for priority, severity in (("P1", "critical"), ("P2", "high"), ("P1", "critical")):
        monitor("Re-Triggered", priority)
        post_update(harness)
        first, second = announcements()
        assert "critical" not in first
        assert severity in second


@pytest.mark.parametrize("fault", [{"status": 503}, {"error": "channel_not_found"}, {"error": "missing_scope"}])
def test_failed_announcement_does_not_fail_the_run(
    harness: LifecycleHarness, monitor: Monitor, control: SandboxClient, fault: dict[str, Any]
) -> None:
    """Cover a missing channel and a Slack that does not list channels."""
    control.add_fault(Fault(method="users.conversations", times=None, **fault))
    run_id = harness.run_response_with_failures(monitor("Triggered"), BROKEN)
    assert ("incident_response", run_id, "final_summary") not in harness.failed
    assert harness.record.room.channel_id is not None


def test_an_incident_whose_channel_is_private_is_not_announced_in_public(
    harness: LifecycleHarness, monitor: Monitor, announcements: Callable[[], list[str]]
) -> None:
    """Its route does not say so, but another tool has made its channel private."""
    decision = monitor("Triggered")
    harness.run_response(decision, BROKEN)
    [run_id] = {run for _, run, task, _ in harness.xcoms if task == "create_war_room"}
    harness.xcoms["incident_response", run_id, "create_war_room", "return_value"]["private"] = True
    [before] = announcements()
    monitor("Re-Triggered", "P1")
    post_update(harness)
    assert announcements() == [before]
