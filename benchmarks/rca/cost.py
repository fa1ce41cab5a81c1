"""What the localization costs: processor time for 50 services with 60 minutes of series each."""

from __future__ import annotations

import math
import time

from airflow_incident_provider.evidence.localization import Measure, ServiceGraph, Telemetry, localize

SERVICES, HISTORY, WINDOW = 50, 60, 60


def engine_cost(rounds: int = 20) -> str:
    """Return a sentence with the time of one localization, the fastest of ``rounds``."""
    graph = ServiceGraph.of(
        (f"s{caller}", f"s{callee}")
        for caller in range(SERVICES)
        for callee in (caller * 2 + 1, caller * 2 + 2, (caller * 7) % SERVICES)
        if callee < SERVICES
    )
    took = []
    for _ in range(rounds):
        telemetry = {f"s{index}": _telemetry(index) for index in range(SERVICES)}
        wall, cpu = time.perf_counter(), time.process_time()
        found = localize(graph, "s0", telemetry, Measure.LEVEL)
        took.append((time.perf_counter() - wall, time.process_time() - cpu))
        if not found.suspects:
            raise RuntimeError("the made-up fault was not found")
    wall, cpu = min(took)
    return (
        f"{SERVICES} services, {HISTORY} minutes of history and {WINDOW} of window each: "
        f"{wall * 1000:.1f} ms, {cpu * 1000:.1f} ms of processor time."
    )


def _telemetry(index: int) -> Telemetry:
    history = [0.1 + 0.01 * math.sin(minute * (index + 1)) for minute in range(HISTORY)]
    slow = 0.5 if index in {0, 1, 3} else 0.0
    window = [0.1 + 0.01 * math.sin(minute) + slow for minute in range(WINDOW)]
    return Telemetry(history, window, [100.0] * WINDOW)
