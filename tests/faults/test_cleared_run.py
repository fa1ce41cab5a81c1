"""A run that is cleared and repeated: the room is the same, and nothing is repeated in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .deployment import DAG_ID, Deployment, start_deployment
from .invariants import reported, violations

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.whole_suite]


@pytest.fixture
def deployment_clearing_state(
    docker_engine: Any, tmp_path: Path, migrated_home: Callable[[Path], Path]
) -> Iterator[Deployment]:
    """An Airflow that deletes the state of a task on success."""
    with start_deployment(
        tmp_path, migrated_home(tmp_path / "airflow"), AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS="True"
    ) as running:
        yield running


@pytest.mark.parametrize("fixture", ["deployment", "deployment_clearing_state"])
def test_cleared_run_repeats_nothing(
    request: pytest.FixtureRequest, report: Callable[[str], None], fixture: str
) -> None:
    deployment: Deployment = request.getfixturevalue(fixture)
    deployment.slack.workspace.reset()
    run_id = deployment.start()
    clean = deployment.wait_for_run(run_id)
    deployment.airflow.api.clear(DAG_ID, run_id)
    actual = deployment.wait_for_run(run_id)
    assert min(actual.run.tries.values()) == 2
    report(f"a run cleared and repeated ({fixture}): {len(violations(actual, clean))} violations")
    assert violations(actual, clean) == []
    assert reported(actual) == reported(clean)
