"""Decisions: redeliveries, recoveries, reopening, correlation, severity and keys."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_incident_provider.lifecycle.decision import Action, decide
from airflow_incident_provider.lifecycle.records import Assignment, Status, UpdateKind, Visibility

HOUR = 3600


def kinds(decision: Any) -> list[UpdateKind]:
    return [item.kind for item in decision.record.pending]


def test_redelivery_changes_nothing(simulation: Any) -> None:
    simulation.alert(delivery="77")
    before = simulation.only_record
    decision = simulation.alert(delivery="77", seconds=20, at=None)
    assert (decision.action, decision.record, decision.changed) == (Action.DUPLICATE, before, False)
    assert decision.runs == ()


def test_constant_delivery_id_does_not_hide_recovery(simulation: Any) -> None:
    simulation.alert(delivery="constant")
    assert simulation.alert(delivery="constant", transition="Recovered", seconds=60).action is Action.RECOVER


def test_deliveries_without_id_are_distinguished_by_content(simulation: Any, make_alert: Any) -> None:
    sent = make_alert(at=None) | {"date": "1795430100000"}
    simulation.send(sent)
    assert simulation.send(sent, 5).action is Action.DUPLICATE
    assert simulation.send(sent | {"date": "1795430160000"}, 60).action is Action.UPDATE


def test_late_notification_is_only_counted(simulation: Any) -> None:
    simulation.alert(at=None, delivery="1")
    opened_at = simulation.only_record.opened_at
    simulation.alert(transition="Recovered", seconds=60)
    late = simulation.alert(transition="Re-Triggered", seconds=70, at=opened_at)
    assert (late.action, late.changed, late.runs) == (Action.DUPLICATE, True, ())
    assert late.record.status is Status.RECOVERED
    assert late.record.notifications == 2


def test_outdated_recovery_is_ignored(simulation: Any) -> None:
    opened_at = simulation.alert().record.opened_at
    simulation.alert(transition="Re-Triggered", seconds=90)
    late = simulation.alert(transition="Recovered", seconds=100, at=opened_at)
    assert late.action is Action.DUPLICATE
    assert simulation.only_record.status is Status.OPEN


def test_incident_recovers_with_its_last_alert(simulation: Any) -> None:
    simulation.alert(1)
    simulation.alert(2, seconds=10)
    first = simulation.alert(1, "Recovered", seconds=100)
    assert first.action is Action.UPDATE
    assert UpdateKind.ALERT_RECOVERED in kinds(first)
    assert first.record.status is Status.OPEN
    last = simulation.alert(2, "Recovered", seconds=200)
    assert last.action is Action.RECOVER
    assert last.record.status is Status.RECOVERED


def test_recovery_ends_earlier_cycles(simulation: Any) -> None:
    simulation.alert(cycle="c1")
    simulation.alert(cycle="c2", seconds=300)
    assert (simulation.only_record.alert_count, simulation.only_record.firing_count) == (1, 1)
    assert simulation.alert(transition="Recovered", cycle="c2", seconds=400).action is Action.RECOVER


def test_recovery_of_resolved_incident_keeps_status(simulation: Any) -> None:
    key = simulation.alert().key
    simulation.close(key, Status.RESOLVED, 60)
    decision = simulation.alert(transition="Recovered", seconds=120)
    assert (decision.action, decision.record.status) == (Action.UPDATE, Status.RESOLVED)
    assert decision.record.firing_count == 0


@pytest.mark.parametrize("status", [Status.RECOVERED, Status.RESOLVED])
@pytest.mark.parametrize(("seconds", "action"), [(HOUR, Action.REOPEN), (HOUR + 1, Action.OPEN)])
def test_alert_reopens_incident_within_reopen_window(
    status: Status, seconds: int, action: Action, simulation: Any
) -> None:
    first = simulation.alert()
    simulation.alert(transition="Recovered", seconds=60)
    if status is Status.RESOLVED:
        simulation.close(first.key, Status.RESOLVED, 60)
    again = simulation.alert(cycle="c2", seconds=60 + seconds)
    assert again.action is action
    assert (again.key == first.key) is (action is Action.REOPEN)
    assert [item.kind for item in again.record.pending][-1:] == (
        [UpdateKind.REOPENED] if action is Action.REOPEN else []
    )


def test_reopen_window_is_configurable(make_simulation: Any) -> None:
    simulation = make_simulation("lifecycle: {reopen_window: 5m}")
    simulation.alert()
    simulation.alert(transition="Recovered", seconds=60)
    assert simulation.alert(cycle="c2", seconds=60 + 301).action is Action.OPEN


def test_other_monitor_opens_incident_after_reopen_window(make_simulation: Any) -> None:
    simulation = make_simulation("lifecycle: {reopen_window: 5m}")
    simulation.alert(1)
    simulation.alert(1, "Recovered", seconds=60)
    assert simulation.decide(simulation.alert_payload(2, seconds=360), 360).action is Action.REOPEN
    assert simulation.alert(2, seconds=361).action is Action.OPEN


def test_archived_incident_is_not_reopened(simulation: Any) -> None:
    first = simulation.alert()
    simulation.close(first.key, Status.RESOLVED, 60)
    simulation.close(first.key, Status.ARCHIVED, 61)
    second = simulation.alert(cycle="c2", seconds=70)
    assert second.action is Action.OPEN
    assert second.key != first.key
    assert second.runs[0].run_id == second.key
    assert Assignment.model_validate(second.runs[0].conf["lifecycle"]).key == second.key


def test_taken_key_is_not_reused(simulation: Any, make_alert: Any) -> None:
    signal = simulation.read(make_alert())
    key = signal.incident.key
    decision = decide(signal, [], simulation.routing, signal.received_at, taken_keys={key, f"{key}.2"})
    assert decision.key == f"{key}.3"


def test_alert_without_cycle_key_is_matched(simulation: Any) -> None:
    first = simulation.alert(cycle=None, delivery="1")
    again = simulation.alert(cycle=None, delivery="2", transition="Re-Triggered", seconds=60)
    assert (again.action, again.key, again.record.alert_count) == (Action.UPDATE, first.key, 1)
    assert simulation.alert(cycle=None, delivery="3", transition="Recovered", seconds=90).action is Action.RECOVER


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
def test_other_monitor_joins_by_service_and_env(first: Any, second: Any, joins: bool, simulation: Any) -> None:
    opened = simulation.alert(1, **first)
    decision = simulation.alert(2, **second, seconds=30)
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
def test_groups_of_monitor_share_incident_of_same_service(
    first: Any, second: Any, joins: bool, simulation: Any
) -> None:
    opened = simulation.alert(1, **first, tags=["host:web-03"])
    decision = simulation.alert(1, **second, tags=["host:web-07"], cycle="c2", seconds=1)
    assert (decision.key == opened.key) is joins


@pytest.mark.parametrize(("seconds", "joins"), [(15 * 60, True), (15 * 60 + 1, False)])
def test_retrigger_does_not_extend_correlation_window(seconds: int, joins: bool, simulation: Any) -> None:
    opened = simulation.alert(1)
    simulation.alert(1, "Re-Triggered", seconds=600)
    assert (simulation.alert(2, seconds=seconds).key == opened.key) is joins


def test_joining_alert_reopens_recovered_incident(simulation: Any) -> None:
    opened = simulation.alert(1)
    simulation.alert(1, "Recovered", seconds=60)
    decision = simulation.alert(2, seconds=120)
    assert (decision.action, decision.key) == (Action.REOPEN, opened.key)
    assert (decision.record.status, decision.record.reopened) == (Status.OPEN, 1)


def test_report_does_not_correlate(simulation: Any) -> None:
    simulation.alert(1)
    report = simulation.send({"title": "Checkout fails", "services": ["checkout"], "env": "prod"}, 10)
    assert report.action is Action.OPEN
    assert simulation.alert(2, seconds=20).key != report.key


def test_correlation_rules_are_configurable(make_simulation: Any) -> None:
    simulation = make_simulation("correlation: {rules: [{name: team, by: 'tag:cluster', window: 60s}]}")
    opened = simulation.alert(1, tags=["cluster:eu1"])
    assert simulation.alert(2, service="cart", tags=["cluster:eu1"], seconds=50).key == opened.key
    assert simulation.alert(3, service="cart", tags=["cluster:eu2"], seconds=50).key != opened.key
    assert simulation.alert(4, service="cart", tags=["cluster:eu1"], seconds=150).key != opened.key


def test_empty_correlation_rules_disable_correlation(make_simulation: Any) -> None:
    simulation = make_simulation("correlation: {rules: []}")
    assert simulation.alert(1).key != simulation.alert(2, seconds=1).key


def test_severity_is_highest_of_firing_alerts(simulation: Any) -> None:
    simulation.alert(1, priority="P3")
    rise = simulation.alert(2, priority="P1", seconds=120)
    assert rise.record.severity == "critical"
    (change,) = [item for item in rise.record.pending if item.kind is UpdateKind.SEVERITY]
    assert (change.before, change.after) == ("medium", "critical")
    simulation.records[rise.key] = rise.record.without_pending()
    fall = simulation.alert(2, "Recovered", priority="P1", seconds=240)
    assert fall.record.severity == "medium"
    assert UpdateKind.SEVERITY in kinds(fall)
    last = simulation.alert(1, "Recovered", priority="P3", seconds=300)
    assert last.record.severity == "medium"


def test_higher_severity_invites_its_responders(make_simulation: Any) -> None:
    simulation = make_simulation(
        "rules: [{name: all, match: {}, responders: [ann]}, "
        "{name: critical, match: {severity: critical}, responders: [bob]}]"
    )
    simulation.alert(1, priority="P3")
    rise = simulation.alert(1, "Re-Triggered", priority="P1", seconds=90)
    assert rise.record.responders == ("ann", "bob")
    assert [item.names for item in rise.record.pending if item.kind is UpdateKind.RESPONDERS] == [("bob",)]


def test_decision_explains_key_and_rules(simulation: Any) -> None:
    decision = simulation.alert(148, cycle="77")
    assert decision.inputs["alert key"].startswith("dd.148.77.")
    assert decision.inputs["made of"] == "monitor 148, cycle 77, scope env:prod,service:checkout"
    assert {"redelivery", "correlation", "triage", "storm"} <= {result.rule for result in decision.rules}


def test_bare_payload_is_wrapped_in_conf(simulation: Any, make_alert: Any) -> None:
    from airflow_incident_provider.lifecycle.signals import read_signal

    sent = make_alert()
    signal = read_signal(sent, received_at=simulation.read(sent).received_at, routing=simulation.routing)
    assert signal.conf == {"datadog": sent}
    assert signal == simulation.read(sent)


def test_higher_severity_creates_room_for_recorded_incident(simulation: Any) -> None:
    quiet = simulation.alert(priority="P5")
    assert (quiet.record.visibility, quiet.runs, quiet.record.pending) == (Visibility.RECORD, (), ())
    assert simulation.alert(transition="Re-Triggered", priority="P5", seconds=10).runs == ()
    loud = simulation.alert(transition="Re-Triggered", priority="P1", seconds=20)
    assert (loud.action, loud.record.visibility) == (Action.UPDATE, Visibility.ROOM)
    assert [(run.dag_id, run.run_id) for run in loud.runs][:1] == [("incident_response", quiet.key)]


@pytest.mark.parametrize(
    ("fields_a", "fields_b"),
    [
        ({"hostname": "web-1"}, {"hostname": "web-2"}),
        ({"tags": "service:checkout,env:prod,host:web-1"}, {"tags": "service:checkout,env:prod,host:web-2"}),
        ({"hostname": "web-1", "tags": ["host:x", "host:y"]}, {"hostname": "web-2", "tags": ["host:x", "host:y"]}),
    ],
)
def test_hosts_are_separate_groups_without_scope(simulation: Any, fields_a: Any, fields_b: Any) -> None:
    def send(transition: str, seconds: int, fields: Any) -> Any:
        payload = simulation.alert_payload(1, transition, seconds=seconds)
        del payload["alert"]["scope"]
        return simulation.send({**payload, **fields}, seconds)

    send("Triggered", 0, fields_a)
    send("Triggered", 1, fields_b)
    assert simulation.only_record.firing_count == 2
    recovery = send("Recovered", 2, fields_a)
    assert recovery.action is Action.UPDATE
    assert simulation.only_record.firing_count == 1


@pytest.mark.parametrize(
    ("trigger_scope", "recovery_scope"),
    [(["host:Web-1"], ["host:web-1"]), (["HOST:web-1", "env:prod"], ["env:Prod", "host:web-1"])],
)
def test_scope_is_case_insensitive(simulation: Any, trigger_scope: list[str], recovery_scope: list[str]) -> None:
    simulation.alert(scope=trigger_scope)
    assert simulation.alert(1, "Recovered", scope=recovery_scope, seconds=1).action is Action.RECOVER


@pytest.mark.parametrize(
    ("fields_a", "fields_b"),
    [
        ({"aggreg_key": "9bd4ac31"}, {"aggreg_key": "3e8d11c0"}),
        ({"title": "[Triggered on {host:a}] Full"}, {"title": "[Triggered on {host:b}] Full"}),
    ],
)
def test_groups_are_separate_without_scope_and_host(simulation: Any, fields_a: Any, fields_b: Any) -> None:
    def send(transition: str, seconds: int, **fields: str) -> Any:
        payload = simulation.alert_payload(1, transition, cycle="", seconds=seconds)
        del payload["alert"]["scope"]
        fields = {name: text.replace("Triggered", transition) for name, text in fields.items()}
        return simulation.send({**payload, **fields}, seconds)

    send("Triggered", 0, **fields_a)
    send("Triggered", 1, **fields_b)
    assert simulation.only_record.firing_count == 2
    recovery = send("Recovered", 2, **fields_a)
    assert (recovery.action, simulation.only_record.firing_count) == (Action.UPDATE, 1)


def test_alert_without_group_ignores_host(simulation: Any) -> None:
    simulation.send({**simulation.alert_payload(scope=()), "hostname": "web-1"}, 0)
    recovery = simulation.send(
        {**simulation.alert_payload(1, "Recovered", scope=(), seconds=1), "hostname": "web-2"}, 1
    )
    assert recovery.action is Action.RECOVER


def test_first_stated_severity_does_not_reopen_resolved_incident(simulation: Any) -> None:
    opened = simulation.alert(priority="$ALERT_PRIORITY")
    simulation.close(opened.key, Status.RESOLVED, 30)
    assert simulation.alert(1, "Re-Triggered", priority="P1", seconds=60).action is Action.DUPLICATE
    assert simulation.alert(1, "Renotify", priority="P1", seconds=90).action is Action.DUPLICATE


def test_higher_severity_reopens_resolved_incident(simulation: Any) -> None:
    opened = simulation.alert(priority="P2")
    simulation.close(opened.key, Status.RESOLVED, 30)
    assert simulation.alert(1, "Re-Triggered", priority="P1", seconds=60).action is Action.REOPEN
