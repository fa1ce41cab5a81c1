"""
What all tests stand on: an Airflow home of this session alone, and a stand-in Slack over HTTP.

Airflow reads its settings when it is first imported, so they are made here, before any test module is imported.
Nothing of the caller's shell reaches it: neither an ``AIRFLOW_*`` variable nor a proxy.
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
KEPT = ROOT / ".tests"
"""What a later session finds again: a migrated database takes seconds to make."""


# How long an example takes depends on the machine, and on what else runs there.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def _make_home() -> Path:
    """Point Airflow at a fresh home, whatever the caller's shell says, and return it."""
    for name in list(os.environ):
        if name.startswith(("AIRFLOW_", "_AIRFLOW_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    # What is compiled is kept: each of hundreds of processes would compile Airflow for itself.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    KEPT.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="home-", dir=KEPT))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # The default asks the resolver for this machine's full name.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
    }
    return home


def _require_current_entry_points() -> None:
    """Stop if ``pyproject.toml`` declares other entry points than are installed: Airflow would miss our plugins."""
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
    """Airflow's home with a migrated, empty database in it."""
    template = KEPT / f"airflow-{version('apache-airflow-core')}.db"
    database = AIRFLOW_HOME / "airflow.db"
    if not template.exists():
        # In a process of its own: when it has ended, all of the database is in its one file.
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
        database.replace(template)
    shutil.copy(template, database)
    return AIRFLOW_HOME


@pytest.fixture(scope="session")
def migrated_home() -> Callable[[Path], Path]:
    """Return a function that puts a migrated, empty PostgreSQL database into the home of a ``LocalAirflow``."""
    template = KEPT / f"home-{version('apache-airflow-core')}"
    if not template.exists():
        made = Path(tempfile.mkdtemp(prefix="home-", dir=KEPT))
        _migrate(made)
        # Two sessions may have made one at the same time: either is as good.
        with contextlib.suppress(OSError):
            made.rename(template)
        shutil.rmtree(made, ignore_errors=True)

    def copy(home: Path) -> Path:
        home.mkdir(parents=True, exist_ok=True)
        # PostgreSQL's files belong to another user where we are root: `cp` keeps their owner.
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
def own_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the directory of members with the test that fetched it: the next one's workspace is another."""
    monkeypatch.setenv("AIRFLOW__INCIDENT__DIRECTORY_FOLDER", str(tmp_path / "directory"))


@pytest.fixture(scope="session")
def running_slack() -> Iterator[SandboxServer]:
    """The stand-in Slack; tests use ``slack``, which is as good as new for each of them."""
    from incident_sandbox import SandboxServer

    with SandboxServer() as server:
        yield server


@pytest.fixture
def slack(running_slack: SandboxServer) -> SandboxServer:
    """A workspace as it was planted."""
    running_slack.workspace.reset()
    return running_slack


@pytest.fixture
def control(slack: SandboxServer) -> SandboxClient:
    """What a test looks at the workspace with, and makes trouble with."""
    from incident_sandbox import SandboxClient

    return SandboxClient(slack.url)


def slack_connection_of(server: SandboxServer, token: str | None = None, **extra: Any) -> dict[str, Any]:
    """Return the connection to the stand-in Slack, by default with the token that may do everything."""
    return {
        "conn_type": "slack",
        "password": server.token if token is None else token,
        "extra": json.dumps({"base_url": server.slack_base_url, **extra}),
    }


@pytest.fixture
def connect(
    slack: SandboxServer, airflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Give Airflow its Slack connection, by default with the token that may do everything."""

    def connect(token: str | None = None, **extra: Any) -> dict[str, Any]:
        connection = slack_connection_of(slack, token, **extra)
        monkeypatch.setenv("AIRFLOW_CONN_SLACK_API_DEFAULT", json.dumps(connection))
        return connection

    return connect


@pytest.fixture(scope="session")
def payload() -> Callable[[str], dict[str, Any]]:
    """Return a recorded payload of Datadog by the beginning of its file's name."""

    def read(name: str) -> dict[str, Any]:
        [path] = (ROOT / "tests/payloads").glob(f"{name}*.json")
        recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return recorded

    return read


ALPINE_IMAGE = "alpine:3.23"
"""The image of the probes in the tests that bring their own command."""


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Any]:
    """A Docker client, if there is an engine with the probes' images; CI must have one."""
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
