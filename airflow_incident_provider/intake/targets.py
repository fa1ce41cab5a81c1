"""A place to probe, as a person writes it: a URL, a host, or a host and a port."""

from __future__ import annotations

import ipaddress
import re

from airflow_incident_provider.models import Target
from airflow_incident_provider.text import for_error, one_line, url_problem

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
"""Such a name is an address in disguise (``2130706433``, ``0x7f.1``): resolvers read it as one."""
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::(.*))?")
_MAX_HOST_NAME = 253
_MAX_PORT = 65535


def read_target(text: str, *, trusted: bool = False) -> Target:
    """Return the target that ``text`` names.

    A host never begins with a hyphen, so that no probe takes it for an option.

    :raises ValueError: in words that name the text and what would be right.
    """
    clean = one_line(text[:5000])
    if "://" in clean:
        problem = url_problem(clean)
        if problem is not None:
            raise ValueError(f"{for_error(clean)} {problem}")
        return Target(url=clean, trusted=trusted)
    host, port = _host_and_port(clean)
    if not _is_host(host):
        raise ValueError(f"{for_error(clean)} is not a target; use a URL, a host, or host:port")
    return Target(host=host, port=_read_port(port, clean), trusted=trusted)


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
        is_name = len(host) <= _MAX_HOST_NAME and _HOST_NAME.fullmatch(host) is not None
        return is_name and not _ENDS_IN_NUMBER.fullmatch(host)
    return "%" not in host


def _read_port(port: str | None, text: str) -> int | None:
    if port is None:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= _MAX_PORT:
        raise ValueError(f"{for_error(text)} has no port from 1 to {_MAX_PORT} after its colon")
    return int(port)
