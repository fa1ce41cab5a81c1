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

from airflow_incident_provider.intake.policies import Presence, TriageRule
from airflow_incident_provider.lifecycle import changes
from airflow_incident_provider.lifecycle.correlation import correlated, correlation_keys
from airflow_incident_provider.lifecycle.knowledge import has_firing, is_firing, knowing, knows_alert
from airflow_incident_provider.lifecycle.records import IncidentRecord, RunRequest, Status, UpdateKind
from airflow_incident_provider.lifecycle.rules import LifecycleRules
from airflow_incident_provider.lifecycle.runs import with_response_run, with_update_run
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.lifecycle.size import fitted
from airflow_incident_provider.lifecycle.storm import current_storm, newcomers
from airflow_incident_provider.lifecycle.triage import more_visible, triaged
from airflow_incident_provider.models import Model
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
class _Case:
    """What is decided on, and the rules that were looked at so far."""

    signal: Signal
    records: tuple[IncidentRecord, ...]
    rules: LifecycleRules
    now: datetime
    taken_keys: Collection[str]
    results: list[RuleResult] = field(default_factory=list)

    def note(self, rule: str, held: bool, why: str) -> None:
        self.results.append(RuleResult(rule=rule, held=held, why=why))

    @property
    def welcoming(self) -> tuple[IncidentRecord, ...]:
        """The incidents that take in new alerts: not full, and open or recovered within the reopen window."""
        return tuple(record for record in self.records if not record.is_full and self._is_alive(record))

    def _is_alive(self, record: IncidentRecord) -> bool:
        if record.status is not Status.RECOVERED:
            return record.status is Status.OPEN
        ended_at = record.ended_at or record.last_signal_at
        return self.now - ended_at <= self.rules.lifecycle.reopen_window

    @property
    def correlation_keys(self) -> tuple[str, ...]:
        return correlation_keys(self.signal.incident, self.rules.correlation)


