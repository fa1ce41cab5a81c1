"""
The decision about a notification, given the incidents on record, with the reasons for it.

The rules, in order; the first that holds decides:

1. A delivery that was accepted before is a duplicate, and an event that is older than what is known is late.
2. A recovery ends the alert of its group, in every incident that has it firing.
3. An alert belongs to the incident that tracks its group: while that is open, or within the reopen window. An
   incident that a person resolved stays resolved until the alert fires again.
4. An alert joins a recent incident by a correlation rule.
5. During a storm, a new visible incident joins the storm's incident.
6. Anything else opens an incident, as visible as triage says.

Private and public alerts never share an incident, nor do drills and real ones. The order of delivery does not
change the final state: of two events of one group the later one counts, and a trigger that arrives after its
recovery opens nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from airflow_incident_provider.intake.policies import TriageRule, Visibility
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle import transitions
from airflow_incident_provider.lifecycle.decision_context import MAX_TITLE, DecisionContext, RuleResult
from airflow_incident_provider.lifecycle.matching import (
    GroupHistory,
    Opening,
    correlate,
    correlation_keys,
    find_alert,
    find_storm,
    is_firing,
    is_known_as_private,
    is_late,
    is_news,
    is_recovered_by,
    is_same_firing,
    may_share,
    openings_of,
    recent_openings,
    tracking_incidents,
    tracks_group,
    triage,
)
from airflow_incident_provider.lifecycle.records import (
    IncidentRecord,
    RunRequest,
    Status,
    UpdateKind,
    shrink_to_fit,
)
from airflow_incident_provider.lifecycle.run_requests import response_dag, with_response_run, with_update_run
from airflow_incident_provider.lifecycle.signals import Signal, read_signal
from airflow_incident_provider.models import Incident, Model
from airflow_incident_provider.text import shorten


class Action(StrEnum):
    """What is done about a signal."""

    OPEN = "open"
    DUPLICATE = "duplicate"
    UPDATE = "update"
    RECOVER = "recover"
    REOPEN = "reopen"
    IGNORE = "ignore"


class Decision(Model):
    """The decision about a signal, its reason and its consequences.

    ``record`` is the incident's next record, to be stored if ``changed``; ``None`` if the signal belongs to no
    incident. ``others`` are the next records of further incidents that the signal changes. ``history`` is what has
    to be remembered of the signal's group, if that changed. ``runs`` are to be started once the records are stored.
    ``inputs`` are the values that were decided on, by name.
    """

    action: Action
    key: str | None
    reason: str
    inputs: dict[str, str]
    rules: tuple[RuleResult, ...]
    record: IncidentRecord | None = None
    others: tuple[IncidentRecord, ...] = ()
    history: GroupHistory | None = None
    changed: bool = False
    runs: tuple[RunRequest, ...] = ()


def decide(
    signal: Signal,
    records: Sequence[IncidentRecord],
    routing: RoutingTable,
    now: datetime,
    *,
    openings: Sequence[Opening] | None = None,
    history: GroupHistory | None = None,
    taken_keys: Collection[str] = (),
) -> Decision:
    """Decide about ``signal``. Total, and the same for the same arguments.

    :param records: every incident that the signal can belong to or affect, in any order; more do no harm.
    :param now: the time of the decision (aware).
    :param openings: what counts towards a storm; by default what ``records`` show.
    :param history: what is remembered of the signal's group besides the records.
    :param taken_keys: keys of incidents that are in use though no record is left of them, such as old run ids.
    """
    latest_first = tuple(sorted(records, key=lambda record: (record.opened_at, record.key), reverse=True))
    signal = signal.of_known_group((key, alert.group) for record in records for key, alert in record.alerts.items())
    if not signal.private and any(is_known_as_private(record, signal) for record in records):
        signal = signal.made_private()
    context = DecisionContext(
        signal=signal,
        records=latest_first,
        routing=routing,
        now=now,
        openings=openings_of(latest_first) if openings is None else openings,
        history=history or GroupHistory(),
        taken_keys=taken_keys,
    )
    former = signal.with_former_keys()
    if not tracking_incidents(latest_first, signal) and tracking_incidents(latest_first, former):
        decision = _decided(replace(context, signal=former, results=[]))
        # An incident of version 0.1.0 goes on under its own keys; a new one is not to have them.
        if decision.action is not Action.OPEN:
            return decision
    return _decided(context)


def _decided(context: DecisionContext) -> Decision:
    """Return the decision by the first of the ordered rules that applies."""
    return (
        _redelivery(context)
        or _late(context)
        or (_recovery(context) if context.signal.is_recovery else _alert(context))
    )


def reported_record(
    conf: Mapping[str, Any], incident: Incident, routing: RoutingTable, *, dag_id: str, run_id: str
) -> IncidentRecord:
    """Return the record of an incident that a run reports, which the webhook did not start."""
    signal = read_signal(conf, received_at=incident.received_at, routing=routing)
    record = transitions.new_record(
        signal,
        key=incident.key,
        dag_id=dag_id,
        visibility=Visibility.ROOM,
        title=incident.title,
        storm=False,
        correlation_keys=correlation_keys(incident, routing.correlation),
        now=incident.received_at,
    )
    return shrink_to_fit(record.model_copy(update={"run_id": run_id, "update_due": incident.received_at}))


# --- deliveries -------------------------------------------------------------------------------------


def _redelivery(context: DecisionContext) -> Decision | None:
    fingerprints = set(context.signal.fingerprints)
    known = (record for record in context.records if fingerprints.intersection(record.deliveries))
    record = next((record for record in known if not is_news(record, context.signal)), None)
    if record is None:
        context.note("redelivery", False, "no incident has accepted this delivery before")
        return None
    context.note("redelivery", True, f"{record.key} has accepted this delivery before")
    return _decision(context, Action.DUPLICATE, f"The same delivery was accepted before, for {record.key}.", record)


def _late(context: DecisionContext) -> Decision | None:
    """Return the decision about an event that is older than the latest one of its group."""
    signal = context.signal
    for record in tracking_incidents(context.records, signal):
        alert = find_alert(record, signal)
        if alert is not None and is_late(alert, signal):
            context.note("late", True, f"{record.key} has a later event of this alert, of {_clock(alert.last_at)}")
            reason = f"An older notification of an alert of {record.key}, delivered late."
            after = shrink_to_fit(transitions.with_delivery(record, signal))
            return _decision(context, Action.DUPLICATE, reason, after, changed=True)
    recovered_at = context.history.recovered_at
    if recovered_at is None or not is_recovered_by(signal, recovered_at, context.history.recovered):
        return None
    context.note("late", True, f"its recovery of {_clock(recovered_at)} arrived before it")
    return _decision(context, Action.IGNORE, "It has recovered: the recovery was delivered first.", None)


# --- recoveries -------------------------------------------------------------------------------------


def _recovery(context: DecisionContext) -> Decision:
    signal = context.signal
    changed: list[tuple[IncidentRecord, IncidentRecord]] = []
    for record in tracking_incidents(context.records, signal):
        if record.status is Status.ARCHIVED or not is_firing(record, signal):
            context.note("recovery", False, f"nothing that this recovery can end is firing in {record.key}")
            continue
        changed.append((record, transitions.with_recovery(record, signal, context.now)))
    after_recovery = context.history.after_recovery(context.signal)
    history = after_recovery if after_recovery != context.history else None
    if not changed:
        context.note("noise", True, "no incident has this alert firing")
        return _decision(context, Action.IGNORE, "No incident has this alert firing.", None, history=history)
    # The incident that ends comes first: it is the one that the sender asks about.
    changed.sort(key=lambda pair: pair[0].status is pair[1].status)
    (before, after), *others = changed
    if after.status is not before.status:
        action, reason = Action.RECOVER, f"The last alert of {after.key} recovered."
        context.note("recovery", True, f"it was the last firing alert of {after.key}")
    else:
        action, reason = Action.UPDATE, f"An alert of {after.key} recovered; {after.firing_count} still firing."
        context.note("recovery", True, f"firing alerts of {after.key} now: {after.firing_count}")
    return _with_runs(context, action, reason, after, others=[record for _, record in others], history=history)


# --- alerts -----------------------------------------------------------------------------------------


def _alert(context: DecisionContext) -> Decision:
    signal = context.signal
    if context.history.held == signal.alert_key and (signal.has_cycle or signal.is_repetition):
        context.note("held", True, "a person resolved its incident, and it has not fired again since")
        return _decision(
            context, Action.IGNORE, "A person resolved its incident; it has not fired again since.", None
        )
    for record in tracking_incidents(context.records, signal):
        decision = _tracked(context, record)
        if decision is not None:
            return decision
    if not signal.may_open:
        context.note("news", True, "no incident tracks this alert, and news of it opens none")
        return _decision(context, Action.IGNORE, "News of an alert or incident that is not known here.", None)
    return _joining(context) or _new(context)


def _tracked(context: DecisionContext, record: IncidentRecord) -> Decision | None:
    """Return what the alert means for the incident that tracks its group; ``None`` if it does not belong there."""
    signal, key = context.signal, record.key
    is_closed = record.status in (Status.RESOLVED, Status.ARCHIVED)
    is_worse = transitions.makes_worse(record, signal)
    if not signal.may_open and not (record.status is Status.OPEN and is_firing(record, signal)):
        context.note("news", True, f"{key} is {record.status}, and news of its alert opens nothing")
        return _decision(context, Action.IGNORE, "News of an alert that does not fire.", record)
    if is_closed and is_same_firing(record, signal) and not is_worse:
        return _held(context, record)
    if not may_share(record, signal):
        shown, other = ("private", "public") if signal.private else ("public", "private")
        context.note(
            "privacy", True, f"{key} is {other} and tracks this monitor and scope, but the alert is {shown}"
        )
        return None
    if record.is_full and not tracks_group(record, signal):
        context.note("full", True, f"{key} accepts no more alerts")
        return None
    if record.status is Status.OPEN:
        return _open_incident(context, record)
    return None if record.status is Status.ARCHIVED else _fires_again(context, record)


def _held(context: DecisionContext, record: IncidentRecord) -> Decision:
    """Return the decision about the repetition of an alert that fired when a person resolved its incident."""
    signal, key = context.signal, record.key
    context.note("resolved", True, f"{key} was {record.status} while this alert was firing, and it only repeats")
    if may_share(record, signal):
        after = transitions.repeated_after_resolution(record, signal, context.now)
    else:
        # The text of the alert must not get into the incident.
        after = transitions.with_delivery(record, signal)
    reason = f"{key} was resolved by a person; the alert has not fired again since."
    return _decision(context, Action.DUPLICATE, reason, shrink_to_fit(after), changed=True)


def _open_incident(context: DecisionContext, record: IncidentRecord) -> Decision:
    signal, key = context.signal, record.key
    if not signal.may_open:
        context.note("news", True, f"{key} is open and has this alert firing")
        after = transitions.with_news(record, signal, context.now)
        return _changed(context, Action.UPDATE, f"News of an alert of {key}.", after)
    if is_firing(record, signal):
        context.note("known alert", True, f"{key} is open and has this alert firing")
        after = transitions.with_firing_alert(record, signal, UpdateKind.REPEATED, context.now)
        return _changed(context, Action.UPDATE, f"{signal.kind}: an alert of {key} is still firing.", after)
    context.note("known alert", True, f"{key} is open and tracks this monitor and scope")
    after = transitions.with_firing_alert(record, signal, UpdateKind.FIRING_AGAIN, context.now)
    return _changed(context, Action.UPDATE, f"An alert of {key} fires again.", after)


def _fires_again(context: DecisionContext, record: IncidentRecord) -> Decision | None:
    window = context.routing.lifecycle.reopen_window
    ended_at = record.ended_at or record.last_signal_at
    state = f"{record.key} was {record.status} at {ended_at:%Y-%m-%d %H:%M:%S} UTC; the reopen window is {window}"
    if context.now - ended_at > window:
        context.note("reopen", False, f"too late: {state}")
        return None
    context.note("reopen", True, state)
    after = transitions.reopened(record, context.signal, context.now)
    after = transitions.with_firing_alert(after, context.signal, UpdateKind.REOPENED, context.now)
    return _changed(context, Action.REOPEN, f"{record.key} was {record.status} and fires again.", after)


def _joining(context: DecisionContext) -> Decision | None:
    match = correlate(context.signal, context.accepting, context.routing.correlation, context.now)
    if match is None:
        context.note("correlation", False, "no open incident correlates with it")
        return None
    key = match.record.key
    context.note(
        "correlation", True, f"{key} has the same {match.values}, and news within {_span(match.rule.window)}"
    )
    return _join(context, match.record, f"It belongs to {key}: {match.rule.name}.")


def _join(context: DecisionContext, record: IncidentRecord, reason: str) -> Decision:
    """Return the decision to add a new alert to an incident; a recovered one is reopened by it."""
    is_over = record.status is not Status.OPEN
    before = transitions.reopened(record, context.signal, context.now) if is_over else record
    after = transitions.with_firing_alert(before, context.signal, UpdateKind.JOINED, context.now)
    return _changed(context, Action.REOPEN if is_over else Action.UPDATE, reason, after)


def _new(context: DecisionContext) -> Decision:
    incident = context.signal.incident
    rule = triage(context.signal, context.routing.triage, severity=incident.severity, notifications=1)
    context.note("triage", True, f"{rule.presence}, by the rule '{rule.name}'")
    storm = _storm(context, rule)
    if storm is not None:
        return storm
    reason = f"New: {incident.severity}, shown as {rule.presence} ({rule.name})."
    return _open(context, visibility=rule.presence, title=incident.title, storm=False, reason=reason)


def _span(window: timedelta) -> str:
    """Return a window as the routing table writes it: ``60 s``, ``15 min``, ``2 h``."""
    units = (("h", timedelta(hours=1)), ("min", timedelta(minutes=1)))
    unit, size = next(((name, size) for name, size in units if window >= 2 * size), ("s", timedelta(seconds=1)))
    return f"{window / size:g} {unit}"


def _storm(context: DecisionContext, rule: TriageRule) -> Decision | None:
    settings, signal = context.routing.storm, context.signal
    if settings.threshold is None or signal.incident.source not in settings.sources:
        context.note("storm", False, "the storm breaker does not apply")
        return None
    if rule.presence is Visibility.RECORD:
        context.note("storm", False, "an incident that is only recorded takes no part in a storm")
        return None
    openings = recent_openings(context.openings, settings, context.now, signal)
    count = f"{len(openings)} alerts opened an incident or joined the storm within {_span(settings.window)}"
    if len(openings) < settings.threshold - 1:
        context.note("storm", False, f"{count}; a storm begins with {settings.threshold}")
        return None
    context.note("storm", True, count)
    record = find_storm(context.accepting, openings)
    if record is None:
        seconds = int(settings.window.total_seconds())
        title = f"Alert storm: {len(openings) + 1} new incidents within {seconds} s; {signal.incident.title}"
        reason = f"New: the incident of a storm, because {count}."
        return _open(context, visibility=Visibility.ROOM, title=title, storm=True, reason=reason)
    times = (*record.storm_times, context.now)[-settings.threshold :]
    return _join(
        context, record.model_copy(update={"storm_times": times}), f"Part of the storm {record.key}: {count}."
    )


def _open(context: DecisionContext, *, visibility: Visibility, title: str, storm: bool, reason: str) -> Decision:
    signal = context.signal
    keys = () if storm else correlation_keys(signal.incident, context.routing.correlation)
    record = transitions.new_record(
        signal,
        key=context.free_key,
        dag_id=response_dag(signal.incident.route),
        visibility=visibility,
        title=shorten(title, MAX_TITLE),
        storm=storm,
        correlation_keys=keys,
        now=context.now,
    )
    return _with_runs(context, Action.OPEN, reason, record)


# --- consequences -----------------------------------------------------------------------------------


def _changed(context: DecisionContext, action: Action, reason: str, record: IncidentRecord) -> Decision:
    """Return the decision to change an incident, which triage may now show in a more visible place."""
    rule = triage(
        context.signal, context.routing.triage, severity=record.severity, notifications=record.notifications
    )
    after = transitions.promoted(record, rule.presence, context.now)
    if after is not record:
        context.note("triage", True, f"from {record.visibility} to {after.visibility}, by the rule '{rule.name}'")
    return _with_runs(context, action, reason, after)


def _with_runs(
    context: DecisionContext,
    action: Action,
    reason: str,
    record: IncidentRecord,
    *,
    others: Sequence[IncidentRecord] = (),
    history: GroupHistory | None = None,
) -> Decision:
    record, response = with_response_run(record, context.signal, context.now)
    after = []
    runs = list(response)
    for before in (record, *others):
        changed, update = with_update_run(before, context.routing.lifecycle, context.now)
        after.append(shrink_to_fit(changed))
        runs += update
    if history is None and not context.signal.is_recovery and context.history != GroupHistory():
        history = GroupHistory()
    return _decision(context, action, reason, after[0], changed=True, runs=runs, others=after[1:], history=history)


def _decision(
    context: DecisionContext,
    action: Action,
    reason: str,
    record: IncidentRecord | None,
    *,
    changed: bool = False,
    runs: Sequence[RunRequest] = (),
    others: Sequence[IncidentRecord] = (),
    history: GroupHistory | None = None,
) -> Decision:
    return Decision(
        action=action,
        key=record.key if record else None,
        reason=reason,
        inputs=context.inputs,
        rules=tuple(context.results),
        record=record,
        others=tuple(others),
        history=history,
        changed=changed,
        runs=tuple(runs),
    )


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S} UTC"
