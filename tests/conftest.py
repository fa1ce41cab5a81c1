"""
Shared fixtures: an Airflow home for the session, and a sandbox that simulates Slack over HTTP.

Airflow reads its settings when it is imported, so they are set here, before the test modules are imported.
``AIRFLOW_*`` and proxy variables of the shell are removed.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import distribution, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from incident_sandbox import SandboxClient, SandboxServer

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".tests"
"""Files that later sessions reuse: migrating a database takes seconds."""


# The duration of an example depends on the machine and its load.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def _make_home() -> Path:
    """Set Airflow's home to a new folder and return it."""
    for name in list(os.environ):
        if name.startswith(("AIRFLOW_", "_AIRFLOW_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    # Keep bytecode: otherwise hundreds of processes would each compile Airflow.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    CACHE.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="home-", dir=CACHE))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # The default looks up this machine's full name in DNS.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
    }
    return home


def _require_current_entry_points() -> None:
    """Exit if the installed entry points differ from ``pyproject.toml``: Airflow would not load the plugins."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    installed: dict[str, dict[str, str]] = {}
    for point in distribution("airflow-incident-provider").entry_points:
        installed.setdefault(point.group, {})[point.name] = point.value
    if declared != installed:
        pytest.exit("The installed entry points differ from pyproject.toml: run `make install`.", returncode=4)


_require_current_entry_points()
AIRFLOW_HOME = _make_home()


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """Airflow's home with a migrated, empty database."""
    template = CACHE / f"airflow-{version('apache-airflow-core')}.db"
    database = AIRFLOW_HOME / "airflow.db"
    if not template.exists():
        # In a subprocess: after its end the database is complete in one file.
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
        database.replace(template)
    shutil.copy(template, database)
    return AIRFLOW_HOME


@pytest.fixture(scope="session")
def migrated_home() -> Callable[[Path], Path]:
    """Return a function that copies a migrated, empty PostgreSQL database into the home of a ``LocalAirflow``."""
    template = CACHE / f"home-{version('apache-airflow-core')}"
    if not template.exists():
        new = Path(tempfile.mkdtemp(prefix="home-", dir=CACHE))
        _migrate(new)
        # A concurrent session may have created the same template.
        with contextlib.suppress(OSError):
            new.rename(template)
        shutil.rmtree(new, ignore_errors=True)

    def copy(home: Path) -> Path:
        home.mkdir(parents=True, exist_ok=True)
        # As root, PostgreSQL's files belong to another user: `cp -a` preserves the owner.
        subprocess.run(["cp", "-a", f"{template}/postgres", f"{template}/migrated_by", home], check=True)
        return home

    return copy


def _migrate(folder: Path) -> None:
    from incident_sandbox.demo.airflow_home import AirflowHome, airflow_command
    from incident_sandbox.demo.postgres import LocalPostgres
    from incident_sandbox.demo.processes import Guard

    home = AirflowHome(folder, dags_folder=ROOT / "dags")
    home.create()
    with Guard() as guard, LocalPostgres(home.postgres_data, log=folder / "postgres.log", guard=guard) as server:
        environment = home.environment(
            database_url=server.url, port=1, api_workers=1, parallelism=1, connections={}, extra={}
        )
        subprocess.run(airflow_command("db", "migrate"), env=environment, check=True, capture_output=True)
    home.note_migrated_by(version("apache-airflow-core"))


@pytest.fixture(autouse=True)
def directory_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use a separate cached member directory for each test, because the workspaces differ."""
    monkeypatch.setenv("AIRFLOW__INCIDENT__DIRECTORY_FOLDER", str(tmp_path / "directory"))


@pytest.fixture(scope="session")
def running_slack() -> Iterator[SandboxServer]:
    """The sandbox of the session; tests use ``slack``, which resets it."""
    from incident_sandbox import SandboxServer

    with SandboxServer() as server:
        yield server


@pytest.fixture
def slack(running_slack: SandboxServer) -> SandboxServer:
    """The sandbox with its initial workspace."""
    running_slack.workspace.reset()
    return running_slack


@pytest.fixture
def control(slack: SandboxServer) -> SandboxClient:
    """A client that inspects the workspace and injects faults."""
    from incident_sandbox import SandboxClient

    return SandboxClient(slack.url)


def slack_connection_of(server: SandboxServer, token: str | None = None, **extra: Any) -> dict[str, Any]:
    """Return the connection to the sandbox, by default with the token that has all scopes."""
    return {
        "conn_type": "slack",
        "password": server.token if token is None else token,
        "extra": json.dumps({"base_url": server.slack_base_url, **extra}),
    }


@pytest.fixture
def connect(
    slack: SandboxServer, airflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Return a function that sets the Slack connection, by default with the token that has all scopes."""

    def connect(token: str | None = None, **extra: Any) -> dict[str, Any]:
        connection = slack_connection_of(slack, token, **extra)
        monkeypatch.setenv("AIRFLOW_CONN_SLACK_API_DEFAULT", json.dumps(connection))
        return connection

    return connect


@pytest.fixture(scope="session")
def payload() -> Callable[[str], dict[str, Any]]:
    """Return a function that reads a recorded Datadog payload by the prefix of its file name."""

    def read(name: str) -> dict[str, Any]:
        [path] = (ROOT / "tests/payloads").glob(f"{name}*.json")
        recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return recorded

    return read


ALPINE_IMAGE = "alpine:3.23"
"""The image of tests that run their own commands."""


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Any]:
    """A Docker client. Without an engine with the probes' images tests are skipped; in CI they fail."""
    import docker

    from airflow_incident_provider.probes.probe import CURL_IMAGE

    try:
        client = docker.from_env()
        for image in (ALPINE_IMAGE, CURL_IMAGE):
            client.images.get(image)
    except docker.errors.DockerException as error:
        reason = f"needs a Docker Engine with {ALPINE_IMAGE} and {CURL_IMAGE}: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    yield client
    client.close()
