"""What it takes to find people in a workspace of 50,000: calls, time and memory, each in a fresh process."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from airflow_incident_provider.sandbox.population import crowd
from airflow_incident_provider.sandbox.server import SandboxServer

T = TypeVar("T")

MEBIBYTE_IN_KB = 1024
FOUR = ("alice.ng@acme.example", "jose.garcia@acme.example", "priya@acme.example", "sam.wong@acme.example")


@dataclass(frozen=True)
class Case:
    """What is asked, and whether the directory of members is at hand, as the refreshing DAG leaves it."""

    label: str
    queries: tuple[str, ...]
    directory: bool


CASES = (
    Case("an e-mail address", FOUR[:1], directory=False),
    Case("four e-mail addresses", FOUR, directory=False),
    Case("a name, directory fresh", ("Priya Iyer",), directory=True),
    Case("a mistyped name, directory fresh", ("Fatima Zahra El-Aminn",), directory=True),
    Case("three names, directory fresh", ("Priya Iyer", "Alice Ng", "Zoë Müller-Strauß"), directory=True),
    Case("an unknown address, directory fresh", ("nobody@acme.example",), directory=True),
    Case("a name, no directory", ("Priya Iyer",), directory=False),
)


@dataclass(frozen=True)
class Measured:
    """What one resolution took."""

    seconds: float
    mebibytes: float
    outcomes: tuple[str, ...]


def resolve_once(queries: Sequence[str], folder: str) -> Measured:
    """Resolve in this process, which has imported everything before the clock starts, as a warm worker has."""
    from airflow_incident_provider.hooks.directory_cache import DirectoryCache
    from airflow_incident_provider.hooks.live_slack import LiveSlack
    from airflow_incident_provider.hooks.slack import IncidentSlackHook
    from airflow_incident_provider.hooks.slack_people import SlackPeople
    from airflow_incident_provider.people.resolver import resolve

    slack = LiveSlack(IncidentSlackHook())
    assert slack.workspace.team_id  # asked here, as the step before does
    before = _peak_memory()
    began = time.perf_counter()
    with SlackPeople(slack, DirectoryCache(Path(folder))) as people:
        people.prefetch(queries)
        found = resolve(queries, people, private=False)
    seconds = time.perf_counter() - began
    return Measured(seconds, _peak_memory() - before, tuple(str(each.outcome) for each in found.resolutions))


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBIBYTE_IN_KB


def refresh_once(folder: str) -> tuple[float, int]:
    """Download the directory as the DAG that refreshes it does; return seconds and members."""
    from functools import partial

    from airflow_incident_provider.hooks.directory_cache import DirectoryCache, refresh
    from airflow_incident_provider.hooks.live_slack import LiveSlack
    from airflow_incident_provider.hooks.slack import IncidentSlackHook

    slack = LiveSlack(IncidentSlackHook())
    cache = DirectoryCache(Path(folder))
    began = time.perf_counter()
    kept = refresh(cache, slack.workspace.team_id or "", partial(slack.hook.read, "users.list"))
    return time.perf_counter() - began, len(kept.directory)


def main() -> None:
    """Measure every case and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=5, help="of each case")
    parser.add_argument("--latency", type=int, default=100, help="milliseconds of a Slack call (100)")
    options = parser.parse_args()
    with SandboxServer() as sandbox, tempfile.TemporaryDirectory() as folder:
        _connect(sandbox, Path(folder))
        with sandbox.workspace.lock:
            sandbox.workspace.add_people(crowd(options.members, start=len(sandbox.workspace.people)))
        sandbox.workspace.settings.latency_ms = options.latency
        _measure(sandbox, Path(folder), options.runs)


def _connect(sandbox: SandboxServer, folder: Path) -> None:
    extra = json.dumps({"base_url": sandbox.slack_base_url})
    connection = {"conn_type": "slack", "password": sandbox.token, "extra": extra}
    os.environ["AIRFLOW_CONN_SLACK_API_DEFAULT"] = json.dumps(connection)
    os.environ["AIRFLOW_HOME"] = str(folder / "home")
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"


def _measure(sandbox: SandboxServer, folder: Path, runs: int) -> None:
    at_hand, empty = folder / "at_hand", folder / "empty"
    before = _calls(sandbox)
    seconds, members = _in_fresh_process(refresh_once, str(at_hand))
    print(f"refresh of the directory: {members} members, {seconds:.1f} s, {_called(sandbox, before)}\n")
    print(f"{'':38}{'s median':>9}{'s max':>8}{'MiB':>7}  calls; outcome")
    for case in CASES:
        before = _calls(sandbox)
        results = [
            _in_fresh_process(resolve_once, case.queries, str(at_hand if case.directory else empty))
            for _ in range(runs)
        ]
        times = [result.seconds for result in results]
        called = _called(sandbox, before, runs=runs)
        print(
            f"{case.label:<38}{statistics.median(times):9.2f}{max(times):8.2f}"
            f"{max(result.mebibytes for result in results):7.0f}  {called}; {', '.join(results[0].outcomes)}",
            flush=True,
        )


def _in_fresh_process(call: Callable[..., T], *arguments: object) -> T:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(call, *arguments).result()


def _calls(sandbox: SandboxServer) -> int:
    with sandbox.workspace.lock:
        return max((call.seq for call in sandbox.workspace.calls.entries()), default=0)


def _called(sandbox: SandboxServer, after: int, *, runs: int = 1) -> str:
    """Return how often each method was called in one run; who we are was asked by the step before."""
    with sandbox.workspace.lock:
        methods = Counter(call.method for call in sandbox.workspace.calls.entries(after=after))
    del methods["auth.test"]
    return ", ".join(f"{count / runs:g} {method}" for method, count in methods.items()) or "no call"


if __name__ == "__main__":
    main()
