"""A hundred kill -9 at random moments, of tasks, their workers and the scheduler, while incidents are handled."""

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

from .invariants import reported, violations  # isort: skip
from .kills import kill  # isort: skip
from .real_airflow import DAG_ID, RealAirflow  # isort: skip
from .running import Outcome  # isort: skip

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.whole_suite]

KILLS = int(os.environ.get("FAULTS_KILLS", "100"))
RUNS = int(os.environ.get("FAULTS_RUNS", "20"))
KILLS_A_RUN = 5
LAST_TRY = 4
SEED = int(os.environ.get("FAULTS_SEED", "4711"))
OWNER_LABEL = "airflow_incident_provider.task"


class Killer:
    """Kills something of a run at moments and of kinds that its random numbers choose."""

    def __init__(self, real: RealAirflow, chance: random.Random) -> None:
        self._real = real
        self._chance = chance
        self.kills: Counter[str] = Counter()

    def accompany(self, run_id: str) -> None:
        """Kill until the run has ended, or has been struck often enough."""
        left = KILLS_A_RUN
        while not self._ended(run_id) and left:
            self._wait(run_id, self._chance.uniform(0.1, 4.0))
            left -= self._strike(run_id)

    def _wait(self, run_id: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() > until or self._ended(run_id), what="the next kill", timeout=60)

    def _ended(self, run_id: str) -> bool:
        return self._real.airflow.api.run(DAG_ID, run_id)["state"] in FINAL_RUN_STATES

    def _strike(self, run_id: str) -> int:
        """Kill once, unless that could use up the last try of a task: then a person would be needed anyway."""
        tries = {each["id"]: each["try_number"] for each in self._real.airflow.api.task_instances(DAG_ID, run_id)}
        running = self._real.task_processes()
        if any(tries.get(each, 1) >= LAST_TRY for each in running) or self._ended(run_id):
            return 0
        kind = self._chance.choices(("task", "worker", "scheduler"), weights=(7, 1, 2))[0]
        struck = self._scheduler() if kind == "scheduler" else self._task(running, worker=kind == "worker")
        self.kills[kind] += struck
        return struck

    def _task(self, running: dict[str, psutil.Process], *, worker: bool) -> int:
        if not running:
            return 0
        process = self._chance.choice(list(running.values()))
        try:
            return kill({process.ppid() if worker else process.pid})
        except psutil.NoSuchProcess:
            return 0

    def _scheduler(self) -> int:
        self._real.airflow.scheduler.kill()
        self._real.airflow.scheduler.start()
        return 1


def containers_of(engine: Any, run_ids: set[str]) -> list[str]:
    """Return the containers of these runs that are still there; others on this engine have theirs."""
    found = engine.containers.list(all=True, filters={"label": OWNER_LABEL}, ignore_removed=True)
    return [each.name for each in found if each.labels[OWNER_LABEL].split("/")[1] in run_ids]


def outcome(real: RealAirflow, killer: Killer | None) -> Outcome:
    real.slack.workspace.reset()
    real.slack.workspace.faults = FaultScript()
    run_id = real.start()
    if killer is not None:
        killer.accompany(run_id)
    return real.finish(run_id)


def test_a_hundred_kills(real: RealAirflow, docker_engine: Any, counted: Callable[[str], None]) -> None:
    clean = outcome(real, None)
    killer = Killer(real, random.Random(SEED))
    wrong: dict[int, list[str]] = {}
    runs = 0
    run_ids: set[str] = set()
    while killer.kills.total() < KILLS or runs < RUNS:
        runs += 1
        seen = outcome(real, killer)
        run_ids.add(seen.run.run_id)
        found = violations(seen, clean) + [f"it is said: {what}" for what in reported(seen) - reported(clean)]
        if found:
            wrong[runs] = found
    everything = [line for found in wrong.values() for line in found]
    left = containers_of(docker_engine, run_ids)
    counted(
        f"{killer.kills.total()} kills at random ({dict(killer.kills)}, seed {SEED}) over {runs} runs: "
        f"{sum('posted' in line or 'times' in line or 'rooms' in line for line in everything)} doubled, "
        f"{sum('lost' in line or 'ended as' in line for line in everything)} lost, "
        f"{len(left)} containers left, {sum('said' in line or 'says' in line for line in everything)} "
        "wrong statements"
    )
    assert wrong == {}
    assert left == []
