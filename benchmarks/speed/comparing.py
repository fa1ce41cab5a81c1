"""One incident after another, for each contender; the plain script between them, so that a drift shows in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from incident_sandbox.demo.local_airflow import LocalAirflow

from benchmarks.speed.contenders import (
    OURS,
    OURS_DEFAULTS,
    STOCK,
    STOCK_RECOMMENDED,
    AirflowSetup,
    airflow_for,
    by_rest,
    by_script,
    handle,
    wait_for_end,
)
from benchmarks.speed.machine import load
from benchmarks.speed.observation import Times, counted
from benchmarks.speed.results import Results
from benchmarks.speed.scenario import Scenario, payload

SCRIPT = "d"
SETUPS = {"a": OURS, "b": OURS_DEFAULTS, "c": STOCK, "C": STOCK_RECOMMENDED}
LABELS = {letter: setup.label for letter, setup in SETUPS.items()} | {SCRIPT: "d: a plain script"}


class Comparison:
    """
    The measurements of single incidents.

    :param folder: where everything is kept.
    :param runs: incidents for each contender.
    :param warm_ups: incidents for each contender that are not counted.
    :param say: called with a line at every step.
    """

    def __init__(
        self,
        scene: Scenario,
        folder: Path,
        results: Results,
        *,
        runs: int,
        warm_ups: int,
        say: Callable[[str], None],
    ) -> None:
        self._scene = scene
        self._folder = folder
        self._results = results
        self._runs = runs
        self._warm_ups = warm_ups
        self._say = say

    def measure(self, letters: Sequence[str]) -> None:
        """Measure these contenders in their order."""
        setups = {letter: SETUPS[letter] for letter in letters if letter in SETUPS}
        parts = len(setups) + 1 if SCRIPT in letters else 0
        for number, (letter, setup) in enumerate(setups.items()):
            self._script(number, parts)
            home = self._folder / f"airflow-{letter}"
            with airflow_for(setup, self._scene, home, say=self._say) as airflow:
                self._airflow(letter, setup, airflow)
        self._script(len(setups), parts)

    def _script(self, number: int, parts: int) -> None:
        """Measure one of so many shares of the script's runs."""
        if not parts:
            return
        start = by_script(self._scene, self._folder, lambda seconds: self._results.add("loaded", seconds=seconds))
        for _ in range(self._runs * (number + 1) // parts - self._runs * number // parts):
            times, calls = handle(self._scene, start, payload())
            self._note(SCRIPT, times, calls, share=number)

    def _airflow(self, letter: str, setup: AirflowSetup, airflow: LocalAirflow) -> None:
        start = by_rest(airflow, setup.dag_id)
        for number in range(self._warm_ups + self._runs):
            alert = payload()
            times, calls = handle(self._scene, start, alert)
            wait_for_end(airflow, setup.dag_id, alert)
            if number >= self._warm_ups:
                self._note(letter, times, calls)

    def _note(self, contender: str, times: Times, calls: list[str], **more: Any) -> None:
        fields = {**vars(times), "calls": len(calls), "called": counted(calls), "load": load(), **more}
        self._results.add("incident", contender=contender, **fields)
        shown = ", ".join(f"{at:.2f}" if at is not None else "never" for at in vars(times).values())
        self._say(f"  {LABELS[contender]}: {shown}")
