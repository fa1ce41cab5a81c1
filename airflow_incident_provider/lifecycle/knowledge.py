"""Which incidents know an alert, and as what."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_incident_provider.lifecycle.records import AlertState, IncidentRecord, Status
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.lifecycle.size import condensed_group, condensed_key


def knowing(records: Sequence[IncidentRecord], signal: Signal) -> list[IncidentRecord]:
    """Return the incidents that know the signal's alert, and then those that know another cycle of it.

    Archived ones are left out: nobody is in their rooms. The order of ``records`` is kept otherwise.
    """
    living = [record for record in records if record.status is not Status.ARCHIVED]
    by_key = [record for record in living if knows_alert(record, signal)]
    by_group = [record for record in living if not knows_alert(record, signal) and _knows_group(record, signal)]
    return [*by_key, *by_group]


def knows_alert(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether the alert is one of the incident's, in full or condensed."""
    name = condensed_key(signal.group, signal.alert_key)
    return signal.alert_key in record.alerts or name in record.condensed


def is_firing(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether the incident has the alert itself, not another cycle of it, firing."""
    alert = record.alerts.get(signal.alert_key)
    if alert is not None:
        return alert.firing
    return record.condensed.get(condensed_key(signal.group, signal.alert_key)) is not None


def has_firing(record: IncidentRecord, signal: Signal) -> bool:
    """Return whether a recovery would end anything in the incident."""
    prefix = condensed_group(signal.group)
    condensed = any(name.startswith(prefix) and severity is not None for name, severity in record.condensed.items())
    return condensed or any(is_ended_by(alert, signal) for alert in record.alerts.values())


def is_ended_by(alert: AlertState, signal: Signal) -> bool:
    """Return whether a recovery is about ``alert``, and not older than what is known of it."""
    return alert.firing and alert.group == signal.group and alert.last_at <= signal.incident.occurred_at


def _knows_group(record: IncidentRecord, signal: Signal) -> bool:
    prefix = condensed_group(signal.group)
    in_full = any(alert.group == signal.group for alert in record.alerts.values())
    return in_full or any(name.startswith(prefix) for name in record.condensed)
