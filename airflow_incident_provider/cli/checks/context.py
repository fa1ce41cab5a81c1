"""What the checks look at, each part of the installation read once; and their results."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, cached_property
from typing import Any

from airflow.sdk import BaseHook, Connection

from airflow_incident_provider.cli.installation import IncidentDag, incident_dags
from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, settings
from airflow_incident_provider.engine import EngineError, connect, engine_address
from airflow_incident_provider.exceptions import IncidentError, RoutingTableError
from airflow_incident_provider.intake import RoutingTable
from airflow_incident_provider.routing_file import read_routing_table
from airflow_incident_provider.slack.access import connection_is_configured, live_slack_client
from airflow_incident_provider.slack.client import LiveSlackClient

ENGINE_SECONDS = 10


class Outcome(StrEnum):
    """The outcome of a check; ``SKIP`` means that another line says why it could not be made."""

    PASS = "pass"  # noqa: S105 - an outcome
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class Result:
    """One line of the report.

    :param subject: what was checked.
    :param found: what was found.
    :param fix: what to do about it.
    :param command: a command that applies the fix; it can be pasted as it is.
    """

    subject: str
    outcome: Outcome
    found: str
    fix: str | None = None
    command: str | None = None


Results = Iterable[Result]


@dataclass(frozen=True)
class Subject:
    """What is checked: its name begins the lines of its results."""

    name: str

    def of(self, owner: str | None) -> Subject:
        """Return the subject for one connection or DAG of several; ``None`` for the usual one."""
        return self if owner is None else Subject(f"{self.name} ({owner})")

    def passed(self, found: str) -> Result:
        """Return that something is right."""
        return Result(self.name, Outcome.PASS, found)

    def skipped(self, found: str) -> Result:
        """Return that something optional is not there, and so was not checked."""
        return Result(self.name, Outcome.SKIP, found)

    def warning(self, found: str, fix: str, command: str | None = None) -> Result:
        """Return that something works, but not as it should in production."""
        return Result(self.name, Outcome.WARN, found, fix, command)

    def failure(self, found: str, fix: str, command: str | None = None) -> Result:
        """Return that something does not work."""
        return Result(self.name, Outcome.FAIL, found, fix, command)

    def required(self, holds: bool, found: str, fix: str, command: str | None = None) -> Result:
        """Return ``passed`` if it holds, else ``failure``."""
        return self.passed(found) if holds else self.failure(found, fix, command)

    def advised(self, holds: bool, found: str, fix: str, command: str | None = None) -> Result:
        """Return ``passed`` if it holds, else ``warning``."""
        return self.passed(found) if holds else self.warning(found, fix, command)


class NotCheckableError(Exception):
    """A check that cannot be made, for a reason that has a line of its own."""


class CheckContext:
    """The installation.

    :param dag_ids: check only these incident DAGs; empty for all.
    :param may_write: whether a Slack channel may be created and archived.
    """

    def __init__(self, dag_ids: Collection[str] = (), *, may_write: bool = False) -> None:
        self._dag_ids = dag_ids
        self.may_write = may_write
        self.slack_or_error = cache(_connect_slack)

    def now(self) -> datetime:
        """Return the time by this machine's clock."""
        return datetime.now(UTC)

    @cached_property
    def dags(self) -> list[IncidentDag]:
        """The incident DAGs."""
        return incident_dags(self._dag_ids)

    @property
    def slack_conn_ids(self) -> list[str]:
        """The Slack connections of the incident DAGs; the default one if no DAG is parsed yet."""
        named = [conn_id for dag in self.dags for conn_id in dag.slack_conn_ids]
        return list(dict.fromkeys(named)) or [DEFAULT_SLACK_CONN_ID]

    def connection(self, conn_id: str) -> Connection | None:
        """Return an Airflow connection, if it exists."""
        return BaseHook.get_connection(conn_id) if connection_is_configured(conn_id) else None

    def slack(self, conn_id: str = DEFAULT_SLACK_CONN_ID) -> LiveSlackClient:
        """Return the client of a connection whose token Slack accepts.

        :raises NotCheckableError: there is none, or it does not work: the line "token" says why.
        """
        client = self.slack_or_error(conn_id)
        if isinstance(client, IncidentError):
            raise NotCheckableError(f"Slack does not work with {conn_id}")
        if client is None:
            raise NotCheckableError(f"there is no connection {conn_id}")
        return client

    @cached_property
    def routing(self) -> RoutingTable:
        """The routing table of ``[incident] routing_table``.

        :raises NotCheckableError: it cannot be read: the line "table" says why.
        """
        try:
            return read_routing_table()
        except RoutingTableError:
            raise NotCheckableError("the routing table cannot be read") from None

    @property
    def engine(self) -> Any:
        """The Docker Engine's client.

        :raises NotCheckableError: none answers: the line "engine" says why.
        """
        if isinstance(self._engine, EngineError):
            raise NotCheckableError(str(self._engine))
        return self._engine

    @cached_property
    def _engine(self) -> Any:
        conn_id = settings().docker_conn_id
        if conn_id is not None and not connection_is_configured(conn_id):
            return EngineError(f"there is no connection {conn_id}, which [incident] docker_conn_id names")
        try:
            return connect(engine_address(), conn_id, timeout_s=ENGINE_SECONDS)
        except EngineError as error:
            return error


def _connect_slack(conn_id: str) -> LiveSlackClient | IncidentError | None:
    """Return the client of a connection, why it does not work, or ``None`` without a connection."""
    if not connection_is_configured(conn_id):
        return None
    try:
        client = live_slack_client(conn_id)
        # Calls auth.test.
        client.workspace  # noqa: B018
    except IncidentError as error:
        return error
    return client
