"""What it takes to find people in a workspace of 50,000: calls, time and memory, each in a fresh process."""

from __future__ import annotations

import gc
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

from incident_sandbox.population import crowd
from incident_sandbox.server import SandboxServer

from benchmarks.speed.results import Results

T = TypeVar("T")

KILOBYTES_IN_MEBIBYTE = 1024
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
    Case("a mistyped name, directory fresh", ("Tomasz Zielinskki",), directory=True),
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
    from airflow_incident_provider.people.resolver import resolve
    from airflow_incident_provider.slack.client import LiveSlackClient
    from airflow_incident_provider.slack.directory_cache import DirectoryCache
    from airflow_incident_provider.slack.hook import IncidentSlackHook
    from airflow_incident_provider.slack.people import SlackPeople

    slack = LiveSlackClient(IncidentSlackHook())
    assert slack.workspace.team_id  # asked here, as the step before does
    # What the imports made is collected once, not while somebody waits: a worker is forked from a frozen heap.
    gc.collect()
    gc.freeze()
    before = _peak_memory()
    began = time.perf_counter()
    with SlackPeople(slack, DirectoryCache(Path(folder))) as people:
        people.prefetch(queries)
        found = resolve(queries, people, private=False)
    seconds = time.perf_counter() - began
    return Measured(seconds, _peak_memory() - before, tuple(str(each.outcome) for each in found.resolutions))


def _peak_memory() -> float:
    """Return the most memory that this process has held, in MiB; ``getrusage`` counts its parent's as well."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return float(status.partition("VmHWM:")[2].split()[0]) / KILOBYTES_IN_MEBIBYTE


def refresh_once(folder: str) -> tuple[float, int]:
    """Download the directory as the DAG that refreshes it does; return seconds and members."""
    from functools import partial

    from airflow_incident_provider.slack.client import LiveSlackClient
    from airflow_incident_provider.slack.directory_cache import DirectoryCache, refresh
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    slack = LiveSlackClient(IncidentSlackHook())
    cache = DirectoryCache(Path(folder))
    began = time.perf_counter()
    kept = refresh(cache, slack.workspace.team_id or "", partial(slack.hook.read, "users.list"))
    return time.perf_counter() - began, len(kept)


def measure_resolving(
    results: Results, *, members: int, runs: int, latency_ms: int, say: Callable[[str], None]
) -> None:
    """Measure every case, in a workspace of its own."""
    with (
        SandboxServer() as sandbox,
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, _environment(sandbox, Path(folder))),
    ):
        with sandbox.workspace.lock:
            sandbox.workspace.add_people(crowd(members, start=len(sandbox.workspace.people)))
        sandbox.workspace.settings.latency_ms = latency_ms
        _refresh(sandbox, Path(folder) / "at_hand", results)
        for case in CASES:
            say(f"  {case.label}")
            _resolve(sandbox, Path(folder), case, runs, results)


def _environment(sandbox: SandboxServer, folder: Path) -> dict[str, str]:
    extra = json.dumps({"base_url": sandbox.slack_base_url})
    connection = {"conn_type": "slack", "password": sandbox.token, "extra": extra}
    return {
        "AIRFLOW_CONN_SLACK_API_DEFAULT": json.dumps(connection),
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }


def _refresh(sandbox: SandboxServer, at_hand: Path, results: Results) -> None:
    before = _calls(sandbox)
    seconds, members = _in_fresh_process(refresh_once, str(at_hand))
    results.add("refresh", members=members, seconds=seconds, calls=_called(sandbox, before))


def _resolve(sandbox: SandboxServer, folder: Path, case: Case, runs: int, results: Results) -> None:
    before = _calls(sandbox)
    where = str(folder / ("at_hand" if case.directory else "empty"))
    measured = [_in_fresh_process(resolve_once, case.queries, where) for _ in range(runs)]
    results.add(
        "resolution",
        case=case.label,
        seconds=[round(each.seconds, 4) for each in measured],
        mebibytes=max(each.mebibytes for each in measured),
        calls=_called(sandbox, before, runs=runs),
        outcome=", ".join(measured[0].outcomes),
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
