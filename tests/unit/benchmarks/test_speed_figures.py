"""Compare the figures of the speed benchmark with expected values."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import the benchmark modules, which belong to no installed package."""
    monkeypatch.syspath_prepend(str(ROOT))
    names = ("figures", "results", "tables")
    yield SimpleNamespace(**{name: importlib.import_module(f"benchmarks.speed.{name}") for name in names})
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        del sys.modules[name]


@pytest.fixture
def results(speed: Any, tmp_path: Path) -> Any:
    return speed.results.Results(tmp_path / "new" / "results.jsonl")


def incident(results: Any, contender: str, *times: float | None, **extra: Any) -> None:
    room, evidence, summary = times
    fields = {
        "room": room,
        "evidence": evidence,
        "summary": summary,
        "load": 0.5,
        "calls": 2,
        "called": "2 api.test",
    }
    results.add("incident", contender=contender, **fields, **extra)


def cells(text: str, row: str) -> list[str]:
    """Return the cells of the first table row that begins with this text."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {row}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("values", "median", "p95"),
    [([3.0], 3.0, 3.0), ([1.0, 2.0], 1.5, 2.0), ([float(n) for n in range(1, 21)], 10.5, 19.0)],
)
def test_percentile_is_a_measured_value(speed: Any, values: list[float], median: float, p95: float) -> None:
    spread = speed.figures.Spread.of([None, *reversed(values)])
    assert (spread.median, spread.p95, len(spread.values)) == (median, p95, len(values))


def test_ratios_compare_medians(speed: Any, results: Any) -> None:
    incident(results, "a", 2.0, 3.0, 4.0)
    incident(results, "c", 4.0, 6.0, 8.0)
    incident(results, "c", 6.0, 6.0, 8.0)
    text = speed.tables.report(results)
    assert cells(text, "c: stock")[1:] == ["5.00", "6.00", "6.00", "6.00", "8.00", "8.00", "2", "0.5"]
    ratios = cells(text, "a : c")
    assert [cell.split()[0] for cell in ratios[1:]] == ["0.40", "0.50", "0.50"]
    assert "at most 0.5 wanted" in ratios[1]


def test_drift_of_the_script_is_reported(speed: Any, results: Any) -> None:
    incident(results, "d", 1.0, 2.0, 3.0, share=0)
    incident(results, "d", 1.0, 2.0, 4.5, share=1)
    results.add("loaded", seconds=0.25)
    text = speed.tables.report(results)
    assert "3.00, 4.50 s." in text
    assert "imports are 0.25 s" in text


def test_missing_times_are_nan(speed: Any, results: Any) -> None:
    incident(results, "a", 1.0, None, None)
    assert cells(speed.tables.report(results), "a: this")[1:4] == ["1.00", "1.00", "nan"]


def test_burst_table_compares_severities(speed: Any, results: Any) -> None:
    for severity, room in (("critical", 2.0), ("critical", 4.0), ("low", 3.0), ("low", 14.0)):
        results.add("burst", count=4, severity=severity, room=room, evidence=20.0, summary=30.0, load=1.0)
    text = speed.tables.report(results)
    assert cells(text, "4 | critical")[2:] == ["2", "3.0", "4.0", "30.0", "30.0"]
    assert "with 4 at once 3.5 times" in text


def test_directory_and_resolution_tables(speed: Any, results: Any) -> None:
    results.add("refresh", members=9, seconds=2.0, calls="1 users.list")
    results.add(
        "resolution", case="a name", seconds=[0.5, 0.25], mebibytes=7.0, calls="no call", outcome="resolved"
    )
    results.add("match", query="a typo", ms=[1.0, 2.0, 4.0], outcome="resolved: Alice", members=9)
    text = speed.tables.report(results)
    assert cells(text, "a name")[1:] == ["0.38", "0.50", "2", "7", "no call", "resolved"]
    assert cells(text, "a typo")[1:5] == ["2.0", "4.0", "4.0", "3"]


def test_results_survive_an_interrupted_run(speed: Any, results: Any, tmp_path: Path) -> None:
    results.add("match", query="a typo", ms=[1.0])
    reopened = speed.results.Results(tmp_path / "new" / "results.jsonl")
    assert reopened.of("match", query="a typo")[0]["ms"] == [1.0]
    reopened.forget()
    assert not speed.results.Results(tmp_path / "new" / "results.jsonl").of("match")


def test_report_without_results_is_empty(speed: Any, results: Any) -> None:
    assert speed.tables.report(results) == ""


def test_tables_of_the_page_are_replaced(speed: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{speed.tables.BEGIN}\nold\n{speed.tables.END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        speed.tables.write_into(page, "new")
    assert page.read_text(encoding="utf-8").split() == [
        "before", *speed.tables.BEGIN.split(), "new", *speed.tables.END.split(), "after"
    ]  # fmt: skip


def test_page_without_markers_is_unchanged(speed: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("words", encoding="utf-8")
    with pytest.raises(ValueError, match="has no lines"):
        speed.tables.write_into(page, "new")
    assert page.read_text(encoding="utf-8") == "words"
