"""Notifications that neither trigger nor recover an alert, and default severities."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import UpdateKind

from .conftest import START, Simulation, alert


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


SEQUENCES = {
    "Opsgenie": (opsgenie("Create"), opsgenie("Close"), opsgenie("AddNote", priority="P1")),
    "PagerDuty": (pagerduty("trigger", severity="critical"), pagerduty("resolve"), pagerduty("acknowledge")),
    "Grafana": (grafana("alerting"), grafana("ok"), grafana("pending")),
    "Datadog": (datadog_incident("active"), datadog_incident("resolved"), datadog_incident("stable")),
}  # fmt: skip


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES.keys())
def test_update_of_recovered_alert_is_ignored(
    simulation: Simulation, sequence: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
) -> None:
    trigger, recovery, update = sequence
    assert simulation.send(update).action is Action.IGNORE
    assert simulation.send(trigger, 100).action is Action.OPEN
    assert simulation.send(recovery, 300).action is Action.RECOVER
    before = simulation.only_record
    assert simulation.send(update, 600).action is Action.IGNORE
    assert simulation.only_record == before
    assert simulation.send(trigger, 900).action is Action.REOPEN


def test_update_of_open_alert_is_not_counted_as_repeat(simulation: Simulation) -> None:
    simulation.send(opsgenie("Create"))
    simulation.send(opsgenie("AddNote"), 100)
    assert (simulation.only_record.repeats, simulation.only_record.times_fired, simulation.only_record.pending) == (
        0,
        1,
        (),
    )
    decision = simulation.send(opsgenie("UpdatePriority", priority="P1"), 200)
    assert (decision.action, simulation.only_record.severity) == (Action.UPDATE, "critical")
    assert [item.kind for item in simulation.only_record.pending] == [UpdateKind.SEVERITY]


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


@pytest.mark.parametrize("sequence", REPEATED_WITHOUT_SEVERITY.values(), ids=REPEATED_WITHOUT_SEVERITY.keys())
def test_default_severity_does_not_override_stated_severity(
    simulation: Simulation, sequence: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    first, second = sequence
    simulation.send(first)
    assert simulation.send(second, 100).action is Action.UPDATE
    assert simulation.only_record.severity == "critical"


def test_default_severity_does_not_reopen_resolved_incident(simulation: Simulation) -> None:
    key = simulation.send(alert(priority="P3", delivery="a", at=START)).key
    simulation.close(str(key), simulation.only_record.status.RESOLVED, 60)
    repeated = alert("1", "Renotify", priority="", delivery="b", at=START + timedelta(seconds=90))
    assert simulation.send(repeated, 90).action is Action.DUPLICATE


def test_alert_without_id_and_time_reopens_after_recovery(simulation: Simulation) -> None:
    simulation.send(alert())
    assert simulation.send(alert(), 5).action is Action.DUPLICATE
    simulation.send(alert(transition="Recovered"), 10)
    assert simulation.send(alert(), 15).action is Action.REOPEN


def test_datadog_incident_severity_can_change_back(simulation: Simulation) -> None:
    for at, severity in ((0, "SEV-2"), (10, "SEV-1"), (20, "SEV-2"), (30, "SEV-1")):
        simulation.send(datadog_incident("active", severity, 1, at), at + 1)
    assert simulation.only_record.severity == "critical"
    assert simulation.send(datadog_incident("active", "SEV-2", 1, 20), 45).action is Action.DUPLICATE
    assert simulation.only_record.severity == "critical"


@pytest.mark.parametrize(
    "notification",
    [
        lambda transition: alert(cycle=None, delivery="1", transition=transition),
        lambda transition: {"id": "1", "event_type": "x", "body": "x", "title": f"[{transition}] CPU"},
    ],
    ids=["monitor", "default payload"],
)
def test_constant_id_hides_no_notification(
    simulation: Simulation, notification: Callable[[str], dict[str, Any]]
) -> None:
    actions = []
    for minute, transition in ((0, "Triggered"), (10, "Recovered"), (30, "Triggered"), (40, "Recovered")):
        payload = {"datadog": notification(transition)}
        actions.append(simulation.send(payload, minute * 60).action)
        assert simulation.send(payload, minute * 60 + 30).action is Action.DUPLICATE
    assert actions == [Action.OPEN, Action.RECOVER, Action.REOPEN, Action.RECOVER]
