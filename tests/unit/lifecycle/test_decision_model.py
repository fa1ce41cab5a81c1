"""
Model-based test of decisions over generated sequences of alerts.

Reference model: a group fires if its latest delivered event, by event time, fires and that cycle was not resolved
manually. The rules generate several monitors, groups, services and environments, private and public alerts, test
notifications, missing severities, repeated, delayed and reordered deliveries, manual resolutions, archived rooms,
changes of the routing table, and restarts.

A fixed set of examples runs by default. To run more::

    INCIDENT_MODEL_STEPS=20000 pytest tests/unit/lifecycle/test_decision_model.py
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from airflow_incident_provider.intake import RoutingTable, load_routing_table
from airflow_incident_provider.lifecycle.decision import Action, Decision, decide
from airflow_incident_provider.lifecycle.matching import GroupHistory, openings_of
from airflow_incident_provider.lifecycle.records import MAX_BYTES, IncidentRecord, Status, encoded_size
from airflow_incident_provider.lifecycle.signals import Signal, read_signal
from airflow_incident_provider.registry.records import group_name, index_names, lookup_names

from .conftest import START, alert

STEPS = int(os.environ.get("INCIDENT_MODEL_STEPS", "0"))
STEPS_PER_EXAMPLE = 50

PRIVATE_RULE = "{name: customer data, match: {tag: 'data:customer'}, private: true, responders: [insider]}"
PUBLIC_RULE = "{name: everything else, match: {tag: 'data:open'}, responders: [outsider]}"
TABLES = {
    "default": f"rules: [{PRIVATE_RULE}, {PUBLIC_RULE}]",
    "no private rule": f"rules: [{PUBLIC_RULE}]",
    "small storms": f"rules: [{PRIVATE_RULE}, {PUBLIC_RULE}]\nstorm: {{threshold: 3, window: 600s}}",
    "no correlation": f"rules: [{PRIVATE_RULE}, {PUBLIC_RULE}]\ncorrelation: {{rules: []}}",
    "by environment": (
        f"rules: [{PRIVATE_RULE}, {PUBLIC_RULE}]\n"
        "correlation: {rules: [{name: env, by: env}, {name: env and service, by: [env, service]}]}\n"
        "triage: {channel: '#triage'}"
    ),
}

Group = tuple[int, str, str, str, bool, bool]


@dataclass(frozen=True)
class Event:
    """One notification of a monitor about a group."""

    number: int
    group: Group
    transition: str
    cycle: int
    at: float
    is_severity_stated: bool = True

    @property
    def fires(self) -> bool:
        return self.transition != "Recovered"

    @property
    def text(self) -> str:
        return f"text{self.number}of"

    def payload(self) -> dict[str, Any]:
        monitor, service, env, host, is_customer_data, is_test = self.group
        tags = [f"host:{host}", "data:customer" if is_customer_data else "data:open"]
        scope = [f"service:{service}", f"env:{env}", *tags]
        at = START + timedelta(seconds=self.at)
        priority = f"P{1 + monitor % 3}" if self.is_severity_stated else "$ALERT_PRIORITY"
        content = alert(
            monitor, self.transition, service=service, env=env, cycle=f"c{self.cycle}", tags=tags, scope=scope,
            at=at, delivery=f"e{self.number}", priority=priority,
        )  # fmt: skip
        content["title"] = content["alert"]["title"] = f"{'[TEST] ' * is_test}{self.text} monitor {monitor}"
        return {"datadog": content}


groups = st.tuples(
    st.integers(1, 3),
    st.sampled_from(["checkout", "cart"]),
    st.sampled_from(["prod", "dev"]),
    st.sampled_from(["a", "b"]),
    st.booleans(),
    st.integers(0, 3).map(lambda number: number == 0),
)
first_transitions = st.sampled_from(["Triggered", "Warn", "No Data"])
repeat_transitions = st.sampled_from(["Re-Triggered", "Renotify", "Re-Warn", "Re-No Data"])


class DecisionModel(RuleBasedStateMachine):
    """Apply events to the decisions and to the reference model."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.table: RoutingTable = load_routing_table(TABLES["default"])
        # The system under test: stored records and their index.
        self.records: dict[str, IncidentRecord] = {}
        self.index: dict[str, set[str]] = {}
        self.histories: dict[str, GroupHistory] = {}
        # The reference model.
        self.sent: dict[Group, Event] = {}
        self.events: list[Event] = []
        self.delayed: list[Event] = []
        self.delivered: dict[int, Event] = {}
        self.latest: dict[Group, Event] = {}
        self.resolved_cycles: dict[Group, int] = {}
        self.names: dict[str, Group] = {}
        self.stated_severities: set[tuple[str, str]] = set()
        self.private_texts: set[str] = set()
        self.public_texts: set[str] = set()

    # --- rules ---

    @rule(group=groups, transition=first_transitions, pause=st.integers(1, 900), delay=st.booleans())
    def trigger(self, group: Group, transition: str, pause: int, delay: bool) -> None:
        last = self.sent.get(group)
        if last is None or not last.fires:
            self._send(group, transition, last.cycle + 1 if last else 1, pause, delay)

    @precondition(lambda self: any(event.fires for event in self.sent.values()))
    @rule(
        data=st.data(),
        transition=repeat_transitions,
        pause=st.integers(1, 900),
        delay=st.booleans(),
        is_severity_stated=st.booleans(),
    )
    def retrigger(
        self, data: st.DataObject, transition: str, pause: int, delay: bool, is_severity_stated: bool
    ) -> None:
        firing = sorted(group for group, event in self.sent.items() if event.fires)
        group = data.draw(st.sampled_from(firing))
        self._send(group, transition, self.sent[group].cycle, pause, delay, is_severity_stated=is_severity_stated)

    @precondition(lambda self: any(event.fires for event in self.sent.values()))
    @rule(data=st.data(), pause=st.integers(1, 900), delay=st.booleans())
    def recover(self, data: st.DataObject, pause: int, delay: bool) -> None:
        firing = sorted(group for group, event in self.sent.items() if event.fires)
        group = data.draw(st.sampled_from(firing))
        self._send(group, "Recovered", self.sent[group].cycle, pause, delay)

    @precondition(lambda self: self.delayed)
    @rule(data=st.data())
    def deliver_delayed_event(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.delayed))
        self.delayed.remove(event)
        self._deliver(event)

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def redeliver_event(self, data: st.DataObject) -> None:
        event = self.delivered[data.draw(st.sampled_from(sorted(self.delivered)))]
        before = self._visible_state()
        decision = self._decide(event)
        assert decision.action in (Action.DUPLICATE, Action.IGNORE), decision.reason
        assert decision.runs == ()
        assert self._visible_state() == before

    @precondition(lambda self: self._open_records())
    @rule(data=st.data(), archive=st.booleans())
    def resolve_manually(self, data: st.DataObject, archive: bool) -> None:
        """Resolve an incident and all incidents that share one of its firing groups."""
        keys = {data.draw(st.sampled_from(sorted(record.key for record in self._open_records())))}
        while True:
            firing = {group for key in keys for group in self._firing_groups(self.records[key])}
            more = {record.key for record in self._open_records() if self._firing_groups(record) & firing}
            if more <= keys:
                break
            keys |= more
        at = START + timedelta(seconds=self.now)
        for key in keys:
            update: dict[str, Any] = {"status": Status.RESOLVED, "resolved_at": at}
            if archive:
                update |= {"status": Status.ARCHIVED, "archived_at": at}
            self.records[key] = self.records[key].model_copy(update=update)
        for group in firing:
            self.resolved_cycles[group] = self.latest[group].cycle

    @rule(name=st.sampled_from(sorted(TABLES)))
    def change_routing_table(self, name: str) -> None:
        self.table = load_routing_table(TABLES[name])

    @rule(pause=st.sampled_from([60, 3000, 4000, 20_000]))
    def advance_time(self, pause: int) -> None:
        self.now += pause

    # --- invariants ---

    @invariant()
    def firing_groups_match_model(self) -> None:
        expected = {
            group
            for group, event in self.latest.items()
            if event.fires and self.resolved_cycles.get(group) != event.cycle
        }
        assert {group for record in self._open_records() for group in self._firing_groups(record)} == expected

    @invariant()
    def incident_is_open_while_an_alert_fires(self) -> None:
        for record in self.records.values():
            if record.status in (Status.OPEN, Status.RECOVERED):
                assert (record.firing_count > 0) is (record.status is Status.OPEN)

    @invariant()
    def default_severity_does_not_override_stated_severity(self) -> None:
        for key, group in self.stated_severities:
            states = [state for state in self.records[key].alerts.values() if state.group == group]
            severity = ("critical", "high", "medium")[self.names[group][0] % 3]
            assert all(state.severity == severity for state in states)

    @invariant()
    def private_and_public_incidents_share_no_data(self) -> None:
        secret = self.private_texts - self.public_texts
        for record in self.records.values():
            text = json.dumps(record.to_json())
            if record.private:
                assert "outsider" not in text
            else:
                assert "insider" not in text
                assert not [word for word in secret if word in text]

    @invariant()
    def drills_and_real_alerts_are_separate(self) -> None:
        for record in self.records.values():
            assert {self.names[state.group][-1] for state in record.alerts.values()} <= {record.drill}

    @invariant()
    def records_are_bounded_and_indexed(self) -> None:
        for record in self.records.values():
            assert encoded_size(record) <= MAX_BYTES
            assert record.alert_count == len({alert.group for alert in record.alerts.values()})
            assert all(record.key in self.index[name] for name in index_names(record))

    # --- helpers ---

    def _send(
        self,
        group: Group,
        transition: str,
        cycle: int,
        pause: int,
        delay: bool,
        *,
        is_severity_stated: bool = True,
    ) -> None:
        self.now += pause
        event = Event(len(self.events), group, transition, cycle, self.now, is_severity_stated)
        self.events.append(event)
        self.sent[group] = event
        if delay:
            self.delayed.append(event)
        else:
            self._deliver(event)

    def _deliver(self, event: Event) -> None:
        others = {
            (record.key, alert.group): alert.firing
            for record in self.records.values()
            for alert in record.alerts.values()
        }
        decision = self._decide(event)
        self.delivered[event.number] = event
        latest = self.latest.get(event.group)
        if latest is None or event.at > latest.at:
            self.latest[event.group] = event
        if not event.fires:
            group = decision.inputs["group"]
            for record in self.records.values():
                for state in record.alerts.values():
                    assert state.group == group or others[record.key, state.group] == state.firing

    def _decide(self, event: Event) -> Decision:
        self.now += 1
        now = START + timedelta(seconds=self.now)
        signal: Signal = read_signal(event.payload(), received_at=now, routing=self.table)
        self.names.setdefault(signal.group, event.group)
        (self.private_texts if signal.private else self.public_texts).add(event.text)
        found = {key for name in lookup_names(signal, self.table.correlation) for key in self.index.get(name, ())}
        openings = openings_of(self.records.values())
        found |= {opening.key for opening in openings if opening.storm}
        name = group_name(signal.group)
        decision = decide(
            signal,
            [self.records[key] for key in sorted(found)],
            self.table,
            now,
            openings=openings,
            history=self.histories.get(name),
            taken_keys=set(self.records),
        )
        changed = [decision.record] if decision.record is not None and decision.changed else []
        for record in (*changed, *decision.others):
            assert decision.action is not Action.OPEN or record.key not in self.records
            # Simulate a restart: read every record from its stored form.
            self.records[record.key] = IncidentRecord.from_json(json.loads(json.dumps(record.to_json())))
            for index_name in index_names(record):
                self.index.setdefault(index_name, set()).add(record.key)
        if decision.history is not None:
            self.histories[name] = decision.history
        fires = decision.action in (Action.OPEN, Action.UPDATE, Action.REOPEN) and not signal.is_recovery
        if fires and signal.severity_stated and decision.key is not None:
            self.stated_severities.add((decision.key, signal.group))
        return decision

    def _open_records(self) -> list[IncidentRecord]:
        return [record for record in self.records.values() if record.status is Status.OPEN]

    def _firing_groups(self, record: IncidentRecord) -> set[Group]:
        return {self.names[alert.group] for alert in record.alerts.values() if alert.firing}

    def _visible_state(self) -> dict[str, Any]:
        return {
            record.key: (record.status, record.notifications, record.severity, sorted(self._firing_groups(record)))
            for record in self.records.values()
        }


TestDecisionModel = DecisionModel.TestCase
TestDecisionModel.settings = settings(
    max_examples=max(25, STEPS // STEPS_PER_EXAMPLE),
    stateful_step_count=STEPS_PER_EXAMPLE,
    derandomize=not STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
