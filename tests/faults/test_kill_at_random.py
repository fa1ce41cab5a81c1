"""Kill tasks, their workers and the scheduler with SIGKILL at random times during incidents."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from incident_sandbox.demo.processes import wait_until
from incident_sandbox.faults import FaultScript

from airflow_incident_provider.cli.airflow_api import FINAL_RUN_STATES

from .deployment import DAG_ID, Deployment
from .invariants import reported, violations
from .kills import kill
from .scenarios import Outcome

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.whole_suite]

KILLS = int(os.environ.get("FAULTS_KILLS", "100"))
RUNS = int(os.environ.get("FAULTS_RUNS", "20"))
KILLS_PER_RUN = 5
LAST_TRY = 4
SEED = int(os.environ.get("FAULTS_SEED", "4711"))
OWNER_LABEL = "airflow_incident_provider.task"


class Killer:
    """Kills processes of a run, of random kinds at random times."""

    def __init__(self, deployment: Deployment, rng: random.Random) -> None:
        self._deployment = deployment
        self._rng = rng
        self.kills: Counter[str] = Counter()

    def kill_during(self, run_id: str) -> None:
        """Kill processes until the run has ended or the number of kills per run is reached."""
        left = KILLS_PER_RUN
        while not self._ended(run_id) and left:
            self._wait(run_id, self._rng.uniform(0.1, 4.0))
            left -= self._kill_one(run_id)

    def _wait(self, run_id: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() > until or self._ended(run_id), what="the next kill", timeout=60)

    def _ended(self, run_id: str) -> bool:
        return self._deployment.airflow.api.run(DAG_ID, run_id)["state"] in FINAL_RUN_STATES

    def _kill_one(self, run_id: str) -> int:
        """Kill one process, unless that could use the last try of a task."""
        tries = {
            each["id"]: each["try_number"] for each in self._deployment.airflow.api.task_instances(DAG_ID, run_id)
        }
        running = self._deployment.task_processes()
        if any(tries.get(each, 1) >= LAST_TRY for each in running) or self._ended(run_id):
            return 0
        kind = self._rng.choices(("task", "worker", "scheduler"), weights=(7, 1, 2))[0]
        killed = (
            self._kill_scheduler() if kind == "scheduler" else self._kill_task(running, worker=kind == "worker")
        )
        self.kills[kind] += killed
        return killed

    def _kill_task(self, running: dict[str, psutil.Process], *, worker: bool) -> int:
        if not running:
            return 0
        process = self._rng.choice(list(running.values()))
        try:
            return kill({process.ppid() if worker else process.pid})
        except psutil.NoSuchProcess:
            return 0

    def _kill_scheduler(self) -> int:
        self._deployment.airflow.scheduler.kill()
        self._deployment.airflow.scheduler.start()
        return 1


def containers_of(engine: Any, run_ids: set[str]) -> list[str]:
    """Return the remaining containers of these runs. Other sessions may use the same engine."""
    found = engine.containers.list(all=True, filters={"label": OWNER_LABEL}, ignore_removed=True)
    return [each.name for each in found if each.labels[OWNER_LABEL].split("/")[1] in run_ids]


def run_incident(deployment: Deployment, killer: Killer | None) -> Outcome:
    deployment.slack.workspace.reset()
    deployment.slack.workspace.faults = FaultScript()
    run_id = deployment.start()
    if killer is not None:
        killer.kill_during(run_id)
    return deployment.wait_for_run(run_id)


def test_random_kills(deployment: Deployment, docker_engine: Any, report: Callable[[str], None]) -> None:
    clean = run_incident(deployment, None)
    killer = Killer(deployment, random.Random(SEED))
    failures: dict[int, list[str]] = {}
    runs = 0
    run_ids: set[str] = set()
    while killer.kills.total() < KILLS or runs < RUNS:
        runs += 1
        actual = run_incident(deployment, killer)
        run_ids.add(actual.run.run_id)
        found = violations(actual, clean) + [f"reported: {what}" for what in reported(actual) - reported(clean)]
        if found:
            failures[runs] = found
    lines = [line for found in failures.values() for line in found]
    left = containers_of(docker_engine, run_ids)
    report(
        f"{killer.kills.total()} kills at random ({dict(killer.kills)}, seed {SEED}) over {runs} runs: "
        f"{sum('posted' in line or 'times' in line or 'rooms' in line for line in lines)} duplicated, "
        f"{sum('lost' in line or 'ended as' in line for line in lines)} lost, "
        f"{len(left)} containers left, {sum('reported' in line for line in lines)} "
        "wrong statements"
    )
    assert failures == {}
    assert left == []
