"""Figures as they are printed: median, 95th percentile, number, ratio."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.speed.observation import Times

MOMENTS = ("room", "evidence", "summary")


@dataclass(frozen=True)
class Spread:
    """How long something took, in seconds, over several runs."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread:
        """Return the spread of what is known."""
        return cls(tuple(sorted(value for value in values if value is not None)))

    @property
    def median(self) -> float:
        """The median; not a number if nothing is known."""
        return statistics.median(self.values) if self.values else float("nan")

    @property
    def p95(self) -> float:
        """The 95th percentile, by the nearest rank: a value that was measured."""
        if not self.values:
            return float("nan")
        return self.values[max(0, -(-95 * len(self.values) // 100) - 1)]

    def __str__(self) -> str:
        return f"{self.median:6.2f} {self.p95:6.2f} {len(self.values):3d}"


def spreads(runs: Sequence[Times]) -> dict[str, Spread]:
    """Return the spread of each moment."""
    return {moment: Spread.of(getattr(run, moment) for run in runs) for moment in MOMENTS}


def comparison(results: Mapping[str, Sequence[Times]], *, against: Sequence[str]) -> str:
    """
    Return a table of contenders, with the ratios of their medians to those of some of them.

    :param results: the runs by contender.
    :param against: the contenders that the others are divided by.
    """
    found = {label: spreads(runs) for label, runs in results.items()}
    head = "seconds to".ljust(42) + "".join(f"{moment:>10}: median    p95   n" for moment in MOMENTS)
    lines = [head]
    for label, moments in found.items():
        lines.append(label.ljust(42) + "".join(f"{'':12}{moments[moment]}" for moment in MOMENTS))
    for base in against:
        lines.append("")
        lines.append(f"ratio of the medians to: {base}")
        lines += [
            f"  {label}".ljust(42)
            + "".join(f"{'':12}{moments[m].median / found[base][m].median:6.2f}{'':11}" for m in MOMENTS)
            for label, moments in found.items()
            if label != base
        ]
    return "\n".join(line.rstrip() for line in lines)
