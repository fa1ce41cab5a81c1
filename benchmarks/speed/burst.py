"""Many incidents at once: who has a room, and when."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from incident_sandbox.demo.local_airflow import LocalAirflow

from benchmarks.speed.contenders import OUR_DAG, OURS, airflow_for, by_rest, handle, wait_for_end
from benchmarks.speed.machine import load
from benchmarks.speed.observation import observe, wait_for
from benchmarks.speed.results import Results
from benchmarks.speed.scenario import PRIORITIES, Scenario, key_of, payload

SEVERITIES = ("critical", "high", "medium", "low")
CALLERS = 10
"""How many alerts are posted side by side."""

TIMEOUT = 600.0


def measure_bursts(
    counts: Iterable[int], scene: Scenario, folder: Path, results: Results, *, say: Callable[[str], None]
) -> None:
    """Measure so many incidents at once, one burst after another, on one Airflow that is warm."""
    with airflow_for(OURS, scene, folder / "airflow-burst", say=say) as airflow:
        alert = payload()
        handle(scene, by_rest(airflow, OUR_DAG), alert)
        wait_for_end(airflow, OUR_DAG, alert)
        for count in counts:
            say(f"  {count} at once")
            for fields in burst(airflow, scene, count=count):
                results.add("burst", count=count, load=load(), **fields)


def burst(airflow: LocalAirflow, scene: Scenario, *, count: int) -> list[dict[str, Any]]:
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

    wait_for(all_there, timeout=TIMEOUT)
    for key in keys:
        airflow.api.wait_for_run(OUR_DAG, key, timeout=TIMEOUT)
    severities = dict(zip(PRIORITIES, SEVERITIES, strict=True))
    return [
        {"severity": severities[alert["alert"]["priority"]]} | vars(observe(workspace, key_of(alert), since=began))
        for alert in alerts
    ]


def _post(airflow: LocalAirflow, alert: dict[str, Any]) -> None:
    airflow.api.trigger(OUR_DAG, {"datadog": alert}, run_id=key_of(alert))
