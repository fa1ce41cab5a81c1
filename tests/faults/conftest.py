"""Fixtures of the fault suite, and the report with the matrix of its results.

``make test`` runs a selection, ``make faults`` everything (``FAULTS=whole``).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import SandboxClient, SandboxServer

from ..dags.conftest import Run, run_dag, use_routing  # noqa: F401 - fixtures
from .cases import Case
from .deployment import Deployment, start_deployment
from .scenarios import ScenarioRunner

WHOLE = os.environ.get("FAULTS") == "whole"
CELL = "matrix_cell"
REPORT_LINE = "report_line"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "whole_suite: takes minutes; run only by `make faults`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Remove the tests that only `make faults` runs, instead of skipping them."""
    if not WHOLE:
        items[:] = [item for item in items if item.get_closest_marker("whole_suite") is None]


@pytest.fixture
def runner(
    *,
    run_dag: Callable[..., Run],  # noqa: F811
    slack: SandboxServer,
    control: SandboxClient,
    connect: Callable[..., Any],
    use_routing: Callable[[dict[str, Any]], None],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> ScenarioRunner:
    """A runner of scenarios with faults."""
    return ScenarioRunner(
        run_dag=run_dag,
        slack=slack,
        control=control,
        connect=connect,
        use_routing=use_routing,
        monkeypatch=monkeypatch,
    )


@pytest.fixture(scope="session")
def deployment(
    docker_engine: Any, tmp_path_factory: pytest.TempPathFactory, migrated_home: Callable[[Path], Path]
) -> Iterator[Deployment]:
    """A running Airflow whose processes may be killed."""
    folder = tmp_path_factory.mktemp("deployment")
    with start_deployment(folder, migrated_home(folder / "airflow")) as running:
        yield running


@pytest.fixture
def record_cell(record_property: Callable[[str, object], None]) -> Callable[[Case], None]:
    """Return a function that records the cell of the matrix to which a test belongs."""

    def record(case: Case) -> None:
        record_property(CELL, [case.row, case.fault.name])

    return record


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that records a line for the end of the report."""
    return lambda line: record_property(REPORT_LINE, line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the matrix, with a row for each call and a column for each fault, and the recorded lines."""
    cells: dict[str, dict[str, bool]] = defaultdict(dict)
    for report, name, value in _properties(terminalreporter):
        if name == CELL:
            row, column = value
            cells[row][column] = cells[row].get(column, True) and report.passed
    if cells:
        _print_matrix(terminalreporter, cells)
    for _, name, value in _properties(terminalreporter):
        if name == REPORT_LINE:
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
    terminalreporter.write_line(f"{len(results)} cases, {sum(results)} passed, {results.count(False)} failed")
