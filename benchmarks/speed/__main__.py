"""
``python -m benchmarks.speed``: measure, and print the tables.

Every measurement is written down at once. What a run left that broke off is printed by ``--report``, and
``--add`` measures the rest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.speed.burst import measure_bursts
from benchmarks.speed.collecting import measure_collecting
from benchmarks.speed.comparing import Comparison
from benchmarks.speed.machine import description
from benchmarks.speed.matching import measure_matching
from benchmarks.speed.resolving import measure_resolving
from benchmarks.speed.results import Results
from benchmarks.speed.scenario import scenario
from benchmarks.speed.tables import report, write_into


def main() -> None:
    """Measure what the command line asks for, and print the tables of all that is written down."""
    options = _options()
    results = Results(options.results)
    if not options.report:
        if not options.add:
            results.forget()
        results.add("machine", description=description(), latency_ms=options.latency)
        try:
            _measure(options, results)
        except BaseException:
            _say(f"Broken off; what was measured is in {options.results}.")
            raise
    tables = report(results)
    print(tables)
    if options.page:
        write_into(options.page, tables)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="incidents for each contender (20)")
    parser.add_argument("--warm-ups", type=int, default=2, help="incidents before those that count (2)")
    parser.add_argument(
        "--only", default="abcd", help="contenders, of abcCd, C being c with the settings of a; - for none"
    )
    parser.add_argument("--bursts", type=int, nargs="*", default=[1, 10, 50], help="incidents at once (1 10 50)")
    parser.add_argument(
        "--datadog", type=int, default=10, help="incidents each with and without Datadog (10); 0: none"
    )
    parser.add_argument("--members", type=int, default=50_000, help="of a workspace (50000); 0: none")
    parser.add_argument("--latency", type=int, default=100, help="milliseconds of a Slack call (100)")
    parser.add_argument("--results", type=Path, default=Path(".demo/speed.jsonl"), help="what was measured")
    parser.add_argument("--add", action="store_true", help="keep what the file of results holds")
    parser.add_argument("--report", action="store_true", help="measure nothing, print what the file holds")
    parser.add_argument("--page", type=Path, help="write the tables into this page, docs/performance.md, too")
    parser.add_argument("--keep", type=Path, help="a folder to work in, which is left there")
    return parser.parse_args()


def _measure(options: argparse.Namespace, results: Results) -> None:
    if options.members:
        measure_matching(options.members, results)
        measure_resolving(results, members=options.members, runs=PEOPLE_RUNS, latency_ms=options.latency, say=_say)
    with tempfile.TemporaryDirectory(prefix="speed-") as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with scenario(folder, latency_ms=options.latency) as scene:
            comparison = Comparison(scene, folder, results, runs=options.runs, warm_ups=options.warm_ups, say=_say)
            comparison.measure(options.only)
            if options.datadog:
                measure_collecting(
                    scene, folder, results, runs=options.datadog, warm_ups=options.warm_ups, say=_say
                )
            if options.bursts:
                measure_bursts(options.bursts, scene, folder, results, say=_say)


PEOPLE_RUNS = 5
"""Times that each way of finding people is measured, each in a process of its own."""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
