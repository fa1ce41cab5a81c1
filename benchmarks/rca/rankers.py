"""What is compared: this package's localization, and three trivial baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from airflow_incident_provider.evidence.localization import Measure, ServiceGraph, Telemetry, localize

Ranker = Callable[[ServiceGraph, str, Mapping[str, Telemetry], Measure], list[str]]
"""(graph, alerting component, telemetry, measure) to components, the likeliest first; empty is silence."""

ANOMALOUS = 3.0


def localization(
    graph: ServiceGraph, alerting: str, telemetry: Mapping[str, Telemetry], measure: Measure
) -> list[str]:
    """Rank by this package's localization."""
    return [each.service for each in localize(graph, alerting, telemetry, measure).suspects]


def largest_deviation(
    graph: ServiceGraph,  # noqa: ARG001 - a Ranker
    alerting: str,  # noqa: ARG001
    telemetry: Mapping[str, Telemetry],
    measure: Measure,  # noqa: ARG001
) -> list[str]:
    """Rank by the largest robust z-score, wherever it is."""
    scores = {component: _z(each) for component, each in telemetry.items()}
    return sorted((c for c, z in scores.items() if z >= ANOMALOUS), key=lambda c: (-scores[c], c))


def alerting_service(
    graph: ServiceGraph,  # noqa: ARG001 - a Ranker
    alerting: str,
    telemetry: Mapping[str, Telemetry],  # noqa: ARG001
    measure: Measure,  # noqa: ARG001
) -> list[str]:
    """Blame the service that alerts."""
    return [alerting]


def anomaly_walk(
    graph: ServiceGraph,
    alerting: str,
    telemetry: Mapping[str, Telemetry],
    measure: Measure,  # noqa: ARG001 - a Ranker
) -> list[str]:
    """Walk along anomalous calls: components without an anomalous callee first, then by deviation."""
    scores = {component: _z(each) for component, each in telemetry.items()}
    if scores.get(alerting, 0.0) < ANOMALOUS:
        return []
    paths = graph.paths(alerting, lambda component: scores.get(component, 0.0) >= ANOMALOUS)

    def order(component: str) -> tuple[bool, float, str]:
        inner = any(callee in paths for callee in graph.callees(component))
        return inner, -scores[component], component

    return sorted(paths, key=order)


def _z(each: Telemetry) -> float:
    if each.baseline is None:
        return 0.0
    known = (value for value in each.window if value is not None)
    return max((each.baseline.deviation(value) for value in known), default=0.0)


RANKERS: Mapping[str, Ranker] = {
    "this package": localization,
    "largest robust z-score": largest_deviation,
    "alerting service": alerting_service,
    "anomaly walk": anomaly_walk,
}
