"""What the checks look at: each part of the installation is read once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_incident_provider.cli.checks.result import NotCheckableError
from airflow_incident_provider.cli.installation import IncidentDag, incident_dags
from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, settings
from airflow_incident_provider.engine import EngineAddress, EngineError, connect, engine_address
from airflow_incident_provider.exceptions import IncidentError, RoutingTableError
from airflow_incident_provider.intake import RoutingTable
from airflow_incident_provider.routing_file import read_routing_table
from airflow_incident_provider.slack.access import connection_is_configured, live_slack_client

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_incident_provider.slack.client import LiveSlackClient

ENGINE_SECONDS = 10


class CheckContext:
    """The installation.

    :param dag_ids: check only these incident DAGs; empty for all.
    :param may_write: whether a Slack channel may be created and archived.
    """

    def __init__(self, dag_ids: Collection[str] = (), *, may_write: bool = False) -> None:
        self._dag_ids = dag_ids
        self.may_write = may_write
        self._slack: dict[str, LiveSlackClient | IncidentError | None] = {}

    def now(self) -> datetime:
        """Return the time by this machine's clock."""
        return datetime.now(UTC)

    @cached_property
    def dags(self) -> list[IncidentDag]:
        """The incident DAGs."""
        try:
            routing = self.routing
        except NotCheckableError:
            routing = None
        return incident_dags(routing, only=self._dag_ids)

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

    def slack_or_error(self, conn_id: str) -> LiveSlackClient | IncidentError | None:
        """Return the client of a connection, why it does not work, or ``None`` without a connection."""
        if conn_id not in self._slack:
            self._slack[conn_id] = _connect_slack(conn_id)
        return self._slack[conn_id]

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
    def engine_address(self) -> EngineAddress:
        """The address of the Docker Engine that the probes use."""
        return engine_address()

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
            return connect(self.engine_address, conn_id, timeout_s=ENGINE_SECONDS)
        except EngineError as error:
            return error


def _connect_slack(conn_id: str) -> LiveSlackClient | IncidentError | None:
    if not connection_is_configured(conn_id):
        return None
    try:
        client = live_slack_client(conn_id)
        # Calls auth.test.
        client.workspace  # noqa: B018
    except IncidentError as error:
        return error
    return client
