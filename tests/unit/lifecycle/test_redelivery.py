"""Identical reports are duplicates within a minute and updates later."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_incident_provider.lifecycle.decision import Action

from .conftest import Simulation

WITH_ID = {"id": "disk-7", "title": "Disk 7 is full", "severity": "high"}
WITHOUT_ID = {"title": "Disk 7 is full", "severity": "high"}


@pytest.mark.parametrize("conf", [WITH_ID, WITHOUT_ID])
@pytest.mark.parametrize("seconds", [1, 15, 45, 59])
def test_identical_report_within_a_minute_is_duplicate(conf: dict[str, Any], seconds: int) -> None:
    for start in (0, 50):  # within one window, and across two
        simulation = Simulation()
        assert simulation.send(conf, seconds=start).action is Action.OPEN
        assert simulation.send(dict(reversed(conf.items())), seconds=start + seconds).action is Action.DUPLICATE
        assert len(simulation.records) == 1


def test_identical_report_later_is_update(simulation: Simulation) -> None:
    assert simulation.send(WITH_ID).action is Action.OPEN
    assert simulation.send(WITH_ID, seconds=121).action is Action.UPDATE
    assert (simulation.only_record.notifications, simulation.only_record.repeats) == (2, 1)


def test_changed_report_is_update(simulation: Simulation) -> None:
    simulation.send(WITH_ID)
    assert simulation.send({**WITH_ID, "severity": "critical"}, seconds=1).action is Action.UPDATE
    assert simulation.only_record.severity == "critical"


def test_identical_report_with_start_time_is_always_duplicate(simulation: Simulation) -> None:
    dated = {**WITH_ID, "started_at": "2026-11-23T09:30:00Z"}
    simulation.send(dated)
    assert simulation.send(dated, seconds=3000).action is Action.DUPLICATE
