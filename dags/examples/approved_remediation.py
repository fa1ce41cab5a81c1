"""
A remediation that a person approves: a war room is opened, Airflow asks for approval, the room gets the answer.

The approval waits in Airflow under *Required Actions* without occupying a worker. No answer within half an hour
counts as a rejection.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, TriggerRule, task

from airflow_incident_provider.operators import CreateWarRoomOperator, PostThreadUpdateOperator

with DAG(
    dag_id="approved_remediation",
    description="Restarts a service once a person has approved it, and posts the answer to the room",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["example"],
    params={"service": Param("checkout", type="string", pattern="^[a-z][a-z0-9-]{0,40}$", title="Service")},
) as dag:
    room = CreateWarRoomOperator(
        task_id="open_room",
        name="restart-{{ params.service }}-{{ dag_run.run_after | ts_nodash | lower }}",
        title="{{ params.service }} hangs",
        text="A restart has helped before. It drops the carts of those who are paying just now.",
        members=["dana@acme.example", "@platform-oncall"],
    )
    question = PostThreadUpdateOperator(
        task_id="tell_question",
        room=room.output,
        text="Restart {{ params.service }}? Airflow waits for the answer: Browse, Required Actions.",
    )
    approval = ApprovalOperator(
        task_id="may_we_restart",
        subject="Restart {{ params.service }}?",
        body="It drops the carts of those who are paying just now.",
        defaults="Reject",
        response_timeout=timedelta(minutes=30),
    )

    @task
    def restart(params: dict[str, str]) -> str:
        """Restart the service; put what does it here."""
        return f"{params['service']} was restarted"

    # A rejection skips what comes next, but not what comes after it.
    done = restart()
    answer = PostThreadUpdateOperator(
        task_id="tell_answer",
        room=room.output,
        text=(
            "{% set answer = ti.xcom_pull(task_ids='may_we_restart') %}"
            "{% set done = ti.xcom_pull(task_ids='restart') %}"
            "{% if not answer %}Not approved: nothing was changed."
            "{% else %}Approved by {{ (answer.responded_by_user or {}).name or 'an unknown user' }}: "
            "{{ done or 'but the restart failed; see the log in Airflow' }}.{% endif %}"
        ),
        trigger_rule=TriggerRule.ALL_DONE,
    )

    room >> question >> approval >> done >> answer
