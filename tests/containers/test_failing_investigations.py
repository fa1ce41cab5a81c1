"""Findings of investigations whose container fails: correct, limited in size, and never ``ok`` by mistake."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from incident_sandbox.demo.processes import wait_until

from airflow_incident_provider.models import Finding, Verdict
from airflow_incident_provider.probes.output import MAX_EVIDENCE_BYTES

from ..conftest import ALPINE_IMAGE

pytestmark = pytest.mark.docker

RUN_ID = "failing-run"
OWNER = f"d/{RUN_ID}/investigate/-1"
LABEL = f"airflow_incident_provider.task={OWNER}"
DOCKER_SOCKET = "/var/run/docker.sock"
KILLED_WORKER = """
import sys, docker
from airflow_incident_provider.containers import ContainerSpec, LockedDownContainer
spec = ContainerSpec(image=sys.argv[1], owner=sys.argv[2], entrypoint=["sleep", "30"], network="none")
LockedDownContainer(docker.from_env().api, spec, host="here").run()
"""


@pytest.fixture
def remaining_containers(docker_engine: Any) -> Iterator[Callable[[], list[str]]]:
    """Return a function that lists the containers of the task. They are removed at the end."""

    def remaining_containers() -> list[str]:
        found = docker_engine.api.containers(all=True, filters={"label": LABEL})
        return [container["Id"] for container in found]

    yield remaining_containers
    for container in remaining_containers():
        docker_engine.api.remove_container(container, force=True)


@pytest.fixture
def investigate(docker_engine: Any, remaining_containers: Callable[[], list[str]]) -> Callable[..., Finding]:
    """Return a function that runs a command with the operator and returns its finding."""
    from airflow_incident_provider.operators import InvestigateInContainerOperator

    def investigate(
        *command: str, started: Callable[[InvestigateInContainerOperator], None] = lambda _: None, **options: Any
    ) -> Finding:
        options = {"image": ALPINE_IMAGE, "network_mode": "none", "pull": "never"} | options
        operator = InvestigateInContainerOperator(task_id="investigate", command=list(command), **options)
        instance = SimpleNamespace(dag_id="d", run_id=RUN_ID, task_id="investigate", map_index=-1)
        started(operator)
        return Finding.model_validate(operator.execute({"ti": instance}))

    return investigate


# --- output -----------------------------------------------------------------------------------------


def test_binary_output_is_cleaned(
    investigate: Callable[..., Finding], remaining_containers: Callable[[], list[str]]
) -> None:
    finding = investigate("sh", "-c", "head -c 200000 /dev/urandom; exit 1")
    assert finding.verdict is Verdict.FAIL
    assert len(finding.evidence.encode()) <= MAX_EVIDENCE_BYTES
    assert {sign for sign in finding.evidence if unicodedata.category(sign) == "Cc"} <= {"\n", "\t"}
    assert remaining_containers() == []


def test_terminal_control_is_removed(investigate: Callable[..., Finding]) -> None:
    finding = investigate("printf", r"\033[2J\033]0;title\007\033[31mred\033[0m\r\010ok\n")
    assert "\x1b" not in finding.evidence
    assert "red" in finding.evidence
    assert not any(sign in finding.evidence for sign in "\x07\x08\r")


def test_endless_output_is_truncated(
    investigate: Callable[..., Finding], remaining_containers: Callable[[], list[str]]
) -> None:
    finding = investigate("yes", "0123456789" * 10, container_timeout=2)
    assert finding.verdict is Verdict.UNKNOWN
    assert "did not end in time" in finding.summary
    assert 0 < len(finding.evidence.encode()) <= MAX_EVIDENCE_BYTES
    assert remaining_containers() == []


@pytest.mark.parametrize(("code", "verdict"), [("0", Verdict.OK), ("1", Verdict.FAIL)])
def test_command_without_output(investigate: Callable[..., Finding], code: str, verdict: Verdict) -> None:
    finding = investigate("sh", "-c", f"exit {code}")
    assert (finding.verdict, finding.evidence) == (verdict, "")


# --- failures ----------------------------------------------------------------------------------------


def test_timeout_is_unknown(
    investigate: Callable[..., Finding], remaining_containers: Callable[[], list[str]]
) -> None:
    finding = investigate("sleep", "30", container_timeout=1)
    assert (finding.verdict, finding.exit_code) == (Verdict.UNKNOWN, None)
    assert "did not end in time" in finding.summary
    assert remaining_containers() == []


def test_out_of_memory_is_not_ok(
    investigate: Callable[..., Finding], remaining_containers: Callable[[], list[str]]
) -> None:
    """Depending on the process that is killed, the exit code differs."""
    finding = investigate("awk", 'BEGIN { s = "x"; while (1) s = s s }')
    assert finding.verdict in {Verdict.UNKNOWN, Verdict.FAIL}
    assert remaining_containers() == []


def test_missing_image_is_unknown(investigate: Callable[..., Finding]) -> None:
    finding = investigate("true", image="127.0.0.1:1/nope:1")
    assert finding.verdict is Verdict.UNKNOWN
    assert "the image 127.0.0.1:1/nope:1 is not on this engine" in finding.summary


class Forwarder:
    """A proxy between a client and the engine whose connections can be closed."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client_side, _ = self._listener.accept()
                engine_side = socket.socket(socket.AF_UNIX)
                engine_side.connect(DOCKER_SOCKET)
                self._open += [client_side, engine_side]
                for source, sink in ((client_side, engine_side), (engine_side, client_side)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close all connections and stop listening."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.mark.skipif(
    not Path(DOCKER_SOCKET).is_socket() and not os.environ.get("CI"), reason="the engine is at another address"
)
def test_engine_connection_lost_during_run(
    investigate: Callable[..., Finding], remaining_containers: Callable[[], list[str]], tmp_path: Path
) -> None:
    """The finding is unknown, and the next investigation removes the container."""
    path = tmp_path / "engine.sock"
    forwarder = Forwarder(path)
    found: list[Finding] = []
    running = threading.Thread(
        target=lambda: found.append(investigate("sleep", "20", docker_url=f"unix://{path}", container_timeout=15))
    )
    running.start()
    wait_until(lambda: bool(remaining_containers()), what="a container of this run", timeout=20)
    forwarder.close()
    running.join(30)
    [finding] = found
    assert finding.verdict is Verdict.UNKNOWN
    assert "Docker Engine" in finding.summary
    assert len(remaining_containers()) == 1
    assert investigate("true").verdict is Verdict.OK
    assert remaining_containers() == []


def test_killed_task_removes_its_container(
    investigate: Callable[..., Finding], remaining_containers: Callable[[], list[str]]
) -> None:
    operators: list[Any] = []
    found: list[Finding] = []
    running = threading.Thread(target=lambda: found.append(investigate("sleep", "30", started=operators.append)))
    running.start()
    wait_until(lambda: bool(remaining_containers()), what="a container of this run", timeout=20)
    operators[0].on_kill()
    assert remaining_containers() == []
    running.join(20)
    assert [finding.verdict for finding in found] == [Verdict.UNKNOWN]


def test_retry_removes_container_of_killed_worker(
    investigate: Callable[..., Finding], remaining_containers: Callable[[], list[str]]
) -> None:
    worker = subprocess.Popen([sys.executable, "-c", KILLED_WORKER, ALPINE_IMAGE, OWNER])
    try:
        wait_until(lambda: bool(remaining_containers()), what="a container of this run", timeout=20)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert len(remaining_containers()) == 1
    assert investigate("true").verdict is Verdict.OK
    assert remaining_containers() == []
