"""
Events of an incident's run: a JSON line in the log, and metrics and stream entries in Datadog.

:mod:`airflow_incident_provider.plugins.events` listens to Airflow and reports them.
"""
