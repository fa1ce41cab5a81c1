"""
An event as Datadog has it: metrics to draw and alert on, and an entry in the event stream.

Metrics carry few tags, and neither key nor run: each combination of tags is a time series that is paid for. The
event stream folds the entries of one incident by their aggregation key. Nothing here quotes the alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airflow_incident_provider.events.event import EventKind, IncidentEvent

AGGREGATION_KEY_LIMIT = 100
"""Characters that Datadog's events API takes as an aggregation key."""

AlertType = Literal["info", "success", "warning", "error"]
Priority = Literal["normal", "low"]


@dataclass(frozen=True)
class Metric:
    """One point of a metric. Durations are in seconds."""

    name: str
    value: float
    tags: tuple[str, ...]
    kind: Literal["gauge", "count"] = "gauge"


@dataclass(frozen=True)
class StreamEntry:
    """One entry of Datadog's event stream. ``happened_at`` is POSIX time in seconds."""

    title: str
    text: str
    aggregation_key: str | None
    alert_type: AlertType
    priority: Priority
    happened_at: int
    tags: tuple[str, ...]


def metrics(event: IncidentEvent) -> tuple[Metric, ...]:
    """Return the points that an event adds to the metrics; none for a step that has only begun."""
    tags = _tags(event)
    if event.event is EventKind.WORKFLOW_COMPLETE:
        durations = {
            "incident.workflow.duration": event.duration_ms,
            "incident.time_to_room": event.time_to_room_ms,
            "incident.time_to_first_evidence": event.time_to_first_evidence_ms,
            "incident.time_to_summary": event.time_to_summary_ms,
        }
    else:
        durations = {"incident.step.duration": event.duration_ms}
    points = [Metric(name, ms / 1000, tags) for name, ms in durations.items() if ms is not None]
    if event.event is EventKind.STEP_FAILED:
        points.append(Metric("incident.step.failed", 1, tags, "count"))
    return tuple(points)


def stream_entry(event: IncidentEvent) -> StreamEntry:
    """Return the entry that an event makes in the event stream."""
    return StreamEntry(
        title=f"Incident {event.key or 'not read yet'}: {_what(event)}",
        text=_text(event),
        aggregation_key=event.key[:AGGREGATION_KEY_LIMIT] if event.key else None,
        alert_type=_alert_type(event),
        # What a person looks for are failures and ends; the rest is there for whoever asks for it.
        priority="normal" if event.event in (EventKind.STEP_FAILED, EventKind.WORKFLOW_COMPLETE) else "low",
        happened_at=int(event.at.timestamp()),
        tags=(*_tags(event), f"event:{event.event}", *([f"incident:{event.key}"] if event.key else [])),
    )


def _tags(event: IncidentEvent) -> tuple[str, ...]:
    named = {
        "dag_id": event.dag_id,
        "step": event.step,
        "state": event.state,
        "severity": event.severity,
        "outcome": event.outcome,
    }
    return tuple(f"{name}:{value}" for name, value in named.items() if value is not None)


def _what(event: IncidentEvent) -> str:
    match event.event:
        case EventKind.STEP_RUNNING:
            return f"{event.step} is running"
        case EventKind.STEP_COMPLETE:
            return f"{event.step} is complete"
        case EventKind.STEP_FAILED:
            return f"{event.step} failed{', will be tried again' if event.state == 'up_for_retry' else ''}"
        case EventKind.WORKFLOW_COMPLETE:
            return f"the run is complete: {event.outcome or event.state}"


def _text(event: IncidentEvent) -> str:
    named = {
        "DAG": event.dag_id,
        "run": event.run_id,
        "map index": event.map_index,
        "try": event.try_number,
        "duration": _seconds(event.duration_ms),
        "time to room": _seconds(event.time_to_room_ms),
        "time to first evidence": _seconds(event.time_to_first_evidence_ms),
        "error": event.error,
    }
    return "\n".join(f"{name}: {value}" for name, value in named.items() if value is not None)


def _seconds(ms: int | None) -> str | None:
    return None if ms is None else f"{ms / 1000:.1f} s"


def _alert_type(event: IncidentEvent) -> AlertType:
    if event.event is EventKind.STEP_FAILED or event.state == "failed":
        return "warning" if event.state == "up_for_retry" else "error"
    return "success" if event.event is EventKind.WORKFLOW_COMPLETE else "info"
