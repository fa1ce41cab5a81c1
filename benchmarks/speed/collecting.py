"""What the evidence from Datadog costs: the same incident without its connection, and with it and slow calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from incident_sandbox.datadog.playing import play_story
from incident_sandbox.datadog.story import load_story

from benchmarks.speed.contenders import OURS, airflow_for, by_rest, handle, wait_for_end
from benchmarks.speed.machine import load
from benchmarks.speed.results import Results
from benchmarks.speed.scenario import Scenario, payload

DATADOG_MS = 200
"""What every call to Datadog takes at least."""

STORY = "bad_deploy"
WITHOUT, WITH = "without", "with"


def measure_collecting(
    scene: Scenario, folder: Path, results: Results, *, runs: int, warm_ups: int, say: Callable[[str], None]
) -> None:
    """Measure incidents without Datadog before and after those with it, so that a drift shows in them."""
    story = load_story(STORY)
    slow = story.limits.model_copy(update={"delay_ms": {"*": DATADOG_MS}})
    parts = ((WITHOUT, runs // 2), (WITH, runs), (WITHOUT, runs - runs // 2))
    for number, (label, count) in enumerate(parts):
        connected = replace(scene, asks_datadog=label == WITH)
        if label == WITH:
            play_story(scene.sandbox.workspace, story.model_copy(update={"limits": slow}))
        with airflow_for(OURS, connected, folder / f"airflow-datadog-{number}", say=say) as airflow:
            start = by_rest(airflow, OURS.dag_id)
            for run in range(warm_ups + count):
                alert = payload()
                times, _ = handle(scene, start, alert)
                wait_for_end(airflow, OURS.dag_id, alert)
                if run >= warm_ups:
                    results.add("collecting", datadog=label, delay_ms=DATADOG_MS, load=load(), **vars(times))
                    say(f"  {label} Datadog: {times.room:.2f}, {times.summary:.2f}")
        if label == WITH:
            scene.sandbox.workspace.faults.clear()
