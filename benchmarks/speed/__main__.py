"""``python -m benchmarks.speed``: measure, and print the tables."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from airflow_incident_provider.demo.local_airflow import LocalAirflow
from benchmarks.speed.burst import burst, burst_table
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
from benchmarks.speed.figures import Spread, comparison
from benchmarks.speed.observation import Times, counted
from benchmarks.speed.scenario import Scenario, payload, scenario

SCRIPT = "d  plain script"
SETUPS = {"a": OURS, "b": OURS_DEFAULTS, "c": STOCK, "C": STOCK_RECOMMENDED}
BURST_TIMEOUT = 600.0


class Bench:
    """The measurements of one invocation.

    :param folder: where everything is kept.
    :param runs: incidents for each contender.
    :param warm_ups: incidents for each contender that are not counted.
    """

    def __init__(self, scene: Scenario, folder: Path, *, runs: int, warm_ups: int) -> None:
        self._scene = scene
        self._folder = folder
        self._runs = runs
        self._warm_ups = warm_ups
        self._loaded: list[float] = []
        self._calls: dict[str, list[str]] = {}
        self.results: defaultdict[str, list[Times]] = defaultdict(list)

    def compare(self, setups: list[AirflowSetup]) -> None:
        """Measure each, and the script between them, so that a drift of the machine shows in it."""
        parts = len(setups) + 1
        for number, setup in enumerate(setups):
            self._script(self._share(number, parts))
            with airflow_for(setup, self._scene, self._folder / f"airflow-{number}", say=_say) as airflow:
                self._airflow(setup, airflow)
        self._script(self._share(parts - 1, parts))

    def _share(self, number: int, parts: int) -> int:
        return self._runs * (number + 1) // parts - self._runs * number // parts

    def _script(self, runs: int) -> None:
        start = by_script(self._scene, self._folder, self._loaded)
        for _ in range(runs):
            times, calls = handle(self._scene, start, payload())
            self._note(SCRIPT, times, calls)

    def _airflow(self, setup: AirflowSetup, airflow: LocalAirflow) -> None:
        start = by_rest(airflow, setup.dag_id)
        for number in range(self._warm_ups + self._runs):
            alert = payload()
            times, calls = handle(self._scene, start, alert)
            wait_for_end(airflow, setup.dag_id, alert)
            if number >= self._warm_ups:
                self._note(setup.label, times, calls)

    def _note(self, label: str, times: Times, calls: list[str]) -> None:
        self.results[label].append(times)
        self._calls[label] = calls
        shown = ", ".join(f"{at:.2f}" if at is not None else "never" for at in vars(times).values())
        _say(f"  {label}: {shown}")

    def report(self) -> str:
        """Return the tables."""
        against = [label for label in (SCRIPT, STOCK.label) if label in self.results]
        lines = [comparison(self.results, against=against), ""]
        if self._loaded:
            loaded = Spread.of(self._loaded).median
            lines.append(f"Of the script's times, interpreter and imports took {loaded:.2f} s.")
        lines += [
            f"Slack calls, {label}: {len(calls)}, of which {counted(calls)}" for label, calls in self._calls.items()
        ]
        return "\n".join(lines)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="incidents for each contender (20)")
    parser.add_argument("--warm-ups", type=int, default=2, help="incidents before those that count (2)")
    parser.add_argument("--only", default="abcCd", help="contenders, of abcCd")
    parser.add_argument("--bursts", type=int, nargs="*", default=[1, 10, 50], help="incidents at once (1 10 50)")
    parser.add_argument("--latency", type=int, default=100, help="milliseconds of a Slack call (100)")
    parser.add_argument("--keep", type=Path, help="a folder to work in, which is left there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="speed-") as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with scenario(folder, latency_ms=options.latency) as scene:
            _measure(options, scene, folder)


def _measure(options: argparse.Namespace, scene: Scenario, folder: Path) -> None:
    bench = Bench(scene, folder, runs=options.runs, warm_ups=options.warm_ups)
    if options.runs:
        bench.compare([SETUPS[name] for name in options.only if name in SETUPS])
    tables = _bursts(options.bursts, scene, folder, _say) if options.bursts else []
    print(f"\n{_machine()}; {options.latency} ms a Slack call\n")
    if options.runs:
        print(bench.report())
    for table in tables:
        print(f"\n{table}")


def _bursts(counts: list[int], scene: Scenario, folder: Path, say: Callable[[str], None]) -> list[str]:
    tables = []
    with airflow_for(OURS, scene, folder / "airflow-burst", say=say) as airflow:
        start = by_rest(airflow, OURS.dag_id)
        alert = payload()
        handle(scene, start, alert)
        wait_for_end(airflow, OURS.dag_id, alert)
        for count in counts:
            say(f"  {count} incidents at once")
            tables.append(burst_table(count, burst(airflow, scene, count=count, timeout=BURST_TIMEOUT)))
    return tables


def _machine() -> str:
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {load:.1f}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
