"""Which incidents an alert can belong to: by identity, by correlation, by a storm; and how visible it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_incident_provider.intake.datadog.payload import values_of
from airflow_incident_provider.intake.policies import (
    DEFAULT_TRIAGE,
    Correlation,
    CorrelationRule,
    Storm,
    Triage,
    TriageRule,
    Visibility,
)
from airflow_incident_provider.lifecycle.records import (
    AlertState,
    IncidentRecord,
    Status,
    condensed_key,
    condensed_prefix,
)
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.models import Incident, Severity
from airflow_incident_provider.text import digest

_LONGEST_KEY = 300
_VISIBILITY_RANK = {visibility: rank for rank, visibility in enumerate(reversed(Visibility))}


# --- identity ---------------------------------------------------------------------------------------


def tracking_incidents(records: Sequence[IncidentRecord], signal: Signal) -> list[IncidentRecord]:
    """Return the incidents that track the signal's alert, then those that track another cycle of its group.

    Archived incidents are excluded: nobody reads their rooms. The order of ``records`` is kept otherwise.
    """
    active = [record for record in records if record.status is not Status.ARCHIVED]
    by_key = [record for record in active if tracks_alert(record, signal)]
    by_group = [record for record in active if not tracks_alert(record, signal) and _tracks_group(record, signal)]
    return [*by_key, *by_group]


def tracks_alert(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether the incident has this alert, complete or condensed."""
    name = condensed_key(signal.group, signal.alert_key)
    return signal.alert_key in record.alerts or name in record.condensed


def is_firing(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether exactly this alert, not another cycle of its group, is firing in the incident."""
    alert = record.alerts.get(signal.alert_key)
    if alert is not None:
        return alert.firing
    return record.condensed.get(condensed_key(signal.group, signal.alert_key)) is not None


def has_firing(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether a recovery would end any alert of the incident."""
    prefix = condensed_prefix(signal.group)
    condensed = any(name.startswith(prefix) and severity is not None for name, severity in record.condensed.items())
    return condensed or any(is_ended_by(alert, signal) for alert in record.alerts.values())


def is_ended_by(alert: AlertState, signal: Signal) -> bool:
    """Return whether a recovery is about ``alert`` and not older than its latest event."""
    return alert.firing and alert.group == signal.group and alert.last_at <= signal.incident.occurred_at


def _tracks_group(record: IncidentRecord, signal: Signal) -> bool:
    prefix = condensed_prefix(signal.group)
    complete = any(alert.group == signal.group for alert in record.alerts.values())
    return complete or any(name.startswith(prefix) for name in record.condensed)


# --- correlation ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CorrelationMatch:
    """The incident that an alert joins, the rule that matched, and the key they share."""

    record: IncidentRecord
    rule: CorrelationRule
    key: str


def correlation_keys(incident: Incident, settings: Correlation) -> tuple[str, ...]:
    """Return the correlation keys of an incident: one for each rule that applies to it."""
    keys = (_key(incident, rule) for rule in settings.rules)
    return tuple(dict.fromkeys(key for key in keys if key is not None))


def correlate(
    incident: Incident, records: Sequence[IncidentRecord], settings: Correlation, now: datetime
) -> CorrelationMatch | None:
    """Return the incident that an alert joins: by the first rule that finds one, and the latest of several.

    :param records: the incidents that accept alerts: alive and not full.
    """
    for rule in settings.rules:
        key = _key(incident, rule)
        matching = (record for record in records if key in record.correlation_keys and _accepts(record, rule, now))
        record = max(matching, key=lambda record: (record.opened_at, record.key), default=None)
        if key is not None and record is not None:
            return CorrelationMatch(record=record, rule=rule, key=key)
    return None


def _accepts(record: IncidentRecord, rule: CorrelationRule, now: datetime) -> bool:
    """Return whether an incident is recent enough. A storm has no attributes to correlate by."""
    return not record.storm and now - record.last_signal_at <= rule.window


def _key(incident: Incident, rule: CorrelationRule) -> str | None:
    """Return the key that alerts must share to be correlated by ``rule``; ``None`` if the rule does not apply.

    It contains all values of each attribute, in any case and order: an alert of two services does not equal an
    alert of the first one only.
    """
    if not rule.match.matches(incident):
        return None
    values = {name: sorted({value.casefold() for value in _values(incident, name)}) for name in rule.by}
    if not all(found or name.endswith("?") for name, found in values.items()):
        return None
    text = json.dumps(values, ensure_ascii=False)
    return text if len(text) <= _LONGEST_KEY else digest(text, 64)


def _values(incident: Incident, attribute: str) -> Iterable[str]:
    name = attribute.removesuffix("?")
    named = {
        "service": incident.services,
        "team": incident.teams,
        "host": incident.hosts,
        "monitor": incident.monitor_ids,
    }
    if name in named:
        return named[name]
    labels = (*incident.tags, *(part.strip() for part in (incident.scope or "").split(",")))
    if name == "env":
        return values_of("env", labels) or ((incident.env,) if incident.env else ())
    return values_of(name.removeprefix("tag:"), labels)


# --- storms -----------------------------------------------------------------------------------------


def count_new_incidents(records: Sequence[IncidentRecord], settings: Storm, now: datetime) -> int:
    """Return how many alerts opened an incident or joined the storm within the window."""
    return sum(
        sum(now - at <= settings.window for at in (record.opened_at, *record.storm_times))
        for record in records
        if record.visibility is not Visibility.RECORD and record.source in settings.sources
    )


def find_storm(records: Sequence[IncidentRecord], settings: Storm, now: datetime) -> IncidentRecord | None:
    """Return the current storm incident: one that was opened or joined within the window.

    :param records: the incidents that accept alerts: alive and not full.
    """
    current = (
        record
        for record in records
        if record.storm and now - max((record.opened_at, *record.storm_times)) <= settings.window
    )
    return max(current, key=lambda record: (record.opened_at, record.key), default=None)


# --- triage -----------------------------------------------------------------------------------------


def triage(signal: Signal, settings: Triage, *, severity: Severity, notifications: int) -> TriageRule:
    """Return the first matching triage rule, of the table and then of the defaults.

    :param severity: the severity of the incident, including this signal.
    :param notifications: the number of notifications of the incident, including this signal.
    """
    incident = signal.incident.model_copy(update={"severity": severity})
    rules = (*settings.rules, *DEFAULT_TRIAGE)
    return next(
        rule
        for rule in rules
        if rule.match.matches(incident)
        and (not rule.transition or signal.kind in rule.transition)
        and rule.notifications <= notifications
        and not (rule.presence is Visibility.THREAD and settings.channel is None)
    )


def more_visible(one: Visibility, other: Visibility) -> Visibility:
    """Return the more visible of two."""
    return max(one, other, key=_VISIBILITY_RANK.__getitem__)
