"""URLs and links."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from airflow_incident_provider.intake.limits import MAX_LINKS, MAX_NAME, ParseWarnings, bounded_line
from airflow_incident_provider.models import Link, LinkKind
from airflow_incident_provider.text import url_problem

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
