"""
What an alert is, given the incidents that there are: decided, and explained.

The rules, in their order; the first that holds decides:

1. A delivery that was taken in already is a duplicate.
2. A recovery ends the alerts of its group, in the incidents that know them; a recovery of nothing known is noise.
3. An alert, or another cycle of it, belongs to the incident that knows it: while that is open, or comes back within
   the reopen window.
4. An alert that belongs to a fresh incident by a correlation rule joins it.
5. A storm takes in what triage would show, if there is one.
6. What is left opens an incident, shown where triage says.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from airflow_incident_provider.config import ConfKey, DagId
from airflow_incident_provider.intake.policies import Lifecycle, TriageRule, Visibility
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle import transitions
from airflow_incident_provider.lifecycle.matching import (
    correlate,
    correlation_keys,
    count_new_incidents,
    find_storm,
    has_firing,
    is_firing,
    more_visible,
    tracking_incidents,
    tracks_alert,
    triage,
)
from airflow_incident_provider.lifecycle.records import (
    Assignment,
    IncidentRecord,
    RunRequest,
    Status,
    UpdateKind,
    shrink_to_fit,
)
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.models import Model, Route
from airflow_incident_provider.text import shorten

_MAX_TITLE = 200


class Action(StrEnum):
    """What is done about a signal."""

    OPEN = "open"
    DUPLICATE = "duplicate"
    UPDATE = "update"
    RECOVER = "recover"
    REOPEN = "reopen"
    IGNORE = "ignore"


class RuleResult(Model):
    """A rule that was looked at: whether it held, and why."""

    rule: str
    held: bool
    why: str


class Decision(Model):
    """What a signal is, why, and what follows.

    ``record`` is the incident's record after it, to be stored if ``changed``; nothing is known of an incident when
    it is absent. ``runs`` are to be started once the record is stored. ``inputs`` are what was decided on, by name.
    """

    action: Action
    key: str | None
    reason: str
    inputs: dict[str, str]
    rules: tuple[RuleResult, ...]
    record: IncidentRecord | None = None
    changed: bool = False
    runs: tuple[RunRequest, ...] = ()


@dataclass(frozen=True)
class DecisionContext:
    """What is decided on, and the rules that were looked at so far."""

    signal: Signal
    records: tuple[IncidentRecord, ...]
    routing: RoutingTable
    now: datetime
    taken_keys: Collection[str]
    results: list[RuleResult] = field(default_factory=list)

    def note(self, rule: str, held: bool, why: str) -> None:
        """Record that a rule was evaluated."""
        self.results.append(RuleResult(rule=rule, held=held, why=why))

    @property
    def accepting(self) -> tuple[IncidentRecord, ...]:
        """The incidents that take in new alerts: not full, and open or recovered within the reopen window."""
        return tuple(record for record in self.records if not record.is_full and self._is_alive(record))

    def _is_alive(self, record: IncidentRecord) -> bool:
        if record.status is not Status.RECOVERED:
            return record.status is Status.OPEN
        ended_at = record.ended_at or record.last_signal_at
        return self.now - ended_at <= self.routing.lifecycle.reopen_window

    @property
    def correlation_keys(self) -> tuple[str, ...]:
        """The signal's own correlation keys."""
        return correlation_keys(self.signal.incident, self.routing.correlation)


def decide(
    signal: Signal,
    records: Sequence[IncidentRecord],
    routing: RoutingTable,
    now: datetime,
    *,
    taken_keys: Collection[str] = (),
) -> Decision:
    """Return what ``signal`` is. Total, and the same for the same arguments.

    :param records: every incident that is not archived, and those archived lately; in any order.
    :param now: the time of deciding (aware).
    :param taken_keys: keys of incidents that are in use though no record is left of them, such as old run ids.
    """
    latest_first = tuple(sorted(records, key=lambda record: (record.opened_at, record.key), reverse=True))
    context = DecisionContext(signal, latest_first, routing, now, taken_keys)
    return _redelivered(context) or (_ended(context) if signal.is_recovery else _began(context))


def _redelivered(context: DecisionContext) -> Decision | None:
    known_as = set(context.signal.fingerprints)
    record = next((record for record in context.records if known_as.intersection(record.deliveries)), None)
    if record is None:
        context.note("redelivery", False, "no incident has taken in this delivery")
        return None
    context.note("redelivery", True, f"{record.key} has taken in this delivery")
    return _decision(context, Action.DUPLICATE, f"The same delivery was taken in before, for {record.key}.", record)


def _ended(context: DecisionContext) -> Decision:
    for record in tracking_incidents(context.records, context.signal):
        if not has_firing(record, context.signal):
            context.note("recovery", False, f"nothing that this recovery can end is firing in {record.key}")
            continue
        after = transitions.recovered(record, context.signal, context.now)
        if after.status is not record.status:
            context.note("recovery", True, f"it was the last alert that fired in {record.key}")
            return _changed(context, Action.RECOVER, f"The last alert of {record.key} recovered.", after)
        context.note("recovery", True, f"alerts that fire in {record.key} now: {after.firing_count}")
        return _changed(
            context, Action.UPDATE, f"An alert of {record.key} recovered; {after.firing_count} still firing.", after
        )
    context.note("noise", True, "no incident has this alert firing")
    return _decision(context, Action.IGNORE, "A recovery of nothing that is known to fire.", None)


