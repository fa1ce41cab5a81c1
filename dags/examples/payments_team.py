"""
A team's own incident DAG, made by the factory: its own people, rooms, probes and severities.

The webhook starts it for what a rule with ``dag: payments_incident`` in the platform's routing table matches;
people start it by its form, the command line or the REST API.
"""

from __future__ import annotations

from airflow_incident_provider.incident_dag import incident_dag

incident_dag(
    "payments_incident",
    doc_md=__doc__,
    owner="payments",
    tags=["example"],
    routing={
        "defaults": {
            "responders": ["dana@acme.example", "@platform-oncall"],
            "channel_prefix": "pay",
            "probes": ["dns", "http"],
            "targets": ["https://pay.acme.example/healthz"],
            "runbook": "https://wiki.acme.example/runbooks/payments",
        },
        "severity": {
            "rules": [
                {"name": "a refund can wait", "match": {"service": "refunds"}, "severity": "low"},
                {"name": "money cannot", "match": {"service": "ledger"}, "severity": "critical"},
            ]
        },
    },
)
