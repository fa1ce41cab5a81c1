"""What an incident offers to be probed, and the parts of a target that a probe needs."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from airflow_incident_provider.models import Incident, Target

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A target taken apart. ``scheme`` and ``resource`` are empty, and ``port`` may be absent, without a URL."""

    host: str
    port: int | None = None
    scheme: str = ""
    resource: str = ""

    @property
    def authority(self) -> str:
        """The host and port as they are written in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL, put together again from its parts, so that no two readers take it for different hosts."""
        return f"{self.scheme}://{self.authority}{self.resource}"


def endpoint(target: Target) -> Endpoint | None:
    """Return the parts of a target, or None if it names no http(s) URL and no host."""
    if target.url is None:
        return Endpoint(host=_bare(target.host), port=target.port) if target.host else None
    try:
        parts = urlsplit(target.url)
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not parts.hostname:
        return None
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host, port = _bare(parts.hostname), port or _DEFAULT_PORTS[scheme]
    return Endpoint(host=host, port=port, scheme=scheme, resource=resource)


def incident_targets(incident: Incident) -> tuple[Target, ...]:
    """Return what the incident offers to be probed: what the routing table names, then what the alert brought.

    Only the routing table's targets are trusted, whatever the alert says of its own.
    """
    trusted = (target.model_copy(update={"trusted": True}) for target in incident.route.targets)
    brought = (target.model_copy(update={"trusted": False}) for target in incident.targets)
    hosts = (Target(host=host) for host in incident.hosts)
    return tuple(dict.fromkeys((*trusted, *brought, *hosts)))


def _bare(host: str | None) -> str:
    return (host or "").removeprefix("[").removesuffix("]")
