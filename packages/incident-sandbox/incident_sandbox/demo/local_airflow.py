"""
A whole Airflow on one machine, started part by part.

``airflow standalone`` does not end its child processes when it is terminated, and then holds its port; so each
component runs here as a process of its own, which can be ended, killed and started again alone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from airflow_incident_provider.cli.airflow_api import AirflowApi, AirflowApiError
from incident_sandbox.demo.airflow_home import ADMIN, AirflowHome, airflow_command
from incident_sandbox.demo.postgres import LocalPostgres
from incident_sandbox.demo.processes import (
    LOOPBACK,
    Guard,
    LocalProcessError,
    ManagedProcess,
    choose_port,
    stop_all,
    wait_until,
)

START_TIMEOUT = 180.0
"""Seconds until every component must be healthy: ten times what two busy cores were seen to need."""

WARM_UP_DAG = "warm_up"
WARM_UP_SOURCE = '''"""A trivial task: the first one after a start is slower than those that follow."""

from airflow.sdk import dag, task


@dag(schedule=None, tags=["demo"])
def warm_up():
    @task
    def first():
        return "warm"

    first()


warm_up()
'''

COMPONENTS = {
    # Both can serve task logs over a port of every address; the API server reads the files themselves.
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "api-server": ("api-server",),
}


class LocalAirflow:
    """An Airflow with PostgreSQL, all its components and a client of its API. Use it as a context manager.

    Construction costs nothing and starts nothing. A second run in the same home keeps the database.

    :param home: the folder for everything that is written.
    :param dags_folder: where the DAG files are.
    :param connections: Airflow connections by id, each in Airflow's JSON form (``conn_type``, ``host``, ...).
    :param environment: further environment variables of all components; they win over our own.
    :param api_workers: processes of the API server.
    :param parallelism: how many tasks run at once.
    :param port: the API server's port on the loopback address; none for a free one.
    :param progress: called with one line at every step of the start and the stop.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        environment: Mapping[str, str] | None = None,
        api_workers: int = 1,
        parallelism: int = 8,
        port: int | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.home = AirflowHome(home, dags_folder=dags_folder)
        self._connections = dict(connections or {})
        self._extra_environment = dict(environment or {})
        self._api_workers = api_workers
        self._parallelism = parallelism
        self._wanted_port = port
        self._progress = progress
        self._resources = contextlib.ExitStack()
        self._components: dict[str, ManagedProcess] = {}
        self._environment: dict[str, str] = {}
        self._api: AirflowApi | None = None
        self._started_at = datetime.now(UTC)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def api(self) -> AirflowApi:
        """The REST API, as the administrator."""
        if self._api is None:
            raise RuntimeError("This Airflow is used outside its `with` block.")
        return self._api

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return self.api.base_url

    @property
    def credentials(self) -> tuple[str, str]:
        """The administrator's name and password, for a person's browser."""
        return ADMIN, self.home.password(ADMIN)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the components, for an ``airflow`` command beside them."""
        return dict(self._environment)

    @property
    def scheduler(self) -> ManagedProcess:
        """The scheduler, with the executor's workers and the tasks that they run."""
        return self._components["scheduler"]

    @property
    def api_server(self) -> ManagedProcess:
        """The API server, which the tasks talk to as well."""
        return self._components["api-server"]

    @property
    def dag_processor(self) -> ManagedProcess:
        """The process that parses the DAG files."""
        return self._components["dag-processor"]

    @property
    def triggerer(self) -> ManagedProcess:
        """The process that waits for deferred tasks."""
        return self._components["triggerer"]

    def stop(self) -> None:
        """End everything. May be called again."""
        if self._components:
            self._progress("Stopping Airflow")
        self._resources.close()
        self._components = {}
        self._api = None

    def wait_until_healthy(self, *, timeout: float = START_TIMEOUT) -> None:
        """Wait until every component has reported since the start that it is well.

        :param timeout: seconds.
        :raises LocalProcessError: a component ended, or is not well in time.
        """
        wait_until(
            lambda: self.api.execution_api_answers() and _all_healthy(self.api.health(), self._started_at),
            what="Airflow's components to be healthy",
            timeout=timeout,
            while_running=self._components.values(),
        )

    def wait_for_dag(self, dag_id: str, *, timeout: float = 60) -> None:
        """Wait until a DAG has been parsed since the start, and unpause it if it is paused.

        :param timeout: seconds.
        :raises LocalProcessError: it is not there in time, or a DAG file has an import error.
        """
        wait_until(
            lambda: self._dag_is_parsed(dag_id),
            what=f"the DAG {dag_id} to be parsed",
            timeout=timeout,
            while_running=[self.dag_processor, self.api_server],
        )
        if (self.api.dag(dag_id) or {}).get("is_paused"):
            self.api.unpause(dag_id)

    def warm_up(self, *, timeout: float = 60) -> None:
        """Run one trivial task, so that what follows is not the first: that one is slower.

        :param timeout: seconds.
        :raises AirflowApiError: the task did not succeed.
        """
        self._progress("Warming up")
        self.wait_for_dag(WARM_UP_DAG, timeout=timeout)
        run_id = self.api.trigger(WARM_UP_DAG)["dag_run_id"]
        run = self.api.wait_for_run(WARM_UP_DAG, run_id, timeout=timeout)
        if run["state"] != "success":
            raise AirflowApiError(f"The warm-up ended as {run['state']}.", fix=f"See {self.home.logs}.")

    def _start(self) -> None:
        began = time.monotonic()
        self._started_at = datetime.now(UTC)
        port = choose_port(self._wanted_port)
        self.home.create()
        (self.home.own_dags / f"{WARM_UP_DAG}.py").write_text(WARM_UP_SOURCE)
        guard = self._resources.enter_context(Guard())
        self._start_database(guard, port)
        self._resources.callback(lambda: stop_all(self._components.values()))
        self._open_api(port)
        self._migrate_beside_api_server(guard)
        self._progress("Starting scheduler, DAG processor and triggerer")
        for name in COMPONENTS:
            self._component(name, guard).start()
        self.wait_until_healthy()
        self._progress(f"Airflow is ready at {self.url} after {time.monotonic() - began:.0f} s")

    def _start_database(self, guard: Guard, port: int) -> None:
        self._progress("Starting PostgreSQL")
        postgres = LocalPostgres(self.home.postgres_data, log=self.home.logs / "postgres.log", guard=guard)
        self._resources.enter_context(postgres)
        self._environment = self.home.environment(
            database_url=postgres.url,
            port=port,
            api_workers=self._api_workers,
            parallelism=self._parallelism,
            connections=self._connections,
            extra=self._extra_environment,
        )

    def _open_api(self, port: int) -> None:
        self._api = AirflowApi(f"http://{LOOPBACK}:{port}", username=ADMIN, password=self.home.password(ADMIN))
        self._resources.callback(self._api.close)

    def _migrate_beside_api_server(self, guard: Guard) -> None:
        """Make the database's tables, unless this version of Airflow already did.

        The API server spends its first seconds on imports alone, so it starts beside this, on the other core.
        """
        installed = version("apache-airflow-core")
        if self.home.migrated_by(installed):
            return
        self._progress("Creating Airflow's tables (first start only)")
        migration = self._process("db-migrate", ("db", "migrate"), guard)
        try:
            migration.start()
            self._component("api-server", guard).start()
            code = migration.wait(START_TIMEOUT)
        finally:
            migration.stop()
        if code != 0:
            raise LocalProcessError(
                f"`airflow db migrate` ended with {code}. The end of its log:\n{migration.log_tail()}",
                fix=f"The whole log is {migration.log}; removing {self.home.path} starts afresh.",
            )
        self.home.note_migrated_by(installed)

    def _component(self, name: str, guard: Guard) -> ManagedProcess:
        if name not in self._components:
            self._components[name] = self._process(name, COMPONENTS[name], guard)
        return self._components[name]

    def _process(self, name: str, arguments: tuple[str, ...], guard: Guard) -> ManagedProcess:
        return ManagedProcess(
            name,
            airflow_command(*arguments),
            environment=self._environment,
            log=self.home.logs / f"{name}.log",
            guard=guard,
        )

    def _dag_is_parsed(self, dag_id: str) -> bool:
        """Return whether the DAG as it is now is known: the database may hold an earlier start's."""
        dag = self.api.dag(dag_id)
        if dag is not None and _is_after(dag["last_parsed_time"], self._started_at):
            return True
        for error in self.api.import_errors():
            if _is_after(error["timestamp"], self._started_at):
                raise LocalProcessError(
                    f"{error['filename']} cannot be imported:\n{error['stack_trace']}", fix="Fix this file."
                )
        return False


def _all_healthy(health: Mapping[str, Any], since: datetime) -> bool:
    """Return whether every component is well, by a report of its own that an earlier run cannot have made."""
    if not health or health["metadatabase"]["status"] != "healthy":
        return False
    return all(
        health[name]["status"] == "healthy" and _is_after(health[name][f"latest_{name}_heartbeat"], since)
        for name in ("scheduler", "triggerer", "dag_processor")
    )


def _is_after(timestamp: str | None, moment: datetime) -> bool:
    return timestamp is not None and datetime.fromisoformat(timestamp) >= moment
