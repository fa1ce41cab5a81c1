"""
From an alert to a staffed Slack war room with evidence in it: the seven steps of an incident's first minutes.

Start it with Airflow's REST API, the trigger form in its UI, ``airflow dags test`` or ``airflow incident trigger``.
The conf is a Datadog payload as ``{"datadog": {...}}``, or an incident in your own words.
"""

from __future__ import annotations

from airflow_incident_provider.incident_dag import incident_dag

# Airflow looks for DAGs in files that contain the words "airflow" and "dag".
dag = incident_dag("incident_response", doc_md=__doc__)
