"""What an incident offers to be probed, and the parts of a target that a probe needs."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from airflow_incident_provider.intake.targets import PROBE_SCHEMES
from airflow_incident_provider.models import Incident, Target
from airflow_incident_provider.text import ascii_host, split_url

_TLS_PORT = 443


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
        """The URL, put together from its parts, so that no two readers take it for different hosts."""
        return f"{self.scheme}://{self.authority}{self.resource}"

    @property
    def uses_tls(self) -> bool:
        """Whether a client begins with a TLS handshake: by the scheme, or by port 443 where there is none."""
        return self.scheme in {"https", "grpcs", "tls"} or (not self.scheme and self.port == _TLS_PORT)


def canonical_url(url: str) -> str | None:
    """Return a URL in ASCII: its host as IDNA, anything else percent-encoded; ``None`` if it has no such form."""
    if url.isascii():
        return url
    parts = split_url(url)
    if parts is None or not parts.hostname or "@" in parts.netloc or (host := ascii_host(parts.hostname)) is None:
        return None
    authority = host if parts.port is None else f"{host}:{parts.port}"
    path, query = (quote(text, safe="/%:@!$&'()*+,;=~?-._") for text in (parts.path, parts.query))
    return f"{parts.scheme}://{authority}{path}{f'?{query}' if query else ''}"


def endpoint(target: Target) -> Endpoint | None:
    """Return the parts of a target, or None if it names no host or a URL that no probe understands."""
    if target.url is None:
        host = ascii_host(target.host or "")
        return Endpoint(host=host, port=target.port) if host else None
    canonical = canonical_url(target.url)
    parts = split_url(canonical) if canonical else None
    scheme = parts.scheme.lower() if parts else ""
    if (
        parts is None
        or scheme not in PROBE_SCHEMES
        or not parts.hostname
        or not (host := ascii_host(parts.hostname))
    ):
        return None
    port = parts.port or PROBE_SCHEMES[scheme]
    if port is None:
        return None
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Endpoint(host=host, port=port, scheme=scheme, resource=resource)


def read_target(text: str) -> Target:
    """Return the target that a finding names, from its usual notation."""
    if "://" in text:
        return Target(url=text)
    if text.count(":") > 1 and not text.startswith("["):
        return Target(host=text)
    host, colon, port = text.rpartition(":")
    return Target(host=host, port=int(port)) if colon and port.isdecimal() and host else Target(host=text)


def incident_targets(incident: Incident) -> tuple[Target, ...]:
    """Return what the incident offers to be probed: what the routing table names, then what the alert brought.

    Only the routing table's targets are trusted, and only they have expectations, whatever the alert says.
    """
    trusted = (target.model_copy(update={"trusted": True}) for target in incident.route.targets)
    brought = (target.model_copy(update={"trusted": False, "expect": None}) for target in incident.targets)
    return tuple(dict.fromkeys((*trusted, *brought)))


def alert_hosts(incident: Incident) -> tuple[Target, ...]:
    """Return the host names that the alert carries as identifiers; they need not exist in any resolver."""
    return tuple(Target(host=host) for host in dict.fromkeys(incident.hosts))
