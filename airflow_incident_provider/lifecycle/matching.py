"""Which incidents an alert can belong to: by identity, by correlation, by a storm; and how visible it is."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_incident_provider.intake.lists import values_of
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
    condensed_prefixes,
)
from airflow_incident_provider.lifecycle.signals import REDELIVERY_WINDOW, Signal, SignalKind
from airflow_incident_provider.models import Incident, Model, Severity, Source, UtcDatetime
from airflow_incident_provider.text import digest, digest_of

LATE_COPY_WINDOW = timedelta(minutes=5)
"""How long after a change of an alert a delivery without a time may be a copy of one from before that change."""

_KEY_DIGITS = 32
_LEGACY_MAX_KEY = 300
_UNNAMED = frozenset({"", "n/a", "none", "null", "undefined", "*", "unknown", "unassigned", "-", "?"})
"""The values that mean "no such tag": Datadog writes ``N/A`` for a group without it. Nothing equals it."""
_UNNAMED_SERVICE = "unknown_service"
"""What OpenTelemetry calls a service without a name, alone or with the name of the process after it."""
_LESS_THAN_TRIGGERED = frozenset({SignalKind.WARN, SignalKind.RE_WARN, SignalKind.NO_DATA, SignalKind.RE_NO_DATA})
_VISIBILITY_RANK = {visibility: rank for rank, visibility in enumerate(reversed(Visibility))}


# --- identity ---------------------------------------------------------------------------------------


class GroupHistory(Model):
    """What is remembered of a group without an incident: its latest recovery, and an alert that is not to reopen.

    ``recovered_at`` is the event time of the latest recovery, and ``recovered`` the key of the alert that it ended.
    ``held`` is the key of an alert that was still firing when a person resolved its incident: until it fires again,
    its repetitions open nothing.
    """

    recovered_at: UtcDatetime | None = None
    recovered: str | None = None
    held: str | None = None

    def after_recovery(self, signal: Signal) -> GroupHistory:
        """Return what is remembered after a recovery: nothing is held any more."""
        if self.recovered_at is not None and self.recovered_at > signal.event_at:
            return GroupHistory(recovered_at=self.recovered_at, recovered=self.recovered)
        return GroupHistory(recovered_at=signal.event_at, recovered=signal.alert_key)


def tracking_incidents(records: Sequence[IncidentRecord], signal: Signal) -> list[IncidentRecord]:
    """Return the incidents that track the signal's group, those with exactly its alert first.

    The order of ``records`` is kept otherwise.
    """
    records = [record for record in records if record.drill is signal.drill]
    by_key = [record for record in records if tracks_alert(record, signal)]
    by_group = [record for record in records if not tracks_alert(record, signal) and tracks_group(record, signal)]
    return [*by_key, *by_group]


def tracks_alert(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether the incident has this alert, complete or condensed."""
    return signal.alert_key in record.alerts or _condensed_name(record, signal) is not None


