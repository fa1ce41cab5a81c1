"""Which open incident an alert of another monitor belongs to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_incident_provider.intake.datadog.payload import values_of
from airflow_incident_provider.intake.policies import Correlation, CorrelationRule
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.models import Incident
from airflow_incident_provider.text import digest

_LONGEST = 300


@dataclass(frozen=True)
class Kinship:
    """An incident that an alert belongs to, by which rule, and what they have in common."""

    record: IncidentRecord
    rule: CorrelationRule
    key: str


def correlation_keys(incident: Incident, settings: Correlation) -> tuple[str, ...]:
    """Return what an alert must have one of to belong to ``incident``: a key for each rule that applies to it."""
    keys = (_key(incident, rule) for rule in settings.rules)
    return tuple(dict.fromkeys(key for key in keys if key is not None))


def correlated(
    incident: Incident, records: Sequence[IncidentRecord], settings: Correlation, now: datetime
) -> Kinship | None:
    """Return the incident that an alert joins: by the first rule that finds one, and of several the latest.

    :param records: the incidents that can take in alerts at all: alive, and not full.
    """
    for rule in settings.rules:
        key = _key(incident, rule)
        fitting = (record for record in records if key in record.correlation_keys and _takes(record, rule, now))
        record = max(fitting, key=lambda record: (record.opened_at, record.key), default=None)
        if key is not None and record is not None:
            return Kinship(record=record, rule=rule, key=key)
    return None


def _takes(record: IncidentRecord, rule: CorrelationRule, now: datetime) -> bool:
    """Return whether an incident is fresh; a storm has nothing that an alert could have in common with it."""
    return not record.storm and now - record.last_signal_at <= rule.window


def _key(incident: Incident, rule: CorrelationRule) -> str | None:
    """Return what equal alerts have in common, or nothing if the rule does not apply.

    It holds all values of each thing compared, in any case and order: an alert of two services is not equal to one
    of the first.
    """
    if not rule.match.matches(incident):
        return None
    traits = {name: sorted({value.casefold() for value in _values(incident, name)}) for name in rule.by}
    if not all(values or name.endswith("?") for name, values in traits.items()):
        return None
    text = json.dumps(traits, ensure_ascii=False)
    return text if len(text) <= _LONGEST else digest(text, 64)


def _values(incident: Incident, trait: str) -> Iterable[str]:
    name = trait.removesuffix("?")
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
