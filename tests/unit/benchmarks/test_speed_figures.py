"""The figures that the benchmark prints, held against sums done by hand."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, which no installed package holds."""
    monkeypatch.syspath_prepend(str(ROOT))
    yield importlib.import_module("benchmarks.speed.figures")
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("values", "median", "p95"),
    [([3.0], 3.0, 3.0), ([1.0, 2.0], 1.5, 2.0), ([float(n) for n in range(1, 21)], 10.5, 19.0)],
)
def test_percentile_is_a_value_that_was_measured(
    figures: Any, values: list[float], median: float, p95: float
) -> None:
    spread = figures.Spread.of([None, *reversed(values)])
    assert (spread.median, spread.p95, len(spread.values)) == (median, p95, len(values))


def test_ratios_are_those_of_the_medians(figures: Any) -> None:
    times = figures.Times
    results = {
        "slow": [times(room=4.0, evidence=6.0, summary=8.0), times(room=6.0, evidence=6.0, summary=8.0)],
        "floor": [times(room=2.0, evidence=3.0, summary=4.0)],
    }
    table = figures.comparison(results, against=["floor"])
    ratios = table.splitlines()[-1].split()
    assert ratios == ["slow", "2.50", "2.00", "2.00"]


def test_missing_moments_count_as_missing(figures: Any) -> None:
    times = figures.Times(room=1.0, evidence=None, summary=None)
    assert not times.complete
    assert "nan" in figures.comparison({"broken": [times]}, against=[])
