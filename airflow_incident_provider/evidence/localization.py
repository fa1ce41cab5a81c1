"""Find the service behind an alert: walk along abnormal calls and account for the excess.

Each abnormal service has an excess: what it does beyond its normal range, weighted by its requests, in the minutes
in which the alerting service is abnormal. A callee's excess explains its caller's. The service with the largest
excess that none of its callees explains is the first suspect. Nothing here looks at a service's name.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from airflow_incident_provider.evidence.series import Baseline


@dataclass(frozen=True)
class ServiceGraph:
    """Directed calls between services: ``calls[caller]`` are its callees, in a stable order.

    Cycles and unknown services are normal: every walk visits a service once.
    """

    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, edges: Iterable[tuple[str, str]]) -> ServiceGraph:
        """Return the graph of these (caller, callee) pairs; a service that calls itself is no edge."""
        calls: dict[str, dict[str, None]] = {}
        for caller, callee in edges:
            if caller != callee:
                calls.setdefault(caller, {})[callee] = None
        return cls({caller: tuple(sorted(callees)) for caller, callees in sorted(calls.items())})

    def edges(self) -> Iterable[tuple[str, str]]:
        """Yield every (caller, callee) pair."""
        return ((caller, callee) for caller, callees in self.calls.items() for callee in callees)

    def callees(self, service: str) -> tuple[str, ...]:
        """Return the services that this one calls."""
        return self.calls.get(service, ())

    def callers(self, service: str) -> tuple[str, ...]:
        """Return the services that call this one."""
        return tuple(caller for caller, callees in self.calls.items() if service in callees)

    def paths(self, start: str, follow: Callable[[str], bool]) -> dict[str, tuple[str, ...]]:
        """Return the shortest path to every service that is reached over services that ``follow`` accepts.

        :returns: by service, the path from ``start`` to it, both included; ``start`` itself is among them.
        """
        found: dict[str, tuple[str, ...]] = {start: (start,)}
        queue = deque([start])
        while queue:
            service = queue.popleft()
            for callee in self.callees(service):
                if callee not in found and follow(callee):
                    found[callee] = (*found[service], callee)
                    queue.append(callee)
        return found

    def within(self, start: str, hops: int) -> tuple[str, ...]:
        """Return the services at most this many calls away, the nearest first, without ``start``."""
        paths = self.paths(start, lambda _: True)
        near = sorted((len(path), service) for service, path in paths.items() if 1 < len(path) <= hops + 1)
        return tuple(service for _, service in near)


class Measure(StrEnum):
    """How a symptom is measured."""

    LEVEL = "level"
    """A level for each request, such as its duration."""

    SHARE = "share"
    """A share of the requests between 0 and 1, such as those that failed."""


_ALERTING_QUANTILE, _ALERTING_DEVIATION = 0.95, 2.0
"""What an abnormal minute of the alerting service exceeds; low, because the monitor has already evaluated it."""

_CALLEE_QUANTILE = 0.99
"""Of its baseline, what an abnormal minute of any other service exceeds."""

_CALLEE_DEVIATION = {Measure.LEVEL: 4.0, Measure.SHARE: 3.0}
"""The deviation of such a minute, at least: robust ones of a level, those of a count of a share."""

_EXPLAINED = 0.25
"""Share of the alerting service's excess that a direct callee shows, at least."""

_LEAST_SHARE = 0.001
"""An error share that never occurred in the baseline is still not impossible."""


@dataclass(frozen=True)
class Telemetry:
    """One service's symptom: its history, and the window with the requests of each point.

    Without ``requests`` every point has the weight of one request.

    :param usual: the requests of a point in normal operation. A service that fails gets fewer, and a point may be
        lost on its way: neither makes it a smaller part of what goes wrong.
    """

    history: Sequence[float | None]
    window: Sequence[float | None]
    requests: Sequence[float | None] = ()
    usual: float = 0.0

    @cached_property
    def baseline(self) -> Baseline | None:
        """The normal range; ``None`` when the history is too short."""
        return Baseline.of(self.history)

    def is_known(self, points: Iterable[int]) -> bool:
        """Return whether any of these points can be compared."""
        return self.baseline is not None and any(self.window[index] is not None for index in points)

    def weight(self, index: int) -> float:
        """Return the requests of a point; the usual ones where they are not known."""
        if not self.requests:
            return 1.0
        known = self.requests[index]
        return self.usual if known is None else known


def usual_requests(history: Sequence[float | None]) -> float:
    """Return the requests of a point in normal operation: none are reported where there were none."""
    return statistics.median([value or 0.0 for value in history]) if history else 0.0


@dataclass(frozen=True)
class Excess:
    """What a service does beyond its normal range: in all, and how far its worst point deviates."""

    amount: float = 0.0
    deviation: float = 0.0


