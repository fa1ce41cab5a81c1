"""Every incident has one line in the announcement channel, edited in place; a private one has none in public."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient, SandboxServer

from .lifecycle_harness import BROKEN, TABLE, WELL, Life, Monitor, an_hour_ago, recover, resolve, talk, tell

ANNOUNCED = TABLE + "announce: '#incident-news'\n"


@pytest.fixture
def life(make_life: Callable[..., Life], monkeypatch: pytest.MonkeyPatch) -> Life:
    from airflow_incident_provider.operators import final_summary
    from airflow_incident_provider.slack import hook

    monkeypatch.setattr(final_summary, "request_run", lambda *_: True)
    monkeypatch.setattr(hook, "_backoff", lambda _: 0.0)
    return make_life(ANNOUNCED)


@pytest.fixture
def news(life: Life, app: Any, control: SandboxClient) -> Callable[[], list[str]]:
    """Return the messages of the app in the announcement channel."""
    channel = app.create_channel("incident-news", private=False)

    def news() -> list[str]:
        messages = control.channel(channel.id)["messages"]
        return [json.dumps(each["blocks"], ensure_ascii=False) for each in messages if each.get("metadata")]

    return news


def test_one_line_follows_the_incident(life: Life, monitor: Monitor, news: Callable[[], list[str]]) -> None:
    life.respond(monitor("Triggered"), BROKEN)
    [line] = news()
    assert "Checkout 5xx ratio above 2%" in line
    assert "*Open*" in line
    monitor("Triggered", "P1")
    tell(life)
    [line] = news()
    assert "critical" in line
    recover(life, monitor, WELL)
    assert "*Recovered*" in news()[0]
    resolve(life)
    [line] = news()
    assert "*Resolved*" in line


def test_incident_without_a_room_is_announced_with_the_reason(
    life: Life, monitor: Monitor, news: Callable[[], list[str]], control: SandboxClient
) -> None:
    control.add_fault(Fault(method="conversations.create", error="restricted_action", times=None))
    life.respond_as_airflow_does(monitor("Triggered"), BROKEN)
    [line] = news()
    assert "*No room:*" in line
    assert "restricted" in line


def test_private_incident_is_not_announced_in_public(
    life: Life, monitor: Monitor, news: Callable[[], list[str]]
) -> None:
    from airflow_incident_provider.room.announcement import announce
    from airflow_incident_provider.room.snapshot import IncidentSnapshot
    from airflow_incident_provider.slack.access import live_slack_client

    monitor("Triggered")
    stored = life.stored()
    private = stored.model_copy(update={"record": stored.record.model_copy(update={"private": True})})
    announce(live_slack_client("slack_api_default"), IncidentSnapshot(stored=private), "#incident-news")
    assert news() == []


@pytest.mark.parametrize(
    ("messages", "settings"),
    [
        (2300, {}),
        (200, {"history_limit": 15}),
        (40, {"history_limit": 15, "history_calls_per_minute": 1, "rate_limits": True}),
    ],
)
def test_the_line_is_found_behind_much_talk(
    life: Life,
    monitor: Monitor,
    news: Callable[[], list[str]],
    slack: SandboxServer,
    control: SandboxClient,
    *,
    messages: int,
    settings: dict[str, Any],
) -> None:
    with an_hour_ago(life, slack):
        life.respond(monitor("Triggered"), BROKEN)
    talk(slack, "incident-news", messages)
    control.settings(**settings)
    monitor("Re-Triggered", "P1")
    tell(life)
    [line] = news()
    assert "critical" in line


def test_a_line_that_cannot_be_edited_any_more_is_replaced_once(
    life: Life, monitor: Monitor, news: Callable[[], list[str]], slack: SandboxServer, control: SandboxClient
) -> None:
    with an_hour_ago(life, slack):
        life.respond(monitor("Triggered"), BROKEN)
    control.settings(edit_window_s=1800)
    for priority, severity in (("P1", "critical"), ("P2", "high"), ("P1", "critical")):
        monitor("Re-Triggered", priority)
        tell(life)
        first, second = news()
        assert "critical" not in first
        assert severity in second


@pytest.mark.parametrize("fault", [{"status": 503}, {"error": "channel_not_found"}, {"error": "missing_scope"}])
def test_announcement_that_fails_costs_nothing(
    life: Life, monitor: Monitor, control: SandboxClient, fault: dict[str, Any]
) -> None:
    """There is no such channel, or Slack does not list it."""
    control.add_fault(Fault(method="users.conversations", times=None, **fault))
    run_id = life.respond_as_airflow_does(monitor("Triggered"), BROKEN)
    assert ("incident_response", run_id, "final_summary") not in life.failed
    assert life.record.room.channel_id is not None
