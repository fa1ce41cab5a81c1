"""A real Airflow on this machine: it runs a DAG, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.demo.processes import LOOPBACK, LocalProcessError, choose_port
from incident_sandbox.demo.session_guard import end_sessions, living_members

pytestmark = pytest.mark.e2e

DAG_ID = "two_tasks"
DAG_SOURCE = """
from airflow.sdk import dag, task


@dag(schedule=None)
def two_tasks():
    @task
    def greet(dag_run=None):
        return f"hello {dag_run.conf['name']}"

    @task
    def shout(greeting):
        print("shouting", greeting)
        return greeting.upper()

    shout(greet())


two_tasks()
"""

STARTER = """
import signal
import sys
from pathlib import Path

# Whoever runs the tests in the background of a shell made us deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

from incident_sandbox.demo.local_airflow import LocalAirflow

with LocalAirflow(Path(sys.argv[1]), Path(sys.argv[2]), port=int(sys.argv[3])):
    sys.stdin.read()
"""
PROCESSES_WHEN_STARTED = 6
"""The guard, PostgreSQL and four components."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all tests here, with a space in its path: later ones find its database made."""
    return tmp_path_factory.mktemp("local airflow") / "home"


@pytest.fixture
def dags_folder(tmp_path: Path) -> Path:
    (tmp_path / f"{DAG_ID}.py").write_text(textwrap.dedent(DAG_SOURCE))
    return tmp_path


def wait_until_ended(processes: set[psutil.Process], timeout: float = 30) -> set[psutil.Process]:
    """Return those that are still alive when the time is over: none, if all is well."""
    deadline = time.monotonic() + timeout
    while (alive := {p for p in processes if is_alive(p)}) and time.monotonic() < deadline:
        psutil.wait_procs(alive, timeout=0.2)
    return alive


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_dag_runs_and_everything_is_gone_afterwards(home: Path, dags_folder: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    progress: list[str] = []
    with LocalAirflow(home, dags_folder, progress=progress.append) as airflow:
        port = int(airflow.url.rpartition(":")[2])
        airflow.wait_for_dag(DAG_ID)
        run_id = airflow.api.trigger(DAG_ID, {"name": "world"}, run_id="a+b:c")["dag_run_id"]
        run = airflow.api.wait_for_run(DAG_ID, run_id)
        assert run["state"] == "success"
        assert airflow.api.xcom(DAG_ID, run_id, "shout") == "HELLO WORLD"
        assert "shouting hello world" in airflow.api.logs(DAG_ID, run_id, "shout")

        airflow.api.clear(DAG_ID, run_id, ["shout"])
        airflow.api.wait_for_run(DAG_ID, run_id)
        tries = {t["task_id"]: t["try_number"] for t in airflow.api.task_instances(DAG_ID, run_id)}
        assert tries == {"greet": 1, "shout": 2}
        started = set(psutil.Process().children(recursive=True)) - before

    assert len(started) >= PROCESSES_WHEN_STARTED
    assert wait_until_ended(started, timeout=1) == set()
    assert choose_port(port) == port
    assert progress[-1] == "Stopping Airflow"


def test_a_killed_scheduler_is_started_again_and_takes_up_the_work(home: Path, dags_folder: Path) -> None:
    with LocalAirflow(home, dags_folder) as airflow:
        airflow.wait_for_dag(DAG_ID)
        airflow.scheduler.kill()
        assert not airflow.scheduler.running
        run_id = airflow.api.trigger(DAG_ID, {"name": "again"})["dag_run_id"]
        airflow.scheduler.restart()
        assert airflow.api.wait_for_run(DAG_ID, run_id)["state"] == "success"


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_parent_leaves_no_process(home: Path, dags_folder: Path, end: signal.Signals) -> None:
    port = choose_port()
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(home), str(dags_folder), str(port)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    started: set[psutil.Process] = set()
    try:
        deadline = time.monotonic() + 60
        while len(started := set(psutil.Process(parent.pid).children())) < PROCESSES_WHEN_STARTED:
            assert parent.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline, "it did not start its processes"
            psutil.wait_procs([psutil.Process(parent.pid)], timeout=0.1)
        os.killpg(parent.pid, end)
        parent.wait(30)
        assert wait_until_ended(started) == set()
        assert living_members(process.pid for process in started) == set()
        assert choose_port(port) == port
    finally:
        # A failure must not leave to the machine what it is about.
        parent.kill()
        parent.wait()
        end_sessions((process.pid for process in started), seconds_after_term=0)


def test_a_port_that_is_taken_is_named_before_anything_starts(home: Path, dags_folder: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = holder.getsockname()[1]
        with (
            pytest.raises(LocalProcessError, match=rf"Port {port} .*pid {os.getpid()}"),
            LocalAirflow(home, dags_folder, port=port),
        ):
            pytest.fail("it started")
