"""A room that is not up in time, in a real Airflow: the missed deadline is reported, and the room opens later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from incident_sandbox import Fault
from incident_sandbox.demo.processes import wait_until

from .invariants import reported  # isort: skip
from .real_airflow import RealAirflow, real_airflow  # isort: skip

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.whole_suite]

PROMISED_S = 20


@pytest.fixture
def promising(docker_engine: Any, tmp_path: Path, migrated_home: Callable[[Path], Path]) -> Iterator[RealAirflow]:
    """An Airflow that promises a room within seconds."""
    with real_airflow(
        tmp_path, migrated_home(tmp_path / "airflow"), AIRFLOW__INCIDENT__ROOM_DEADLINE_SECONDS=str(PROMISED_S)
    ) as running:
        yield running


def deadlines(real: RealAirflow, run_id: str) -> list[tuple[bool, str]]:
    """Return the deadlines of a run: whether it was missed, and what its callback found."""
    query = sa.text(
        "SELECT d.missed, c.output FROM deadline d JOIN dag_run r ON r.id = d.dagrun_id"
        " JOIN callback c ON c.id = d.callback_id WHERE r.run_id = :run_id"
    )
    engine = sa.create_engine(real.airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.connect() as connection:
        rows: list[Any] = list(connection.execute(query, {"run_id": run_id}))
    engine.dispose()
    return [(bool(missed), str(output)) for missed, output in rows]


def test_room_that_is_late(promising: RealAirflow) -> None:
    """Slack asks for patience: the task waits for its next try, and no worker with it; so the promise is broken."""
    real = promising
    real.control.add_fault(
        Fault(method="conversations.create", status=429, headers={"Retry-After": str(PROMISED_S + 15)})
    )
    run_id = real.start()
    triggerer = real.airflow.home.logs / "triggerer.log"
    wait_until(
        lambda: any(
            missed and "late: create_war_room is up_for_retry" in said for missed, said in deadlines(real, run_id)
        ),
        what="the deadline to be missed",
        timeout=90,
    )
    logs = [triggerer, *real.airflow.home.logs.rglob("*.log")]
    assert any(f"The room of {run_id} is late" in log.read_text(errors="replace") for log in logs if log.exists())
    seen = real.finish(run_id)
    assert seen.run.state == "success"
    [room] = seen.rooms
    assert any(what.startswith("the room is late") for what in reported(seen))
    assert any("the room is late" in text for key, text in room.texts.items() if key.endswith("/brief"))
