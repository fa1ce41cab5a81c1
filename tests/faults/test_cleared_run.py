"""A run that is cleared as a whole and done again: the room is the same, and nothing in it is repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .invariants import reported, violations  # isort: skip
from .real_airflow import DAG_ID, RealAirflow, real_airflow  # isort: skip

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.whole_suite]


@pytest.fixture
def forgetful(docker_engine: Any, tmp_path: Path, migrated_home: Callable[[Path], Path]) -> Iterator[RealAirflow]:
    """An Airflow that forgets the state of a task with its success."""
    with real_airflow(
        tmp_path, migrated_home(tmp_path / "airflow"), AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS="True"
    ) as running:
        yield running


@pytest.mark.parametrize("airflow", ["real", "forgetful"])
def test_nothing_is_repeated(request: pytest.FixtureRequest, counted: Callable[[str], None], airflow: str) -> None:
    house: RealAirflow = request.getfixturevalue(airflow)
    house.slack.workspace.reset()
    run_id = house.start()
    clean = house.finish(run_id)
    house.airflow.api.clear(DAG_ID, run_id)
    seen = house.finish(run_id)
    assert min(seen.run.tries.values()) == 2
    counted(f"a whole run cleared and done again ({airflow} Airflow): {len(violations(seen, clean))} things wrong")
    assert violations(seen, clean) == []
    assert reported(seen) == reported(clean)
