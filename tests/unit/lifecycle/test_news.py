"""What is neither a beginning nor an end: news of an alert, defaults, and states that come back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import UpdateKind

from .conftest import START, World, alert  # isort: skip


def opsgenie(action: str, **fields: Any) -> dict[str, Any]:
    return {"action": action, "alert": {"alertId": "u-1", "message": "Queue is stuck", "priority": "P3", **fields}}


def pagerduty(action: str, **payload: Any) -> dict[str, Any]:
    return {"event_action": action, "dedup_key": "k-1", "payload": {"summary": "Queue is stuck", **payload}}


def grafana(state: str) -> dict[str, Any]:
    return {"ruleId": 1, "ruleName": "Queue is stuck", "state": state}


def datadog_incident(
    status: str, severity: str = "SEV-2", number: int | str = "", at: int | None = None
) -> dict[str, Any]:
    incident = {"public_id": "12", "title": "Payments are down", "severity": severity, "status": status}
    date = {"date": str(int((START + timedelta(seconds=at)).timestamp() * 1000))} if at is not None else {}
    return {"id": number, "title": f"Incident {status}", "incident": incident, **date}


STORIES = {
    "Opsgenie": (opsgenie("Create"), opsgenie("Close"), opsgenie("AddNote", priority="P1")),
    "PagerDuty": (pagerduty("trigger", severity="critical"), pagerduty("resolve"), pagerduty("acknowledge")),
    "Grafana": (grafana("alerting"), grafana("ok"), grafana("pending")),
    "Datadog": (datadog_incident("active"), datadog_incident("resolved"), datadog_incident("stable")),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_news_of_an_alert_that_ended_opens_nothing(
    world: World, story: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
) -> None:
    begins, ends, news = story
    assert world.send(news).action is Action.IGNORE
    assert world.send(begins, 100).action is Action.OPEN
    assert world.send(ends, 300).action is Action.RECOVER
    before = world.only
    assert world.send(news, 600).action is Action.IGNORE
    assert world.only == before
    assert world.send(begins, 900).action is Action.REOPEN


def test_news_of_an_open_alert_changes_it_and_repeats_nothing(world: World) -> None:
    world.send(opsgenie("Create"))
    world.send(opsgenie("AddNote"), 100)
    assert (world.only.repeats, world.only.times_fired, world.only.pending) == (0, 1, ())
    decision = world.send(opsgenie("UpdatePriority", priority="P1"), 200)
    assert (decision.action, world.only.severity) == (Action.UPDATE, "critical")
    assert [item.kind for item in world.only.pending] == [UpdateKind.SEVERITY]


REPEATED_WITHOUT_SEVERITY = {
    "report": (
        {"id": "INC-7", "title": "x", "severity": "critical"},
        {"id": "INC-7", "title": "x", "users": ["dana@acme.example"]},
    ),
    "PagerDuty": (pagerduty("trigger", severity="critical"), pagerduty("acknowledge")),
    "monitor": (
        alert(priority="P1", delivery="a", at=START),
        alert("1", "Renotify", priority="$ALERT_PRIORITY", delivery="b", at=START + timedelta(seconds=90)),
    ),
    "Datadog incident": (datadog_incident("active", "SEV-1"), datadog_incident("active", "null")),
}


@pytest.mark.parametrize("story", REPEATED_WITHOUT_SEVERITY.values(), ids=REPEATED_WITHOUT_SEVERITY.keys())
def test_a_default_severity_changes_none_that_was_stated(
    world: World, story: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    first, second = story
    world.send(first)
    assert world.send(second, 100).action is Action.UPDATE
    assert world.only.severity == "critical"


def test_a_default_severity_reopens_nothing_that_a_person_resolved(world: World) -> None:
    key = world.send(alert(priority="P3", delivery="a", at=START)).key
    world.end(str(key), world.only.status.RESOLVED, 60)
    repeated = alert("1", "Renotify", priority="", delivery="b", at=START + timedelta(seconds=90))
    assert world.send(repeated, 90).action is Action.DUPLICATE


def test_an_alert_without_id_and_time_fires_again_after_its_recovery(world: World) -> None:
    world.send(alert())
    assert world.send(alert(), 5).action is Action.DUPLICATE
    world.send(alert(transition="Recovered"), 10)
    assert world.send(alert(), 15).action is Action.REOPEN


def test_an_incident_of_datadog_gets_an_earlier_severity_back(world: World) -> None:
    for at, severity in ((0, "SEV-2"), (10, "SEV-1"), (20, "SEV-2"), (30, "SEV-1")):
        world.send(datadog_incident("active", severity, 1, at), at + 1)
    assert world.only.severity == "critical"
    assert world.send(datadog_incident("active", "SEV-2", 1, 20), 45).action is Action.DUPLICATE
    assert world.only.severity == "critical"
