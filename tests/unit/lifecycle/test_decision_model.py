"""
Decisions against a small reference model, over generated stories of alerts.

The model is one line: a group fires if the latest of its delivered events, by event time, says so, and nobody has
resolved that firing. Everything else here generates trouble: several monitors, groups, services and environments,
private and public alerts, test notifications, severities that are not stated, deliveries that are repeated, delayed
and reordered, people who resolve incidents, rooms that are archived, changes of the routing table, and restarts.

A fixed selection runs by default. For more::

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

from .conftest import START, alert  # isort: skip

STEPS = int(os.environ.get("INCIDENT_MODEL_STEPS", "0"))
STEPS_PER_STORY = 50

PRIVATE_RULE = "{name: customer data, match: {tag: 'data:customer'}, private: true, responders: [insider]}"
PUBLIC_RULE = "{name: everything else, match: {tag: 'data:open'}, responders: [outsider]}"
TABLES = {
    "default": f"rules: [{PRIVATE_RULE}, {PUBLIC_RULE}]",
    "nothing is private": f"rules: [{PUBLIC_RULE}]",
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
    """Something that a monitor reports about a group."""

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
begins = st.sampled_from(["Triggered", "Warn", "No Data"])
repeats = st.sampled_from(["Re-Triggered", "Renotify", "Re-Warn", "Re-No Data"])


class DecisionModel(RuleBasedStateMachine):
    """Sends events to the decisions and, in parallel, to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.table: RoutingTable = load_routing_table(TABLES["default"])
        # The system: what the registry stores, found by its index.
        self.records: dict[str, IncidentRecord] = {}
        self.index: dict[str, set[str]] = {}
        self.histories: dict[str, GroupHistory] = {}
        # The model.
        self.sent: dict[Group, Event] = {}
        self.events: list[Event] = []
        self.delayed: list[Event] = []
        self.delivered: dict[int, Event] = {}
        self.latest: dict[Group, Event] = {}
        self.held: dict[Group, int] = {}
        self.names: dict[str, Group] = {}
        self.stated: set[tuple[str, str]] = set()
        self.only_private: set[str] = set()
        self.public: set[str] = set()

    # --- what happens ---

    @rule(group=groups, transition=begins, pause=st.integers(1, 900), delay=st.booleans())
    def begins_to_fire(self, group: Group, transition: str, pause: int, delay: bool) -> None:
        last = self.sent.get(group)
        if last is None or not last.fires:
            self._send(group, transition, last.cycle + 1 if last else 1, pause, delay)

    @precondition(lambda self: any(event.fires for event in self.sent.values()))
    @rule(
        data=st.data(),
        transition=repeats,
        pause=st.integers(1, 900),
        delay=st.booleans(),
        is_severity_stated=st.booleans(),
    )
    def fires_on(
        self, data: st.DataObject, transition: str, pause: int, delay: bool, is_severity_stated: bool
    ) -> None:
        firing = sorted(group for group, event in self.sent.items() if event.fires)
        group = data.draw(st.sampled_from(firing))
        self._send(group, transition, self.sent[group].cycle, pause, delay, is_severity_stated=is_severity_stated)

    @precondition(lambda self: any(event.fires for event in self.sent.values()))
    @rule(data=st.data(), pause=st.integers(1, 900), delay=st.booleans())
    def recovers(self, data: st.DataObject, pause: int, delay: bool) -> None:
        firing = sorted(group for group, event in self.sent.items() if event.fires)
        group = data.draw(st.sampled_from(firing))
        self._send(group, "Recovered", self.sent[group].cycle, pause, delay)

    @precondition(lambda self: self.delayed)
    @rule(data=st.data())
    def a_delayed_event_arrives(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.delayed))
        self.delayed.remove(event)
        self._deliver(event)

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def an_event_is_delivered_again(self, data: st.DataObject) -> None:
        event = self.delivered[data.draw(st.sampled_from(sorted(self.delivered)))]
        before = self._visible_state()
        decision = self._decide(event)
        assert decision.action in (Action.DUPLICATE, Action.IGNORE), decision.reason
        assert decision.runs == ()
        assert self._visible_state() == before

    @precondition(lambda self: self._open())
    @rule(data=st.data(), archive=st.booleans())
    def a_person_resolves(self, data: st.DataObject, archive: bool) -> None:
        """Resolve an incident, and every other that has one of its groups firing, too."""
        keys = {data.draw(st.sampled_from(sorted(record.key for record in self._open())))}
        while True:
            firing = {group for key in keys for group in self._firing_in(self.records[key])}
            more = {record.key for record in self._open() if self._firing_in(record) & firing}
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
            self.held[group] = self.latest[group].cycle

    @rule(name=st.sampled_from(sorted(TABLES)))
    def the_table_changes(self, name: str) -> None:
        self.table = load_routing_table(TABLES[name])

    @rule(pause=st.sampled_from([60, 3000, 4000, 20_000]))
    def time_passes(self, pause: int) -> None:
        self.now += pause

    # --- what must hold ---

    @invariant()
    def a_group_fires_exactly_if_the_model_says_so(self) -> None:
        expected = {
            group for group, event in self.latest.items() if event.fires and self.held.get(group) != event.cycle
        }
        assert {group for record in self._open() for group in self._firing_in(record)} == expected

    @invariant()
    def an_incident_is_open_exactly_while_an_alert_of_it_fires(self) -> None:
        for record in self.records.values():
            if record.status in (Status.OPEN, Status.RECOVERED):
                assert (record.firing_count > 0) is (record.status is Status.OPEN)

    @invariant()
    def a_default_severity_changes_none_that_was_stated(self) -> None:
        for key, group in self.stated:
            states = [state for state in self.records[key].alerts.values() if state.group == group]
            severity = ("critical", "high", "medium")[self.names[group][0] % 3]
            assert all(state.severity == severity for state in states)

    @invariant()
    def nothing_private_is_in_public_and_nobody_from_outside_in_private(self) -> None:
        secret = self.only_private - self.public
        for record in self.records.values():
            text = json.dumps(record.to_json())
            if record.private:
                assert "outsider" not in text
            else:
                assert "insider" not in text
                assert not [word for word in secret if word in text]

    @invariant()
    def drills_and_real_alerts_share_nothing(self) -> None:
        for record in self.records.values():
            assert {self.names[state.group][-1] for state in record.alerts.values()} <= {record.drill}

    @invariant()
    def records_are_bounded_and_every_incident_is_found(self) -> None:
        for record in self.records.values():
            assert encoded_size(record) <= MAX_BYTES
            assert record.alert_count == len({alert.group for alert in record.alerts.values()})
            assert all(record.key in self.index[name] for name in index_names(record))

    # --- how ---

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
        (self.only_private if signal.private else self.public).add(event.text)
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
            # A restart between any two alerts: records are read as they were stored.
            self.records[record.key] = IncidentRecord.from_json(json.loads(json.dumps(record.to_json())))
            for index_name in index_names(record):
                self.index.setdefault(index_name, set()).add(record.key)
        if decision.history is not None:
            self.histories[name] = decision.history
        fires = decision.action in (Action.OPEN, Action.UPDATE, Action.REOPEN) and not signal.is_recovery
        if fires and signal.severity_stated and decision.key is not None:
            self.stated.add((decision.key, signal.group))
        return decision

    def _open(self) -> list[IncidentRecord]:
        return [record for record in self.records.values() if record.status is Status.OPEN]

    def _firing_in(self, record: IncidentRecord) -> set[Group]:
        return {self.names[alert.group] for alert in record.alerts.values() if alert.firing}

    def _visible_state(self) -> dict[str, Any]:
        return {
            record.key: (record.status, record.notifications, record.severity, sorted(self._firing_in(record)))
            for record in self.records.values()
        }


TestDecisionModel = DecisionModel.TestCase
TestDecisionModel.settings = settings(
    max_examples=max(25, STEPS // STEPS_PER_STORY),
    stateful_step_count=STEPS_PER_STORY,
    derandomize=not STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