def _began(context: DecisionContext) -> Decision:
    for record in tracking_incidents(context.records, context.signal):
        decision = _known(context, record)
        if decision is not None:
            return decision
    return _joined(context) or _new(context)


def _known(context: DecisionContext, record: IncidentRecord) -> Decision | None:
    """Return what a known alert is to the incident that knows it, or nothing if that is past."""
    signal, key = context.signal, record.key
    alert = record.alerts.get(signal.alert_key)
    if alert is not None and signal.incident.occurred_at < alert.last_at:
        context.note("late", True, f"{key} knows of a later event of this alert, of {alert.last_at:%H:%M:%S} UTC")
        after = shrink_to_fit(transitions.with_delivery(record, signal, context.now))
        return _decision(
            context,
            Action.DUPLICATE,
            f"An older notification of an alert of {key}, come late.",
            after,
            changed=True,
        )
    is_new_to_it = not tracks_alert(record, signal)
    if is_new_to_it and record.is_full:
        context.note("full", True, f"{key} knows this monitor and scope, but takes no more alerts")
        return None
    if record.status is Status.OPEN:
        return _known_open(context, record)
    return _fires_again(context, record)


def _known_open(context: DecisionContext, record: IncidentRecord) -> Decision:
    signal, key = context.signal, record.key
    if is_firing(record, signal):
        context.note("known alert", True, f"{key} is open and has this alert firing")
        after = transitions.with_firing_alert(record, signal, UpdateKind.REPEATED, context.now)
        return _changed(
            context, Action.UPDATE, f"{signal.kind}: repeated notification of an alert that fires in {key}.", after
        )
    context.note("known alert", True, f"{key} is open and knows this monitor and scope")
    after = transitions.with_firing_alert(record, signal, UpdateKind.FIRING_AGAIN, context.now)
    return _changed(context, Action.UPDATE, f"An alert of {key} fires again.", after)


def _fires_again(context: DecisionContext, record: IncidentRecord) -> Decision | None:
    window = context.routing.lifecycle.reopen_window
    ended_at = record.ended_at or record.last_signal_at
    told = f"{record.key} {record.status} at {ended_at:%Y-%m-%d %H:%M:%S} UTC; the reopen window is {window}"
    if context.now - ended_at > window:
        context.note("reopen", False, f"too late: {told}")
        return None
    context.note("reopen", True, told)
    after = transitions.reopened(record, context.signal, context.now)
    after = transitions.with_firing_alert(after, context.signal, UpdateKind.REOPENED, context.now)
    return _changed(context, Action.REOPEN, f"{record.key} was {record.status} and fires again.", after)


def _joined(context: DecisionContext) -> Decision | None:
    match = correlate(context.signal.incident, context.accepting, context.routing.correlation, context.now)
    if match is None:
        context.note("correlation", False, "it belongs to no open incident")
        return None
    key = match.record.key
    context.note("correlation", True, f"{key} has {match.key}, and a signal within {match.rule.window}")
    return _taken_in(context, match.record, f"It belongs to {key}: {match.rule.name}.")


def _taken_in(context: DecisionContext, record: IncidentRecord, reason: str) -> Decision:
    """Return the decision to add a new alert to an incident; one that was recovered is open again by it."""
    is_over = record.status is not Status.OPEN
    before = transitions.reopened(record, context.signal, context.now) if is_over else record
    after = transitions.with_firing_alert(before, context.signal, UpdateKind.JOINED, context.now)
    return _changed(context, Action.REOPEN if is_over else Action.UPDATE, reason, after)


def _new(context: DecisionContext) -> Decision:
    incident = context.signal.incident
    rule = triage(context.signal, context.routing.triage, severity=incident.severity, notifications=1)
    context.note("triage", True, f"{rule.presence}, by the rule '{rule.name}'")
    storm = _stormed(context, rule)
    if storm is not None:
        return storm
    reason = f"New: {incident.severity}, shown as {rule.presence} ({rule.name})."
    return _opened(context, visibility=rule.presence, title=incident.title, storm=False, reason=reason)


def _stormed(context: DecisionContext, rule: TriageRule) -> Decision | None:
    settings = context.routing.storm
    if settings.threshold is None or context.signal.incident.source not in settings.sources:
        context.note("storm", False, "the storm breaker is not for this")
        return None
    if rule.presence is Visibility.RECORD:
        context.note("storm", False, "what is only recorded makes no storm")
        return None
    count = count_new_incidents(context.records, settings, context.now)
    told = f"{count} alerts opened an incident or joined the storm within {settings.window}"
    if count < settings.threshold - 1:
        context.note("storm", False, f"{told}; the storm begins with {settings.threshold}")
        return None
    context.note("storm", True, told)
    record = find_storm(context.accepting, settings, context.now)
    if record is None:
        seconds = int(settings.window.total_seconds())
        title = f"Alert storm: {count + 1} new incidents within {seconds} s; {context.signal.incident.title}"
        reason = f"New: the storm's incident, because {told}."
        return _opened(context, visibility=Visibility.ROOM, title=title, storm=True, reason=reason)
    times = (*record.storm_times, context.now)[-settings.threshold :]
    return _taken_in(
        context, record.model_copy(update={"storm_times": times}), f"Part of the storm {record.key}: {told}."
    )


