"""
The stack from nothing to a summary, and its services killed in the middle of incidents.

One test after the other, on one stack: ``make compose-test``, or a part of it with ``KEYWORDS``.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .escapes import ESCAPES, attempt_all  # isort: skip
from .incidents import Room, Sent, finish, rooms, send, send_all, wrong  # isort: skip
from .stack import ROOT, Stack, stack  # isort: skip

INCIDENTS = 10
BEFORE_THE_KILL_S = 4.0
"""By then the first steps of ten incidents are under way."""
RUN_SECONDS = 400
LOCAL = (
    "airflow-scheduler",
    "airflow-api-server",
    "airflow-dag-processor",
    "airflow-triggerer",
    "postgres",
    "docker-proxy",
)
CELERY = ("airflow-worker", "redis", "airflow-scheduler")
WORKERS = 3
ALICE = "U0ALICENG01"


def tell(text: str) -> None:
    """Print a measurement into the test's own output."""
    print(f"    {text}", flush=True)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack with LocalExecutor."""
    with stack("incident-compose-local", tmp_path_factory.mktemp("local")) as made:
        tell(f"from nothing to taking alerts: {made.up('--no-build'):.0f} s")
        yield made


@pytest.fixture(scope="module")
def local_room(local: Stack) -> Room:
    """The room of an incident that nothing disturbed."""
    return run_one(local, "checkout")


@pytest.fixture(scope="module")
def celery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack with three workers on Celery."""
    folder = tmp_path_factory.mktemp("celery")
    with stack("incident-compose-celery", folder, "celery", AIRFLOW_EXECUTOR="CeleryExecutor") as made:
        seconds = made.up("--no-build", "--scale", f"airflow-worker={WORKERS}")
        tell(f"from nothing to taking alerts with {WORKERS} workers: {seconds:.0f} s")
        yield made


@pytest.fixture(scope="module")
def celery_room(celery: Stack) -> Room:
    """The room of an incident that nothing disturbed."""
    return run_one(celery, "checkout")


def run_one(stack: Stack, service: str) -> Room:
    """Have one incident with nothing in its way, and return its room."""
    began = time.monotonic()
    sent = send(stack, service)
    [run] = finish(stack, [sent], timeout=RUN_SECONDS).values()
    assert run["state"] == "success"
    [room] = rooms(stack.control, sent)
    tell(f"one incident, from alert to summary: {time.monotonic() - began:.1f} s")
    return room


def disturbed(stack: Stack, name: str, clean: Room, disturb: str | None) -> None:
    """Have ten incidents, kill a service in the middle, and check that nothing is lost and nothing is doubled."""
    began = time.monotonic()
    sent = send_all(stack, [f"{name}{number}" for number in range(INCIDENTS)])
    if disturb is not None:
        time.sleep(max(0.0, BEFORE_THE_KILL_S - (time.monotonic() - began)))
        stack.kill(disturb)
    ended = finish(stack, sent, timeout=RUN_SECONDS)
    took = time.monotonic() - began
    tell(f"{INCIDENTS} incidents, {disturb or 'nothing'} killed: all summaries after {took:.0f} s")
    stack.wait_until_well()
    assert not list(wrong(stack.control, sent, ended, clean))


@pytest.fixture(scope="module")
def answers(local: Stack) -> dict[str, tuple[int, str]]:
    """What the proxy says to each way out."""
    return attempt_all(local)


