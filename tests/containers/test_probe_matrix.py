"""The built-in probes in healthy but unusual, broken and unreachable environments.

A selection; ``python -m benchmarks.probes`` runs all of them and prints the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.probes.environments import Environment, Group
from benchmarks.probes.lab import Lab, lab
from benchmarks.probes.matrix import ENVIRONMENTS, Result

pytestmark = pytest.mark.docker

QUICK = [each for each in ENVIRONMENTS if each.quick]


@pytest.fixture(scope="module")
def running_lab(docker_engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(Path(tmp_path_factory.mktemp("lab"))) as running_lab:
        yield running_lab


@pytest.mark.parametrize("environment", QUICK, ids=lambda each: f"{each.group}: {each.name}")
def test_environment(running_lab: Lab, environment: Environment) -> None:
    result = Result(environment, environment.make(running_lab).result(running_lab))
    assert result.problems == []


def test_matrix_has_enough_environments() -> None:
    groups = [each.group for each in ENVIRONMENTS]
    assert len(groups) == len({(each.group, each.name) for each in ENVIRONMENTS})
    assert len(groups) >= 80
    assert groups.count(Group.HEALTHY) >= 30
    assert groups.count(Group.BROKEN) >= 30
