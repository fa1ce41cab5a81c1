"""The Airflow that a command talks to: a remote one over its REST API, or the local one through its database."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from airflow_incident_provider.cli.airflow_api import FINAL_RUN_STATES, AirflowApi, AirflowApiError
from airflow_incident_provider.cli.run import UsageError
from airflow_incident_provider.config import DagId, TaskId
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.lifecycle.actions import Outcome

RETURN_VALUE = "return_value"

REPORT = "report/"
"""The prefix of entries of the inbox: incidents that the registry has not adopted yet."""

TOKEN_VARIABLE = "AIRFLOW_CLI_TOKEN"  # noqa: S105 - the name of the variable, the same as in Airflow's own remote CLI

LATEST = "latest"
SEARCHED_RUNS = 100
"""How many of a DAG's newest runs are searched for an incident's key, id or channel name."""

NEVER = datetime.max.replace(tzinfo=UTC)
"""When what has not happened yet is sorted."""

POLL_SECONDS = 0.5
OUTAGE_SECONDS = 30.0
"""How long Airflow's API may be down, as when its server restarts, before polling gives up."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A DAG run; ``state`` is Airflow's run state."""

    dag_id: str
    run_id: str
    state: str
    run_after: datetime

    @property
    def is_finished(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.state in FINAL_RUN_STATES


@dataclass(frozen=True, kw_only=True)
class Step:
    """The latest try of a task instance. ``label`` distinguishes the instances of a mapped task."""

    task_id: str
    map_index: int = -1
    label: str | None = None
    state: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def name(self) -> tuple[str, int]:
        """Its identity within the run."""
        return self.task_id, self.map_index


@dataclass(frozen=True, kw_only=True)
class Started:
    """The answer to a request to start a run; ``new`` is false if a run with this id existed already."""

    run_id: str
    new: bool


class Airflow(Protocol):
    """What the commands need from an Airflow, local or remote.

    Every method raises :class:`~airflow_incident_provider.exceptions.IncidentError`, or the database's own errors.
    """

    def require_ready(self, dag_id: str) -> None:
        """Return if a new run of this DAG would start; raise, with the fix, if it is missing, paused or broken."""

    def start(self, dag_id: str, conf: Mapping[str, Any], *, run_id: str | None) -> Started:
        """Start a run.

        :param run_id: makes the request idempotent; ``None`` lets Airflow choose an id.
        """

    def incident_dag_ids(self) -> Sequence[str]:
        """Return the DAGs that are tagged ``incident``."""

    def run(self, dag_id: str, run_id: str) -> Run | None:
        """Return a run, if it exists."""

    def latest_runs(self, dag_id: str, limit: int) -> list[Run]:
        """Return a DAG's newest runs, newest first."""

    def steps(self, dag_id: str, run_id: str) -> list[Step]:
        """Return a run's task instances."""

    def value(
        self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1, key: str = RETURN_VALUE
    ) -> Any | None:
        """Return a task's XCom, if it pushed one."""

    def act(self, key: str, command: str, *, actor: str) -> tuple[Outcome, str]:
        """Apply an action to an incident, in the grammar of ``/incident``.

        :param actor: the person; a remote Airflow takes the user who is logged in.
        :returns: the outcome and a reply.
        """

    def url(self, dag_id: str, run_id: str) -> str | None:
        """Return the run's page in Airflow's UI, if Airflow's address is known."""

    def registry_value(self, key: str) -> Any | None:
        """Return an entry of the incident registry; ``None`` if there is no such entry, or no registry.

        :param key: a key of the registry, or :data:`REPORT` and the key of an incident in the inbox.
        """

    def registry_values(self) -> Mapping[str, Any]:
        """Return all entries of the incident registry and of its inbox, by the same keys."""


@contextmanager
def connect(args: Namespace) -> Iterator[Airflow]:
    """Connect to the Airflow of ``--api-url``, or to the one that is configured on this machine."""
    if args.api_url is None:
        # Loads Airflow's models: not needed, and not configured, where a remote Airflow is used.
        from airflow_incident_provider.cli.database_airflow import DatabaseAirflow

        yield DatabaseAirflow()
        return
    from airflow_incident_provider.cli.remote_airflow import RemoteAirflow

    api = AirflowApi(base_url(args.api_url), trust_env=True, **_credentials(args))
    try:
        yield RemoteAirflow(api)
    finally:
        api.close()