def tracks_group(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether the incident has any alert of the signal's group."""
    return find_alert(record, signal) is not None or bool(condensed_names(record, signal))


def find_alert(record: IncidentRecord, signal: Signal) -> AlertState | None:
    """Return the state of the signal's group, if the incident keeps it complete."""
    known = record.alerts.get(signal.alert_key)
    if known is not None:
        return known
    of_group = (alert for alert in record.alerts.values() if alert.group == signal.group)
    return max(of_group, key=lambda alert: (alert.last_at, alert.key), default=None)


def condensed_names(record: IncidentRecord, signal: Signal) -> list[str]:
    """Return the names of the condensed alerts of the signal's group."""
    prefixes = condensed_prefixes((signal.group,))
    return [name for name in record.condensed if name.startswith(prefixes)]


def is_firing(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether the signal's group is firing in the incident."""
    alert = find_alert(record, signal)
    if alert is not None:
        return alert.firing
    return any(record.condensed[name] is not None for name in condensed_names(record, signal))


def is_late(alert: AlertState, signal: Signal) -> bool:
    """Return whether a later event of this group was accepted.

    Of two events at the same time, the recovery is the later one; but of two cycles that meet at one time, the
    first ends when the second begins.
    """
    if signal.event_at < alert.last_at:
        return True
    if signal.is_recovery:
        return signal.event_at == alert.last_at and _is_other_cycle(alert.key, signal)
    return not alert.firing and is_recovered_by(signal, alert.last_at, alert.key)


def is_recovered_by(signal: Signal, recovered_at: datetime, alert_key: str | None) -> bool:
    """Return whether a recovery at that time ended what a firing signal reports, whichever was delivered first.

    Several changes of a Datadog incident may have one time: they count in the order of their arrival.

    :param alert_key: the key of the alert that recovered, if it is known.
    """
    if signal.is_recovery or not signal.is_dated:
        return False
    if signal.event_at == recovered_at and signal.incident.source is Source.DATADOG_ALERT:
        return not _is_other_cycle(alert_key, signal)
    return signal.event_at < recovered_at


def _is_other_cycle(alert_key: str | None, signal: Signal) -> bool:
    """Return whether an alert of the signal's group is certainly another cycle of it."""
    return signal.has_cycle and alert_key not in (None, signal.group, signal.alert_key)


def is_same_firing(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether the signal only repeats that an alert fires which the incident has firing.

    A warning, or missing data, that has become an alert since a person resolved the incident is no repetition.
    """
    if not is_firing(record, signal):
        return False
    alert = find_alert(record, signal)
    began_as = None if alert is None else alert.transition
    if signal.kind is SignalKind.TRIGGERED and began_as in _LESS_THAN_TRIGGERED:
        return record.resolved_at is not None and signal.event_at <= record.resolved_at
    return tracks_alert(record, signal) if signal.has_cycle else signal.is_repetition


def is_news(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether a signal states what was so before, and has been otherwise since: it is no redelivery then.

    An alert that recovered fires again, or recovers once more, or a Datadog incident gets an earlier severity back.
    A delivery with an id of its own, and no time, could be a late copy; but some senders give every notification of
    an alert the same id.
    """
    alert = find_alert(record, signal)
    if alert is None or signal.event_at <= alert.last_at:
        return False
    elapsed = signal.event_at - alert.last_at
    if not signal.is_dated and signal.delivery_id is not None and elapsed <= LATE_COPY_WINDOW:
        return False
    if signal.is_recovery:
        return alert.firing and (signal.is_dated or elapsed > REDELIVERY_WINDOW)
    stated = (signal.severity, signal.incident.status)
    has_changed = (alert.severity, record.source_status) != stated
    return not alert.firing or (signal.incident.source is Source.DATADOG_INCIDENT and has_changed)


def _condensed_name(record: IncidentRecord, signal: Signal) -> str | None:
    name = condensed_key(signal.group, signal.alert_key)
    return name if name in record.condensed else None


# --- privacy ----------------------------------------------------------------------------------------


def may_share(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether the incident may show the alert: both private, or both public.

    A private alert in a public room would reveal it; a public alert would invite its responders to a private room.
    Where version 1 did not store it, or where either is private only because parts of a notification were missing,
    the incident may show the alerts that it tracks, and no others.
    """
    if record.private is signal.private:
        return True
    is_unknown = record.private is None or record.privacy_assumed or signal.privacy_assumed
    return is_unknown and tracks_group(record, signal)


def is_known_as_private(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether this very alert is in a private incident; then so are notifications that omit its privacy.

    A follow-up to a private report may leave ``private`` out, and a notification the tag that a rule matches.
    """
    is_sure = record.private is True and not (record.privacy_assumed or signal.privacy_assumed)
    is_current = record.status is not Status.ARCHIVED and record.drill is signal.drill
    # A report without an id has a key of its own each time: its title and place say which alert it is about.
    is_report = signal.incident.source in (Source.MANUAL, Source.ALERT)
    is_same = tracks_group(record, signal) if is_report else tracks_alert(record, signal)
    return is_sure and is_current and is_same


# --- correlation ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CorrelationMatch:
    """The incident that an alert joins, the rule that matched, and the values they share."""

    record: IncidentRecord
    rule: CorrelationRule
    values: str


def correlation_keys(incident: Incident, settings: Correlation) -> tuple[str, ...]:
    """Return the correlation keys of an incident: one for each rule that applies to it."""
    keys = (correlation_key(incident, rule) for rule in settings.rules)
    return tuple(dict.fromkeys(key for key in keys if key is not None))


def correlate(
    signal: Signal, records: Sequence[IncidentRecord], settings: Correlation, now: datetime
) -> CorrelationMatch | None:
    """Return the incident that an alert joins: by the first rule that finds one, and the latest of several.

    :param records: the incidents that accept the alert: alive, not full, and of the same privacy.
    """
    for rule in settings.rules:
        keys = _lookup_keys(signal.incident, rule, settings)
        matching = (
            record
            for record in records
            if keys.intersection(record.correlation_keys)
            and not record.storm
            and now - record.news_at <= rule.window
        )
        record = max(matching, key=lambda record: (record.opened_at, record.key), default=None)
        if record is not None:
            return CorrelationMatch(record=record, rule=rule, values=describe_key(signal.incident, rule))
    return None


def lookup_keys(incident: Incident, settings: Correlation) -> set[str]:
    """Return the keys by which the incidents are found that the alert may join."""
    return {key for rule in settings.rules for key in _lookup_keys(incident, rule, settings)}


def correlation_key(incident: Incident, rule: CorrelationRule) -> str | None:
    """Return the key that alerts must share to be correlated by ``rule``; ``None`` if the rule does not apply.

    It contains the rule and all values of each attribute, in any case and order: an alert of two services does not
    equal an alert of the first one only.
    """
    values = _shared_values(incident, rule)
    if values is None:
        return None
    match = rule.match.model_dump(mode="json", exclude_defaults=True)
    return digest_of((rule.name, json.dumps(match, sort_keys=True), json.dumps(values)), _KEY_DIGITS)


def describe_key(incident: Incident, rule: CorrelationRule) -> str:
    """Return the values that alerts must share, for people."""
    values = _shared_values(incident, rule) or {}
    return ", ".join(f"{name.removesuffix('?')} {' and '.join(found) or 'none'}" for name, found in values.items())


def _lookup_keys(incident: Incident, rule: CorrelationRule, settings: Correlation) -> set[str]:
    """Return the keys of incidents that correlate by ``rule``: its own, and that of version 1 if it is unambiguous.

    Version 1 stored the values without the rule, so its keys are trusted only where no other rule compares the
    same.
    """
    key = correlation_key(incident, rule)
    if key is None:
        return set()
    if any(other is not rule and other.by == rule.by for other in settings.rules):
        return {key}
    text = json.dumps(_shared_values(incident, rule), ensure_ascii=False)
    return {key, text if len(text) <= _LEGACY_MAX_KEY else digest(text, 64)}


def _shared_values(incident: Incident, rule: CorrelationRule) -> dict[str, list[str]] | None:
    """Return the compared values; ``None`` if the rule does not apply, or a required attribute has none."""
    if not rule.match.matches(incident):
        return None
    found = {name: {value.casefold() for value in _values(incident, name)} - _UNNAMED for name in rule.by}
    found = {
        name: {value for value in values if not value.startswith(_UNNAMED_SERVICE)}
        for name, values in found.items()
    }
    if not all(values or name.endswith("?") for name, values in found.items()):
        return None
    return {name: sorted(values) for name, values in found.items()}


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
    if name == "env":
        return values_of("env", incident.labels) or ((incident.env,) if incident.env else ())
    return values_of(name.removeprefix("tag:"), incident.labels)


# --- storms -----------------------------------------------------------------------------------------


class Opening(Model):
    """An alert that opened a visible incident, or joined a storm: what the storm breaker counts."""

    key: str
    at: UtcDatetime
    source: Source
    private: bool | None = None
    storm: bool = False
    drill: bool = False


def openings_of(records: Iterable[IncidentRecord]) -> list[Opening]:
    """Return the openings that the records show; an incident that is only recorded does not count."""
    return [
        Opening(
            key=record.key,
            at=at,
            source=record.source,
            private=record.private,
            storm=record.storm,
            drill=record.drill,
        )
        for record in records
        if record.visibility is not Visibility.RECORD
        for at in (record.opened_at, *record.storm_times)
    ]


def recent_openings(openings: Iterable[Opening], settings: Storm, now: datetime, signal: Signal) -> list[Opening]:
    """Return the openings within the window that count towards a storm which the alert could be part of."""
    return [
        opening
        for opening in openings
        if now - opening.at <= settings.window
        and opening.source in settings.sources
        and (opening.private, opening.drill) == (signal.private, signal.drill)
    ]


def find_storm(records: Sequence[IncidentRecord], openings: Collection[Opening]) -> IncidentRecord | None:
    """Return the current storm incident: one that was opened or joined within the window.

    :param records: the incidents that accept the alert: alive, not full, and of the same privacy.
    :param openings: the recent ones.
    """
    keys = {opening.key for opening in openings if opening.storm}
    current = (record for record in records if record.storm and record.key in keys)
    return max(current, key=lambda record: (record.opened_at, record.key), default=None)


# --- triage -----------------------------------------------------------------------------------------


def triage(signal: Signal, settings: Triage, *, severity: Severity, notifications: int) -> TriageRule:
    """Return the first matching triage rule, of the table and then of the defaults.

    A thread needs the triage channel, which is public: rules that want one are skipped while there is no channel,
    and for private alerts.

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
        and not (rule.presence is Visibility.THREAD and (settings.channel is None or signal.private))
    )


def more_visible(one: Visibility, other: Visibility) -> Visibility:
    """Return the more visible of two."""
    return max(one, other, key=_VISIBILITY_RANK.__getitem__)
