"""What the monitoring knows about an incident: checks, the service graph, and hypotheses that abstain.

Nothing in here imports Airflow or does input or output: :mod:`airflow_incident_provider.datadog` calls the API.
"""
