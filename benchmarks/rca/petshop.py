"""Read the PetShop data set (Hardt et al., arXiv 2311.04806, CC-BY-4.0): metrics around injected faults.

Layout of a traffic level: ``graph.csv`` (row calls column), ``noissue/metrics.csv`` (hours of normal operation) and
``{train,test}/issue_N/{metrics.csv,target.json}``. Three header rows (component, metric, statistic) and one that
names the time column come before one row for each 5 minutes; an empty cell is nothing reported.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_incident_provider.evidence.localization import Measure, ServiceGraph, Telemetry, usual_requests

ALERTED_METRICS = {"latency": Measure.LEVEL, "availability": Measure.SHARE}
STATISTIC = {"latency": "Average", "availability": "Average", "requests": "Sum"}
HEADER_ROWS = 4

Column = tuple[str, str]


@dataclass(frozen=True)
class Metrics:
    """One ``metrics.csv``: values by component and metric, of the one statistic that is used of each."""

    columns: Mapping[Column, tuple[float | None, ...]]
    rows: int

    @classmethod
    def read(cls, path: Path) -> Metrics:
        """Read a file."""
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        components, metrics, statistics = rows[:3]
        body = rows[HEADER_ROWS:]
        return cls(
            {
                (components[index], metrics[index]): tuple(_number(row[index]) for row in body)
                for index in range(1, len(components))
                if STATISTIC.get(metrics[index]) == statistics[index]
            },
            len(body),
        )

    def part(self, start: int, end: int) -> Metrics:
        """Return some of the rows."""
        return Metrics({name: values[start:end] for name, values in self.columns.items()}, end - start)

    def symptom(self, component: str, metric: str) -> tuple[float | None, ...] | None:
        """Return latency in seconds, or the share of requests that failed."""
        values = self.columns.get((component, metric))
        if values is None or metric == "latency":
            return values
        return tuple(None if value is None else (100 - value) / 100 for value in values)


@dataclass(frozen=True)
class Fault:
    """One injected fault: the alert, and the component at fault."""

    name: str
    alerting: str
    metric: str
    cause: str
    metrics: Metrics


@dataclass(frozen=True)
class TrafficLevel:
    """One traffic level of the data set."""

    name: str
    graph: ServiceGraph
    normal: Metrics
    faults: tuple[Fault, ...]

    def telemetry(self, normal: Metrics, window: Metrics, metric: str) -> dict[str, Telemetry]:
        """Return every component's symptom, with ``normal`` as its history."""
        found = {}
        for component, name in window.columns:
            values, history = window.symptom(component, metric), normal.symptom(component, metric)
            if name == metric and values is not None:
                requests = window.columns.get((component, "requests"), ())
                usual = usual_requests(normal.columns.get((component, "requests"), ()))
                found[component] = Telemetry(history or (), values, requests, usual)
        return found


def read_levels(data: Path) -> Iterator[TrafficLevel]:
    """Yield the traffic levels below ``data``, or ``data`` itself; those without normal operation are left out.

    :raises FileNotFoundError: there is none.
    """
    folders = [data, *sorted(path for path in data.iterdir() if path.is_dir())]
    found = [folder for folder in folders if (folder / "noissue" / "metrics.csv").is_file()]
    if not found:
        raise FileNotFoundError(f"{data} holds no traffic level with noissue/metrics.csv")
    yield from map(_read_level, found)


def _read_level(folder: Path) -> TrafficLevel:
    issues = sorted(folder.glob("t*/issue_*"), key=lambda path: (path.parent.name, int(path.name.split("_")[1])))
    return TrafficLevel(
        folder.name,
        _read_graph(folder / "graph.csv"),
        Metrics.read(folder / "noissue" / "metrics.csv"),
        tuple(_read_fault(issue) for issue in issues),
    )


def _read_graph(path: Path) -> ServiceGraph:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return ServiceGraph.of(
        (row[0], callee) for row in rows for callee, cell in zip(header[1:], row[1:], strict=True) if _number(cell)
    )


def _read_fault(folder: Path) -> Fault:
    target = json.loads((folder / "target.json").read_text(encoding="utf-8"))
    alert = target["target"]
    return Fault(
        f"{folder.parent.name}/{folder.name}",
        alert["node"],
        alert["metric"],
        target["root_cause"]["node"],
        Metrics.read(folder / "metrics.csv"),
    )


def _number(cell: str) -> float | None:
    return float(cell) if cell not in {"", "nan"} else None


def normal_windows(level: TrafficLevel, size: int) -> Iterator[tuple[Metrics, Metrics]]:
    """Yield (history, window) pairs of normal operation: windows of one half, with the other half as history."""
    middle = level.normal.rows // 2
    halves: Sequence[tuple[int, int]] = ((0, middle), (middle, level.normal.rows))
    for (start, end), (other_start, other_end) in zip(halves, reversed(halves), strict=True):
        history = level.normal.part(other_start, other_end)
        for first in range(start, end - size + 1, size):
            yield history, level.normal.part(first, first + size)
