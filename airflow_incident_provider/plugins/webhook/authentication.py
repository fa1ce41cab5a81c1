"""
Authentication of the webhook, by the secret and the networks of the connection ``incident_webhook``.

The connection's password is the secret. Its extra may contain ``previous_secret``, which stays valid while a secret
is rotated, and ``allowed_networks``, a list of CIDR networks. The connection is read through Airflow, so a secrets
backend may hold it, and is cached for :data:`CACHE_SECONDS`; a wrong secret makes it be read again.

The address that counts is that of the TCP connection. Behind a reverse proxy it is the proxy's, unless the API
server trusts the proxy's headers (uvicorn's ``FORWARDED_ALLOW_IPS``).
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_incident_provider.config import DEFAULT_WEBHOOK_CONN_ID
from airflow_incident_provider.plugins.api.errors import RequestError

if TYPE_CHECKING:
    from airflow.sdk import Connection

SECRET_HEADER = "X-Incident-Secret"  # noqa: S105  the header's name, not a secret
CACHE_SECONDS = 30.0
REREAD_SECONDS = 1.0
"""How soon the connection is read again after a wrong secret, which may be a new one, or after a failure."""

GRACE_SECONDS = 600.0
"""How long the last good credentials stay valid while a secrets backend fails."""

SHORTEST_SECRET = 16
"""Characters; a shorter secret can be guessed and is refused as a mistake of configuration."""

log = logging.getLogger(__name__)

Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Credentials:
    """The content of the connection. The secrets are not part of its representation."""

    secret: str = field(repr=False)
    previous_secret: str | None = field(default=None, repr=False)
    allowed_networks: tuple[Network, ...] = ()

    @classmethod
    def from_connection(cls, connection: Connection) -> Credentials:
        """Return the credentials of a connection.

        :raises RequestError: (503) it is incomplete or invalid; the message names the part, never the secret.
        """
        extra = connection.extra_dejson
        previous = extra.get("previous_secret") or None
        secrets = [connection.password, *([previous] if previous else [])]
        if not all(isinstance(secret, str) and len(secret) >= SHORTEST_SECRET for secret in secrets):
            raise _misconfigured(
                f"the password, and previous_secret where there is one, need {SHORTEST_SECRET} characters or more"
            )
        return cls(str(connection.password), previous, _networks(extra.get("allowed_networks")))

    def knows(self, presented: str) -> bool:
        """Return whether a secret is the current or the previous one, in a time that does not depend on it.

        :param presented: the header's value as ASGI servers give it: bytes, decoded as Latin-1.
        """
        given = presented.encode("latin-1", "replace")
        current = hmac.compare_digest(given, self.secret.encode())
        previous = hmac.compare_digest(given, (self.previous_secret or self.secret).encode())
        return current | previous

    def allows(self, address: str | None) -> bool:
        """Return whether a request may come from this address: from anywhere if no networks are configured."""
        if not self.allowed_networks:
            return True
        try:
            client = ip_address(address or "")
        except ValueError:
            return False
        mapped = getattr(client, "ipv4_mapped", None)
        return any((mapped or client) in network for network in self.allowed_networks)


class Authentication:
    """Admits or refuses requests by the connection's secret and networks.

    :param load: returns the connection; raises if there is none.
    :param clock: monotonic seconds.
    """

    def __init__(
        self, load: Callable[[], Connection] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load or _connection
        self._clock = clock
        self._lock = threading.Lock()
        self._known: _Known | None = None
        self._failed: tuple[float, RequestError] | None = None

    def admit(self, presented: str | None, address: str | None) -> None:
        """Return if the request is admitted.

        Blocks while a secrets backend answers: not to be called in an event loop.

        :raises RequestError: 401 without the secret, 403 from elsewhere, 503 when no secret can be read.
        """
        try:
            self._admit(self.credentials(), presented, address)
        except RequestError as error:
            if error.status != HTTPStatus.UNAUTHORIZED or presented is None:
                raise
            # Datadog does not retry a 401. The secret may just have been rotated: read the connection again.
            self._admit(self.credentials(max_age=REREAD_SECONDS), presented, address)

    def _admit(self, credentials: Credentials, presented: str | None, address: str | None) -> None:
        # The network first, so that secrets cannot be guessed from elsewhere.
        if not credentials.allows(address):
            raise RequestError(403, f"Requests from {address} are not allowed here.", fix=_ALLOW_NETWORK)
        if not credentials.knows(presented or ""):
            raise RequestError(401, _NO_SECRET if presented is None else _WRONG_SECRET)

    def credentials(self, *, max_age: float = CACHE_SECONDS) -> Credentials:
        """Return the connection's credentials.

        While a secrets backend fails or is slow, the last good credentials stay valid for :data:`GRACE_SECONDS`; it
        is asked at most once in :data:`REREAD_SECONDS`.

        :param max_age: seconds after which they are read again.
        :raises RequestError: (503) there are none, they are invalid, or they cannot be read.
        """
        now = self._clock()
        known = self._known
        if known is not None and now - known.at < max_age:
            return known.credentials
        usable = known is not None and now - known.at < GRACE_SECONDS
        # Another request reads them: wait for it only if there is no cached value.
        if not self._lock.acquire(blocking=not usable):
            assert known is not None
            return known.credentials
        try:
            return self._refreshed(max_age)
        finally:
            self._lock.release()

    def _refreshed(self, max_age: float) -> Credentials:
        now = self._clock()
        if self._known is not None and now - self._known.at < max_age:
            return self._known.credentials
        if self._failed is None or now - self._failed[0] >= REREAD_SECONDS:
            self._read()
        if self._failed is None and self._known is not None:
            return self._known.credentials
        assert self._failed is not None
        if self._known is None or now - self._known.at >= GRACE_SECONDS:
            raise self._failed[1]
        return self._known.credentials

    def _read(self) -> None:
        """Read the connection. Only a backend that fails leaves the last good credentials valid."""
        try:
            self._known = _Known(self._clock(), Credentials.from_connection(self._load()))
            self._failed = None
        except RequestError as error:
            self._known, self._failed = None, (self._clock(), error)
        except (LookupError, AirflowNotFoundException):
            self._known = None
            self._failed = (self._clock(), RequestError(503, _NO_CONNECTION, fix=_ADD_CONNECTION))
        except Exception:
            log.exception("The connection %s could not be read", DEFAULT_WEBHOOK_CONN_ID)
            self._failed = (self._clock(), RequestError(503, _NO_CONNECTION, fix=_ADD_CONNECTION))


@dataclass(frozen=True)
class _Known:
    """Credentials, and when they were read."""

    at: float
    credentials: Credentials


_NO_CONNECTION = f"The connection {DEFAULT_WEBHOOK_CONN_ID} is not configured, or no secrets backend could give it."
_ADD_CONNECTION = (
    f"Add it to Airflow, with the webhook's secret as its password (at least {SHORTEST_SECRET} characters)."
)
_NO_SECRET = f"The header {SECRET_HEADER} is missing."
_WRONG_SECRET = f"The secret in the header {SECRET_HEADER} is wrong."
_ALLOW_NETWORK = f"Add the network to allowed_networks in the extra of the connection {DEFAULT_WEBHOOK_CONN_ID}."


def _connection() -> Connection:
    from airflow.sdk import BaseHook

    return BaseHook.get_connection(DEFAULT_WEBHOOK_CONN_ID)


def _networks(value: Any) -> tuple[Network, ...]:
    if value is None or value == "":
        return ()
    texts: Sequence[Any] = value.split(",") if isinstance(value, str) else value
    try:
        return tuple(ip_network(text.strip(), strict=False) for text in texts)
    except (TypeError, ValueError, AttributeError) as error:
        raise _misconfigured("allowed_networks is not a list of CIDR networks such as 10.0.0.0/8") from error


def _misconfigured(what: str) -> RequestError:
    return RequestError(
        503, f"The connection {DEFAULT_WEBHOOK_CONN_ID} cannot be used: {what}.", fix="Correct the connection."
    )
