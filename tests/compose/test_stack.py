"""
The Compose stack from its start to a summary, with services killed during incidents.

The tests run in order on one stack: ``make compose-test``, or a part of it with ``KEYWORDS``.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .escapes import ESCAPES, attempt_all
from .incidents import Room, Sent, rooms, send, send_all, violations, wait_for_runs
from .stack import ROOT, Stack, stack

INCIDENTS = 10
KILL_AFTER_SECONDS = 4.0
"""The time after which the first steps of ten incidents are running."""
RUN_SECONDS = 400
LOCAL_SERVICES = (
    "airflow-scheduler",
    "airflow-api-server",
    "airflow-dag-processor",
    "airflow-triggerer",
    "postgres",
    "docker-proxy",
)
CELERY_SERVICES = ("airflow-worker", "redis", "airflow-scheduler")
WORKER_COUNT = 3
ALICE = "U0ALICENG01"


def log(text: str) -> None:
    """Print a measurement."""
    print(f"    {text}", flush=True)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack with LocalExecutor."""
    with stack("incident-compose-local", tmp_path_factory.mktemp("local")) as compose_stack:
        log(f"start of the stack: {compose_stack.up('--no-build'):.0f} s")
        yield compose_stack


@pytest.fixture(scope="module")
def local_room(local: Stack) -> Room:
    """The room of an undisturbed incident."""
    return run_incident(local, "checkout")


