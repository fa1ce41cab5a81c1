"""The Docker Engine that probes run on: where it is, how to get in, and what it says when it refuses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from docker.errors import APIError, DockerException  # noqa: TID253 - only in execute
from requests.exceptions import RequestException

from airflow_incident_provider.config import settings
from airflow_incident_provider.text import one_line, redact

if TYPE_CHECKING:
    from docker import APIClient

DEFAULT_ENGINE_URL = "unix://var/run/docker.sock"


class EngineError(Exception):
    """The Docker Engine, or the image, is not there; the message is for the room."""


@dataclass(frozen=True, kw_only=True)
class EngineAddress:
    """Where the Docker Engine is, and how to get in.

    :param url: ``unix://``, ``tcp://``, ``https://`` or ``ssh://``; empty for Docker's environment variables
        (``DOCKER_HOST``, ``DOCKER_TLS_VERIFY``, ``DOCKER_CERT_PATH``), and without those for the local socket.
    :param ca_cert: path of the authority's certificate, for TLS; ``client_cert`` and ``client_key`` likewise.
    """

    url: str = ""
    ca_cert: str = ""
    client_cert: str = ""
    client_key: str = ""

    def __str__(self) -> str:
        """Return the address without credentials, for messages."""
        return redact(self.url or os.environ.get("DOCKER_HOST") or DEFAULT_ENGINE_URL)

    def connect(self, *, timeout_s: int = 60) -> APIClient:
        """Return docker's low-level client of an engine that answers.

        :raises EngineError: the engine does not answer, its certificates cannot be used, or the extra ``ssh`` is
            missing.
        """
        if str(self).startswith("ssh://") and find_spec("paramiko") is None:
            raise EngineError(f"{self} needs the extra ssh: pip install 'airflow-incident-provider[ssh]'")
        from docker import APIClient
        from docker.constants import DEFAULT_DOCKER_API_VERSION
        from docker.utils import kwargs_from_env

        try:
            given = self._given() if self.url else kwargs_from_env()
            url = str(given.get("base_url") or DEFAULT_ENGINE_URL)
            given |= {"base_url": url, "timeout": timeout_s, "use_ssh_client": url.startswith("ssh://")}
            client = _isolated(APIClient(version=DEFAULT_DOCKER_API_VERSION, **given))
            return _isolated(APIClient(version=client.version(api_version=False)["ApiVersion"], **given))
        except (DockerException, RequestException, OSError) as error:
            reason = type(error).__name__ if isinstance(error, RequestException) else reason_of(error)
            raise EngineError(f"no Docker Engine answers at {self}: {reason}") from error

    def _given(self) -> dict[str, Any]:
        from docker.tls import TLSConfig

        if not self.ca_cert and not self.client_cert:
            return {"base_url": self.url}
        pair = (self.client_cert, self.client_key) if self.client_cert else None
        tls = TLSConfig(client_cert=pair, ca_cert=self.ca_cert or None, verify=True)
        return {"base_url": self.url.replace("tcp://", "https://", 1), "tls": tls}


def _isolated(client: APIClient) -> APIClient:
    """Return the client without ``REQUESTS_CA_BUNDLE``, which would replace the engine's own authority."""
    client.trust_env = False
    return client


def log_in(client: APIClient, *, registry: str, username: str, password: str) -> None:
    """Log in to a private registry.

    :raises EngineError: the registry refuses the login, in its own words.
    """
    try:
        client.login(username=username, password=password, registry=registry, reauth=True)
    except (DockerException, RequestException) as error:
        raise EngineError(f"the registry {registry} refuses the login: {reason_of(error)}") from error


def engine_address(
    url: str = "", conn_id: str | None = None, tls: tuple[str, str, str] = ("", "", "")
) -> EngineAddress:
    """Return where the Docker Engine is: what is given, else what the extras of the connection say.

    :param conn_id: an Airflow connection of type ``docker``; default: ``[incident] docker_conn_id``.

    :param tls: paths of the authority's certificate, the client's certificate and its key.
    """
    conn_id = conn_id or settings().docker_conn_id
    if url or not conn_id:
        return EngineAddress(url=url, ca_cert=tls[0], client_cert=tls[1], client_key=tls[2])
    extra = BaseHook.get_connection(conn_id).extra_dejson
    return EngineAddress(
        url=str(extra.get("engine_url") or ""),
        ca_cert=str(extra.get("engine_ca_cert") or ""),
        client_cert=str(extra.get("engine_client_cert") or ""),
        client_key=str(extra.get("engine_client_key") or ""),
    )


def connect(address: EngineAddress, conn_id: str | None = None, *, timeout_s: int = 60) -> APIClient:
    """Return the client of an engine, logged in to the registry if the connection has a login.

    :raises EngineError: the engine does not answer, or the registry refuses the login.
    """
    client = address.connect(timeout_s=timeout_s)
    if conn_id and (connection := BaseHook.get_connection(conn_id)).login:
        registry = f"{connection.host}:{connection.port}" if connection.port else str(connection.host)
        log_in(client, registry=registry, username=connection.login, password=connection.password or "")
    return client


def reason_of(error: BaseException) -> str:
    """Return what the engine said, short enough for the room."""
    if isinstance(error, APIError):
        return redact(one_line(str(error.explanation or error)))[:300]
    if isinstance(error, RequestException):
        return f"the Docker Engine does not answer: {type(error).__name__}"
    return redact(one_line(str(error)))[:300]
