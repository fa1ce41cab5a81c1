"""
A team's incident DAG with a custom probe in addition to the built-in ones: the replication lag of a database.

A custom probe is any image with any argument list, locked down like every probe; a parser turns its output into a
finding. It runs while the room is opened, and its finding is posted in the thread of the brief.
"""

from __future__ import annotations

from airflow.sdk import TriggerRule

from airflow_incident_provider.incident_dag import incident_dag
from airflow_incident_provider.models import Finding, Verdict
from airflow_incident_provider.operators import InvestigateInContainerOperator, PostThreadUpdateOperator
from airflow_incident_provider.probes import ContainerOutput

LATE_S = 60
"""Seconds that the replica may be behind."""


def replication_lag(output: ContainerOutput) -> Finding:
    """Return how far the replica is behind; an exit code or text that does not say so is unknown, and never ok."""
    said = output.stdout.decode(errors="replace").strip()
    if output.exit_code != 0 or not said.isdecimal():
        verdict, summary = Verdict.UNKNOWN, "the replica did not say how far it is behind"
    else:
        verdict = Verdict.FAIL if int(said) > LATE_S else Verdict.OK
        summary = f"the replica is {said} s behind"
    return Finding(
        probe="replication",
        target="orders",
        verdict=verdict,
        summary=summary,
        evidence=said,
        exit_code=output.exit_code,
        started_at=output.started_at,
        duration_ms=output.duration_ms,
    )


with incident_dag(
    "warehouse_incident",
    doc_md=__doc__,
    owner="warehouse",
    tags=["example"],
    routing={"defaults": {"responders": ["dana@acme.example"], "channel_prefix": "dwh", "probes": ["dns"]}},
) as dag:
    lag = InvestigateInContainerOperator(
        task_id="replication_lag",
        image="alpine:3.23",
        # In production: an image with your database's client, and a query.
        command=["echo", "97"],
        parser=replication_lag,
        network_mode="none",
    )
    tell = PostThreadUpdateOperator(
        task_id="tell_replication_lag", findings=[lag.output], trigger_rule=TriggerRule.ALL_DONE
    )
    dag.get_task("parse_incident_event") >> lag
    dag.get_task("create_war_room") >> tell >> dag.get_task("final_summary")
