"""The set-up that is checked: what several checks look at, looked up once."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.commands.check.results import NotCheckableError
from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID
from airflow_incident_provider.exceptions import IncidentError, RoutingTableError
from airflow_incident_provider.routing_file import read_routing_table
from airflow_incident_provider.slack.access import connection_is_configured, live_slack_client

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_incident_provider.intake.routing_table import RoutingTable
    from airflow_incident_provider.slack.client import LiveSlackClient

ENGINE_SECONDS = 10


class Site:
    """What the checks look at.

    :param dag_id: the incident DAG.
    :param may_write: whether a Slack channel may be made and archived.
    """

    def __init__(self, dag_id: str, *, may_write: bool = False) -> None:
        self.dag_id = dag_id
        self.may_write = may_write

    def now(self) -> datetime:
        """Return the time by this machine's clock."""
        return datetime.now(UTC)

    def connection(self, conn_id: str) -> Connection | None:
        """Return an Airflow connection, if there is one."""
        from airflow.sdk import BaseHook

        return BaseHook.get_connection(conn_id) if connection_is_configured(conn_id) else None

    @property
    def slack(self) -> LiveSlackClient:
        """Slack, which has accepted the token.

        :raises NotCheckableError: there is none, or it does not work: the line "token" says why.
        """
        if isinstance(self.slack_or_refusal, IncidentError):
            raise NotCheckableError("Slack does not work")
        if self.slack_or_refusal is None:
            raise NotCheckableError("there is no Slack connection")
        return self.slack_or_refusal

    @cached_property
    def slack_or_refusal(self) -> LiveSlackClient | IncidentError | None:
        """Slack; or why it does not work; nothing without a connection. Asked once: waiting for it takes long."""
        if not connection_is_configured(DEFAULT_SLACK_CONN_ID):
            return None
        try:
            slack = live_slack_client(DEFAULT_SLACK_CONN_ID)
            # Read here, because it asks Slack who we are.
            slack.workspace  # noqa: B018
        except IncidentError as error:
            return error
        return slack

    @cached_property
    def routing(self) -> RoutingTable:
        """The routing table.

        :raises NotCheckableError: it cannot be read: the line "table" says why.
        """
        try:
            return read_routing_table()
        except RoutingTableError:
            raise NotCheckableError("the routing table cannot be read") from None

    @property
    def engine_address(self) -> str:
        """Where the probes' operator looks for the Docker Engine."""
        return os.environ.get("DOCKER_HOST") or "unix://var/run/docker.sock"

    @property
    def engine(self) -> Any:
        """The Docker Engine's client.

        :raises NotCheckableError: none answers: the line "engine" says why.
        """
        if self._engine is None:
            raise NotCheckableError("no Docker Engine answers")
        return self._engine

    @cached_property
    def _engine(self) -> Any | None:
        from docker import APIClient
        from docker.errors import DockerException
        from requests.exceptions import RequestException

        try:
            return APIClient(base_url=self.engine_address, version="auto", timeout=ENGINE_SECONDS)
        except (DockerException, RequestException):
            return None