def decide(
    signal: Signal,
    records: Sequence[IncidentRecord],
    rules: LifecycleRules,
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
    case = _Case(signal, latest_first, rules, now, taken_keys)
    return _redelivered(case) or (_ended(case) if signal.over else _began(case))


def _redelivered(case: _Case) -> Decision | None:
    known_as = set(case.signal.delivered_as)
    record = next((record for record in case.records if known_as.intersection(record.deliveries)), None)
    if record is None:
        case.note("redelivery", False, "no incident has taken in this delivery")
        return None
    case.note("redelivery", True, f"{record.key} has taken in this delivery")
    return _decision(case, Action.DUPLICATE, f"The same delivery was taken in before, for {record.key}.", record)


def _ended(case: _Case) -> Decision:
    for record in knowing(case.records, case.signal):
        if not has_firing(record, case.signal):
            case.note("recovery", False, f"nothing that this recovery can end is firing in {record.key}")
            continue
        after = changes.recovered(record, case.signal, case.now)
        if after.status is not record.status:
            case.note("recovery", True, f"it was the last alert that fired in {record.key}")
            return _changed(case, Action.RECOVER, f"The last alert of {record.key} recovered.", after)
        case.note("recovery", True, f"alerts that fire in {record.key} now: {after.firing_count}")
        return _changed(
            case, Action.UPDATE, f"An alert of {record.key} recovered; {after.firing_count} still firing.", after
        )
    case.note("noise", True, "no incident has this alert firing")
    return _decision(case, Action.IGNORE, "A recovery of nothing that is known to fire.", None)


def _began(case: _Case) -> Decision:
    for record in knowing(case.records, case.signal):
        decision = _known(case, record)
        if decision is not None:
            return decision
    return _joined(case) or _new(case)


def _known(case: _Case, record: IncidentRecord) -> Decision | None:
    """Return what a known alert is to the incident that knows it, or nothing if that is past."""
    signal, key = case.signal, record.key
    alert = record.alerts.get(signal.alert_key)
    if alert is not None and signal.incident.occurred_at < alert.last_at:
        case.note("late", True, f"{key} knows of a later event of this alert, of {alert.last_at:%H:%M:%S} UTC")
        after = fitted(changes.counted(record, signal, case.now))
        return _decision(
            case, Action.DUPLICATE, f"An older notification of an alert of {key}, come late.", after, changed=True
        )
    is_new_to_it = not knows_alert(record, signal)
    if is_new_to_it and record.is_full:
        case.note("full", True, f"{key} knows this monitor and scope, but takes no more alerts")
        return None
    if record.status is Status.OPEN:
        return _known_open(case, record)
    return _fires_again(case, record)


def _known_open(case: _Case, record: IncidentRecord) -> Decision:
    signal, key = case.signal, record.key
    if is_firing(record, signal):
        case.note("known alert", True, f"{key} is open and has this alert firing")
        after = changes.fired(record, signal, UpdateKind.REPEATED, case.now)
        return _changed(case, Action.UPDATE, f"{signal.kind}: told again of an alert that fires in {key}.", after)
    case.note("known alert", True, f"{key} is open and knows this monitor and scope")
    after = changes.fired(record, signal, UpdateKind.FIRING_AGAIN, case.now)
    return _changed(case, Action.UPDATE, f"An alert of {key} fires again.", after)


def _fires_again(case: _Case, record: IncidentRecord) -> Decision | None:
    window = case.rules.lifecycle.reopen_window
    ended_at = record.ended_at or record.last_signal_at
    told = f"{record.key} {record.status} at {ended_at:%Y-%m-%d %H:%M:%S} UTC; the reopen window is {window}"
    if case.now - ended_at > window:
        case.note("reopen", False, f"too late: {told}")
        return None
    case.note("reopen", True, told)
    after = changes.reopened(record, case.signal, case.now)
    after = changes.fired(after, case.signal, UpdateKind.REOPENED, case.now)
    return _changed(case, Action.REOPEN, f"{record.key} was {record.status} and fires again.", after)


def _joined(case: _Case) -> Decision | None:
    kin = correlated(case.signal.incident, case.welcoming, case.rules.correlation, case.now)
    if kin is None:
        case.note("correlation", False, "it belongs to no open incident")
        return None
    key = kin.record.key
    case.note("correlation", True, f"{key} has {kin.key}, and a signal within {kin.rule.window}")
    return _taken_in(case, kin.record, f"It belongs to {key}: {kin.rule.name}.")


def _taken_in(case: _Case, record: IncidentRecord, reason: str) -> Decision:
    """Return the decision to add a new alert to an incident; one that was recovered is open again by it."""
    is_over = record.status is not Status.OPEN
    before = changes.reopened(record, case.signal, case.now) if is_over else record
    after = changes.fired(before, case.signal, UpdateKind.JOINED, case.now)
    return _changed(case, Action.REOPEN if is_over else Action.UPDATE, reason, after)


def _new(case: _Case) -> Decision:
    incident = case.signal.incident
    rule = triaged(case.signal, case.rules.triage, severity=incident.severity, notifications=1)
    case.note("triage", True, f"{rule.presence}, by the rule '{rule.name}'")
    storm = _stormed(case, rule)
    if storm is not None:
        return storm
    reason = f"New: {incident.severity}, shown as {rule.presence} ({rule.name})."
    return _opened(case, presence=rule.presence, title=incident.title, storm=False, reason=reason)


def _stormed(case: _Case, rule: TriageRule) -> Decision | None:
    settings = case.rules.storm
    if settings.threshold is None or case.signal.incident.source not in settings.sources:
        case.note("storm", False, "the storm breaker is not for this")
        return None
    if rule.presence is Presence.RECORD:
        case.note("storm", False, "what is only recorded makes no storm")
        return None
    count = newcomers(case.records, settings, case.now)
    told = f"{count} alerts opened an incident or joined the storm within {settings.window}"
    if count < settings.threshold - 1:
        case.note("storm", False, f"{told}; the storm begins with {settings.threshold}")
        return None
    case.note("storm", True, told)
    record = current_storm(case.welcoming, settings, case.now)
    if record is None:
        seconds = int(settings.window.total_seconds())
        title = f"Alert storm: {count + 1} new incidents within {seconds} s; {case.signal.incident.title}"
        reason = f"New: the storm's incident, because {told}."
        return _opened(case, presence=Presence.ROOM, title=title, storm=True, reason=reason)
    times = (*record.storm_times, case.now)[-settings.threshold :]
    return _taken_in(
        case, record.model_copy(update={"storm_times": times}), f"Part of the storm {record.key}: {told}."
    )


def _opened(case: _Case, *, presence: Presence, title: str, storm: bool, reason: str) -> Decision:
    record = changes.new_record(
        case.signal,
        key=_free_key(case),
        presence=presence,
        title=shorten(title, _MAX_TITLE),
        storm=storm,
        correlation_keys=() if storm else case.correlation_keys,
        now=case.now,
    )
    return _with_runs(case, Action.OPEN, reason, record)


def _free_key(case: _Case) -> str:
    """Return the alert's own key; where an incident had it before, with the number of this one."""
    taken = {record.key for record in case.records}.union(case.taken_keys)
    key, number = case.signal.incident.key, 1
    while key in taken:
        number += 1
        key = f"{case.signal.incident.key}.{number}"
    return key


def _changed(case: _Case, action: Action, reason: str, record: IncidentRecord) -> Decision:
    """Return the decision to change an incident, which triage may now want to show in a better place."""
    if not case.signal.over:
        rule = triaged(case.signal, case.rules.triage, severity=record.severity, notifications=record.notifications)
        presence = more_visible(record.presence, rule.presence)
        if presence is not record.presence:
            case.note("triage", True, f"from {record.presence} to {presence}, by the rule '{rule.name}'")
            record = changes.risen(record, presence, case.now)
    return _with_runs(case, action, reason, record)


def _with_runs(case: _Case, action: Action, reason: str, record: IncidentRecord) -> Decision:
    record, response = with_response_run(record, case.signal, case.now)
    record, update = with_update_run(record, case.rules.lifecycle, case.now)
    return _decision(case, action, reason, fitted(record), changed=True, runs=(*response, *update))


def _decision(
    case: _Case,
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
        inputs=_inputs(case),
        rules=tuple(case.results),
        record=record,
        changed=changed,
        runs=runs,
    )


def _inputs(case: _Case) -> dict[str, str]:
    signal = case.signal
    named = {
        "kind": signal.kind,
        "alert key": signal.alert_key,
        "made of": ", ".join(f"{name} {value}" for name, value in signal.key_inputs.items()),
        "group": signal.group,
        "correlation keys": " or ".join(case.correlation_keys),
        "severity": signal.incident.severity,
        "occurred at": signal.incident.occurred_at.isoformat(),
        "delivery": signal.delivery_id or signal.delivery,
    }
    return {name: str(value) for name, value in named.items() if value}
