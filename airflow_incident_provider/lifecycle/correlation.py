"""Which open incident an alert of another monitor belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from airflow_incident_provider.intake.datadog.tags import values_of
from airflow_incident_provider.intake.life import Correlation
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.models import Incident

_LONGEST = 300


def correlation_key(incident: Incident, settings: Correlation) -> str | None:
    """Return what an alert must equal to belong to ``incident``; nothing if it belongs with no other.

    It holds all values of each field, in any case and order. Alerts are joined only when all of it is equal: an
    alert of two services is not joined with one of the first.
    """
    if not settings.by or incident.source not in settings.sources:
        return None
    traits = {field: sorted({value.casefold() for value in _values(incident, field)}) for field in settings.by}
    if not all(traits.values()):
        return None
    text = json.dumps(traits, ensure_ascii=False)
    return text if len(text) <= _LONGEST else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def correlated(
    key: str | None, records: Sequence[IncidentRecord], settings: Correlation, now: datetime
) -> IncidentRecord | None:
    """Return the incident that an alert with this correlation key joins: of several, the one opened last."""
    if key is None:
        return None
    fitting = (
        record
        for record in records
        if record.correlation_key == key
        and record.status in {Status.OPEN, Status.RECOVERED}
        and not (record.storm or record.is_full)
        and now - record.last_signal_at <= settings.window
    )
    return max(fitting, key=lambda record: (record.opened_at, record.key), default=None)


def _values(incident: Incident, field: str) -> Iterable[str]:
    labels = (*incident.tags, *(part.strip() for part in (incident.scope or "").split(",")))
    if field == "service":
        return incident.services
    if field == "team":
        return incident.teams
    if field == "host":
        return incident.hosts
    if field == "env":
        return values_of("env", labels) or ((incident.env,) if incident.env else ())
    return values_of(field.removeprefix("tag:"), labels)
