"""Priority weights of the tasks of a run, by step and severity."""

from __future__ import annotations

import pytest

from airflow_incident_provider.cli.database_airflow import DatabaseAirflow
from airflow_incident_provider.incident_dag import ROOM_FIRST


def weights(run_id: str) -> dict[str, int]:
    """Return the priority weights in Airflow's database by task ID."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        rows = session.execute(
            select(TaskInstance.task_id, TaskInstance.priority_weight).where(TaskInstance.run_id == run_id)
        )
        return {row.task_id: row.priority_weight for row in rows}


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(("severity", "bonus"), [("critical", 400), ("low", 100)])
def test_task_weights_include_the_severity(severity: str, bonus: int) -> None:
    conf = {"title": f"Orders are late, {severity}", "severity": severity}
    task_weights = weights(DatabaseAirflow().start("incident_response", conf, run_id=None).run_id)
    assert task_weights["create_war_room"] == ROOM_FIRST + 4 + bonus
    assert task_weights["final_summary"] == 4 + bonus
