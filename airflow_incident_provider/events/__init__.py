"""
What a run tells the outside world of its steps: a line of JSON in the log, and what Datadog makes of it.

Pure values and functions; :mod:`airflow_incident_provider.plugins.events` observes Airflow and sends them.
"""
