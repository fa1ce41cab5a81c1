"""The fault suite: DAG runs in trouble on order, and the matrix of what came of them.

``make test`` runs a short selection, ``make faults`` everything (``FAULTS=whole``).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import SandboxClient, SandboxServer

from ..dags.conftest import Run, use_routing, run_dag  # noqa: F401, TID252 - fixtures  # isort: skip
from .cases import Case  # isort: skip
from .real_airflow import RealAirflow, real_airflow  # isort: skip
from .running import Bench  # isort: skip

WHOLE = os.environ.get("FAULTS") == "whole"
CELL = "cell of the matrix"
COUNT = "what was counted"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "whole_suite: takes minutes; run by `make faults` alone")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take out what only `make faults` runs: it is not skipped there, and not mentioned here."""
    if not WHOLE:
        items[:] = [item for item in items if item.get_closest_marker("whole_suite") is None]


@pytest.fixture
def bench(
    *,
    run_dag: Callable[..., Run],  # noqa: F811
    slack: SandboxServer,
    control: SandboxClient,
    connect: Callable[..., Any],
    use_routing: Callable[[dict[str, Any]], None],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    """What runs a scenario with one fault in it, and tells what is wrong with the outcome."""
    return Bench(
        run_dag=run_dag,
        slack=slack,
        control=control,
        connect=connect,
        use_routing=use_routing,
        monkeypatch=monkeypatch,
    )


@pytest.fixture(scope="session")
def real(
    docker_engine: Any, tmp_path_factory: pytest.TempPathFactory, migrated_home: Callable[[Path], Path]
) -> Iterator[RealAirflow]:
    """A whole Airflow whose processes may be killed, for all tests that need one."""
    folder = tmp_path_factory.mktemp("real")
    with real_airflow(folder, migrated_home(folder / "airflow")) as running:
        yield running


@pytest.fixture
def in_matrix(record_property: Callable[[str, object], None]) -> Callable[[Case], None]:
    """Note to which cell of the matrix a test belongs."""

    def note(case: Case) -> None:
        record_property(CELL, [case.row, case.fault.name])

    return note


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Note a line for the end of the report."""
    return lambda line: record_property(COUNT, line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the matrix: a line a call, a column a fault; and what else was counted."""
    cells: dict[str, dict[str, bool]] = defaultdict(dict)
    for report, name, value in _properties(terminalreporter):
        if name == CELL:
            row, column = value
            cells[row][column] = cells[row].get(column, True) and report.passed
    if cells:
        _print_matrix(terminalreporter, cells)
    for _, name, value in _properties(terminalreporter):
        if name == COUNT:
            terminalreporter.write_line(str(value))


def _properties(terminalreporter: Any) -> Iterator[tuple[Any, str, Any]]:
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            if getattr(report, "when", None) == "call":
                for name, value in report.user_properties:
                    yield report, name, value


def _print_matrix(terminalreporter: Any, cells: dict[str, dict[str, bool]]) -> None:
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    width = max(len(row) for row in cells)
    terminalreporter.section("call x fault: + passed, X failed, blank not in this selection")
    for number, column in enumerate(columns, start=1):
        terminalreporter.write_line(f"{number:3} {column}")
    terminalreporter.write_line(" " * width + "".join(f"{number:3}" for number in range(1, len(columns) + 1)))
    signs = {True: "+", False: "X", None: " "}
    for row in sorted(cells):
        line = "".join(f"  {signs[cells[row].get(column)]}" for column in columns)
        terminalreporter.write_line(f"{row:{width}}{line}")
    results = [passed for row in cells.values() for passed in row.values()]
    terminalreporter.write_line(f"{len(results)} cases tried, {sum(results)} passed, {results.count(False)} failed")
