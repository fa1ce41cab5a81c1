"""Print the time of a collection by story: one round of calls is one delay, whatever their number."""

from __future__ import annotations

import argparse
import statistics
import time

from incident_sandbox.datadog.story import load_story

from benchmarks.rca.stories import play

STORIES = ("bad_deploy", "all_hosts", "healthy")
"""One round, four rounds (a fault two calls away), and nothing to find."""


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--delay-ms", type=int, default=200, help="delay of each call")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(
        "| story | calls | seconds, median | seconds, worst | processor seconds |\n| --- | --: | --: | --: | --: |"
    )
    for name in STORIES:
        story = load_story(name)
        limits = story.limits.model_copy(update={"delay_ms": {"*": args.delay_ms}})
        slowed = story.model_copy(update={"limits": limits})
        took, cpu, calls = [], [], 0
        for _ in range(args.rounds):
            before = time.thread_time()
            played = play(name, slowed)
            cpu.append(time.thread_time() - before)
            took.append(played.seconds)
            calls = len(played.evidence.calls)
        print(
            f"| {name} | {calls} | {statistics.median(took):.2f} | {max(took):.2f} | {statistics.median(cpu):.2f} |"
        )


if __name__ == "__main__":
    main()
