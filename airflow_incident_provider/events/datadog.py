"""
Send incident events to Datadog: metrics to graph and alert on, and entries in the event stream.

Metrics carry few tags, and neither incident key nor run id: Datadog bills each combination of tags as a time
series. The event stream groups the entries of one incident by their aggregation key. No entry quotes the alert.

Delivery is best effort. It never fails or delays a run: :meth:`DatadogEvents.deliver` raises nothing, a call
takes at most two seconds and a delivery at most four. Airflow's hook raises ``KeyError`` for every rejected
request, and its client by default waits a minute for a response, retries, and runs ``hostname -f``; all three are
overridden.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID
from airflow_incident_provider.events.event import EventKind, IncidentEvent
from airflow_incident_provider.exceptions import IncidentError

AGGREGATION_KEY_LIMIT = 100
"""Maximum length of an aggregation key in Datadog's events API, in characters."""

CALL_SECONDS = 2
DELIVERY_SECONDS = 4.0

PAUSE_SECONDS = 60.0
"""How long nothing is sent after a failure, so that an unreachable Datadog does not delay later steps."""

AlertType = Literal["info", "success", "warning", "error"]
Priority = Literal["normal", "low"]

log = logging.getLogger(__name__)


class MetricsNotSentError(IncidentError):
    """Metrics that a person asked to send did not reach Datadog."""


@dataclass(frozen=True)
class Metric:
    """A point of a metric. Durations are in seconds."""

    name: str
    value: float
    tags: tuple[str, ...]
    kind: Literal["gauge", "count"] = "gauge"


@dataclass(frozen=True)
class StreamEntry:
    """An entry of Datadog's event stream. ``happened_at`` is POSIX time in seconds."""

    title: str
    text: str
    aggregation_key: str | None
    alert_type: AlertType
    priority: Priority
    happened_at: int
    tags: tuple[str, ...]


def metrics(event: IncidentEvent) -> tuple[Metric, ...]:
    """Return the metric points of an event; a step that has only started has none."""
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
    """Return the event stream entry of an event."""
    return StreamEntry(
        title=f"Incident {event.key or 'not parsed yet'}: {_headline(event)}",
        text=_text(event),
        aggregation_key=event.key[:AGGREGATION_KEY_LIMIT] if event.key else None,
        alert_type=_alert_type(event),
        # People look for failures and results; the rest has low priority, which the stream hides by default.
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


def _headline(event: IncidentEvent) -> str:
    match event.event:
        case EventKind.STEP_RUNNING:
            return f"{event.step} is running"
        case EventKind.STEP_COMPLETE:
            return f"{event.step} is complete"
        case EventKind.STEP_FAILED:
            return f"{event.step} failed{', will be retried' if event.state == 'up_for_retry' else ''}"
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


class DatadogEvents:
    """
    Deliver events over Airflow's Datadog hook. Without a Datadog connection, do nothing.

    :param conn_id: an Airflow connection of type ``datadog``.
    """

    def __init__(self, conn_id: str = DEFAULT_DATADOG_CONN_ID) -> None:
        self._conn_id = conn_id
        self._paused_until = 0.0

    def deliver(self, events: Iterable[IncidentEvent]) -> None:
        """Send as many events as time allows. The first failure is logged and pauses delivery."""
        if time.monotonic() < self._paused_until:
            return
        try:
            hook = self._hook()
            # From here on: importing the client says nothing about the speed of responses.
            deadline = time.monotonic() + DELIVERY_SECONDS
            for call in _calls(hook, events) if hook is not None else ():
                if time.monotonic() + CALL_SECONDS > deadline:
                    self._pause("responses are too slow")
                    return
                call()
        except Exception as error:  # noqa: BLE001 - no error may reach the run
            # Only the class name: a client's message may quote the request, which contains the API key.
            self._pause(type(error).__name__)

    def send(self, points: Sequence[Metric]) -> None:
        """Send metric points in one call, at a person's request.

        :raises MetricsNotSentError: there is no connection, or Datadog does not accept them.
        """
        try:
            hook = self._hook()
            if hook is None:
                raise MetricsNotSentError(f"There is no Airflow connection {self._conn_id!r}.")
            from datadog.api.metrics import Metric as MetricApi

            now = time.time()
            series = [
                {"metric": point.name, "points": [(now, point.value)], "type": point.kind, "tags": list(point.tags)}
                for point in points
            ]
            hook.validate_response(MetricApi.send(series))
        except MetricsNotSentError:
            raise
        except Exception as error:  # noqa: BLE001 - only the class name, as above
            raise MetricsNotSentError(f"Datadog did not accept the metrics: {type(error).__name__}.") from None

    def _hook(self) -> Any:
        """Return the hook, or ``None`` if the connection does not exist."""
        from airflow.sdk import BaseHook
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            BaseHook.get_connection(self._conn_id)
        except AirflowNotFoundException:
            return None
        from airflow.providers.datadog.hooks.datadog import DatadogHook
        from datadog import api

        api._host_name = api._host_name or socket.gethostname()
        api._timeout = CALL_SECONDS
        api._max_retries = 0
        return DatadogHook(datadog_conn_id=self._conn_id)

    def _pause(self, reason: str) -> None:
        self._paused_until = time.monotonic() + PAUSE_SECONDS
        log.warning("Events were not sent to Datadog (connection %s): %s", self._conn_id, reason)


def _calls(hook: Any, events: Iterable[IncidentEvent]) -> Iterator[Callable[[], Any]]:
    """Yield one call for each metric point and stream entry."""
    for event in events:
        yield from (partial(_send_metric, hook, point) for point in metrics(event))
        yield partial(_post, hook, stream_entry(event))


def _send_metric(hook: Any, point: Metric) -> None:
    # A count is an increment over an interval; without an interval Datadog cannot graph it.
    interval = 1 if point.kind == "count" else None
    hook.send_metric(point.name, point.value, tags=list(point.tags), type_=point.kind, interval=interval)


def _post(hook: Any, entry: StreamEntry) -> None:
    hook.post_event(
        entry.title,
        entry.text,
        aggregation_key=entry.aggregation_key,
        alert_type=entry.alert_type,
        date_happened=entry.happened_at,
        priority=entry.priority,
        tags=list(entry.tags),
    )
