"""What is compared, and how each handles one incident."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from incident_sandbox.demo.airflow_home import RECOMMENDED_SETTINGS
from incident_sandbox.demo.local_airflow import LocalAirflow

from benchmarks.speed.observation import Times, calls_since, last_call, observe, wait_for
from benchmarks.speed.scenario import Scenario, key_of

HERE = Path(__file__).parent
OUR_DAGS = HERE.parent.parent / "dags"
OUR_DAG = "incident_response"
TIMEOUT = 90.0

TASKS_AT_ONCE = ("AIRFLOW__CORE__PARALLELISM", "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT")
"""The settings that say how many tasks run at once: the demo's are those of a small machine."""

Start = Callable[[dict[str, Any]], float]
"""Starts handling an alert and returns when it was started, in seconds since the epoch."""


@dataclass(frozen=True)
class AirflowSetup:
    """An Airflow to run a DAG on.

    :param extra_path: a folder at the front of Python's import path.
    """

    label: str
    dag_id: str
    dags: Path
    recommended: bool
    extra_path: Path | None = None

    @property
    def settings(self) -> dict[str, str]:
        """The settings in which this differs from the demo's."""
        if self.recommended:
            return {}
        return {name: default_of(name) for name in (*RECOMMENDED_SETTINGS, *TASKS_AT_ONCE)}


OURS = AirflowSetup("a: this DAG, recommended settings", OUR_DAG, OUR_DAGS, recommended=True)
OURS_DEFAULTS = AirflowSetup("b: this DAG, Airflow's defaults", OUR_DAG, OUR_DAGS, recommended=False)
STOCK = AirflowSetup(
    "c: stock operators, Airflow's defaults",
    "stock_incident",
    HERE / "stock_dags",
    recommended=False,
    extra_path=HERE / "without_this_package",
)
STOCK_RECOMMENDED = AirflowSetup(
    "c': stock operators, recommended settings",
    "stock_incident",
    HERE / "stock_dags",
    recommended=True,
    extra_path=HERE / "without_this_package",
)


def default_of(variable: str) -> str:
    """Return Airflow's default for the setting of an environment variable ``AIRFLOW__SECTION__OPTION``."""
    _, section, option = variable.lower().split("__")
    return str(conf.get_default_value(section, option))


@contextmanager
def airflow_for(
    setup: AirflowSetup, scene: Scenario, home: Path, *, say: Callable[[str], None]
) -> Iterator[LocalAirflow]:
    """Start an Airflow that is warm: its DAG has been parsed, and a trivial task has been run."""
    environment = {**scene.environment, **setup.settings}
    if setup.extra_path is not None:
        environment["PYTHONPATH"] = f"{setup.extra_path}:{OUR_DAGS.parent}"
    with LocalAirflow(
        home, setup.dags, connections=scene.connections, environment=environment, progress=say
    ) as airflow:
        airflow.wait_for_dag(setup.dag_id)
        airflow.warm_up()
        yield airflow


def by_rest(airflow: LocalAirflow, dag_id: str) -> Start:
    """Return how an incident is started on an Airflow: by a call of its REST API."""

    def start(alert: dict[str, Any]) -> float:
        began = time.time()
        airflow.api.trigger(dag_id, {"datadog": alert}, run_id=key_of(alert))
        return began

    return start


def by_script(scene: Scenario, folder: Path, loaded: Callable[[float], None]) -> Start:
    """
    Return how an incident is started without Airflow: as a process.

    :param loaded: called at each start with the seconds that the interpreter and the imports took.
    """

    def start(alert: dict[str, Any]) -> float:
        alert_file = folder / "alert.json"
        alert_file.write_text(json.dumps(alert), encoding="utf-8")
        began = time.time()
        done = subprocess.run(
            [sys.executable, str(HERE / "plain_script.py"), str(scene.job_file), str(alert_file)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        loaded(float(done.stdout.split()[0]) - began)
        return began

    return start


def handle(scene: Scenario, start: Start, alert: dict[str, Any]) -> tuple[Times, list[str]]:
    """Handle one incident and return when its messages came, and which calls were made until the summary."""
    workspace = scene.sandbox.workspace
    before = last_call(workspace)
    began = start(alert)
    key = key_of(alert)
    wait_for(lambda: observe(workspace, key, since=began).complete, timeout=TIMEOUT)
    return observe(workspace, key, since=began), calls_since(workspace, before)


def wait_for_end(airflow: LocalAirflow, dag_id: str, alert: Mapping[str, Any]) -> str:
    """Wait until the run of an alert has ended, so that it does not burden the next, and return its state."""
    return str(airflow.api.wait_for_run(dag_id, key_of(dict(alert)), timeout=TIMEOUT)["state"])
