"""Score the rankers on faults and on normal windows, and write the result as a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.rca.petshop import ALERTED_METRICS, Fault, TrafficLevel, normal_windows
from benchmarks.rca.rankers import RANKERS, Ranker

Z_95 = 1.96


class Half(StrEnum):
    """Which faults the thresholds were set on: every second one, in the order of the data set."""

    TUNED = "tuned"
    UNTOUCHED = "untouched"


@dataclass(frozen=True)
class Answer:
    """What a ranker said of a fault: at which place the cause is, 0 if nowhere."""

    scenario: str
    half: Half
    place: int


@dataclass(frozen=True)
class Share:
    """``hits`` of ``of``, with its 95 % Wilson interval."""

    hits: int
    of: int

    def __str__(self) -> str:
        """Return ``.857 (12/14, .60 to .96)``."""
        if not self.of:
            return "none"
        low, high = self.interval
        return f"{self.hits / self.of:.3f} ({self.hits}/{self.of}, {low:.2f} to {high:.2f})"

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson score interval."""
        share, z2 = self.hits / self.of, Z_95**2
        middle = (share + z2 / (2 * self.of)) / (1 + z2 / self.of)
        reach = Z_95 * math.sqrt(share * (1 - share) / self.of + z2 / (4 * self.of**2)) / (1 + z2 / self.of)
        return max(0.0, middle - reach), min(1.0, middle + reach)


def answers(ranker: Ranker, level: TrafficLevel) -> list[Answer]:
    """Return the place of the cause in each fault."""
    return [
        Answer(f"{level.name} {fault.metric}", _half(index), _place(ranker, level, fault))
        for index, fault in enumerate(level.faults)
    ]


def silence(ranker: Ranker, level: TrafficLevel, metric: str) -> Share:
    """Return on how many normal windows, each as long as a fault's, the ranker names nobody."""
    size = level.faults[0].metrics.rows
    alerting = level.faults[0].alerting
    silent = [
        not ranker(level.graph, alerting, level.telemetry(history, window, metric), ALERTED_METRICS[metric])
        for history, window in normal_windows(level, size)
    ]
    return Share(sum(silent), len(silent))


def _half(index: int) -> Half:
    return Half.TUNED if index % 2 == 0 else Half.UNTOUCHED


def _place(ranker: Ranker, level: TrafficLevel, fault: Fault) -> int:
    telemetry = level.telemetry(level.normal, fault.metrics, fault.metric)
    ranked = ranker(level.graph, fault.alerting, telemetry, ALERTED_METRICS[fault.metric])
    return ranked.index(fault.cause) + 1 if fault.cause in ranked else 0


def scoreboard(levels: Sequence[TrafficLevel]) -> str:
    """Return the tables in Markdown: the same data gives the same text."""
    lines = ["| scenario | ranker | top-1 | top-3 |", "| --- | --- | --- | --- |"]
    for name, ranker in RANKERS.items():
        given = [answer for level in levels for answer in answers(ranker, level)]
        lines += [_row(scenario, name, given) for scenario in sorted({answer.scenario for answer in given})]
        lines += [_row(half, name, [each for each in given if each.half is half], by_half=True) for half in Half]
    lines += ["", "| normal windows | ranker | silent |", "| --- | --- | --- |"]
    for level in levels:
        lines += [
            f"| {level.name} {metric} | {name} | {silence(ranker, level, metric)} |"
            for metric in ALERTED_METRICS
            for name, ranker in RANKERS.items()
        ]
    return "\n".join(lines)


def _row(label: str, ranker: str, given: Iterable[Answer], *, by_half: bool = False) -> str:
    chosen = [answer for answer in given if by_half or answer.scenario == label]
    first = Share(sum(answer.place == 1 for answer in chosen), len(chosen))
    third = Share(sum(0 < answer.place <= 3 for answer in chosen), len(chosen))
    return f"| {'all, ' + label + ' half' if by_half else label} | {ranker} | {first} | {third} |"
