"""Statistics of one time series: its normal range, when it left that range, and whether it came back.

A gap is not a zero: a point without a value is left out everywhere.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

MINUTE_S = 60
MIN_BASELINE_POINTS = 10
"""With fewer points than these there is no normal range to compare with."""

_MAD_TO_SIGMA = 1.4826
_SPREAD_FLOOR = 0.05
"""Share of the median that the spread is at least: a constant baseline has no spread of its own."""

_NEARLY = 0.9
_LEAST_OF_WHOLE = 0.005
_TINY = 1e-9
_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Series:
    """Values over time; ``times`` are Unix seconds, ascending. A gap is ``None``."""

    times: tuple[int, ...] = ()
    values: tuple[float | None, ...] = ()

    @property
    def points(self) -> list[tuple[int, float | None]]:
        """The times with their values."""
        return list(zip(self.times, self.values, strict=True))

    def between(self, start: float, end: float) -> Series:
        """Return the points with ``start <= time < end``."""
        kept = [(at, value) for at, value in self.points if start <= at < end]
        return Series(tuple(at for at, _ in kept), tuple(value for _, value in kept))

    def known(self) -> list[tuple[int, float]]:
        """Return the points that have a value."""
        return [(at, value) for at, value in self.points if value is not None]

    @property
    def total(self) -> float:
        """The sum of the known values."""
        return sum(value for _, value in self.known())

    @property
    def mean(self) -> float | None:
        """The mean of the known values; ``None`` if there is none."""
        return _mean(self.values)

    @property
    def step(self) -> int:
        """Seconds between two points, derived from the points themselves; 60 if there are fewer than two."""
        gaps = [later - earlier for earlier, later in pairwise(self.times)]
        return int(statistics.median(gaps)) if gaps else 60

    @property
    def interval(self) -> int:
        """Seconds that a point covers, at least a minute: all distances between points are multiples of them."""
        gaps = [later - earlier for earlier, later in pairwise(self.times)]
        return max(math.gcd(*gaps), MINUTE_S)


@dataclass(frozen=True)
class Baseline:
    """The normal range of a series: median, robust spread, and the values sorted for quantiles.

    :param spread_below: the spread of values below the median.
    """

    median: float
    spread: float
    ordered: tuple[float, ...]
    spread_below: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Baseline | None:
        """Return the normal range of these values, or ``None`` when too few of them are known."""
        known = sorted(value for value in values if value is not None and math.isfinite(value))
        if len(known) < MIN_BASELINE_POINTS:
            return None
        median = statistics.median(known)
        mad = _MAD_TO_SIGMA * statistics.median([abs(value - median) for value in known])
        spread = max(mad, _SPREAD_FLOOR * abs(median), _TINY)
        # Of a share of successes, such as 99.7 %, what is missing to the whole matters.
        whole = next((w for w in (1.0, 100.0) if _NEARLY * w <= median and known[-1] <= w), None)
        below = spread if whole is None else max(mad, _SPREAD_FLOOR * (whole - median), _LEAST_OF_WHOLE * whole)
        return cls(median, spread, tuple(known), min(below, spread))

    def deviation(self, value: float) -> float:
        """Return how many robust standard deviations a value lies above (or below) the median."""
        return (value - self.median) / (self.spread if value >= self.median else self.spread_below)

    def quantile(self, share: float) -> float:
        """Return the value below which this share of the baseline lies."""
        return self.ordered[min(len(self.ordered) - 1, int(share * len(self.ordered)))]


class Direction(StrEnum):
    """On which side of its baseline a series is."""

    UP = "up"
    DOWN = "down"


class State(StrEnum):
    """What a series does at the end of the window."""

    NORMAL = "normal"
    ABNORMAL = "abnormal"
    RECOVERED = "recovered"
    LOST = "lost"
    """It reports no values any more, which is not the same as zero."""


@dataclass(frozen=True)
class Shift:
    """How a series compares with its baseline.

    :param onset: Unix seconds of the first abnormal point of the first lasting run; absent when all is normal.
    :param earlier_ended: when the excursion before this one was over, if there was one in the window.
    :param extreme: the value farthest from the baseline since the onset; the newest value when all is normal.
    :param latest: the newest known value.
    """

    state: State
    baseline: Baseline
    latest: float
    extreme: float
    onset: int | None = None
    direction: Direction | None = None
    ended: int | None = None
    earlier_ended: int | None = None

    @property
    def factor(self) -> float | None:
        """How many times the baseline's median the extreme is; ``None`` if the median is (nearly) zero."""
        return self.extreme / self.baseline.median if abs(self.baseline.median) > _TINY else None


ABNORMAL_DEVIATION = 4.0
LOST_AFTER_S = 300
_DENSE = 0.8
_LONGER_THAN_GAPS = 3
_LASTING_POINTS = 2
_CALM_POINTS = 10
"""So many normal points one after the other end an excursion: what is abnormal after them is another one."""

_QUIET_POINTS = 5
"""After so many normal points a point that is abnormal alone is noise."""


