"""
The webhook: alerts reach Airflow's own API server, so no service has to run beside it.

Served under ``/incidents`` of the API server: ``/incidents/webhook/datadog`` for Datadog,
``/incidents/webhook/generic`` for other senders, ``/incidents/health`` for the state of the intake, and
``/incidents/openapi.json`` for the description of these routes.
"""