def local_user() -> str:
    """Return who uses this machine: a name that is recorded with what the person does."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def wait_for_run(
    airflow: Airflow,
    dag_id: str,
    run_id: str,
    *,
    timeout: float,
    fix: str,
    on_poll: Callable[[Run], None] = lambda _: None,
) -> Run:
    """Poll a run until it is finished, and return it. An outage of Airflow's API is tolerated for a while.

    :param timeout: seconds.
    :param fix: what a person can do when the time is up.
    :param on_poll: called with the run after each poll.
    :raises UsageError: there is no such run.
    :raises IncidentError: it is not finished in time, or Airflow does not answer.
    """
    deadline = time.monotonic() + timeout
    answered = time.monotonic()
    while True:
        try:
            run = airflow.run(dag_id, run_id)
            if run is None:
                raise UsageError(f"There is no run {run_id} of {dag_id}.")
            on_poll(run)
            answered = time.monotonic()
            if run.is_finished:
                return run
        except AirflowApiError as error:
            if error.status is not None or time.monotonic() - answered > OUTAGE_SECONDS:
                raise
        if time.monotonic() > deadline:
            raise IncidentError(f"The run {run_id} of {dag_id} is not finished after {timeout:.0f} s.", fix=fix)
        time.sleep(POLL_SECONDS)


def incident_dags(airflow: Airflow, dag_id: str | None) -> list[str]:
    """Return the DAGs whose runs are incidents: the named one, else every incident DAG except the update DAG."""
    if dag_id is not None:
        return [dag_id]
    return [found for found in airflow.incident_dag_ids() if found != DagId.INCIDENT_UPDATE]


def find_run(airflow: Airflow, name: str, only: str | None) -> Run:
    """Return a run by its run id, else the newest run whose incident has this key, id or channel name.

    :param name: as the user typed it; ``latest`` is the newest run.
    :param only: search only this DAG; ``None`` searches every incident DAG.
    :raises UsageError: there is none.
    """
    dag_ids = incident_dags(airflow, only)
    if not dag_ids:
        raise UsageError(
            "Airflow knows no incident DAG.",
            fix="Install them: airflow incident setup files --yes, then airflow incident setup airflow --yes",
        )
    searched = " or ".join(dag_ids)
    if name == LATEST:
        if newest := newest_runs(airflow, dag_ids, 1):
            return newest[0]
        raise UsageError(
            f"There is no run of {searched} yet.", fix="Start one: airflow incident trigger --title TITLE"
        )
    for dag_id in dag_ids:
        if (run := airflow.run(dag_id, name)) is not None:
            return run
    for run in newest_runs(airflow, dag_ids, SEARCHED_RUNS):
        if name.removeprefix("#") in _names(airflow, run):
            return run
    raise UsageError(f"No run of {searched} has the id, key or channel {name!r}.", fix="See: airflow incident list")


def newest_runs(airflow: Airflow, dag_ids: Sequence[str], limit: int) -> list[Run]:
    """Return the newest runs of all these DAGs, newest first."""
    runs = [run for dag_id in dag_ids for run in airflow.latest_runs(dag_id, limit)]
    return sorted(runs, key=lambda run: run.run_after, reverse=True)[:limit]


def _names(airflow: Airflow, run: Run) -> Iterator[str]:
    incident = airflow.value(run.dag_id, run.run_id, TaskId.PARSE_INCIDENT) or {}
    yield from (str(incident[field]) for field in ("key", "id") if field in incident)
    room = airflow.value(run.dag_id, run.run_id, TaskId.CREATE_WAR_ROOM) or {}
    if "channel_name" in room:
        yield str(room["channel_name"])


def base_url(given: str) -> str:
    """Return the address given with ``--api-url``.

    :raises UsageError: it is not a web address.
    """
    if not given.startswith(("http://", "https://")):
        raise UsageError(f"--api-url {given} is not a URL.", fix="Begin it with https:// (or http://).")
    return given


def _credentials(args: Namespace) -> dict[str, str]:
    """Return a token, or a username with a password from the terminal: a secret is never an argument."""
    if args.username is not None:
        if not sys.stdin.isatty():
            raise UsageError(
                "--username prompts for a password, which needs a terminal.",
                fix=f"Use --token-file or {TOKEN_VARIABLE}.",
            )
        return {"username": args.username, "password": getpass.getpass(f"Password of {args.username}: ")}
    token = _read_token(args.token_file) if args.token_file else os.environ.get(TOKEN_VARIABLE, "")
    if not token.strip():
        raise UsageError(
            "There is no token for --api-url.",
            fix=f"Set {TOKEN_VARIABLE}, name a file with --token-file, or log in with --username.",
        )
    return {"token": token.strip()}


def _read_token(name: str) -> str:
    try:
        return Path(name).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {name} cannot be read: {type(error).__name__}.") from None
