"""
The app-level token (``xapp-...``) of Socket Mode: it opens WebSocket connections, and does nothing else.

The Slack connection's extra holds it as ``app_token``. Sources: https://docs.slack.dev/apis/events-api/using-socket-mode,
https://docs.slack.dev/reference/methods/apps.connections.open
"""

from __future__ import annotations

import copy
import logging
import ssl
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.exceptions import SlackConfigurationError, SlackUnavailableError
from airflow_incident_provider.slack.hook import IncidentSlackHook, SlackWebClient

if TYPE_CHECKING:
    from airflow.sdk import Connection

METHOD = "apps.connections.open"
PREFIX = "xapp-"

CREATE_ONE = (
    "Create a token with the scope connections:write under 'Basic Information', 'App-Level Tokens' of the Slack "
    "app, and put it into app_token of the connection's extra."
)


@dataclass(frozen=True)
class SocketAddress:
    """Where to connect to. The address holds a ticket that opens one connection, so it stays out of every text.

    :param proxy: the proxy of the Slack connection; ``None`` for that of the environment.
    :param tls: the TLS settings for the authorities of the Slack connection; ``None`` for the system's.
    """

    url: str = field(repr=False)
    proxy: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None


class AppLevelSlackHook(IncidentSlackHook):
    """A hook that uses the app-level token of a connection instead of its bot token.

    :param conn: an Airflow connection of type ``slack`` with ``app_token`` in its extra.
    """

    def __init__(self, conn: Connection, **kwargs: Any) -> None:
        super().__init__(conn.conn_id, logger=silent_logger(__name__), **kwargs)
        self._conn = conn

    @cached_property
    def client(self) -> SlackWebClient:
        """slack_sdk's client with the app-level token.

        :raises SlackConfigurationError: there is none.
        """
        own = copy.copy(self._conn)
        own.password = app_token(self._conn)
        return self._client_of(own)

    def open_socket(self) -> SocketAddress:
        """Return the address of a new WebSocket connection (``apps.connections.open``).

        :raises SlackConfigurationError: there is no app-level token, or Slack refuses it.
        :raises SlackUnavailableError: Slack does not answer.
        """
        try:
            response = self.read(METHOD)
        except SlackConfigurationError as error:
            raise SlackConfigurationError(error.message, code=error.code, fix=_fix(error)) from None
        url = response.get("url")
        # Only a stand-in without TLS leads to a WebSocket without TLS.
        schemes = ("wss://",) if self.client.base_url.startswith("https:") else ("wss://", "ws://")
        if not isinstance(url, str) or not url.startswith(schemes):
            raise SlackUnavailableError(f"Slack answered {METHOD} without an address that begins with wss://.")
        return SocketAddress(url, self.client.proxy, self.client.ssl)


def silent_logger(name: str) -> logging.Logger:
    """Return a logger for a library that would log the address, with its ticket, at the level DEBUG."""
    logger = logging.getLogger(f"{name}.silent")
    logger.setLevel(logging.CRITICAL)
    return logger


def app_token(conn: Connection) -> str:
    """Return the app-level token of a connection.

    :raises SlackConfigurationError: it has none, or another kind of token.
    """
    token = conn.extra_dejson.get("app_token")
    token = token.strip() if isinstance(token, str) else ""
    if not token:
        raise SlackConfigurationError(
            f"The connection {conn.conn_id} has no app-level token.", code="no_app_token", fix=CREATE_ONE
        )
    if not token.startswith(PREFIX):
        raise SlackConfigurationError(
            f"app_token of the connection {conn.conn_id} is no app-level token: it does not begin with {PREFIX}.",
            code="not_allowed_token_type",
            fix=CREATE_ONE,
        )
    return token


def _fix(error: SlackConfigurationError) -> str | None:
    """Return the fix; for a refused token that of the app-level token, which is not the bot token's."""
    transport = error.code is None or error.code.startswith(("proxy_", "certificate_", "invalid_url"))
    return error.fix if transport else CREATE_ONE
