"""An environment with Airflow for the documented commands, in which this checkout is not importable."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
from incident_sandbox import SandboxClient
from incident_sandbox.demo.processes import LOOPBACK, LocalProcessError, choose_port

from airflow_incident_provider.cli.airflow_api import AirflowApi

from ..airflow_settings import LOW_IDLE_LOAD
from .blocks import ROOT, Block

DISTRIBUTIONS = (ROOT, ROOT / "packages/incident-sandbox", ROOT / "packages/incident-docker-proxy")
SANDBOX = "http://127.0.0.1:8765"
"""The address that the pages name."""
WEBHOOKS = "/api/v1/integration/webhooks/configuration"
START_SECONDS = 60
SERVE = Path(__file__).with_name("serve_airflow.py")

AIRFLOW_DEFAULTS = {
    # LocalAirflow reads new files at once and unpauses new DAGs; an installation does not.
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
        [
            {
                "name": "dags-folder",
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"refresh_interval": 300},
            }
        ]
    ),
}


def _run(*command: str | Path, **options: Any) -> None:
    completed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def build_wheels(folder: Path) -> Path:
    """Build the three wheels, as ``make build`` does."""
    for source in DISTRIBUTIONS:
        _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source)
    return folder


def create_environment(folder: Path, wheels: Path) -> Path:
    """Create an environment with the dependencies of the wheels only; return its ``bin`` folder."""
    uv = (sys.executable, "-m", "uv")
    _run(*uv, "venv", "-q", "--seed", "--clear", "--python", sys.executable, folder)
    python = ("--python", folder / "bin" / "python")
    packages = [f"{wheel}[demo,celery]" if "provider" in wheel.name else wheel for wheel in wheels.glob("*.whl")]
    install = [*uv, "pip", "install", "-q", *python, "-c", ROOT / "constraints.txt", *packages]
    completed = subprocess.run(list(map(str, install)), capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        reason = f"the dependencies cannot be installed: {completed.stderr.strip()[-500:]}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    _run(*uv, "pip", "uninstall", "-q", *python, *(wheel.name.partition("-")[0] for wheel in wheels.glob("*.whl")))
    return folder / "bin"


@dataclass
class UserEnvironment:
    """A shell with a working folder, environment variables and an Airflow.

    :param folder: the working folder, which contains Airflow's home.
    :param environment: the variables of the shell, updated by the exports of a block.
    """

    folder: Path
    environment: dict[str, str]
    sandbox_url: str = SANDBOX
    airflow: AirflowApi = field(init=False)
    _resources: ExitStack = field(default_factory=ExitStack)

    @property
    def home(self) -> Path:
        return Path(self.environment["AIRFLOW_HOME"])

    @property
    def dags_folder(self) -> Path:
        """Airflow's default DAGs folder, which the setup creates."""
        return self.home / "dags"

    @property
    def python(self) -> str:
        """The interpreter of the environment."""
        return shutil.which("python", path=self.environment["PATH"]) or "python"

    @cached_property
    def sandbox(self) -> SandboxClient:
        return SandboxClient(self.sandbox_url)

    def run(
        self, script: str, *, seconds: float = 240, folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a block as documented, with the actual port of the sandbox.

        :param folder: where to run it, by default in the working folder.
        """
        state = self.folder / "shell"
        state.unlink(missing_ok=True)
        script = script.replace(SANDBOX, self.sandbox_url)
        completed = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{script}\nenv -0 > {state}"],
            cwd=folder or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if state.exists():
            pairs = (entry.partition("=") for entry in state.read_text().split("\0") if entry)
            self.environment = {name: value for name, _, value in pairs}
        return completed

    def serve(self, block: Block, port: str, path: str) -> str:
        """Run a block that starts a server, wait until it responds, and return its URL.

        :param port: the default or documented port; if it is occupied, a free port is used.
        :param path: a path that responds with success.
        """
        actual_port = port if _is_free(int(port)) else str(choose_port(None))
        command = block.text.strip().replace(port, actual_port)
        if actual_port not in command and actual_port != port:
            command = f"{command} --port {actual_port}"
        process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.environment)
        self._resources.callback(_end, process)
        address = f"http://{LOOPBACK}:{actual_port}"
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, f"{block} ended"
            assert time.monotonic() < deadline, f"{block} does not respond"
            try:
                assert httpx.get(f"{address}{path}", timeout=5).is_success
            except httpx.TransportError:
                time.sleep(0.2)
            else:
                return address

    def run_socket_mode(self, block: Block) -> int:
        """Run the block of Socket Mode until it is connected, end it, and return its exit code.

        The URL of the API server and the path of the file are replaced.
        """
        command = block.text.strip().replace("http://localhost:8080", self.environment["AIRFLOW"])
        command = command.replace("/tmp/", f"{self.folder}/")
        ready = Path(command.partition("--ready-file ")[2])
        process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.environment)
        self._resources.callback(_end, process)
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert process.poll() is None, f"{block} ended"
            assert time.monotonic() < deadline, f"{block} does not connect"
            time.sleep(0.2)
        process.terminate()
        return process.wait(60)

    def list_column(self, what: str, column: str) -> list[str]:
        """Return a column of ``airflow WHAT list``."""
        completed = self.run(f"airflow {what} list --output json")
        assert completed.returncode == 0, completed.stderr
        # Log lines of Airflow may precede the JSON.
        rows = json.loads(completed.stdout.strip().splitlines()[-1])
        return [str(row[column]) for row in rows]

    def datadog_webhooks(self) -> list[str]:
        """Return the webhooks and custom variables in the sandbox's Datadog."""
        keys = {"DD-API-KEY": self.environment["DD_API_KEY"], "DD-APPLICATION-KEY": self.environment["DD_APP_KEY"]}
        responses = (
            httpx.get(f"{self.sandbox_url}{WEBHOOKS}/{path}", headers=keys)
            for path in ("webhooks/airflow-incident", "custom-variables/AIRFLOW_INCIDENT_SECRET")
        )
        return [response.text for response in responses if response.is_success]

    def start_airflow(self) -> None:
        """Start Airflow with the settings of the shell and Airflow's defaults, but with a low idle load."""
        settings = {name: value for name, value in self.environment.items() if name.startswith("AIRFLOW__")}
        environment = json.dumps({**AIRFLOW_DEFAULTS, **settings, **LOW_IDLE_LOAD})
        process = subprocess.Popen(
            [*map(str, (self.python, SERVE, self.home, self.dags_folder, environment, DISTRIBUTIONS[1]))],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._resources.callback(_end_input, process)
        assert process.stdout is not None
        access = json.loads(process.stdout.readline())
        username, password = access["credentials"]
        path = self.environment["PATH"]
        self.airflow = AirflowApi(access["url"], username=username, password=password)
        self._resources.callback(self.airflow.close)
        self.environment |= {
            **{name: value for name, value in access["environment"].items() if name != "PYTHONPATH"},
            **{"PATH": path, "AIRFLOW": access["url"], "AIRFLOW_USER": username, "AIRFLOW_PASSWORD": password},
        }

    def close(self) -> None:
        """End the processes that were started."""
        self._resources.close()


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    process.wait(20)


def _end_input(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(60)


@contextmanager
def user_environment(folder: Path, settings: dict[str, str]) -> Iterator[UserEnvironment]:
    """Yield a user environment with Airflow, in which pip finds the wheels of this checkout.

    :param settings: Airflow settings that depend on the machine, such as the network of the probes.
    """
    # As root, PostgreSQL's programs in the environment run as another user.
    folder.chmod(0o755)
    wheels = build_wheels(folder / "dist")
    commands = create_environment(folder / "environment", wheels)
    (folder / "user").mkdir()
    environment = {
        "PATH": f"{commands}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder / "user"),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "AIRFLOW_HOME": str(folder / "airflow"),
        # pip installs the package from these wheels, and needs no index.
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_INDEX": "1",
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **{name: value for name, value in os.environ.items() if name.startswith("DOCKER_")},
        **settings,
    }
    user = UserEnvironment(folder, environment)
    try:
        yield user
    finally:
        user.close()


def _is_free(port: int) -> bool:
    try:
        choose_port(port)
    except LocalProcessError:
        return False
    return True
