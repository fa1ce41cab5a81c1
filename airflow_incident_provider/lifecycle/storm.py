"""
The storm breaker: too many new incidents become one.

The rule: when ``threshold - 1`` alerts within the window before have opened an incident or joined the storm, the
next alert that would open one joins the storm incident; the first of them opens it. So no window sees more than
``threshold`` new incidents, and the storm ends by itself when fewer alerts come.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from airflow_incident_provider.intake.policies import Presence, Storm
from airflow_incident_provider.lifecycle.records import IncidentRecord


def newcomers(records: Sequence[IncidentRecord], settings: Storm, now: datetime) -> int:
    """Return how many alerts within the window opened an incident or joined the storm."""
    return sum(
        sum(now - at <= settings.window for at in (record.opened_at, *record.storm_times))
        for record in records
        if record.presence is not Presence.RECORD and record.source in settings.sources
    )


def current_storm(records: Sequence[IncidentRecord], settings: Storm, now: datetime) -> IncidentRecord | None:
    """Return the storm incident that is going on: one that was opened or joined within the window.

    :param records: the incidents that can take in alerts at all: alive, and not full.
    """
    going_on = (
        record
        for record in records
        if record.storm and now - max((record.opened_at, *record.storm_times)) <= settings.window
    )
    return max(going_on, key=lambda record: (record.opened_at, record.key), default=None)
