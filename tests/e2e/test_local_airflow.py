"""``LocalAirflow``: it runs a DAG, and no process is left however it ends."""

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

# A background process of a shell ignores SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

from incident_sandbox.demo.local_airflow import LocalAirflow

with LocalAirflow(Path(sys.argv[1]), Path(sys.argv[2]), port=int(sys.argv[3])):
    sys.stdin.read()
"""
PROCESSES_WHEN_STARTED = 6
"""The guard, PostgreSQL and four components."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one home for all tests, with a space in its path; the first test creates its database."""
    return tmp_path_factory.mktemp("local airflow") / "home"


@pytest.fixture
def dags_folder(tmp_path: Path) -> Path:
    (tmp_path / f"{DAG_ID}.py").write_text(textwrap.dedent(DAG_SOURCE))
    return tmp_path


def wait_until_ended(processes: set[psutil.Process], timeout: float = 30) -> set[psutil.Process]:
    """Return the processes that are still alive after the timeout."""
    deadline = time.monotonic() + timeout
    while (alive := {p for p in processes if is_alive(p)}) and time.monotonic() < deadline:
        psutil.wait_procs(alive, timeout=0.2)
    return alive


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_dag_runs_and_all_processes_end(home: Path, dags_folder: Path) -> None:
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


def test_restarted_scheduler_resumes_runs(home: Path, dags_folder: Path) -> None:
    with LocalAirflow(home, dags_folder) as airflow:
        airflow.wait_for_dag(DAG_ID)
        airflow.scheduler.kill()
        assert not airflow.scheduler.running
        run_id = airflow.api.trigger(DAG_ID, {"name": "again"})["dag_run_id"]
        airflow.scheduler.restart()
        assert airflow.api.wait_for_run(DAG_ID, run_id)["state"] == "success"


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signal_to_parent_ends_all_processes(home: Path, dags_folder: Path, end: signal.Signals) -> None:
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
            assert parent.poll() is None, "the parent ended"
            assert time.monotonic() < deadline, "the processes did not start"
            psutil.wait_procs([psutil.Process(parent.pid)], timeout=0.1)
        os.killpg(parent.pid, end)
        parent.wait(30)
        assert wait_until_ended(started) == set()
        assert living_members(process.pid for process in started) == set()
        assert choose_port(port) == port
    finally:
        # Clean up after a failure, too.
        parent.kill()
        parent.wait()
        end_sessions((process.pid for process in started), seconds_after_term=0)


def test_occupied_port_is_reported_before_start(home: Path, dags_folder: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = holder.getsockname()[1]
        with (
            pytest.raises(LocalProcessError, match=rf"Port {port} .*pid {os.getpid()}"),
            LocalAirflow(home, dags_folder, port=port),
        ):
            pytest.fail("it started")
