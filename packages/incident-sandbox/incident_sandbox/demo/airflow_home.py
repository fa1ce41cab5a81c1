"""
An Airflow home below one folder: its secrets, its users, and the environment that its components run in.

Everything is set by environment variables, which win over any configuration file, and the environment is built
from nothing: an ``AIRFLOW_CONN_SLACK_API_DEFAULT`` of the caller's shell, or a proxy, must not reach a demo.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import airflow_incident_provider
from incident_sandbox.demo.processes import LOOPBACK

ADMIN = "admin"
VIEWER = "viewer"

INHERITED_VARIABLES = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    # Who a task says it runs as, where the user has no entry in the system's list.
    "USER",
    "LOGNAME",
    # Where a Docker engine that is not at the usual socket is found.
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_API_VERSION",
    "DOCKER_CONFIG",
    # Sockets and scratch files: the home's own path may be too long for a socket.
    "TMPDIR",
)


RECOMMENDED_SETTINGS = {
    # The scheduler's main cost between two tasks: the default of 1 s makes a chain of seven steps wait.
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.05",
    # Airflow 3.3 often keeps a worker waiting for so long after its task has ended: it looks for the end of the
    # process before the process is gone, and then not before the next report is due. With the default of 5 s the
    # workers are soon all waiting, and an incident's probes for them.
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    # A report a second, and 60 in a row may fail: a task outlives a minute without the API server, not 3 seconds.
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "60",
}
"""What makes incidents faster than Airflow's defaults do; ``docs/performance.md`` has what each brings."""


@dataclass(frozen=True)
class HomeSecrets:
    """What protects an Airflow; made once for a home, so that its database and sessions outlive a restart."""

    fernet_key: str
    jwt_secret: str
    session_key: str

    @classmethod
    def generate(cls) -> HomeSecrets:
        """Return new random secrets."""
        from cryptography.fernet import Fernet

        return cls(
            fernet_key=Fernet.generate_key().decode(),
            jwt_secret=secrets.token_urlsafe(64),
            session_key=secrets.token_urlsafe(32),
        )


