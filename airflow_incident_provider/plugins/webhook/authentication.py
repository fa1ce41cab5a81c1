"""
Who may post an alert: whoever knows the secret of the connection ``incident_webhook``, from where it allows.

The connection's password is the secret. Its extra may hold ``previous_secret``, which stays valid while a secret is
rotated, and ``allowed_networks``, a list of CIDR networks. It is read through Airflow, so that a secrets backend
may hold it, and kept for :data:`CACHE_SECONDS`: that is how long a changed secret takes to be known.

The address that counts is that of the connection. Behind a reverse proxy it is the proxy's, unless the API server
is told to trust the proxy's headers (uvicorn's ``FORWARDED_ALLOW_IPS``).
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.config import DEFAULT_WEBHOOK_CONN_ID
from airflow_incident_provider.plugins.api.errors import RequestError

if TYPE_CHECKING:
    from airflow.sdk import Connection

SECRET_HEADER = "X-Incident-Secret"  # noqa: S105  the header's name, not a secret
CACHE_SECONDS = 30.0
SHORTEST_SECRET = 16
"""Characters; a shorter secret can be guessed and is refused as a mistake of configuration."""

Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Credentials:
    """What the connection says. The secrets stay out of its representation."""

    secret: str = field(repr=False)
    previous_secret: str | None = field(default=None, repr=False)
    allowed_networks: tuple[Network, ...] = ()

    @classmethod
    def from_connection(cls, connection: Connection) -> Credentials:
        """Return what a connection says.

        :raises RequestError: (503) it is incomplete or wrong; the text says which part, and never the secret.
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
        """Return whether a secret is the current or the previous one, without telling by its time how nearly.

        :param presented: the header's value as ASGI servers give it: bytes, decoded as Latin-1.
        """
        given = presented.encode("latin-1", "replace")
        current = hmac.compare_digest(given, self.secret.encode())
        previous = hmac.compare_digest(given, (self.previous_secret or self.secret).encode())
        return current | previous

    def allows(self, address: str | None) -> bool:
        """Return whether a request may come from this address; without networks it may come from anywhere."""
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

    :param load: returns the connection; raises when there is none.
    :param clock: seconds that never go back.
    """

    def __init__(
        self, load: Callable[[], Connection] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load or _connection
        self._clock = clock
        self._lock = threading.Lock()
        self._known: tuple[float, Credentials] | None = None

    def admit(self, presented: str | None, address: str | None) -> None:
        """Return if the request may be heard.

        Blocks for as long as a secrets backend takes when the secret was not read lately: not for an event loop.

        :raises RequestError: 401 without the secret, 403 from elsewhere, 503 when no secret can be read.
        """
        credentials = self.credentials()
        # The network first: from elsewhere nobody can try secrets.
        if not credentials.allows(address):
            raise RequestError(403, f"Requests from {address} are not allowed here.", fix=_ALLOW_NETWORK)
        if not credentials.knows(presented or ""):
            raise RequestError(401, _NO_SECRET if presented is None else _WRONG_SECRET)

    def credentials(self) -> Credentials:
        """Return what the connection says, read at most every :data:`CACHE_SECONDS`.

        :raises RequestError: (503) it cannot be read or is wrong. That is not kept: the next request looks again.
        """
        with self._lock:
            if self._known is not None and self._clock() - self._known[0] < CACHE_SECONDS:
                return self._known[1]
            self._known = None
            try:
                connection = self._load()
            except Exception as error:
                raise RequestError(503, _NO_CONNECTION, fix=_ADD_CONNECTION) from error
            credentials = Credentials.from_connection(connection)
            self._known = (self._clock(), credentials)
            return credentials


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
