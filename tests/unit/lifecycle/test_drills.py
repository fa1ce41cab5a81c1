"""Drills and Datadog test notifications do not affect real incidents."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_incident_provider.intake import read_incident
from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import Status

from .conftest import START, Simulation, alert


def as_test_notification(payload: dict[str, Any], *, event_title_only: bool = False) -> dict[str, Any]:
    """Mark an alert payload as a test notification of Datadog."""
    title = f"[TEST] [P2] [{payload['alert']['transition']} on {{host:a}}] {payload['title']}"
    marked = {**payload, "title": title}
    return marked if event_title_only else {**marked, "alert": {**payload["alert"], "title": title}}


def alert_at(seconds: float, transition: str = "Triggered", monitor: int = 1, **fields: Any) -> dict[str, Any]:
    fields.setdefault("delivery", f"{transition}{seconds}")
    return alert(monitor, transition, at=START + timedelta(seconds=seconds), **fields)


@pytest.mark.parametrize("event_title_only", [True, False])
def test_test_notification_opens_drill(simulation: Simulation, event_title_only: bool) -> None:
    simulation.send(as_test_notification(alert_at(0), event_title_only=event_title_only), 1)
    record = simulation.only_record
    assert (record.drill, record.title, record.key[:5]) == (True, "[TEST] Monitor number 1", "test.")
    run = simulation.runs[0]
    incident = read_incident(run.conf, received_at=START, routing=simulation.routing)
    assert (incident.is_drill, incident.key, incident.monitor_ids) == (True, record.key, ("1",))


def test_drill_and_real_incident_do_not_affect_each_other(simulation: Simulation) -> None:
    real = simulation.send(alert_at(0), 1).key
    drill = simulation.send(as_test_notification(alert_at(10)), 11)
    assert drill.action is Action.OPEN
    assert simulation.send(as_test_notification(alert_at(20, "Recovered")), 21).key == drill.key
    assert simulation.records[str(real)].status is Status.OPEN
    assert simulation.send(as_test_notification(alert_at(30)), 31).action is Action.REOPEN
    assert simulation.send(alert_at(40, "Recovered"), 41).key == real
    assert {key: record.status for key, record in simulation.records.items()} == {
        real: Status.RECOVERED,
        drill.key: Status.OPEN,
    }


def test_drill_recovery_does_not_hide_late_real_alert(simulation: Simulation) -> None:
    simulation.send(as_test_notification(alert_at(60, "Recovered")), 61)
    assert simulation.send(alert_at(30), 62).action is Action.OPEN
    assert [record.drill for record in simulation.records.values()] == [False]


def test_drills_do_not_correlate_or_count_as_storm(make_simulation: Any) -> None:
    simulation = make_simulation("storm: {threshold: 3, window: 60s}")
    simulation.send(alert_at(0, service="a", tags=["drill:true"]), 1)
    simulation.send(as_test_notification(alert_at(1, monitor=2, service="b")), 2)
    for second, service in ((3, "a"), (4, "b")):
        decision = simulation.send(alert_at(second, monitor=second, service=service), second + 1)
        assert decision.action is Action.OPEN
    assert not any(record.storm for record in simulation.records.values())
    assert simulation.send(as_test_notification(alert_at(5, monitor=9, service="a")), 6).key == next(
        iter(simulation.records)
    )


def test_test_report_with_id_of_real_incident_does_not_resolve_it(simulation: Simulation) -> None:
    simulation.send({"id": "INC-1", "title": "Checkout fails"})
    simulation.send({"id": "INC-1", "title": "[test] Checkout fails", "status": "resolved"}, 90)
    assert simulation.only_record.status is Status.OPEN