def _opened(context: DecisionContext, *, visibility: Visibility, title: str, storm: bool, reason: str) -> Decision:
    record = transitions.new_record(
        context.signal,
        key=_free_key(context),
        visibility=visibility,
        title=shorten(title, _MAX_TITLE),
        storm=storm,
        correlation_keys=() if storm else context.correlation_keys,
        now=context.now,
    )
    return _with_runs(context, Action.OPEN, reason, record)


def _free_key(context: DecisionContext) -> str:
    """Return the alert's own key; where an incident had it before, with the number of this one."""
    taken = {record.key for record in context.records}.union(context.taken_keys)
    key, number = context.signal.incident.key, 1
    while key in taken:
        number += 1
        key = f"{context.signal.incident.key}.{number}"
    return key


def _changed(context: DecisionContext, action: Action, reason: str, record: IncidentRecord) -> Decision:
    """Return the decision to change an incident, which triage may now want to show in a better place."""
    if not context.signal.is_recovery:
        rule = triage(
            context.signal, context.routing.triage, severity=record.severity, notifications=record.notifications
        )
        visibility = more_visible(record.visibility, rule.presence)
        if visibility is not record.visibility:
            context.note("triage", True, f"from {record.visibility} to {visibility}, by the rule '{rule.name}'")
            record = transitions.promoted(record, visibility, context.now)
    return _with_runs(context, action, reason, record)


def _with_runs(context: DecisionContext, action: Action, reason: str, record: IncidentRecord) -> Decision:
    record, response = with_response_run(record, context.signal, context.now)
    record, update = with_update_run(record, context.routing.lifecycle, context.now)
    return _decision(context, action, reason, shrink_to_fit(record), changed=True, runs=(*response, *update))


def _decision(
    context: DecisionContext,
    action: Action,
    reason: str,
    record: IncidentRecord | None,
    *,
    changed: bool = False,
    runs: tuple[RunRequest, ...] = (),
) -> Decision:
    return Decision(
        action=action,
        key=record.key if record else None,
        reason=reason,
        inputs=_inputs(context),
        rules=tuple(context.results),
        record=record,
        changed=changed,
        runs=runs,
    )


def _inputs(context: DecisionContext) -> dict[str, str]:
    signal = context.signal
    named = {
        "kind": signal.kind,
        "alert key": signal.alert_key,
        "made of": ", ".join(f"{name} {value}" for name, value in signal.key_inputs.items()),
        "group": signal.group,
        "correlation keys": " or ".join(context.correlation_keys),
        "severity": signal.incident.severity,
        "occurred at": signal.incident.occurred_at.isoformat(),
        "delivery": signal.delivery_id or signal.fingerprint,
    }
    return {name: str(value) for name, value in named.items() if value}


def response_dag(route: Route) -> str:
    """Return the DAG that opens the rooms of incidents with this route."""
    return route.dag_id or DagId.INCIDENT_RESPONSE


def with_response_run(
    record: IncidentRecord, signal: Signal, now: datetime
) -> tuple[IncidentRecord, tuple[RunRequest, ...]]:
    """Return the record with the run that opens its room, and the request for it: once per record."""
    if record.visibility is not Visibility.ROOM or record.run_id is not None:
        return record, ()
    dag_id = response_dag(signal.incident.route)
    assignment = Assignment(
        key=record.key,
        title=record.title,
        severity=record.severity,
        storm=record.storm,
        received_at=signal.received_at,
    )
    request = RunRequest(
        dag_id=dag_id,
        run_id=record.key,
        conf={**signal.conf, ConfKey.ASSIGNMENT: assignment.model_dump(mode="json")},
    )
    # The brief is the first message: updates within the interval after it wait.
    due = max(now, record.update_due or now)
    return record.model_copy(update={"run_id": record.key, "dag_id": dag_id, "update_due": due}), (request,)


def with_update_run(
    record: IncidentRecord, settings: Lifecycle, now: datetime
) -> tuple[IncidentRecord, tuple[RunRequest, ...]]:
    """Return the record with the run that posts its pending updates, and the request unless it was made before."""
    if not (record.pending or record.pending_dropped):
        return record, ()
    latest = record.update_due
    if latest is not None and latest > now:
        return record, ()
    due = now if latest is None else max(now, latest + settings.update_interval)
    request = RunRequest(
        dag_id=DagId.INCIDENT_UPDATE,
        run_id=f"upd.{record.key}.{due:%Y%m%dT%H%M%S}",
        conf={ConfKey.INCIDENT_KEY: record.key},
        run_after=due if due > now else None,
    )
    return record.model_copy(update={"update_due": due}), (request,)
