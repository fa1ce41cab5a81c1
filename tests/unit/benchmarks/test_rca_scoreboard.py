"""Run the root-cause scoreboard on a small data set of the same format."""

from __future__ import annotations

import csv
import importlib
import json
import random
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
COMPONENTS = ("web", "orders", "db")
COLUMNS = (("latency", "Average"), ("latency", "p99"), ("availability", "Average"), ("requests", "Sum"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write a data set with two faults of ``db`` and normal operation."""
    level = tmp_path / "set" / "some_traffic"
    for folder in ("noissue", "train/issue_0", "test/issue_0"):
        (level / folder).mkdir(parents=True)
    edges = {("web", "orders"), ("orders", "db")}
    rows = [["", *COMPONENTS]] + [[a, *(str(float((a, b) in edges)) for b in COMPONENTS)] for a in COMPONENTS]
    _write(level / "graph.csv", rows)
    _metrics(level / "noissue" / "metrics.csv", 120, 0)
    for number, (issue, metric) in enumerate((("train/issue_0", "latency"), ("test/issue_0", "availability"))):
        _metrics(level / issue / "metrics.csv", 5, 1 + number, faulty_rows={2, 3})
        target = {"target": {"node": "web", "metric": metric}, "root_cause": {"node": "db"}}
        (level / issue / "target.json").write_text(json.dumps(target))
    return level.parent


def _metrics(path: Path, rows: int, seed: int, faulty_rows: Collection[int] = ()) -> None:
    noise = random.Random(seed)
    columns = [(component, metric, statistic) for metric, statistic in COLUMNS for component in COMPONENTS]
    table = [["microservice", *(c for c, _, _ in columns)], ["metric", *(m for _, m, _ in columns)]]
    table += [["statistic", *(s for _, _, s in columns)], ["unix_timestamp", *("" for _ in columns)]]
    for row in range(rows):
        value = {
            "latency": 0.1 + noise.uniform(0, 0.01) + (0.5 if row in faulty_rows else 0),
            "availability": 70 if row in faulty_rows else 100,
            "requests": 200,
        }
        table.append([str(300.0 * row), *("" if s == "p99" else str(value[m]) for _, m, s in columns)])
    _write(path, table)


def _write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def rca(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT))
    yield lambda name: importlib.import_module(f"benchmarks.rca.{name}")
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        del sys.modules[name]


def test_scoreboard_finds_the_cause_and_is_reproducible(data: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generated: petshop -->\nold\n<!-- end -->\nafter\n")
    command = [sys.executable, "-m", "benchmarks.rca", "--data", str(data)]
    outputs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in "ab"]
    assert outputs[0] == outputs[1]
    assert "| some_traffic latency | this package | 1.000 (1/1, 0.21 to 1.00)" in outputs[0]
    assert "| some_traffic availability | this package | 1.000 (1/1," in outputs[0]
    assert "| some_traffic availability | this package | 1.000 (24/24," in outputs[0]
    assert "| some_traffic latency | alerting service | 0.000 (0/1," in outputs[0]
    subprocess.run([*command, "--write", str(page)], cwd=ROOT, check=True)
    text = page.read_text()
    assert text.startswith("before\n<!-- generated: petshop -->\n\n| scenario")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text


def test_wilson_interval(rca: Any) -> None:
    low, high = rca("scoreboard").Share(8, 10).interval
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert rca("scoreboard").Share(0, 10).interval[0] == 0.0


def test_folder_without_normal_operation_is_rejected(rca: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="noissue"):
        list(rca("petshop").read_levels(tmp_path))


def test_engine_cost_is_reported(rca: Any) -> None:
    assert rca("cost").engine_cost(rounds=1).startswith("50 services, 60 minutes")
