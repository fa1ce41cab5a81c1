"""A room that misses its deadline in a running Airflow: the miss is reported, and the room opens later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from incident_sandbox import Fault
from incident_sandbox.demo.processes import wait_until

from .deployment import Deployment, start_deployment
from .invariants import reported

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.whole_suite]

DEADLINE_S = 20


@pytest.fixture
def deployment_with_deadline(
    docker_engine: Any, tmp_path: Path, migrated_home: Callable[[Path], Path]
) -> Iterator[Deployment]:
    """An Airflow with a room deadline of seconds."""
    with start_deployment(
        tmp_path, migrated_home(tmp_path / "airflow"), AIRFLOW__INCIDENT__ROOM_DEADLINE_SECONDS=str(DEADLINE_S)
    ) as running:
        yield running


def deadlines(deployment: Deployment, run_id: str) -> list[tuple[bool, str]]:
    """Return the deadlines of a run: whether it was missed, and the output of its callback."""
    query = sa.text(
        "SELECT d.missed, c.output FROM deadline d JOIN dag_run r ON r.id = d.dagrun_id"
        " JOIN callback c ON c.id = d.callback_id WHERE r.run_id = :run_id"
    )
    engine = sa.create_engine(deployment.airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.connect() as connection:
        rows: list[Any] = list(connection.execute(query, {"run_id": run_id}))
    engine.dispose()
    return [(bool(missed), str(output)) for missed, output in rows]


def test_late_room_is_reported(deployment_with_deadline: Deployment) -> None:
    """Slack requests a wait that exceeds the deadline, so the task is rescheduled for its next try."""
    deployment = deployment_with_deadline
    deployment.control.add_fault(
        Fault(method="conversations.create", status=429, headers={"Retry-After": str(DEADLINE_S + 15)})
    )
    run_id = deployment.start()
    triggerer = deployment.airflow.home.logs / "triggerer.log"
    wait_until(
        lambda: any(
            missed and "late: create_war_room is up_for_retry" in output
            for missed, output in deadlines(deployment, run_id)
        ),
        what="the deadline to be missed",
        timeout=90,
    )
    logs = [triggerer, *deployment.airflow.home.logs.rglob("*.log")]
    assert any(f"The room of {run_id} is late" in log.read_text(errors="replace") for log in logs if log.exists())
    outcome = deployment.wait_for_run(run_id)
    assert outcome.run.state == "success"
    [room] = outcome.rooms
    assert any(problem.startswith("the room is late") for problem in reported(outcome))
    assert any("the room is late" in text for key, text in room.texts.items() if key.endswith("/brief"))
