"""
A DAG that opens a war room when a task fails: one line in its default arguments.

Both tasks fail, and both failures are posted in one room: a run has one room.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_incident_provider.notifications.war_room import WarRoomNotifier

with DAG(
    dag_id="nightly_orders",
    description="Loads the orders of the day; a war room is opened when it fails",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["example"],
    params={"complete": Param(False, type="boolean", title="Whether all orders have arrived")},
    default_args={
        "on_failure_callback": WarRoomNotifier(
            members=["dana@acme.example", "@platform-oncall"],
            title="The orders of {{ dag_run.run_after | ds }} are not loaded",
            text="Finance closes the day at 06:00 UTC and needs them by then.",
            severity="high",
        )
    },
) as dag:

    @task
    def load_orders(params: dict[str, bool]) -> None:
        """Fail unless the orders have arrived."""
        if not params["complete"]:
            raise FileNotFoundError("orders.csv")

    @task
    def load_refunds(params: dict[str, bool]) -> None:
        """Fail unless the refunds have arrived."""
        if not params["complete"]:
            raise TimeoutError("the refunds' server did not answer; password=hunter2")

    load_orders()
    load_refunds()
