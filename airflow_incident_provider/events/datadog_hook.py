"""
Events delivered to Datadog, over Airflow's own hook: soon, or not at all.

What Datadog is told is never worth a failed or a waiting run, so no error leaves this module, one call may take
two seconds, and one delivery four. The hook raises ``KeyError`` for every refusal, and its client waits a minute
for an answer, tries again, and runs ``hostname -f`` to learn a name that nobody asked for: all three are changed.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID
from airflow_incident_provider.events.datadog import Metric, StreamEntry, metrics, stream_entry
from airflow_incident_provider.events.event import IncidentEvent

CALL_SECONDS = 2
DELIVERY_SECONDS = 4.0

REST_SECONDS = 60.0
"""How long nothing is sent after a failure: what does not work now would hold up what comes after it."""

log = logging.getLogger(__name__)


class DatadogEvents:
    """
    Where events go if there is an Airflow connection for it. Without one, nothing happens.

    :param conn_id: an Airflow connection of type ``datadog``.
    """

    def __init__(self, conn_id: str = DEFAULT_DATADOG_CONN_ID) -> None:
        self._conn_id = conn_id
        self._rests_until = 0.0

    def deliver(self, events: Iterable[IncidentEvent]) -> None:
        """Send what there is time for. The first failure ends the delivery; it is logged, and then we rest."""
        if time.monotonic() < self._rests_until:
            return
        deadline = time.monotonic() + DELIVERY_SECONDS
        try:
            hook = self._hook()
            for call in _calls(hook, events) if hook is not None else ():
                if time.monotonic() + CALL_SECONDS > deadline:
                    self._give_up("it answers too slowly")
                    return
                call()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach the run
            # Only the class: a client's message may quote the request, and the request holds the key.
            self._give_up(type(error).__name__)

    def _hook(self) -> Any:
        """Return the hook, or nothing where no connection is configured."""
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

    def _give_up(self, why: str) -> None:
        self._rests_until = time.monotonic() + REST_SECONDS
        log.warning("Datadog is not told of everything (connection %s): %s", self._conn_id, why)


def _calls(hook: Any, events: Iterable[IncidentEvent]) -> Iterator[Callable[[], Any]]:
    """Yield the calls that tell Datadog of these events."""
    for event in events:
        yield from (partial(_send_metric, hook, point) for point in metrics(event))
        yield partial(_post, hook, stream_entry(event))


def _send_metric(hook: Any, point: Metric) -> None:
    # The client calls a count an increment over an interval; without the interval Datadog cannot draw it.
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
