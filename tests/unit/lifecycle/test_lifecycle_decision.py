"""What an alert is to the incidents that there are: redeliveries, recoveries, reopening, correlation, keys."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_incident_provider.lifecycle.decision import Action, decide
from airflow_incident_provider.lifecycle.records import Assignment, Status, UpdateKind, Visibility

HOUR = 3600


def kinds(decision: Any) -> list[UpdateKind]:
    return [item.kind for item in decision.record.pending]


def test_a_redelivery_changes_nothing(world: Any) -> None:
    world.alert(delivery="77")
    before = world.only
    decision = world.alert(delivery="77", seconds=20, at=None)
    assert (decision.action, decision.record, decision.changed) == (Action.DUPLICATE, before, False)
    assert decision.runs == ()


def test_an_id_that_is_the_same_in_every_notification_hides_no_recovery(world: Any) -> None:
    world.alert(delivery="constant")
    assert world.alert(delivery="constant", transition="Recovered", seconds=60).action is Action.RECOVER


def test_deliveries_without_an_id_are_distinguished_by_content(world: Any, make_alert: Any) -> None:
    sent = make_alert(at=None) | {"date": "1795430100000"}
    world.send(sent)
    assert world.send(sent, 5).action is Action.DUPLICATE
    assert world.send(sent | {"date": "1795430160000"}, 60).action is Action.UPDATE


def test_an_older_notification_that_comes_late_is_counted_only(world: Any) -> None:
    world.alert(at=None, delivery="1")
    opened_at = world.only.opened_at
    world.alert(transition="Recovered", seconds=60)
    late = world.alert(transition="Re-Triggered", seconds=70, at=opened_at)
    assert (late.action, late.changed, late.runs) == (Action.DUPLICATE, True, ())
    assert late.record.status is Status.RECOVERED
    assert late.record.notifications == 2


def test_a_recovery_that_is_older_than_the_alert_ends_nothing(world: Any) -> None:
    opened_at = world.alert().record.opened_at
    world.alert(transition="Re-Triggered", seconds=90)
    late = world.alert(transition="Recovered", seconds=100, at=opened_at)
    assert late.action is Action.DUPLICATE
    assert world.only.status is Status.OPEN


def test_an_incident_recovers_with_the_last_of_its_alerts(world: Any) -> None:
    world.alert(1)
    world.alert(2, seconds=10)
    first = world.alert(1, "Recovered", seconds=100)
    assert first.action is Action.UPDATE
    assert UpdateKind.ALERT_RECOVERED in kinds(first)
    assert first.record.status is Status.OPEN
    last = world.alert(2, "Recovered", seconds=200)
    assert last.action is Action.RECOVER
    assert last.record.status is Status.RECOVERED


def test_a_recovery_ends_earlier_cycles_whose_recovery_was_lost(world: Any) -> None:
    world.alert(cycle="c1")
    world.alert(cycle="c2", seconds=300)
    assert (world.only.alert_count, world.only.firing_count) == (1, 1)
    assert world.alert(transition="Recovered", cycle="c2", seconds=400).action is Action.RECOVER


def test_the_recovery_of_a_resolved_incident_is_reported_and_ends_it_only_once(world: Any) -> None:
    key = world.alert().key
    world.end(key, Status.RESOLVED, 60)
    decision = world.alert(transition="Recovered", seconds=120)
    assert (decision.action, decision.record.status) == (Action.UPDATE, Status.RESOLVED)
    assert decision.record.firing_count == 0


@pytest.mark.parametrize("status", [Status.RECOVERED, Status.RESOLVED])
@pytest.mark.parametrize(("seconds", "action"), [(HOUR, Action.REOPEN), (HOUR + 1, Action.OPEN)])
def test_it_comes_back_to_its_room_within_the_reopen_window(
    status: Status, seconds: int, action: Action, world: Any
) -> None:
    first = world.alert()
    world.alert(transition="Recovered", seconds=60)
    if status is Status.RESOLVED:
        world.end(first.key, Status.RESOLVED, 60)
    again = world.alert(cycle="c2", seconds=60 + seconds)
    assert again.action is action
    assert (again.key == first.key) is (action is Action.REOPEN)
    assert [item.kind for item in again.record.pending][-1:] == (
        [UpdateKind.REOPENED] if action is Action.REOPEN else []
    )


def test_the_reopen_window_is_a_setting(make_world: Any) -> None:
    world = make_world("lifecycle: {reopen_window: 5m}")
    world.alert()
    world.alert(transition="Recovered", seconds=60)
    assert world.alert(cycle="c2", seconds=60 + 301).action is Action.OPEN


def test_another_monitor_reopens_nothing_after_the_reopen_window(make_world: Any) -> None:
    world = make_world("lifecycle: {reopen_window: 5m}")
    world.alert(1)
    world.alert(1, "Recovered", seconds=60)
    assert world.decide(world.alert_payload(2, seconds=360), 360).action is Action.REOPEN
    assert world.alert(2, seconds=361).action is Action.OPEN


def test_nobody_is_brought_back_to_an_archived_room(world: Any) -> None:
    first = world.alert()
    world.end(first.key, Status.RESOLVED, 60)
    world.end(first.key, Status.ARCHIVED, 61)
    second = world.alert(cycle="c2", seconds=70)
    assert second.action is Action.OPEN
    assert second.key != first.key
    assert second.runs[0].run_id == second.key
    assert Assignment.model_validate(second.runs[0].conf["lifecycle"]).key == second.key


def test_a_key_that_was_used_and_forgotten_is_not_used_again(world: Any, make_alert: Any) -> None:
    signal = world.read(make_alert())
    key = signal.incident.key
    decision = decide(signal, [], world.routing, signal.received_at, taken_keys={key, f"{key}.2"})
    assert decision.key == f"{key}.3"


def test_an_alert_without_a_cycle_key_is_still_known_again(world: Any) -> None:
    first = world.alert(cycle=None, delivery="1")
    again = world.alert(cycle=None, delivery="2", transition="Re-Triggered", seconds=60)
    assert (again.action, again.key, again.record.alert_count) == (Action.UPDATE, first.key, 1)
    assert world.alert(cycle=None, delivery="3", transition="Recovered", seconds=90).action is Action.RECOVER


@pytest.mark.parametrize(
    ("first", "second", "joins"),
    [
        ({}, {}, True),
        ({}, {"service": "CHECKOUT"}, True),
        ({}, {"service": "cart"}, False),
        ({}, {"env": "staging"}, False),
        ({}, {"env": None}, False),
        ({}, {"service": None}, False),
        ({"service": None}, {"service": None}, False),
        ({"env": None}, {"env": None}, False),
        ({}, {"tags": ["service:cart"]}, False),
        ({"tags": ["service:cart"]}, {"tags": ["service:cart"]}, True),
        ({}, {"tags": ["env:staging"]}, False),
    ],
)
def test_another_monitor_joins_by_service_and_env(first: Any, second: Any, joins: bool, world: Any) -> None:
    opened = world.alert(1, **first)
    decision = world.alert(2, **second, seconds=30)
    assert (decision.key == opened.key) is joins
    assert decision.action is (Action.UPDATE if joins else Action.OPEN)
    assert (UpdateKind.JOINED in kinds(decision)) is joins


@pytest.mark.parametrize(
    ("first", "second", "joins"),
    [
        ({"service": None}, {"service": None}, True),
        ({"service": None, "env": None}, {"service": None, "env": None}, True),
        ({}, {"service": "cart"}, False),
        ({}, {"service": None}, False),
        ({"service": None}, {"service": None, "env": "staging"}, False),
    ],
)
def test_the_groups_of_one_monitor_are_one_incident_but_for_another_service(
    first: Any, second: Any, joins: bool, world: Any
) -> None:
    opened = world.alert(1, **first, tags=["host:web-03"])
    decision = world.alert(1, **second, tags=["host:web-07"], cycle="c2", seconds=1)
    assert (decision.key == opened.key) is joins


@pytest.mark.parametrize(("seconds", "joins"), [(15 * 60, True), (15 * 60 + 1, False)])
def test_repetitions_do_not_move_the_correlation_window(seconds: int, joins: bool, world: Any) -> None:
    opened = world.alert(1)
    world.alert(1, "Re-Triggered", seconds=600)
    assert (world.alert(2, seconds=seconds).key == opened.key) is joins


def test_an_alert_that_joins_a_recovered_incident_reopens_it(world: Any) -> None:
    opened = world.alert(1)
    world.alert(1, "Recovered", seconds=60)
    decision = world.alert(2, seconds=120)
    assert (decision.action, decision.key) == (Action.REOPEN, opened.key)
    assert (decision.record.status, decision.record.reopened) == (Status.OPEN, 1)


def test_what_people_said_neither_joins_nor_is_joined(world: Any) -> None:
    world.alert(1)
    said = world.send({"title": "Checkout fails", "services": ["checkout"], "env": "prod"}, 10)
    assert said.action is Action.OPEN
    assert world.alert(2, seconds=20).key != said.key


def test_the_table_says_what_joins(make_world: Any) -> None:
    world = make_world("correlation: {rules: [{name: team, by: 'tag:cluster', window: 60s}]}")
    opened = world.alert(1, tags=["cluster:eu1"])
    assert world.alert(2, service="cart", tags=["cluster:eu1"], seconds=50).key == opened.key
    assert world.alert(3, service="cart", tags=["cluster:eu2"], seconds=50).key != opened.key
    assert world.alert(4, service="cart", tags=["cluster:eu1"], seconds=150).key != opened.key


def test_an_empty_table_of_correlation_joins_nothing(make_world: Any) -> None:
    world = make_world("correlation: {rules: []}")
    assert world.alert(1).key != world.alert(2, seconds=1).key


def test_the_severity_is_the_worst_of_what_fires(world: Any) -> None:
    world.alert(1, priority="P3")
    rise = world.alert(2, priority="P1", seconds=120)
    assert rise.record.severity == "critical"
    (change,) = [item for item in rise.record.pending if item.kind is UpdateKind.SEVERITY]
    assert (change.before, change.after) == ("medium", "critical")
    world.records[rise.key] = rise.record.without_pending()
    fall = world.alert(2, "Recovered", priority="P1", seconds=240)
    assert fall.record.severity == "medium"
    assert UpdateKind.SEVERITY in kinds(fall)
    last = world.alert(1, "Recovered", priority="P3", seconds=300)
    assert last.record.severity == "medium"


def test_a_worse_severity_invites_the_people_it_routes_to(make_world: Any) -> None:
    world = make_world(
        "rules: [{name: all, match: {}, responders: [ann]}, "
        "{name: critical, match: {severity: critical}, responders: [bob]}]"
    )
    world.alert(1, priority="P3")
    rise = world.alert(1, "Re-Triggered", priority="P1", seconds=90)
    assert rise.record.responders == ("ann", "bob")
    assert [item.names for item in rise.record.pending if item.kind is UpdateKind.RESPONDERS] == [("bob",)]


def test_every_decision_says_what_its_key_was_made_of(world: Any) -> None:
    decision = world.alert(148, cycle="77")
    assert decision.inputs["alert key"].startswith("dd.148.77.")
    assert decision.inputs["made of"] == "monitor 148, cycle 77, scope env:prod,service:checkout"
    assert {"redelivery", "correlation", "triage", "storm"} <= {result.rule for result in decision.rules}


def test_a_bare_payload_stands_under_its_name_in_the_conf_of_its_run(world: Any, make_alert: Any) -> None:
    from airflow_incident_provider.lifecycle.signals import read_signal

    sent = make_alert()
    signal = read_signal(sent, received_at=world.read(sent).received_at, routing=world.routing)
    assert signal.conf == {"datadog": sent}
    assert signal == world.read(sent)


def test_the_room_of_an_incident_that_was_only_recorded_is_made_when_it_gets_worse(world: Any) -> None:
    quiet = world.alert(priority="P5")
    assert (quiet.record.visibility, quiet.runs, quiet.record.pending) == (Visibility.RECORD, (), ())
    assert world.alert(transition="Re-Triggered", priority="P5", seconds=10).runs == ()
    loud = world.alert(transition="Re-Triggered", priority="P1", seconds=20)
    assert (loud.action, loud.record.visibility) == (Action.UPDATE, Visibility.ROOM)
    assert [(run.dag_id, run.run_id) for run in loud.runs][:1] == [("incident_response", quiet.key)]


@pytest.mark.parametrize(
    ("of_a", "of_b"),
    [
        ({"hostname": "web-1"}, {"hostname": "web-2"}),
        ({"tags": "service:checkout,env:prod,host:web-1"}, {"tags": "service:checkout,env:prod,host:web-2"}),
        ({"hostname": "web-1", "tags": ["host:x", "host:y"]}, {"hostname": "web-2", "tags": ["host:x", "host:y"]}),
    ],
)
def test_a_template_without_the_scope_keeps_hosts_apart(world: Any, of_a: Any, of_b: Any) -> None:
    def send(transition: str, seconds: int, stated: Any) -> Any:
        payload = world.alert_payload(1, transition, seconds=seconds)
        del payload["alert"]["scope"]
        return world.send({**payload, **stated}, seconds)

    send("Triggered", 0, of_a)
    send("Triggered", 1, of_b)
    assert world.only.firing_count == 2
    recovery = send("Recovered", 2, of_a)
    assert recovery.action is Action.UPDATE
    assert world.only.firing_count == 1


@pytest.mark.parametrize(
    ("fires", "ends"),
    [(["host:Web-1"], ["host:web-1"]), (["HOST:web-1", "env:prod"], ["env:Prod", "host:web-1"])],
)
def test_the_case_of_a_scope_makes_no_other_group(world: Any, fires: list[str], ends: list[str]) -> None:
    world.alert(scope=fires)
    assert world.alert(1, "Recovered", scope=ends, seconds=1).action is Action.RECOVER


@pytest.mark.parametrize(
    ("of_a", "of_b"),
    [
        ({"aggreg_key": "9bd4ac31"}, {"aggreg_key": "3e8d11c0"}),
        ({"title": "[Triggered on {host:a}] Full"}, {"title": "[Triggered on {host:b}] Full"}),
    ],
)
def test_a_template_without_scope_and_host_keeps_groups_apart(world: Any, of_a: Any, of_b: Any) -> None:
    def send(transition: str, seconds: int, **stated: str) -> Any:
        payload = world.alert_payload(1, transition, cycle="", seconds=seconds)
        del payload["alert"]["scope"]
        stated = {name: text.replace("Triggered", transition) for name, text in stated.items()}
        return world.send({**payload, **stated}, seconds)

    send("Triggered", 0, **of_a)
    send("Triggered", 1, **of_b)
    assert world.only.firing_count == 2
    recovery = send("Recovered", 2, **of_a)
    assert (recovery.action, world.only.firing_count) == (Action.UPDATE, 1)


def test_an_alert_without_a_group_has_none_whatever_its_host_is(world: Any) -> None:
    world.send({**world.alert_payload(scope=()), "hostname": "web-1"}, 0)
    recovery = world.send({**world.alert_payload(1, "Recovered", scope=(), seconds=1), "hostname": "web-2"}, 1)
    assert recovery.action is Action.RECOVER


def test_the_first_statement_of_a_severity_reopens_no_resolved_incident(world: Any) -> None:
    opened = world.alert(priority="$ALERT_PRIORITY")
    world.end(opened.key, Status.RESOLVED, 30)
    assert world.alert(1, "Re-Triggered", priority="P1", seconds=60).action is Action.DUPLICATE
    assert world.alert(1, "Renotify", priority="P1", seconds=90).action is Action.DUPLICATE


def test_a_severity_that_gets_worse_reopens_a_resolved_incident(world: Any) -> None:
    opened = world.alert(priority="P2")
    world.end(opened.key, Status.RESOLVED, 30)
    assert world.alert(1, "Re-Triggered", priority="P1", seconds=60).action is Action.REOPEN
