"""Targets of probes, as a person writes them: a URL, a host, a host and a port, or a connection string."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult

from airflow_incident_provider.intake.urls import without_secrets
from airflow_incident_provider.models import Target
from airflow_incident_provider.text import (
    HOLDS_CREDENTIALS,
    ascii_host,
    for_error,
    one_line,
    split_url,
    url_problem,
)

PROBE_SCHEMES: dict[str, int | None] = {
    "http": 80,
    "https": 443,
    "grpc": None,
    "grpcs": 443,
    "tls": 443,
    "tcp": None,
}
"""The schemes of a target's URL, with their default ports."""

CONNECTION_STRINGS: dict[str, int] = {
    "amqp": 5672,
    "cassandra": 9042,
    "clickhouse": 9000,
    "kafka": 9092,
    "ldap": 389,
    "mariadb": 3306,
    "memcached": 11211,
    "mongodb": 27017,
    "mqtt": 1883,
    "mssql": 1433,
    "mysql": 3306,
    "nats": 4222,
    "oracle": 1521,
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "sftp": 22,
    "smtp": 25,
    "sqlserver": 1433,
    "ssh": 22,
    "zookeeper": 2181,
}
"""The schemes of connection strings, with their default ports: their host and port are checked."""

CONNECTION_STRINGS_OVER_TLS: dict[str, int] = {
    "amqps": 5671,
    "ldaps": 636,
    "mqtts": 8883,
    "rediss": 6379,
    "smtps": 465,
}
"""The same where a client begins with a TLS handshake."""

SRV = "+srv"
"""What the scheme of a connection string ends in if it names SRV records in place of a host."""

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
"""Such a name is an address in disguise (``2130706433``, ``0x7f.1``): resolvers read it as one."""
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::(.*))?")
_SCHEME = re.compile(r"(?:jdbc:)?([A-Za-z][A-Za-z0-9]*)(?:\+[A-Za-z0-9+.-]+)?://")
_MAX_HOST_NAME = 253
_MAX_PORT = 65535


def read_target(text: str, *, trusted: bool = False) -> Target:
    """Return the target that ``text`` names.

    A host never begins with a hyphen, so that no probe takes it for an option. Of a connection string only host and
    port are kept: its user, password and database are in no target, error or log.

    :raises ValueError: the message names the text and what would be right.
    """
    clean = one_line(text[:5000])
    scheme = _SCHEME.match(clean)
    if scheme is not None:
        return _from_url(clean, scheme, trusted=trusted)
    host, port = _host_and_port(clean)
    if not _is_host(host):
        raise ValueError(f"{for_error(clean)} is not a target; use a URL, a host, or host:port")
    return Target(host=ascii_host(host) or host, port=_read_port(port, clean), trusted=trusted)


def read_targets(text: str, *, trusted: bool = False) -> tuple[Target, ...]:
    """Return the targets that ``text`` names: one, or each host of a connection string that names several.

    Credentials before a host or in a web address are left out: what is checked needs none.

    :raises ValueError: as :func:`read_target`.
    """
    clean = one_line(text[:5000])
    scheme = _SCHEME.match(clean)
    if scheme is None:
        return (read_target(clean.rpartition("@")[2], trusted=trusted),)
    if scheme[1].lower() in {"http", "https"} and url_problem(clean) == HOLDS_CREDENTIALS:
        head, _, rest = clean.partition("://")
        authority, slash, path = rest.partition("/")
        return (read_target(f"{head}://{authority.rpartition('@')[2]}{slash}{path}", trusted=trusted),)
    authority = re.split(r"[/?#;]", clean[scheme.end() :].rpartition("@")[2], maxsplit=1)[0]
    if "," not in authority or scheme[1].lower() in PROBE_SCHEMES:
        return (read_target(clean, trusted=trusted),)
    hosts = (f"{scheme[0]}{host}" for host in authority.split(",") if host)
    return tuple(dict.fromkeys(read_target(host, trusted=trusted) for host in hosts))


def _from_url(text: str, scheme: re.Match[str], *, trusted: bool) -> Target:
    name = scheme[1].lower()
    if name in CONNECTION_STRINGS or name in CONNECTION_STRINGS_OVER_TLS:
        srv = scheme[0].lower().endswith(f"{SRV}://")
        return _from_connection_string(name, text[scheme.end() :], trusted=trusted, srv=srv)
    if name in PROBE_SCHEMES and name not in {"http", "https"}:
        problem = _problem_of(split_url(text), PROBE_SCHEMES[name])
    else:
        problem = url_problem(text)
        if problem is not None and "http or https" in problem:
            problem = f"is not a URL that is probed; use {', '.join(PROBE_SCHEMES)}, a host, or host:port"
    if problem is not None:
        raise ValueError(f"{for_error(text)} {problem}")
    return Target(url=text if trusted else without_secrets(text), trusted=trusted)


def _problem_of(parts: SplitResult | None, default_port: int | None) -> str | None:
    if parts is None or not parts.hostname or not _is_host(parts.hostname):
        return "names no host"
    if "@" in parts.netloc:
        return "holds credentials"
    return None if parts.port or default_port else "names no port"


def _from_connection_string(scheme: str, rest: str, *, trusted: bool, srv: bool) -> Target:
    """Return the host and port of a connection string without its scheme.

    :param srv: whether its name is one of SRV records, which lead to the hosts, and need not have an address.
    :raises ValueError: it names no host, or several.
    """
    # A password may hold a slash or a question mark: what is before the last @ is not the host.
    authority = re.split(r"[/?#;]", rest.rpartition("@")[2], maxsplit=1)[0]
    shown = f"the {scheme} connection string"
    if "," in authority:
        raise ValueError(f"{shown} names several hosts; write one target for each, as host:port")
    host, port = _host_and_port(authority)
    if not _is_host(host):
        raise ValueError(f"{shown} names no host")
    over_tls = scheme in CONNECTION_STRINGS_OVER_TLS
    if srv:
        return Target(url=f"{scheme}{SRV}://{ascii_host(host) or host}", trusted=trusted)
    number = _read_port(port, shown) or CONNECTION_STRINGS.get(scheme) or CONNECTION_STRINGS_OVER_TLS[scheme]
    name = ascii_host(host) or host
    if not over_tls:
        return Target(host=name, port=number, trusted=trusted)
    bracketed = f"[{name}]" if ":" in name else name
    return Target(url=f"tls://{bracketed}:{number}", trusted=trusted)


def _host_and_port(text: str) -> tuple[str, str | None]:
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed:
        return bracketed[1], bracketed[2]
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, None


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        name = ascii_host(host) or ""
        is_name = len(name) <= _MAX_HOST_NAME and _HOST_NAME.fullmatch(name) is not None
        return is_name and not _ENDS_IN_NUMBER.fullmatch(name)
    return "%" not in host


def _read_port(port: str | None, text: str) -> int | None:
    if port is None:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= _MAX_PORT:
        raise ValueError(f"{for_error(text)} has no port from 1 to {_MAX_PORT} after its colon")
    return int(port)
