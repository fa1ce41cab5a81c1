"""What Airflow loads for the events: a plugin with one listener."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from airflow_incident_provider.plugins.events import listener


class IncidentEventsPlugin(AirflowPlugin):
    """Brings the listener."""

    name = "incident_events"
    listeners = [listener]  # noqa: RUF012 - Airflow's own way of declaring them
