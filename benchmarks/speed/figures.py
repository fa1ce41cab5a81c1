"""Figures as they are printed: median and 95th percentile, of what is known."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


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

    @property
    def last(self) -> float:
        """The greatest; not a number if nothing is known."""
        return self.values[-1] if self.values else float("nan")
