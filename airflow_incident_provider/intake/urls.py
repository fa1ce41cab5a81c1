"""Links: which URLs may be shown, without their secrets, and what they lead to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from airflow_incident_provider.intake.limits import MAX_LINKS, MAX_NAME, ParseWarnings, bounded_line
from airflow_incident_provider.models import Link, LinkKind
from airflow_incident_provider.text import REDACTED, redact, url_problem

_KINDS_BY_PATH = (
    (LinkKind.MONITOR, re.compile(r"^/monitors(?:/|$)")),
    (LinkKind.DASHBOARD, re.compile(r"^/(?:dashboards?|dash|screen|d)/")),
    (LinkKind.INCIDENT, re.compile(r"^/incidents/")),
    (LinkKind.EVENT, re.compile(r"^/event/")),
)
_RUNBOOK = re.compile(r"runbook|playbook", re.IGNORECASE)
_DASHBOARD = re.compile(r"dashboard", re.IGNORECASE)


def safe_url(url: str | None, *, field: str, warnings: ParseWarnings) -> str | None:
    """Return ``url``, without secrets, if it may be shown as a link; else report it and return ``None``."""
    if not url:
        return None
    url = url.strip()
    problem = url_problem(url)
    if problem is None:
        public = without_secrets(url)
        if public != url:
            warnings.add(field, redact(url), "a secret in it was removed")
        return public
    warnings.add(field, url, f"dropped: it {problem}")
    return None


def without_secrets(url: str) -> str:
    """Return ``url`` without the parameters of its query, or the fragment, that hold secrets."""
    if redact(url) == url and REDACTED not in url:
        return url
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = [pair for pair in pairs if redact("=".join(pair)) == "=".join(pair) and REDACTED not in pair]
    fragment = parts.fragment if redact(parts.fragment) == parts.fragment else ""
    path = quote(redact(parts.path), safe="/%:@!$&'()*+,;=~-._")
    return urlunsplit(parts._replace(path=path, query=urlencode(kept), fragment=fragment))


def origin(url: str) -> str:
    """Return the scheme and host, with the port if it has one, of a URL that ``safe_url`` let through."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def kind_of(url: str, label: str = "") -> LinkKind:
    """Return the kind of page that a URL leads to, by its path and its label."""
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
    """Return a link, or ``None`` (and a warning) when the URL is not safe.

    :param label: its text; by default its kind, or else its host.
    :param kind: what the link leads to; by default recognised by URL and label.
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