@pytest.fixture(scope="module")
def celery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack with three workers on Celery."""
    folder = tmp_path_factory.mktemp("celery")
    with stack("incident-compose-celery", folder, "celery", AIRFLOW_EXECUTOR="CeleryExecutor") as compose_stack:
        seconds = compose_stack.up("--no-build", "--scale", f"airflow-worker={WORKER_COUNT}")
        log(f"start of the stack with {WORKER_COUNT} workers: {seconds:.0f} s")
        yield compose_stack


@pytest.fixture(scope="module")
def celery_room(celery: Stack) -> Room:
    """The room of an undisturbed incident."""
    return run_incident(celery, "checkout")


def run_incident(stack: Stack, service: str) -> Room:
    """Run one undisturbed incident and return its room."""
    started = time.monotonic()
    sent = send(stack, service)
    [run] = wait_for_runs(stack, [sent], timeout=RUN_SECONDS).values()
    assert run["state"] == "success"
    [room] = rooms(stack.control, sent)
    log(f"one incident, from alert to summary: {time.monotonic() - started:.1f} s")
    return room


def run_incidents(stack: Stack, name: str, clean: Room, killed_service: str | None) -> None:
    """Run ten incidents, kill a service in the middle, and check that nothing is lost or duplicated."""
    started = time.monotonic()
    sent = send_all(stack, [f"{name}{number}" for number in range(INCIDENTS)])
    if killed_service is not None:
        time.sleep(max(0.0, KILL_AFTER_SECONDS - (time.monotonic() - started)))
        stack.kill(killed_service)
    ended = wait_for_runs(stack, sent, timeout=RUN_SECONDS)
    seconds = time.monotonic() - started
    log(f"{INCIDENTS} incidents, {killed_service or 'nothing'} killed: all summaries after {seconds:.0f} s")
    stack.wait_until_healthy()
    assert not list(violations(stack.control, sent, ended, clean))


@pytest.fixture(scope="module")
def responses(local: Stack) -> dict[str, tuple[int, str]]:
    """The responses of the proxy to the escape requests."""
    return attempt_all(local)


class TestLocalExecutor:
    def test_alert_becomes_room_with_evidence(self, local_room: Room) -> None:
        assert set(local_room.messages.values()) == {1}
        assert len(local_room.members) > 2
        [findings] = [text for text in local_room.texts if "our own network" in text and "check" in text]
        assert findings.startswith("The check passes"), "the probes reach the service"
        assert "no resolver answers" in findings, "and there is no name server"

    def test_slash_command_arrives_by_socket_mode(self, local: Stack, local_room: Room) -> None:
        sandbox = f"http://{local.address('sandbox')}:8765/sandbox"
        room = httpx.get(f"{sandbox}/channels/{local_room.name}", timeout=30).json()
        command = {"user_id": ALICE, "channel_id": room["id"], "command": "/incident", "text": "lead"}
        response = httpx.post(f"{sandbox}/commands", json=command, timeout=30).json()
        assert response["delivery"] == "ok", local.compose("logs", "airflow-socket")
        room = httpx.get(f"{sandbox}/channels/{local_room.name}", timeout=30).json()
        assert "incident commander" in room["ephemerals"][-1]["text"]

    @pytest.mark.parametrize("name", ESCAPES)
    def test_proxy_refuses_escape(self, responses: dict[str, tuple[int, str]], name: str) -> None:
        status, message = responses[name]
        assert status == 403, message
        assert "refused by the investigations' Docker proxy" in message

    def test_only_the_scheduler_reaches_the_proxy(self, local: Stack) -> None:
        connect = "import socket; socket.create_connection(('docker-proxy', 2375), 3)"
        for service in ("airflow-api-server", "airflow-dag-processor", "airflow-triggerer"):
            with pytest.raises(AssertionError, match="gaierror"):
                local.compose("exec", "-T", service, "python", "-c", connect)
        local.compose("exec", "-T", "airflow-scheduler", "python", "-c", connect)

    @pytest.mark.parametrize("service", [None, *LOCAL_SERVICES], ids=str)
    def test_killed_service_loses_nothing(self, local: Stack, local_room: Room, service: str | None) -> None:
        name = (service or "nothing").removeprefix("airflow-").replace("-", "")
        run_incidents(local, f"l{name}", local_room, service)

    def test_restart_of_the_database_loses_nothing(self, local: Stack, local_room: Room) -> None:
        sent = send_all(local, [f"dbrestart{number}" for number in range(3)])
        local.compose("restart", "postgres")
        ended = wait_for_runs(local, sent, timeout=RUN_SECONDS)
        assert not list(violations(local.control, sent, ended, local_room))

    def test_upgrade_loses_nothing(self, local: Stack, local_room: Room, tmp_path: Path) -> None:
        local.checkout = create_new_version(tmp_path)
        local.build("2")
        sent: list[Sent] = send_all(local, [f"upgrade{number}" for number in range(3)])
        # All but the sandbox, which keeps its rooms in memory.
        seconds = local.up(
            "--no-build", "airflow-init", *(service for service in LOCAL_SERVICES if service != "postgres")
        )
        log(f"upgrade: every service has the new version after {seconds:.0f} s")
        version = "import importlib.metadata as m; print(m.version('airflow-incident-provider'))"
        assert local.compose("exec", "-T", "airflow-scheduler", "python", "-c", version).strip() == NEW_VERSION
        ended = wait_for_runs(local, sent, timeout=RUN_SECONDS)
        assert not list(violations(local.control, sent, ended, local_room))
        run_incident(local, "after-the-upgrade")

    def test_down_removes_everything(self, local: Stack) -> None:
        local.down()
        for kind in ("container", "volume", "network"):
            command = ["docker", kind, "ls", "-q", "--filter", f"label=com.docker.compose.project={local.project}"]
            assert not subprocess.run(command, capture_output=True, text=True, check=True).stdout


class TestCelery:
    def test_alert_becomes_room(self, celery_room: Room) -> None:
        assert set(celery_room.messages.values()) == {1}

    @pytest.mark.parametrize("service", [None, *CELERY_SERVICES], ids=str)
    def test_killed_service_loses_nothing(self, celery: Stack, celery_room: Room, service: str | None) -> None:
        name = (service or "nothing").removeprefix("airflow-").replace("-", "")
        run_incidents(celery, f"c{name}", celery_room, service)

    def test_every_worker_runs_tasks(self, celery: Stack) -> None:
        hosts = {
            task["hostname"]
            for run_id in celery.api.runs("incident_response")
            for task in celery.api.task_instances("incident_response", run_id)
        }
        running = {container["Config"]["Hostname"] for container in celery.containers("airflow-worker")}
        assert len(running) == WORKER_COUNT
        assert running <= hosts


NEW_VERSION = "0.2.0"


def create_new_version(folder: Path) -> Path:
    """Create a checkout of a new version of the package."""
    for name in ("docker-compose.yaml", "Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("airflow_incident_provider", "packages", "dags", "compose"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "airflow_incident_provider/__init__.py"):
        file = folder / name
        file.write_text(
            file.read_text()
            .replace('version = "0.1.0"', f'version = "{NEW_VERSION}"')
            .replace('__version__ = "0.1.0"', f'__version__ = "{NEW_VERSION}"')
        )
    return folder
