"""The stack of ``docker-compose.yaml`` on this machine's Docker Engine, with stand-in images."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from incident_sandbox import SandboxClient
from incident_sandbox.demo.processes import choose_port

from airflow_incident_provider.cli.airflow_api import AirflowApi

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "compose"
COMPOSE = ROOT / ".tests" / "bin" / "docker-compose"
IMAGE = "airflow-incident-compose-test"

UP_SECONDS = 400
POLL_SECONDS = 0.5
ROUTING = {
    "version": 1,
    "defaults": {
        "responders": ["alice.ng@acme.example", "@sre-oncall", "nobody@acme.example"],
        "probes": ["tcp", "http"],
        "targets": ["http://checkout:8000/"],
    },
    "allowed_networks": ["172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8"],
    # Each alert is a separate incident.
    "correlation": {"rules": []},
    "storm": {"threshold": None},
}


@dataclass
class Stack:
    """A Compose project.

    :param project: the name, a prefix of the names of containers, volumes and networks.
    :param folder: contains the .env and the routing table.
    :param checkout: the sources of the image.
    """

    project: str
    folder: Path
    environment: dict[str, str]
    profiles: tuple[str, ...] = ("sandbox",)
    checkout: Path = ROOT
    secrets: dict[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, timeout: float = 120, check: bool = True, stdin: str | None = None) -> str:
        """Run Compose with ``stdin`` as its input and return its output."""
        env_file = self.folder / ".env"
        profiles = [part for profile in self.profiles for part in ("--profile", profile)]
        files = ["-f", str(self.checkout / "docker-compose.yaml"), "-f", str(HERE / "offline.yaml")]
        completed = subprocess.run(
            [COMPOSE, "--project-name", self.project, "--env-file", env_file, *files, *profiles, *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "DOCKER_BUILDKIT": "0"},
            cwd=self.checkout,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and completed.returncode != 0:
            raise AssertionError(
                f"docker compose {arguments} ended with {completed.returncode}:\n{completed.stderr[-4000:]}"
            )
        return completed.stdout

    def up(self, *arguments: str) -> float:
        """Start the stack and return how many seconds it took until it accepts alerts."""
        started = time.monotonic()
        self.compose("up", "-d", "--wait", "--quiet-pull", *arguments, timeout=UP_SECONDS)
        return time.monotonic() - started

    def down(self) -> None:
        """Remove its containers, volumes and networks."""
        self.compose(
            "--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5", timeout=UP_SECONDS
        )

    def build(self, version: str) -> None:
        """Build the package's image for the next ``up``."""
        self.environment["INCIDENT_IMAGE"] = f"{IMAGE}:{version}"
        self.write_env()
        self.compose("build", "airflow-init", timeout=UP_SECONDS)

    def write_env(self) -> None:
        """Write the .env with the settings of the test."""
        values = {**self.secrets, **self.environment}
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        """Return the inspected containers of the stack, or of one service."""
        ids = self.compose("ps", "--quiet", "--all", *([service] if service else [])).split()
        return list(json.loads(_docker("inspect", *ids))) if ids else []

    def kill(self, service: str) -> None:
        """Kill one container of a service with SIGKILL."""
        container = self.containers(service)[0]
        # From the host: after `docker kill` the engine would not restart the container.
        os.kill(container["State"]["Pid"], signal.SIGKILL)

    def address(self, service: str) -> str:
        """Return a service's address on the network of the stack."""
        [container] = self.containers(service)
        return str(container["NetworkSettings"]["Networks"][f"{self.project}_default"]["IPAddress"])

    def wait_until_healthy(self, timeout: float = 180) -> float:
        """Wait until every service is healthy and return how many seconds that took."""
        return wait_for(lambda: not self.unhealthy_containers(), "every service to be healthy", timeout)

    def unhealthy_containers(self) -> list[str]:
        """Return the names of the containers that are neither healthy nor completed."""
        return [
            container["Name"]
            for container in self.containers()
            if not (_is_healthy(container["State"]) or _is_completed(container))
        ]

    @property
    def url(self) -> str:
        """The URL of the API server."""
        return f"http://{self.environment['AIRFLOW_PUBLISHED']}"

    @property
    def api(self) -> AirflowApi:
        """A client of Airflow's API for the admin user."""
        return AirflowApi(self.url, username="admin", password=self.secrets["AIRFLOW_ADMIN_PASSWORD"])

    @property
    def control(self) -> SandboxClient:
        """A client of the sandbox's control API."""
        return SandboxClient(f"http://{self.address('sandbox')}:8765")


def _is_healthy(state: dict[str, Any]) -> bool:
    healthy = "Health" not in state or state["Health"]["Status"] == "healthy"
    return bool(state["Running"]) and not state["Restarting"] and healthy


def _is_completed(container: dict[str, Any]) -> bool:
    once = container["HostConfig"]["RestartPolicy"]["Name"] == "on-failure"
    return once and container["State"]["Status"] == "exited" and container["State"]["ExitCode"] == 0


def wait_for(condition: Callable[[], object], what: str, timeout: float) -> float:
    """Wait until a condition is true and return how many seconds that took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout, f"waited {timeout:.0f} s for {what}"
        time.sleep(POLL_SECONDS)
    return time.monotonic() - started


@contextmanager
def stack(project: str, folder: Path, *profiles: str, **environment: str) -> Iterator[Stack]:
    """Build the images and yield a stack that is not started. Remove it at the end, except for the images."""
    images = _build_stand_ins()
    (folder / "routing.json").write_text(json.dumps(ROUTING))
    compose_stack = Stack(
        project=project,
        folder=folder,
        profiles=("sandbox", *profiles),
        secrets=_create_secrets(folder),
        environment={
            **images,
            "INCIDENT_ROUTING_TABLE": str(folder / "routing.json"),
            "INCIDENT_DOCKER_NETWORK": f"{project}-probes",
            "AIRFLOW_PUBLISHED": f"127.0.0.1:{choose_port()}",
            **environment,
        },
    )
    compose_stack.environment["AIRFLOW_BASE_URL"] = compose_stack.url
    compose_stack.build("1")
    compose_stack.down()
    try:
        yield compose_stack
    finally:
        _save_logs(compose_stack)
        compose_stack.down()


def _build_stand_ins() -> dict[str, str]:
    """Build the stand-ins for the official images and return them by environment variable."""
    uv = ROOT / ".venv" / "bin" / "uv"
    completed = subprocess.run([HERE / "stand_ins" / "build.sh", uv], stdout=subprocess.PIPE, text=True, check=True)
    version = completed.stdout.split()[-1]
    return {
        f"{name.upper()}_IMAGE": f"incident-stand-in/{name}:{version}" for name in ("airflow", "postgres", "redis")
    }


def _create_secrets(folder: Path) -> dict[str, str]:
    """Create a .env with the documented script and return its secrets."""
    (folder / "compose").mkdir()
    for name in (".env.example", "compose/make-env.sh"):
        shutil.copy(ROOT / name, folder / name)
    subprocess.run(["sh", "compose/make-env.sh"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return dict(re.findall(r"^([A-Z_]+)=(.+)$", (folder / ".env").read_text(), re.MULTILINE))


def _save_logs(stack: Stack) -> None:
    """Save the logs of the services for debugging."""
    log_file = ROOT / ".tests" / f"{stack.project}.log"
    log_file.write_text(stack.compose("logs", "--no-color", "--timestamps", check=False))


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