class AirflowHome:
    """A folder that holds all that a local Airflow reads and writes.

    :param path: the folder; made when it is missing.
    :param dags_folder: where the DAG files are; only read.
    """

    def __init__(self, path: Path, *, dags_folder: Path) -> None:
        self.path = path.resolve()
        self.dags_folder = dags_folder.resolve()
        self.logs = self.path / "logs"
        self.postgres_data = self.path / "postgres"
        self.own_dags = self.path / "own_dags"
        """DAGs that belong to the installation, such as the one that warms it up."""
        self._passwords_file = self.path / "passwords.json"
        self._secrets_file = self.path / "secrets.json"
        self._migrated_file = self.path / "migrated_by"

    def create(self) -> None:
        """Make the folder and, where there are none, its secrets and its users' passwords."""
        for folder in (self.path, self.logs, self.own_dags, self.path / "plugins", self.path / "user"):
            folder.mkdir(parents=True, exist_ok=True)
        if not self._secrets_file.exists():
            _write_private(self._secrets_file, vars(HomeSecrets.generate()))
        # Airflow would print passwords that it makes itself into its log.
        if not self._passwords_file.exists():
            _write_private(self._passwords_file, {user: secrets.token_urlsafe(12) for user in (ADMIN, VIEWER)})

    def password(self, user: str) -> str:
        """Return the password of :data:`ADMIN` or :data:`VIEWER`."""
        return str(json.loads(self._passwords_file.read_text())[user])

    def migrated_by(self, version: str) -> bool:
        """Return whether this version of Airflow has already made or migrated the database."""
        return self._migrated_file.exists() and self._migrated_file.read_text() == version

    def note_migrated_by(self, version: str) -> None:
        """Note that this version of Airflow has made or migrated the database."""
        self._migrated_file.write_text(version)

    def environment(
        self,
        *,
        database_url: str,
        port: int,
        api_workers: int,
        parallelism: int,
        connections: Mapping[str, Mapping[str, Any]],
        extra: Mapping[str, str],
    ) -> dict[str, str]:
        """Return the whole environment of Airflow's components.

        :param database_url: an SQLAlchemy URL.
        :param port: the API server's port on the loopback address.
        :param api_workers: the API server's processes.
        :param parallelism: how many tasks run at once.
        :param connections: Airflow connections by id, each in the JSON form that Airflow documents.
        :param extra: further variables; they win over all others.
        """
        return {
            **self._system_environment(),
            **self._core_settings(parallelism),
            **self._database_settings(database_url),
            **self._api_settings(port, api_workers),
            **self._dag_processor_settings(),
            **self._logging_settings(),
            **RECOMMENDED_SETTINGS,
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()},
            **extra,
        }

    def _system_environment(self) -> dict[str, str]:
        package_parent = str(Path(airflow_incident_provider.__file__).resolve().parent.parent)
        inherited = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
        return {
            **inherited,
            "AIRFLOW_HOME": str(self.path),
            # Caches and dot files of libraries go below the home too.
            "HOME": str(self.path / "user"),
            # Importable from a checkout that nobody installed; a console script's folder is not on the path.
            "PYTHONPATH": os.pathsep.join(dict.fromkeys([package_parent, *_extra_import_paths()])),
            # Logs are files: without this they lag behind by a buffer.
            "PYTHONUNBUFFERED": "1",
        }

    def _core_settings(self, parallelism: int) -> dict[str, str]:
        stored = HomeSecrets(**json.loads(self._secrets_file.read_text()))
        return {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(parallelism),
            # Airflow 3.3's LocalExecutor counts a worker as free as soon as its task begins. What there is no
            # worker for has to wait in the pool: once it is with the executor, the urgent waits behind it.
            "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": str(parallelism),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags_folder),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__FERNET_KEY": stored.fernet_key,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{VIEWER}:viewer",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._passwords_file),
            # The default asks the resolver for a full name of this machine, which may mean a DNS query.
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            # A changed DAG shows at once; the default holds a change back for 30 s.
            "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
            "AIRFLOW__API_AUTH__JWT_SECRET": stored.jwt_secret,
            "AIRFLOW__API__SECRET_KEY": stored.session_key,
        }

    def _database_settings(self, url: str) -> dict[str, str]:
        return {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            # The database is migrated before any component starts; each would check it again.
            "AIRFLOW__DATABASE__CHECK_MIGRATIONS": "False",
        }

    def _api_settings(self, port: int, workers: int) -> dict[str, str]:
        base_url = f"http://{LOOPBACK}:{port}"
        return {
            # The default listens on every address of the machine.
            "AIRFLOW__API__HOST": LOOPBACK,
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": base_url,
            "AIRFLOW__API__WORKERS": str(workers),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base_url}/execution/",
        }

    def _dag_processor_settings(self) -> dict[str, str]:
        return {
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
                [self._bundle("dags-folder", self.dags_folder), self._bundle("own-dags", self.own_dags)]
            ),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(self.path / "bundles"),
            "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            # A changed file is parsed at once whatever this says; an unchanged one costs a core every time.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
            # The parsing of two files at once would take both cores from the tasks.
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        }

    def _bundle(self, name: str, path: Path) -> dict[str, Any]:
        return {
            "name": name,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            # Seconds until a new file is seen; the default is 300.
            "kwargs": {"path": str(path), "refresh_interval": 1},
        }

    def _logging_settings(self) -> dict[str, str]:
        return {
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(self.logs / "dag_processor"),
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        }


def _extra_import_paths() -> list[str]:
    """Return the caller's own additions to the import path, so that components see the same packages."""
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _write_private(file: Path, content: Mapping[str, str]) -> None:
    """Write a JSON file that only its owner can read, from the first byte on."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(dict(content), stream)


def airflow_command(*arguments: str) -> list[str]:
    """Return the command line of Airflow's own CLI, in the interpreter that we run in."""
    return [sys.executable, "-m", "airflow", *arguments]
