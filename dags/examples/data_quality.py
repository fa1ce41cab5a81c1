"""
A data check that opens a war room when it fails: three operators in a DAG that is not an incident DAG.

The check runs in its own container. A room is opened, and the finding posted, only if the check fails.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, TriggerRule, task

from airflow_incident_provider.operators import (
    CreateWarRoomOperator,
    InvestigateInContainerOperator,
    PostThreadUpdateOperator,
)

with DAG(
    dag_id="data_quality",
    description="Checks that the orders of the day are complete, and opens a war room when they are not",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["example"],
    params={
        "orders": Param(940, type="integer", title="Orders that arrived"),
        "expected": Param(1000, type="integer", title="Orders that were expected"),
    },
) as dag:
    check = InvestigateInContainerOperator(
        task_id="check_orders",
        image="alpine:3.23",
        # The numbers reach the container as variables: nothing of them becomes part of a command.
        command=["sh", "-c", 'echo "$ORDERS of $EXPECTED orders arrived"; [ "$ORDERS" -ge "$EXPECTED" ]'],
        environment={"ORDERS": "{{ params.orders }}", "EXPECTED": "{{ params.expected }}"},
        network_mode="none",
        # Without a Docker Engine the data cannot be checked, which is no reason to open a room.
        if_unavailable="fail",
    )

    @task.short_circuit
    def something_is_wrong(finding: dict[str, str]) -> bool:
        """Go on only when the check did not pass."""
        return finding["verdict"] != "ok"

    room = CreateWarRoomOperator(
        task_id="open_room",
        name="data-{{ dag_run.run_after | ts_nodash | lower }}",
        title="Orders are missing",
        text="{{ params.orders }} of {{ params.expected }} orders arrived.",
        members=["dana@acme.example", "@platform-oncall"],
    )
    tell = PostThreadUpdateOperator(
        task_id="tell_people",
        room=room.output,
        text="The check said: {{ ti.xcom_pull(task_ids='check_orders')['evidence'] }}",
        trigger_rule=TriggerRule.ALL_SUCCESS,
    )

    something_is_wrong(check.output) >> room >> tell
