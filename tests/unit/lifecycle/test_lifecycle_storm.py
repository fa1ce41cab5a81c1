"""Alert storms, triage and the rate of update runs."""

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


def send_alerts(
    simulation: Any, count: int, *, every: float, start: float = 0, first: int = 0, **kwargs: Any
) -> list[Any]:
    """Send alerts of different services at a fixed interval."""
    return [
        simulation.alert(n, service=f"s{n}", seconds=start + (n - first) * every, **kwargs)
        for n in range(first, first + count)
    ]


def test_tenth_incident_within_window_becomes_storm(simulation: Any) -> None:
    decisions = send_alerts(simulation, 50, every=0.1)
    assert [d.action for d in decisions[:10]] == [Action.OPEN] * 10
    assert [d.record.storm for d in decisions[:10]] == [False] * 9 + [True]
    storm = decisions[9].key
    assert {(d.action, d.key) for d in decisions[10:]} == {(Action.UPDATE, storm)}
    assert simulation.records[storm].alert_count == 41
    assert simulation.records[storm].title.startswith("Alert storm: 10 new incidents within 60 s")
    assert sum(record.alert_count for record in simulation.records.values()) == 50


def test_incidents_below_threshold_are_no_storm(simulation: Any) -> None:
    assert {d.action for d in send_alerts(simulation, 100, every=7)} == {Action.OPEN}


def test_storm_continues_while_alerts_arrive(simulation: Any) -> None:
    decisions = send_alerts(simulation, 180, every=1)
    assert [d.action for d in decisions].count(Action.OPEN) == 10


def test_storm_ends_when_rate_drops(simulation: Any) -> None:
    send_alerts(simulation, 20, every=0.1)
    assert simulation.alert(99, service="late", seconds=45).action is Action.UPDATE
    assert simulation.alert(100, service="later", seconds=70).action is Action.OPEN


def test_later_storm_opens_new_incident(simulation: Any) -> None:
    send_alerts(simulation, 20, every=0.1)
    send_alerts(simulation, 20, every=0.1, start=HOUR, first=100)
    assert sum(record.storm for record in simulation.records.values()) == 2


def test_correlated_alert_joins_its_incident_during_storm(simulation: Any) -> None:
    decisions = send_alerts(simulation, 20, every=0.1)
    joined = simulation.alert(500, service="s3", seconds=5)
    assert joined.key == decisions[3].key


def test_storm_incident_does_not_correlate(simulation: Any) -> None:
    decisions = send_alerts(simulation, 12, every=0.1)
    assert simulation.alert(500, service="s11", seconds=120).key != decisions[9].key


def test_storm_recovers_with_its_alerts(simulation: Any) -> None:
    storm = send_alerts(simulation, 12, every=0.1)[9].key
    for n in (9, 10):
        assert simulation.alert(n, "Recovered", service=f"s{n}", seconds=60 + n).action is Action.UPDATE
    last = simulation.alert(11, "Recovered", service="s11", seconds=90)
    assert (last.action, last.key, last.record.status) == (Action.RECOVER, storm, Status.RECOVERED)


def test_correlated_alerts_are_one_incident_and_no_storm(simulation: Any) -> None:
    decisions = [simulation.alert(n, seconds=n / 100) for n in range(50)]
    assert [d.action for d in decisions].count(Action.UPDATE) == 49
    assert simulation.only_record.alert_count == 50
    assert not simulation.only_record.storm


def test_threshold_is_configurable_and_can_be_disabled(make_simulation: Any) -> None:
    small = make_simulation("storm: {threshold: 3, window: 10s}")
    assert len({d.key for d in send_alerts(small, 9, every=1)}) == 3
    never = make_simulation("storm: {threshold: null}")
    assert len({d.key for d in send_alerts(never, 30, every=0.1)}) == 30


def test_report_opens_incident_during_storm(simulation: Any) -> None:
    send_alerts(simulation, 20, every=0.1)
    assert simulation.send({"title": "Everything is down", "severity": "critical"}, 3).action is Action.OPEN


def test_recorded_incidents_do_not_count_as_storm(simulation: Any) -> None:
    send_alerts(simulation, 30, every=0.1, priority="P5")
    assert simulation.alert(99, service="important", priority="P1", seconds=4).record.storm is False


def test_full_storm_opens_next_storm(simulation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_ALERTS", 50)
    send_alerts(simulation, 100, every=0.1)
    storms = sorted(record.alert_count for record in simulation.records.values() if record.storm)
    assert storms == [41, 50]
    assert sum(record.alert_count for record in simulation.records.values()) == 100


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
def test_triage_sets_visibility(
    table: str, alert: dict[str, Any], presence: Visibility, make_simulation: Any
) -> None:
    assert make_simulation(table).alert(**alert).record.visibility is presence


def test_visibility_rises_at_threshold_and_never_falls(make_simulation: Any) -> None:
    simulation = make_simulation(
        'triage: {channel: "#t", rules: ['
        "{name: enough, match: {env: prod}, notifications: 3, presence: thread},"
        "{name: quiet, match: {env: prod}, presence: record}]}"
    )
    presences = [simulation.alert(transition="Re-Triggered", seconds=n).record.visibility for n in range(4)]
    assert presences == [Visibility.RECORD, Visibility.RECORD, Visibility.THREAD, Visibility.THREAD]


def test_thread_becomes_room_once(make_simulation: Any) -> None:
    simulation = make_simulation(WITH_CHANNEL)
    warned = simulation.alert(transition="Warn")
    assert [run.dag_id for run in warned.runs] == ["incident_update"]
    assert [item.kind for item in warned.record.pending] == [UpdateKind.OPENED]
    worse = simulation.alert(transition="Triggered", seconds=30)
    assert worse.record.visibility is Visibility.ROOM
    assert [run.run_id for run in worse.runs if run.dag_id == "incident_response"] == [worse.key]
    assert UpdateKind.VISIBILITY in [item.kind for item in worse.record.pending]
    later = simulation.alert(transition="Re-Triggered", seconds=300)
    assert [run.dag_id for run in later.runs] == ["incident_update"]


def test_update_runs_are_limited_to_one_per_minute(simulation: Any) -> None:
    opened = simulation.alert()
    for second in range(1, 600):
        simulation.alert(transition="Re-Triggered", seconds=second)
    updates = [run for run in simulation.runs if run.dag_id == "incident_update"]
    dues = [run.run_after for run in updates]
    assert all(later - earlier == timedelta(minutes=1) for earlier, later in itertools.pairwise(dues))
    assert len({run.run_id for run in updates}) == len(updates) == 10
    assert updates[0].run_id == f"upd.{opened.key}.20261123T093600"
    (item,) = simulation.only_record.pending
    assert item.count == 599


def test_first_update_is_posted_immediately(simulation: Any) -> None:
    simulation.alert()
    (run,) = simulation.alert(transition="Re-Triggered", seconds=61).runs
    assert run.run_after is None
    assert run.conf["incident_key"] == simulation.only_record.key


def test_reverted_change_is_not_posted(simulation: Any) -> None:
    simulation.alert(priority="P2")
    simulation.alert(transition="Re-Triggered", priority="P1", seconds=5)
    after = simulation.alert(transition="Re-Triggered", priority="P2", seconds=10).record
    assert [item.kind for item in after.pending] == [UpdateKind.REPEATED]
