"""
The webhook: alerts reach Airflow's own API server, so no service has to run beside it.

Served under ``/incidents`` of the API server. What Datadog sends goes to ``/incidents/webhook/datadog``, an
incident in the sender's own words to ``/incidents/webhook/generic``; ``/incidents/health`` tells whether alerts can
be taken, and ``/incidents/openapi.json`` describes it all.
"""
