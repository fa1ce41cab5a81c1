"""URLs, links and probe targets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from airflow_incident_provider.intake.limits import MAX_LINKS, MAX_NAME, ParseWarnings, bounded_line
from airflow_incident_provider.models import Link, LinkKind, Target
from airflow_incident_provider.text import for_error, one_line, url_problem

_KINDS_BY_PATH = (
    (LinkKind.MONITOR, re.compile(r"^/monitors(?:/|$)")),
    (LinkKind.DASHBOARD, re.compile(r"^/(?:dashboards?|dash|screen|d)/")),
    (LinkKind.INCIDENT, re.compile(r"^/incidents/")),
    (LinkKind.EVENT, re.compile(r"^/event/")),
)
_RUNBOOK = re.compile(r"runbook|playbook", re.IGNORECASE)
_DASHBOARD = re.compile(r"dashboard", re.IGNORECASE)


def safe_url(url: str | None, *, field: str, warnings: ParseWarnings) -> str | None:
    """Return ``url`` if it may be shown as a link; else flag it, without its credentials, and return nothing."""
    if not url:
        return None
    url = url.strip()
    problem = url_problem(url)
    if problem is None:
        return url
    warnings.add(field, url, f"dropped: it {problem}")
    return None


def origin(url: str) -> str:
    """Return the scheme and host, with the port if it has one, of a URL that ``safe_url`` let through."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def kind_of(url: str, label: str = "") -> LinkKind:
    """Return what a URL leads to, as its path and its label tell."""
    path = urlsplit(url).path
    for kind, pattern in _KINDS_BY_PATH:
        if pattern.search(path):
            return kind
    if _RUNBOOK.search(label) or _RUNBOOK.search(path):
        return LinkKind.RUNBOOK
    return LinkKind.DASHBOARD if _DASHBOARD.search(label) else LinkKind.OTHER


def make_link(
    url: str, *, field: str, warnings: ParseWarnings, label: str | None = None, kind: LinkKind | None = None
) -> Link | None:
    """Return a link, or nothing (and a flag) when the URL is not safe.

    :param label: what people read; the kind, or else the host, when it is not given.
    :param kind: what the link leads to; told by URL and label when it is not given.
    """
    checked = safe_url(url, field=field, warnings=warnings)
    if checked is None:
        return None
    clean = bounded_line(label or "", MAX_NAME, field=field, warnings=warnings)
    kind = kind or kind_of(checked, clean)
    if not clean:
        clean = kind.capitalize() if kind is not LinkKind.OTHER else str(urlsplit(checked).hostname)
    return Link(kind=kind, label=clean, url=checked)


def distinct_links(links: Iterable[Link | None], *, warnings: ParseWarnings) -> tuple[Link, ...]:
    """Return the links without those that lead to the same URL, at most ``MAX_LINKS`` of them."""
    kept: dict[str, Link] = {}
    for link in links:
        if link is None or link.url in kept:
            continue
        if len(kept) == MAX_LINKS:
            warnings.add("links", link.label, f"only the first {MAX_LINKS} are kept")
            break
        kept[link.url] = link
    return tuple(kept.values())


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
