"""How an incident stands, in a few words: for the brief, the topic and the summary."""

from __future__ import annotations

from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.messages.turns import ordinal

_SAYS_NO_MORE_THAN_OPEN = frozenset({"active", "open"})


def status_words(record: IncidentRecord) -> str:
    """Return ``open``, ``open, third time``, ``open, stable in Datadog``, ``recovered`` or ``resolved``."""
    if record.status is Status.ARCHIVED:
        return str(Status.RESOLVED)
    if record.status is not Status.OPEN:
        return str(record.status)
    words = ["open"]
    if record.reopened:
        words.append(f"{ordinal(record.reopened + 1)} time")
    if record.source_status and record.source_status.casefold() not in _SAYS_NO_MORE_THAN_OPEN:
        words.append(f"{record.source_status} in Datadog")
    return ", ".join(words)