def compare(history: Series, window: Series, *, threshold: float = ABNORMAL_DEVIATION) -> Shift | None:
    """Compare a window with the history before it.

    An excursion counts from its first point, if at least two of three consecutive known points are abnormal on
    the same side; one point alone is noise, except the newest. Of several excursions the last one counts.

    :returns: ``None`` when the history is too short or the window holds no value.
    """
    baseline = Baseline.of(history.values)
    points = window.known()
    if baseline is None or not points:
        return None
    sides = [_side(baseline, value, threshold) for _, value in points]
    start = _last_run(sides)
    latest = points[-1][1]
    if start is None:
        return Shift(State.NORMAL, baseline, latest, latest)
    side = sides[start]
    since = points[start:]
    extreme = max((value for _, value in since), key=lambda value: value * side)
    sides = [*sides[: start + 1], *_without_lone_points(sides[start + 1 :])]
    still = any(each == side for each in sides[-_LASTING_POINTS:])
    before = sides[:start] if start != _lasting_run(sides) else []
    earlier = max((index for index, each in enumerate(before) if each), default=None)
    last_abnormal = max(index for index, each in enumerate(sides) if each == side)
    return Shift(
        State.ABNORMAL if still else State.RECOVERED,
        baseline,
        latest,
        extreme,
        onset=points[start][0],
        direction=Direction.UP if side > 0 else Direction.DOWN,
        ended=None if still else points[last_abnormal + 1][0],
        earlier_ended=None if earlier is None else points[earlier + 1][0],
    )


def lost_since(history: Series, window: Series, end: float) -> int | None:
    """Return when a series that reported regularly stopped.

    It counts as stopped after five minutes, and only when that is much longer than any gap before: a counter that
    is often zero has such gaps.
    """
    known = history.known()
    if not history.values or len(known) < _DENSE * len(history.values) or len(known) < MIN_BASELINE_POINTS:
        return None
    times = [at for at, _ in (*known, *window.known())]
    longest = max(later - earlier for earlier, later in pairwise(times))
    silent = end - times[-1]
    if silent <= max(LOST_AFTER_S + history.step, _LONGER_THAN_GAPS * longest):
        return None
    return times[-1] + history.step


def unreported_before(series: Series, at: int) -> int | None:
    """Return since when nothing was reported up to a point, if that is much longer than the usual gaps.

    What happened in between is not known: a value that is abnormal at the point may be older.
    """
    times = [each for each, _ in series.known() if each <= at]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    if not gaps or gaps[-1] <= max(LOST_AFTER_S + series.step, _LONGER_THAN_GAPS * statistics.median(gaps)):
        return None
    return times[-2] + series.step


_GROWTH_PARTS = 6
_GROWTH_AT_LEAST = 0.15


def growing_since(series: Series) -> int | None:
    """Return since when a series has only grown, if it has done so for at least half of its time.

    Its medians by sixths have to rise from one to the next, by 15 % of the first in all.
    """
    points = series.known()
    size = len(points) // _GROWTH_PARTS
    if size < _LASTING_POINTS:
        return None
    parts = [points[index * size : (index + 1) * size] for index in range(_GROWTH_PARTS)]
    medians = [statistics.median([value for _, value in part]) for part in parts]
    start = _GROWTH_PARTS - 1
    while start and medians[start - 1] < medians[start]:
        start -= 1
    steps = [later - earlier for earlier, later in pairwise(medians[start:])]
    rise = medians[-1] - medians[start]
    if start > _GROWTH_PARTS // 2 or rise < _GROWTH_AT_LEAST * abs(medians[start]) or max(steps) > rise * 0.6:
        return None
    # Not its first point, which may still belong to what was before.
    return min(parts[start], key=lambda point: point[1])[0]


def _side(baseline: Baseline, value: float, threshold: float) -> int:
    """Return 1 or -1 for a value that is abnormal above or below, else 0."""
    deviation = baseline.deviation(value)
    if deviation >= threshold and value > baseline.ordered[-1]:
        return 1
    return -1 if deviation <= -threshold and value < baseline.ordered[0] else 0


def _lasting_run(sides: Sequence[int]) -> int | None:
    """Return where the first lasting excursion starts."""
    for index, side in enumerate(sides):
        following = sides[index : index + 3]
        if side and (following.count(side) >= _LASTING_POINTS or len(following) == 1):
            return index
    return None


def _last_run(sides: Sequence[int]) -> int | None:
    """Return where the last lasting excursion starts: after points that were normal for a while."""
    start = _lasting_run(sides)
    while start is not None:
        calm = next((i for i in range(start, len(sides)) if not any(sides[i : i + _CALM_POINTS])), len(sides))
        # A single newest point does not last yet: it is no excursion of its own after another one.
        later = _lasting_run(sides[calm:])
        if later is None or calm + later == len(sides) - 1:
            return start
        start = calm + later
    return None


def _without_lone_points(sides: list[int]) -> list[int]:
    """Return the sides after an excursion began, without points that are abnormal alone after a calm while."""
    return [
        0
        if side
        and index >= _QUIET_POINTS
        and not any(sides[index - _QUIET_POINTS : index] + sides[index + 1 : index + 2])
        else side
        for index, side in enumerate(sides)
    ]


def sparkline(values: Sequence[float | None], width: int = 40) -> str:
    """Return the values as block characters, a gap as a blank.

    >>> sparkline([1.0, 1.0, None, 4.0])
    '▁▁ █'
    """
    if len(values) > width:
        size = len(values) / width
        values = [_mean(values[int(i * size) : int((i + 1) * size)]) for i in range(width)]
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    return "".join(" " if v is None else _BLOCKS[int((v - low) / span * 7) if span else 0] for v in values)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
