"""The log that events are written to."""

from __future__ import annotations

import logging

from airflow_incident_provider.events.event import IncidentEvent

LOGGER = "airflow_incident_provider.events"

_log = logging.getLogger(LOGGER)


def tell_log(event: IncidentEvent) -> None:
    """Write an event as one line of JSON."""
    _log.info("%s", event.log_line())