class Silence(StrEnum):
    """Why no service is suspected."""

    NO_BASELINE = "no_baseline"
    ALERTING_NORMAL = "alerting_normal"
    CALLEES_NORMAL = "callees_normal"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Suspect:
    """A service that may be behind the alert.

    :param share: of the alerting service's excess, what this service shows and none of its callees explains.
    :param path: from the alerting service to this one, over services that are abnormal or not known.
    """

    service: str
    share: float
    deviation: float
    path: tuple[str, ...]


@dataclass(frozen=True)
class Localization:
    """The suspects, the first being the likeliest, or why there are none."""

    suspects: tuple[Suspect, ...] = ()
    silence: Silence | None = None
    unmeasured: tuple[str, ...] = ()


def localize(
    graph: ServiceGraph, alerting: str, telemetry: Mapping[str, Telemetry], measure: Measure
) -> Localization:
    """Rank the services that may be behind an alert of ``alerting``.

    The alerting service itself is never among them: that it is abnormal is what the alert says already.

    :param telemetry: by service; the windows of all of them cover the same points of time.
    """
    own = telemetry.get(alerting)
    if own is None or own.baseline is None:
        return Localization(silence=Silence.NO_BASELINE)
    deviations = [_deviation(own, measure, index, _ALERTING_QUANTILE) for index in range(len(own.window))]
    minutes = [index for index, each in enumerate(deviations) if each >= _ALERTING_DEVIATION]
    if not minutes:
        return Localization(silence=Silence.ALERTING_NORMAL)
    excess = {
        service: _excess(each, measure, minutes, _ALERTING_QUANTILE if service == alerting else _CALLEE_QUANTILE)
        for service, each in telemetry.items()
    }
    least = _CALLEE_DEVIATION[measure]
    abnormal = {service for service, each in excess.items() if each.deviation >= least} | {alerting}
    compared = {service for service, each in telemetry.items() if each.is_known(minutes)}
    paths = graph.paths(alerting, lambda service: service in abnormal or service not in compared)
    called = {callee for service in abnormal & paths.keys() for callee in graph.callees(service)}
    unmeasured = tuple(sorted(called - compared))
    direct = [excess[service].amount for service in _next_abnormal(graph, (alerting,), abnormal, compared)]
    if not direct:
        return Localization(silence=Silence.CALLEES_NORMAL, unmeasured=unmeasured)
    if max(direct) < _EXPLAINED * excess[alerting].amount:
        return Localization(silence=Silence.UNEXPLAINED, unmeasured=unmeasured)
    suspects = []
    for service in (abnormal & paths.keys()) - {alerting}:
        explained = _next_abnormal(graph, paths[service], abnormal, compared)
        unexplained = excess[service].amount - sum(excess[each].amount for each in explained)
        share = max(unexplained, 0.0) / max(excess[alerting].amount, 1e-9)
        suspects.append(Suspect(service, share, excess[service].deviation, paths[service]))
    return Localization(tuple(sorted(suspects, key=lambda each: (-each.share, each.service))), None, unmeasured)


def _next_abnormal(
    graph: ServiceGraph, path: tuple[str, ...], abnormal: Set[str], compared: Set[str]
) -> frozenset[str]:
    """Return the abnormal services that the last of a path calls, directly or through services that are not known.

    A call back along the path is none.
    """
    found, queue = set(path), deque(path[-1:])
    while queue:
        for callee in graph.callees(queue.popleft()):
            if callee not in found and (callee in abnormal or callee not in compared):
                found.add(callee)
                queue.extend(() if callee in abnormal else (callee,))
    return frozenset(found & abnormal) - frozenset(path)


def _excess(each: Telemetry, measure: Measure, points: Sequence[int], quantile: float) -> Excess:
    if each.baseline is None:
        return Excess()
    weights = [max(each.weight(index), each.usual) for index in points]
    values = [each.window[index] for index in points]
    beyond = [None if value is None else max(value - each.baseline.median, 0.0) for value in values]
    known = [value for value in beyond if value is not None]
    # A point that is lost is as bad as the others.
    mean = sum(known) / len(known) if known else 0.0
    amount = sum((mean if value is None else value) * weight for value, weight in zip(beyond, weights, strict=True))
    return Excess(amount, max(_deviation(each, measure, index, quantile) for index in points))


def _deviation(each: Telemetry, measure: Measure, index: int, quantile: float) -> float:
    """Return how far a point is above the normal range; 0 within it, or where nothing was reported."""
    value = each.window[index]
    if value is None or each.baseline is None or value <= each.baseline.quantile(quantile):
        return 0.0
    if measure is Measure.LEVEL:
        return each.baseline.deviation(value)
    requests = each.weight(index)
    expected = requests * min(max(each.baseline.median, _LEAST_SHARE), 1 - _LEAST_SHARE)
    return (value * requests - expected) / (math.sqrt(max(expected, 0.0)) + 0.5)
