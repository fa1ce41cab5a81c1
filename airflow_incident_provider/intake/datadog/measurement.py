"""What a monitor measured, as its status text and its query say it."""

from __future__ import annotations

import re

from airflow_incident_provider.intake.bounds import MAX_NAME, MAX_QUERY, bounded_line
from airflow_incident_provider.intake.flags import Flags
from airflow_incident_provider.models import Measurement

_NUMBER = r"-?\d{1,20}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,3})?(?: ?%)?"
_COMPARED = re.compile(rf"(>=|<=|==|!=|>|<)\s*({_NUMBER})")
_VALUE = re.compile(rf"\bvalue(?:\s+(?:is|was|of))?\s*[:=]?\s*({_NUMBER})", re.IGNORECASE)
_WINDOW = re.compile(
    r"\b(?:during|over|in) the (?:last|past) (\d{1,6} ?(?:seconds?|minutes?|hours?|days?|weeks?|[smhdw])\b)",
    re.IGNORECASE,
)
_QUERY_WINDOW = re.compile(r"\(last_(\d{1,6}[smhdw])\)")
_QUERY_COMPARED = re.compile(rf"(>=|<=|==|!=|>|<)\s*({_NUMBER})\s*$")
_MAX_READ = 5000


def read_measurement(metric: str | None, query: str | None, status: str, *, flags: Flags) -> Measurement | None:
    """Return what was measured, or nothing without a metric or query.

    The status says what happened; the query fills in what it leaves out, for it tells what the monitor watches.

    :param status: the monitor's status or the event's text, as plain text.
    """
    if metric is None and query is None:
        return None
    said, asked = status[:_MAX_READ], (query or "")[-_MAX_READ:]
    compared = _COMPARED.search(said) or _QUERY_COMPARED.search(asked)
    value = _VALUE.search(said)
    window = _WINDOW.search(said) or _QUERY_WINDOW.search(asked)
    return Measurement(
        metric=bounded_line(metric or "query", MAX_NAME, field="alert.metric", flags=flags),
        query=bounded_line(query, MAX_QUERY, field="alert.query", flags=flags) if query else None,
        value=value[1] if value else None,
        comparison=compared[1] if compared else None,
        threshold=compared[2] if compared else None,
        window=window[1] if window else None,
    )
