"""Property-based tests of decisions for any payload and any order of deliveries."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.lifecycle.decision import Action, decide
from airflow_incident_provider.lifecycle.explain import as_json, in_words
from airflow_incident_provider.lifecycle.records import MAX_BYTES, IncidentRecord, Status, Visibility, encoded_size

SUPPRESSED_CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
known_values = st.sampled_from(
    ["Triggered", "Recovered", "Renotify", "P1", "resolved", "active", "a:b,env:x", "1795430100000"]
)
anything = st.recursive(
    scalars | known_values,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


def fields_of(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, anything))


alerts = fields_of("id", "cycle_key", "title", "transition", "type", "priority", "metric", "scope", "status")
incidents = fields_of("public_id", "uuid", "title", "severity", "status", "commander", "fields", "integrations")
payloads = st.fixed_dictionaries(
    {},
    optional={
        "alert": alerts | anything,
        "incident": incidents | anything,
        **dict.fromkeys(("id", "title", "body", "date", "link", "tags", "lifecycle"), anything),
    },
)
confs = (
    st.dictionaries(st.text(max_size=10), anything, max_size=4)
    | payloads
    | payloads.map(lambda payloads_sent: {"datadog": payloads_sent})
    | fields_of("id", "title", "severity", "services", "env", "tags", "users")
)


@given(payloads_sent=st.lists(confs | anything, min_size=1, max_size=4))
@settings(max_examples=120, deadline=None, suppress_health_check=SUPPRESSED_CHECKS)
def test_any_payload_is_decided_or_refused(payloads_sent: list[Any], make_simulation: Any) -> None:
    simulation = make_simulation()
    for number, conf in enumerate(payloads_sent):
        try:
            signal = (
                simulation.read(conf, number)
                if isinstance(conf, dict)
                else simulation.read({"datadog": conf}, number)
            )
        except InvalidPayloadError:
            continue  # Messages of refusals are covered by the intake tests.
        decision = decide(signal, list(simulation.records.values()), simulation.routing, signal.received_at)
        assert decision.reason.endswith(".")
        assert "\n" not in decision.reason
        assert in_words(decision)
        json.dumps(as_json(decision)).encode()
        if decision.record is not None:
            assert encoded_size(decision.record) <= MAX_BYTES
            assert IncidentRecord.from_json(json.loads(json.dumps(decision.record.to_json()))) == decision.record
            simulation.records[decision.record.key] = decision.record


tags = st.lists(
    st.from_regex(r"(env|service|host|team|cluster):[a-z]{1,3}", fullmatch=True),
    min_size=1,
    max_size=7,
    unique=True,
)


def without_confs(decision: Any) -> dict[str, Any]:
    return decision.model_dump(exclude={"runs": {"__all__": {"conf"}}})


@given(data=st.data(), labels=tags, scope=tags, others=tags, recovers=st.booleans())
@settings(max_examples=120, deadline=None, suppress_health_check=SUPPRESSED_CHECKS)
def test_decision_does_not_depend_on_tag_order(
    *, data: Any, labels: Any, scope: Any, others: Any, recovers: bool, make_simulation: Any, make_alert: Any
) -> None:
    simulation = make_simulation()
    named = {"service": None, "env": None}
    simulation.alert(2, **named, tags=others)
    simulation.alert(1, **named, tags=labels, scope=scope, seconds=5)
    transition = "Recovered" if recovers else "Re-Triggered"
    decisions = [
        simulation.decide(make_alert(1, transition, **named, tags=some, scope=part, delivery="x"), 10)
        for some, part in (
            (labels, scope),
            (data.draw(st.permutations(labels)), data.draw(st.permutations(scope))),
        )
    ]
    assert without_confs(decisions[0]) == without_confs(decisions[1])


names = st.sampled_from(["checkout", "cart", "search"])
sent = st.fixed_dictionaries(
    {
        "monitor": st.integers(1, 5),
        "transition": st.sampled_from(
            ["Triggered", "Re-Triggered", "Warn", "No Data", "Renotify", "Odd", "Recovered", "Warn Recovered"]
        ),
        "service": names | st.none(),
        "env": st.sampled_from(["prod", "dev"]) | st.none(),
        "cycle": st.sampled_from(["c1", "c2", "c3"]) | st.none(),
        "priority": st.sampled_from(["P1", "P2", "P3", "P5"]),
        "delivery": st.integers(0, 30).map(lambda number: f"d{number}"),
    }
)
steps = st.lists(st.tuples(sent, st.sampled_from([0, 0.2, 3, 50, 400, 2000, 5000])), min_size=1, max_size=40)
tables = st.sampled_from(["", 'triage: {channel: "#t"}', "storm: {threshold: 2, window: 60s}"])


def send_all(simulation: Any, sequence: list[tuple[dict[str, Any], float]]) -> list[tuple[float, Any, Any]]:
    """Send a sequence of alerts; return the time, the signal and the decision of each."""
    seconds, payloads_sent = 0.0, []
    for alert, pause in sequence:
        seconds += pause
        payload = simulation.alert_payload(**alert, seconds=seconds)
        payloads_sent.append((seconds, simulation.read(payload, seconds), simulation.send(payload, seconds)))
    return payloads_sent


@given(sequence=steps, table=tables)
@settings(max_examples=120, deadline=None, suppress_health_check=SUPPRESSED_CHECKS)
def test_every_alert_is_recorded(sequence: Any, table: str, make_simulation: Any) -> None:
    simulation = make_simulation(table)
    payloads_sent = send_all(simulation, sequence)
    taken = [signal for _, signal, decision in payloads_sent if decision.changed]
    fired = {signal.group for signal in taken if not signal.is_recovery}
    kept = [alert.group for record in simulation.records.values() for alert in record.alerts.values()]
    assert set(kept) == fired
    assert sum(record.notifications for record in simulation.records.values()) == len(taken)
    left_out = [d for _, _, d in payloads_sent if not d.changed]
    assert {d.action for d in left_out} <= {Action.DUPLICATE, Action.IGNORE}
    assert all(signal.is_recovery for _, signal, d in payloads_sent if d.action is Action.IGNORE)


@given(sequence=steps, table=tables)
@settings(max_examples=80, deadline=None, suppress_health_check=SUPPRESSED_CHECKS)
def test_redelivery_is_idempotent(sequence: Any, table: str, make_simulation: Any) -> None:
    simulation = make_simulation(table)
    seconds = 0.0
    for alert, pause in sequence:
        seconds += pause
        payload = simulation.alert_payload(**alert, seconds=seconds)
        # Deliver after the event: an event at its time of arrival counts as undated.
        first = simulation.send(payload, seconds + 0.1)
        again = simulation.decide(payload, seconds + 1)
        if first.record is None:
            assert again.action is Action.IGNORE
        else:
            assert (again.action, again.record, again.runs) == (Action.DUPLICATE, first.record, ())


@given(sequence=steps)
@settings(max_examples=80, deadline=None, suppress_health_check=SUPPRESSED_CHECKS)
def test_only_storms_contain_several_services(sequence: Any, make_simulation: Any) -> None:
    simulation = make_simulation()
    send_all(simulation, sequence)
    for record in simulation.records.values():
        scopes = {scope for alert in record.alerts.values() for scope in (alert.scope or "").split(",")}
        services = {scope for scope in scopes if scope.startswith("service:")}
        assert record.storm or len(services) <= 1


@given(sequence=steps, table=tables)
@settings(max_examples=80, deadline=None, suppress_health_check=SUPPRESSED_CHECKS)
def test_incident_status_matches_its_alerts(sequence: Any, table: str, make_simulation: Any) -> None:
    simulation = make_simulation(table)
    send_all(simulation, sequence)
    for record in simulation.records.values():
        assert (record.firing_count > 0) is (record.status is Status.OPEN)
        assert (record.recovered_at is not None) is (record.status is Status.RECOVERED)
        assert len(record.reopened_at) == record.reopened


@given(sequence=steps, table=tables)
@settings(max_examples=80, deadline=None, suppress_health_check=SUPPRESSED_CHECKS)
def test_every_pending_update_has_a_run(sequence: Any, table: str, make_simulation: Any) -> None:
    simulation = make_simulation(table)
    for _, signal, decision in send_all(simulation, sequence):
        record = decision.record
        if decision.changed and any(item.at == signal.received_at for item in record.pending):
            assert record.update_due >= signal.received_at
            runs = {run.conf["incident_key"] for run in simulation.runs if run.dag_id == "incident_update"}
            assert record.key in runs
    by_incident: dict[str, list[Any]] = {}
    for run in simulation.runs:
        if run.dag_id == "incident_update" and run.run_after is not None:
            by_incident.setdefault(run.conf["incident_key"], []).append(run.run_id)
    assert all(len(set(ids)) == len(ids) for ids in by_incident.values())


@given(
    pauses=st.lists(st.floats(0, 20), min_size=1, max_size=60),
    threshold=st.integers(2, 8),
    window=st.integers(5, 60),
)
@settings(max_examples=80, deadline=None, suppress_health_check=SUPPRESSED_CHECKS)
def test_storm_threshold_limits_new_incidents_per_window(
    pauses: list[float], threshold: int, window: int, make_simulation: Any
) -> None:
    simulation = make_simulation(f"storm: {{threshold: {threshold}, window: {window}s}}")
    seconds = 0.0
    for number, pause in enumerate(pauses):
        seconds += pause
        simulation.alert(number, service=f"s{number}", seconds=seconds)
    opened = sorted(record.opened_at for record in simulation.records.values())
    for first in opened:
        assert sum(timedelta() <= at - first <= timedelta(seconds=window) for at in opened) <= threshold
    assert sum(record.alert_count for record in simulation.records.values()) == len(pauses)


@given(sequence=steps)
@settings(max_examples=80, deadline=None, suppress_health_check=SUPPRESSED_CHECKS)
def test_room_is_requested_once_and_never_withdrawn(sequence: Any, make_simulation: Any) -> None:
    simulation = make_simulation('triage: {channel: "#t"}')
    visible: dict[str, int] = {}
    ranks = [Visibility.RECORD, Visibility.THREAD, Visibility.ROOM]
    for _, _, decision in send_all(simulation, sequence):
        if decision.record is not None:
            rank = ranks.index(decision.record.visibility)
            assert rank >= visible.get(decision.key, 0)
            visible[decision.key] = rank
    rooms = [run.run_id for run in simulation.runs if run.dag_id == "incident_response"]
    assert sorted(rooms) == sorted(key for key, rank in visible.items() if ranks[rank] is Visibility.ROOM)
