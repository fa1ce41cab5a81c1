"""The same words again: the same delivery for a moment, news after that."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_incident_provider.lifecycle.decision import Action

from .conftest import World  # isort: skip

WITH_ID = {"id": "disk-7", "title": "Disk 7 is full", "severity": "high"}
WITHOUT_ID = {"title": "Disk 7 is full", "severity": "high"}


@pytest.mark.parametrize("conf", [WITH_ID, WITHOUT_ID])
@pytest.mark.parametrize("seconds", [1, 15, 45, 59])
def test_the_same_words_within_a_minute_are_a_redelivery(world: World, conf: dict[str, Any], seconds: int) -> None:
    for start in (0, 50):  # in one window, and across the border of two
        fresh = World()
        assert fresh.send(conf, seconds=start).action is Action.OPEN
        assert fresh.send(dict(reversed(conf.items())), seconds=start + seconds).action is Action.DUPLICATE
        assert len(fresh.records) == 1


def test_the_same_words_later_are_news(world: World) -> None:
    assert world.send(WITH_ID).action is Action.OPEN
    assert world.send(WITH_ID, seconds=121).action is Action.UPDATE
    assert (world.only.notifications, world.only.repeats) == (2, 1)


def test_other_words_are_an_update_at_once(world: World) -> None:
    world.send(WITH_ID)
    assert world.send({**WITH_ID, "severity": "critical"}, seconds=1).action is Action.UPDATE
    assert world.only.severity == "critical"


def test_with_a_time_of_its_own_it_is_a_redelivery_for_ever(world: World) -> None:
    dated = {**WITH_ID, "started_at": "2026-11-23T09:30:00Z"}
    world.send(dated)
    assert world.send(dated, seconds=3000).action is Action.DUPLICATE
