"""The stack of ``docker-compose.yaml`` on this machine's Docker Engine, made of stand-in images."""

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
    # Each alert is an incident of its own here.
    "correlation": {"rules": []},
    "storm": {"threshold": None},
}


@dataclass
class Stack:
    """A stack that may be up.

    :param project: its name; containers, volumes and networks begin with it.
    :param folder: where its .env and its routing table are.
    :param checkout: what it is built from.
    """

    project: str
    folder: Path
    environment: dict[str, str]
    profiles: tuple[str, ...] = ("sandbox",)
    checkout: Path = ROOT
    secrets: dict[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, timeout: float = 120, check: bool = True, given: str | None = None) -> str:
        """Run Compose, with ``given`` for its input, and return what it printed."""
        env_file = self.folder / ".env"
        profiles = [part for profile in self.profiles for part in ("--profile", profile)]
        files = ["-f", str(self.checkout / "docker-compose.yaml"), "-f", str(HERE / "offline.yaml")]
        done = subprocess.run(
            [COMPOSE, "--project-name", self.project, "--env-file", env_file, *files, *profiles, *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "DOCKER_BUILDKIT": "0"},
            cwd=self.checkout,
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"docker compose {arguments} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return done.stdout

    def up(self, *arguments: str) -> float:
        """Bring it up, and return after how many seconds it takes alerts."""
        began = time.monotonic()
        self.compose("up", "-d", "--wait", "--quiet-pull", *arguments, timeout=UP_SECONDS)
        return time.monotonic() - began

    def down(self) -> None:
        """Remove everything of it."""
        self.compose(
            "--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5", timeout=UP_SECONDS
        )

    def build(self, version: str) -> None:
        """Build the package's image, and use it from the next ``up`` on."""
        self.environment["INCIDENT_IMAGE"] = f"{IMAGE}:{version}"
        self.write_env()
        self.compose("build", "airflow-init", timeout=UP_SECONDS)

    def write_env(self) -> None:
        """Write the .env: that of a user, and what makes it a test."""
        values = {**self.secrets, **self.environment}
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        """Return what the engine says of the stack's containers that run now."""
        ids = self.compose("ps", "--quiet", "--all", *([service] if service else [])).split()
        return list(json.loads(_docker("inspect", *ids))) if ids else []

    def kill(self, service: str) -> None:
        """Kill one container of a service, with everything in it, as a crash of its machine would."""
        container = self.containers(service)[0]
        # From the host: `docker kill` counts as a person's wish, after which the engine starts nothing again.
        os.kill(container["State"]["Pid"], signal.SIGKILL)

    def address(self, service: str) -> str:
        """Return a service's address on the stack's own network."""
        [container] = self.containers(service)
        return str(container["NetworkSettings"]["Networks"][f"{self.project}_default"]["IPAddress"])

    def wait_until_well(self, timeout: float = 180) -> float:
        """Wait until every service runs and is healthy, and return how many seconds that took."""
        return wait_for(lambda: not self.unwell(), "every service to be well", timeout)

    def unwell(self) -> list[str]:
        """Return the services that are not as they should be."""
        return [
            container["Name"]
            for container in self.containers()
            if not (_is_well(container["State"]) or _has_done_its_work(container))
        ]

    @property
    def url(self) -> str:
        """Where the API server is published."""
        return f"http://{self.environment['AIRFLOW_PUBLISHED']}"

    @property
    def api(self) -> AirflowApi:
        """Airflow's API, as the first user."""
        return AirflowApi(self.url, username="admin", password=self.secrets["AIRFLOW_ADMIN_PASSWORD"])

    @property
    def control(self) -> SandboxClient:
        """The control API of the stand-in Slack."""
        return SandboxClient(f"http://{self.address('sandbox')}:8765")


def _is_well(state: dict[str, Any]) -> bool:
    healthy = "Health" not in state or state["Health"]["Status"] == "healthy"
    return bool(state["Running"]) and not state["Restarting"] and healthy


def _has_done_its_work(container: dict[str, Any]) -> bool:
    once = container["HostConfig"]["RestartPolicy"]["Name"] == "on-failure"
    return once and container["State"]["Status"] == "exited" and container["State"]["ExitCode"] == 0


def wait_for(condition: Callable[[], object], what: str, timeout: float) -> float:
    """Wait until a condition holds, and return how many seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout, f"waited {timeout:.0f} s in vain for {what}"
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


@contextmanager
def stack(project: str, folder: Path, *profiles: str, **environment: str) -> Iterator[Stack]:
    """Make the images, and a stack that is not up yet; remove all of it at the end, images apart."""
    images = _stand_ins()
    (folder / "routing.json").write_text(json.dumps(ROUTING))
    made = Stack(
        project=project,
        folder=folder,
        profiles=("sandbox", *profiles),
        secrets=_fresh_secrets(folder),
        environment={
            **images,
            "INCIDENT_ROUTING_TABLE": str(folder / "routing.json"),
            "INCIDENT_DOCKER_NETWORK": f"{project}-probes",
            "AIRFLOW_PUBLISHED": f"127.0.0.1:{choose_port()}",
            **environment,
        },
    )
    made.environment["AIRFLOW_BASE_URL"] = made.url
    made.build("1")
    made.down()
    try:
        yield made
    finally:
        _keep_logs(made)
        made.down()


def _stand_ins() -> dict[str, str]:
    """Return the images that stand for the official ones, by the variable that names them."""
    uv = ROOT / ".venv" / "bin" / "uv"
    done = subprocess.run([HERE / "stand_ins" / "build.sh", uv], stdout=subprocess.PIPE, text=True, check=True)
    version = done.stdout.split()[-1]
    return {
        f"{name.upper()}_IMAGE": f"incident-stand-in/{name}:{version}" for name in ("airflow", "postgres", "redis")
    }


def _fresh_secrets(folder: Path) -> dict[str, str]:
    """Return the secrets of a .env that was made as a user makes it."""
    (folder / "compose").mkdir()
    for name in (".env.example", "compose/make-env.sh"):
        shutil.copy(ROOT / name, folder / name)
    subprocess.run(["sh", "compose/make-env.sh"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return dict(re.findall(r"^([A-Z_]+)=(.+)$", (folder / ".env").read_text(), re.MULTILINE))


def _keep_logs(made: Stack) -> None:
    """Keep what the services wrote, for whoever looks for the cause."""
    kept = ROOT / ".tests" / f"{made.project}.log"
    kept.write_text(made.compose("logs", "--no-color", "--timestamps", check=False))


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
