"""Too many incidents at once become one; a quiet one gets no room; a noisy one is reported once a minute."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from airflow_incident_provider.lifecycle import records
from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import Status, UpdateKind, Visibility

HOUR = 3600
TRIAGE = "triage: {rules: [{name: x, match: %s, presence: %s}]}"
WITH_CHANNEL = 'triage: {channel: "#triage"}'


def flood(world: Any, count: int, *, every: float, start: float = 0, first: int = 0, **kwargs: Any) -> list[Any]:
    """Send alerts of as many services, one after another."""
    return [
        world.alert(n, service=f"s{n}", seconds=start + (n - first) * every, **kwargs)
        for n in range(first, first + count)
    ]


def test_the_tenth_new_incident_in_a_minute_takes_in_those_after_it(world: Any) -> None:
    decisions = flood(world, 50, every=0.1)
    assert [d.action for d in decisions[:10]] == [Action.OPEN] * 10
    assert [d.record.storm for d in decisions[:10]] == [False] * 9 + [True]
    storm = decisions[9].key
    assert {(d.action, d.key) for d in decisions[10:]} == {(Action.UPDATE, storm)}
    assert world.records[storm].alert_count == 41
    assert world.records[storm].title.startswith("Alert storm: 10 new incidents within 60 s")
    assert sum(record.alert_count for record in world.records.values()) == 50


def test_nine_in_a_minute_are_no_storm(world: Any) -> None:
    assert {d.action for d in flood(world, 100, every=7)} == {Action.OPEN}


def test_the_storm_goes_on_as_long_as_the_alerts_do(world: Any) -> None:
    decisions = flood(world, 180, every=1)
    assert [d.action for d in decisions].count(Action.OPEN) == 10


def test_the_storm_ends_when_fewer_alerts_come(world: Any) -> None:
    flood(world, 20, every=0.1)
    assert world.alert(99, service="late", seconds=45).action is Action.UPDATE
    assert world.alert(100, service="later", seconds=70).action is Action.OPEN


def test_a_later_storm_has_an_incident_of_its_own(world: Any) -> None:
    flood(world, 20, every=0.1)
    flood(world, 20, every=0.1, start=HOUR, first=100)
    assert sum(record.storm for record in world.records.values()) == 2


def test_what_belongs_to_an_open_incident_goes_there_and_not_into_the_storm(world: Any) -> None:
    decisions = flood(world, 20, every=0.1)
    joined = world.alert(500, service="s3", seconds=5)
    assert joined.key == decisions[3].key


def test_a_storm_attracts_no_alert_by_correlation(world: Any) -> None:
    decisions = flood(world, 12, every=0.1)
    assert world.alert(500, service="s11", seconds=120).key != decisions[9].key


def test_an_alert_of_the_storm_recovers_there(world: Any) -> None:
    storm = flood(world, 12, every=0.1)[9].key
    for n in (9, 10):
        assert world.alert(n, "Recovered", service=f"s{n}", seconds=60 + n).action is Action.UPDATE
    last = world.alert(11, "Recovered", service="s11", seconds=90)
    assert (last.action, last.key, last.record.status) == (Action.RECOVER, storm, Status.RECOVERED)


def test_fifty_alerts_of_one_service_are_one_incident(world: Any) -> None:
    decisions = [world.alert(n, seconds=n / 100) for n in range(50)]
    assert [d.action for d in decisions].count(Action.UPDATE) == 49
    assert world.only.alert_count == 50
    assert not world.only.storm


def test_the_threshold_is_a_setting_and_may_be_none(make_world: Any) -> None:
    small = make_world("storm: {threshold: 3, window: 10s}")
    assert len({d.key for d in flood(small, 9, every=1)}) == 3
    never = make_world("storm: {threshold: null}")
    assert len({d.key for d in flood(never, 30, every=0.1)}) == 30


def test_people_get_their_own_room_in_a_storm(world: Any) -> None:
    flood(world, 20, every=0.1)
    assert world.send({"title": "Everything is down", "severity": "critical"}, 3).action is Action.OPEN


def test_what_is_only_recorded_makes_no_storm(world: Any) -> None:
    flood(world, 30, every=0.1, priority="P5")
    assert world.alert(99, service="important", priority="P1", seconds=4).record.storm is False


def test_a_full_storm_is_followed_by_another(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_ALERTS", 50)
    flood(world, 100, every=0.1)
    storms = sorted(record.alert_count for record in world.records.values() if record.storm)
    assert storms == [41, 50]
    assert sum(record.alert_count for record in world.records.values()) == 100


@pytest.mark.parametrize(
    ("table", "alert", "presence"),
    [
        ("", {"priority": "P1"}, Visibility.ROOM),
        ("", {"priority": "P3"}, Visibility.ROOM),
        ("", {"priority": "P4"}, Visibility.RECORD),
        ("", {"transition": "Warn", "priority": "P1"}, Visibility.ROOM),
        ("", {"transition": "Warn", "priority": "P4"}, Visibility.RECORD),
        (WITH_CHANNEL, {"transition": "Warn", "priority": "P1"}, Visibility.THREAD),
        (WITH_CHANNEL, {"transition": "No Data", "priority": "P1"}, Visibility.ROOM),
        (
            "triage: {rules: [{name: x, match: {env: prod}, presence: record}]}",
            {"priority": "P1"},
            Visibility.RECORD,
        ),
        (TRIAGE % ("{env: dev}", "record"), {"priority": "P1"}, Visibility.ROOM),
        (
            "triage: {rules: [{name: x, match: {severity: P5}, presence: room}]}",
            {"priority": "P5"},
            Visibility.ROOM,
        ),
    ],
)
def test_triage_decides_where_an_incident_shows(
    table: str, alert: dict[str, Any], presence: Visibility, make_world: Any
) -> None:
    assert make_world(table).alert(**alert).record.visibility is presence


def test_an_incident_rises_at_a_threshold_and_never_falls(make_world: Any) -> None:
    world = make_world(
        'triage: {channel: "#t", rules: ['
        "{name: enough, match: {env: prod}, notifications: 3, presence: thread},"
        "{name: quiet, match: {env: prod}, presence: record}]}"
    )
    presences = [world.alert(transition="Re-Triggered", seconds=n).record.visibility for n in range(4)]
    assert presences == [Visibility.RECORD, Visibility.RECORD, Visibility.THREAD, Visibility.THREAD]


def test_a_thread_begins_with_an_update_and_becomes_a_room_once(make_world: Any) -> None:
    world = make_world(WITH_CHANNEL)
    warned = world.alert(transition="Warn")
    assert [run.dag_id for run in warned.runs] == ["incident_update"]
    assert [item.kind for item in warned.record.pending] == [UpdateKind.OPENED]
    worse = world.alert(transition="Triggered", seconds=30)
    assert worse.record.visibility is Visibility.ROOM
    assert [run.run_id for run in worse.runs if run.dag_id == "incident_response"] == [worse.key]
    assert UpdateKind.VISIBILITY in [item.kind for item in worse.record.pending]
    later = world.alert(transition="Re-Triggered", seconds=300)
    assert [run.dag_id for run in later.runs] == ["incident_update"]


def test_a_noisy_monitor_starts_at_most_one_update_run_a_minute(world: Any) -> None:
    opened = world.alert()
    for second in range(1, 600):
        world.alert(transition="Re-Triggered", seconds=second)
    updates = [run for run in world.runs if run.dag_id == "incident_update"]
    dues = [run.run_after for run in updates]
    assert all(later - earlier == timedelta(minutes=1) for earlier, later in itertools.pairwise(dues))
    assert len({run.run_id for run in updates}) == len(updates) == 10
    assert updates[0].run_id == f"upd.{opened.key}.20261123T093600"
    (item,) = world.only.pending
    assert item.count == 599


def test_the_first_update_of_a_quiet_incident_goes_at_once(world: Any) -> None:
    world.alert()
    (run,) = world.alert(transition="Re-Triggered", seconds=61).runs
    assert run.run_after is None
    assert run.conf["incident_key"] == world.only.key


def test_a_change_that_was_taken_back_is_not_posted(world: Any) -> None:
    world.alert(priority="P2")
    world.alert(transition="Re-Triggered", priority="P1", seconds=5)
    after = world.alert(transition="Re-Triggered", priority="P2", seconds=10).record
    assert [item.kind for item in after.pending] == [UpdateKind.REPEATED]
