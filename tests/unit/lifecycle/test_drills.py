"""Drills, and the test notifications that people send from Datadog: nothing real is touched by them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_incident_provider.intake import read_incident
from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import Status

from .conftest import START, World, alert  # isort: skip


def tried(payload: dict[str, Any], *, event_title_only: bool = False) -> dict[str, Any]:
    """Return what Datadog sends when somebody tests the monitor's notifications."""
    title = f"[TEST] [P2] [{payload['alert']['transition']} on {{host:a}}] {payload['title']}"
    made = {**payload, "title": title}
    return made if event_title_only else {**made, "alert": {**payload["alert"], "title": title}}


def at(seconds: float, transition: str = "Triggered", monitor: int = 1, **fields: Any) -> dict[str, Any]:
    fields.setdefault("delivery", f"{transition}{seconds}")
    return alert(monitor, transition, at=START + timedelta(seconds=seconds), **fields)


@pytest.mark.parametrize("event_title_only", [True, False])
def test_a_test_notification_is_recognised_and_shown_as_a_drill(world: World, event_title_only: bool) -> None:
    world.send(tried(at(0), event_title_only=event_title_only), 1)
    record = world.only
    assert (record.drill, record.title, record.key[:5]) == (True, "[TEST] Monitor number 1", "test.")
    run = world.runs[0]
    incident = read_incident(run.conf, received_at=START, routing=world.routing)
    assert (incident.is_drill, incident.key, incident.monitor_ids) == (True, record.key, ("1",))


def test_it_neither_joins_nor_ends_a_real_incident_nor_is_ended_by_one(world: World) -> None:
    real = world.send(at(0), 1).key
    trial = world.send(tried(at(10)), 11)
    assert trial.action is Action.OPEN
    assert world.send(tried(at(20, "Recovered")), 21).key == trial.key
    assert world.records[str(real)].status is Status.OPEN
    assert world.send(tried(at(30)), 31).action is Action.REOPEN
    assert world.send(at(40, "Recovered"), 41).key == real
    assert {key: record.status for key, record in world.records.items()} == {
        real: Status.RECOVERED,
        trial.key: Status.OPEN,
    }


def test_the_end_of_a_test_hides_no_real_alert_that_is_delivered_late(world: World) -> None:
    world.send(tried(at(60, "Recovered")), 61)
    assert world.send(at(30), 62).action is Action.OPEN
    assert [record.drill for record in world.records.values()] == [False]


def test_drills_and_real_alerts_of_one_service_do_not_correlate_and_make_no_storm(make_world: Any) -> None:
    world = make_world("storm: {threshold: 3, window: 60s}")
    world.send(at(0, service="a", tags=["drill:true"]), 1)
    world.send(tried(at(1, monitor=2, service="b")), 2)
    for second, service in ((3, "a"), (4, "b")):
        decision = world.send(at(second, monitor=second, service=service), second + 1)
        assert decision.action is Action.OPEN
    assert not any(record.storm for record in world.records.values())
    assert world.send(tried(at(5, monitor=9, service="a")), 6).key == next(iter(world.records))


def test_a_person_may_try_it_out_under_the_id_of_a_real_incident(world: World) -> None:
    world.send({"id": "INC-1", "title": "Checkout fails"})
    world.send({"id": "INC-1", "title": "[test] Checkout fails", "status": "resolved"}, 90)
    assert world.only.status is Status.OPEN
