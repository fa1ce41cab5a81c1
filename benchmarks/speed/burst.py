"""Many incidents at once: who has a room, and when."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_incident_provider.demo.local_airflow import LocalAirflow
from benchmarks.speed.contenders import OUR_DAG
from benchmarks.speed.figures import Spread
from benchmarks.speed.observation import Times, observe, wait_for
from benchmarks.speed.scenario import PRIORITIES, Scenario, key_of, payload

SEVERITIES = ("critical", "high", "medium", "low")
CALLERS = 10
"""How many alerts are posted side by side."""


def burst(airflow: LocalAirflow, scene: Scenario, *, count: int, timeout: float) -> list[tuple[str, Times]]:
    """
    Post so many alerts at once, of all severities in turn, the least urgent first, and wait for all summaries.

    :return: severity and times of each incident, in seconds since the first of them was posted.
    """
    alerts = [payload(priority=PRIORITIES[-1 - n % len(PRIORITIES)]) for n in range(count)]
    began = time.time()
    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(lambda alert: _post(airflow, alert), alerts))
    keys = [key_of(alert) for alert in alerts]
    workspace = scene.sandbox.workspace

    def all_there() -> bool:
        return all(observe(workspace, key, since=began).complete for key in keys)

    wait_for(all_there, timeout=timeout)
    for key in keys:
        airflow.api.wait_for_run(OUR_DAG, key, timeout=timeout)
    severities = dict(zip(PRIORITIES, SEVERITIES, strict=True))
    return [
        (severities[alert["alert"]["priority"]], observe(workspace, key_of(alert), since=began)) for alert in alerts
    ]


def _post(airflow: LocalAirflow, alert: dict[str, Any]) -> None:
    airflow.api.trigger(OUR_DAG, {"datadog": alert}, run_id=key_of(alert))


def burst_table(count: int, results: Sequence[tuple[str, Times]]) -> str:
    """Return when rooms and summaries of each severity stood."""
    lines = [f"{count} at once".ljust(12) + "   n   room: median    last   summary: median    last"]
    for severity in SEVERITIES:
        times = [found for name, found in results if name == severity]
        if not times:
            continue
        room, summary = Spread.of(t.room for t in times), Spread.of(t.summary for t in times)
        missing = len(times) - len(summary.values)
        lines.append(
            f"{severity:<12}{len(times):4d}{room.median:15.2f}{_last(room):8.2f}{summary.median:18.2f}{_last(summary):8.2f}"
            + (f"   ({missing} without a summary)" if missing else "")
        )
    critical, low = ([t.room for name, t in results if name == which] for which in ("critical", "low"))
    if critical and low:
        ratio = _last(Spread.of(low)) / _last(Spread.of(critical))
        lines.append(f"The last low room came {ratio:.1f} times as late as the last critical one.")
    return "\n".join(lines)


def _last(spread: Spread) -> float:
    return spread.values[-1] if spread.values else float("nan")