class TestLocalExecutor:
    def test_an_alert_becomes_a_room_with_evidence(self, local_room: Room) -> None:
        assert set(local_room.messages.values()) == {1}
        assert len(local_room.members) > 2
        [findings] = [text for text in local_room.texts if "our own network" in text and "check" in text]
        assert findings.startswith("The check passes"), "the probes reach the service"
        assert "no resolver answers" in findings, "and there is no name server"

    def test_commands_arrive_without_a_public_address(self, local: Stack, local_room: Room) -> None:
        sandbox = f"http://{local.address('sandbox')}:8765/sandbox"
        room = httpx.get(f"{sandbox}/channels/{local_room.name}", timeout=30).json()
        typed = {"user_id": ALICE, "channel_id": room["id"], "command": "/incident", "text": "lead"}
        said = httpx.post(f"{sandbox}/commands", json=typed, timeout=30).json()
        assert said["delivery"] == "ok", local.compose("logs", "airflow-socket")
        room = httpx.get(f"{sandbox}/channels/{local_room.name}", timeout=30).json()
        assert "incident commander" in room["ephemerals"][-1]["text"]

    @pytest.mark.parametrize("name", ESCAPES)
    def test_the_proxy_of_the_stack_refuses(self, answers: dict[str, tuple[int, str]], name: str) -> None:
        status, message = answers[name]
        assert status == 403, message
        assert "refused by the investigations' Docker proxy" in message

    def test_no_other_service_reaches_the_proxy(self, local: Stack) -> None:
        reach = "import socket; socket.create_connection(('docker-proxy', 2375), 3)"
        for service in ("airflow-api-server", "airflow-dag-processor", "airflow-triggerer"):
            with pytest.raises(AssertionError, match="gaierror"):
                local.compose("exec", "-T", service, "python", "-c", reach)
        local.compose("exec", "-T", "airflow-scheduler", "python", "-c", reach)

    @pytest.mark.parametrize("service", [None, *LOCAL], ids=str)
    def test_ten_incidents(self, local: Stack, local_room: Room, service: str | None) -> None:
        name = (service or "nothing").removeprefix("airflow-").replace("-", "")
        disturbed(local, f"l{name}", local_room, service)

    def test_an_orderly_restart_of_the_database(self, local: Stack, local_room: Room) -> None:
        sent = send_all(local, [f"dbrestart{number}" for number in range(3)])
        local.compose("restart", "postgres")
        ended = finish(local, sent, timeout=RUN_SECONDS)
        assert not list(wrong(local.control, sent, ended, local_room))

    def test_an_upgrade_in_the_middle(self, local: Stack, local_room: Room, tmp_path: Path) -> None:
        local.checkout = newer_checkout(tmp_path)
        local.build("2")
        sent: list[Sent] = send_all(local, [f"upgrade{number}" for number in range(3)])
        # All but the stand-in Slack, whose rooms are in its memory.
        seconds = local.up("--no-build", "airflow-init", *(service for service in LOCAL if service != "postgres"))
        tell(f"upgrade: every service is the new version's after {seconds:.0f} s")
        version = "import importlib.metadata as m; print(m.version('airflow-incident-provider'))"
        assert local.compose("exec", "-T", "airflow-scheduler", "python", "-c", version).strip() == NEWER
        ended = finish(local, sent, timeout=RUN_SECONDS)
        assert not list(wrong(local.control, sent, ended, local_room))
        run_one(local, "after-the-upgrade")

    def test_torn_down_nothing_is_left(self, local: Stack) -> None:
        local.down()
        for kind in ("container", "volume", "network"):
            command = ["docker", kind, "ls", "-q", "--filter", f"label=com.docker.compose.project={local.project}"]
            assert not subprocess.run(command, capture_output=True, text=True, check=True).stdout


class TestCelery:
    def test_an_alert_becomes_a_room(self, celery_room: Room) -> None:
        assert set(celery_room.messages.values()) == {1}

    @pytest.mark.parametrize("service", [None, *CELERY], ids=str)
    def test_ten_incidents(self, celery: Stack, celery_room: Room, service: str | None) -> None:
        name = (service or "nothing").removeprefix("airflow-").replace("-", "")
        disturbed(celery, f"c{name}", celery_room, service)

    def test_every_worker_has_worked(self, celery: Stack) -> None:
        hosts = {
            task["hostname"]
            for run_id in celery.api.runs("incident_response")
            for task in celery.api.task_instances("incident_response", run_id)
        }
        running = {container["Config"]["Hostname"] for container in celery.containers("airflow-worker")}
        assert len(running) == WORKERS
        assert running <= hosts


NEWER = "0.2.0"


def newer_checkout(folder: Path) -> Path:
    """Return a checkout of a later version of the package."""
    for name in ("docker-compose.yaml", "Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("airflow_incident_provider", "packages", "dags", "compose"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "airflow_incident_provider/__init__.py"):
        file = folder / name
        file.write_text(
            file.read_text()
            .replace('version = "0.1.0"', f'version = "{NEWER}"')
            .replace('__version__ = "0.1.0"', f'__version__ = "{NEWER}"')
        )
    return folder
