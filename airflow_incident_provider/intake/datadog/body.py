"""An event's body: Datadog's markdown, with links, mentions of integrations and a footer about the monitor."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

_MAX_READ = 20_000
_LINK = re.compile(r"\[([^\[\]\n]{1,200})\]\(([^()\s]{1,2001})\)")
_BARE_URL = re.compile(r"https?://[^\s()<>\[\]|\"'`]{1,2001}")
_FENCE = re.compile(r"%%%")
_FOOTER = re.compile(r"^[ \t]*\[?\[(?:Monitor Status|Edit Monitor)\]\([^()\s]{1,2001}\).*$", re.MULTILINE)
_INTEGRATION = re.compile(r"(?<!\S)@(?:webhook|slack|pagerduty|opsgenie|victorops|teams)-\S+")
_BOLD = re.compile(r"\*\*([^*\n]{1,500})\*\*")
_MONITOR_PATH = re.compile(r"^/monitors/(\d{1,30})(?:/|$)")


@dataclass(frozen=True)
class MonitorReference:
    """The monitor that a body links to, and the group it alerts for."""

    id: str
    url: str
    scope: str | None


def plain_text(body: str) -> str:
    """Return a body as people would say it: without markup, footer and mentions of integrations."""
    text = _FENCE.sub("", body[:_MAX_READ])
    text = _FOOTER.sub("", text)
    text = _INTEGRATION.sub("", text)
    text = _LINK.sub(r"\1", text)
    return html.unescape(_BOLD.sub(r"\1", text)).strip()


def links_in(body: str) -> Iterator[tuple[str, str]]:
    """Yield label and URL of each link, the labelled ones first; a bare URL has an empty label."""
    text = html.unescape(body[:_MAX_READ])
    for link in _LINK.finditer(text):
        yield link[1], link[2]
    for bare in _BARE_URL.finditer(_LINK.sub(" ", text)):
        yield "", bare[0].rstrip(".,;:!?*")


def monitor_reference(body: str) -> MonitorReference | None:
    """Return the monitor that the body's own footer links to: the only place where the default payload names it."""
    for label, url in links_in(body):
        if label != "Monitor Status":
            continue
        try:
            parts = urlsplit(url)
            groups = parse_qs(parts.query).get("group", [])
        except ValueError:
            continue
        if path := _MONITOR_PATH.match(parts.path):
            return MonitorReference(id=path[1], url=url, scope=groups[0] if groups else None)
    return None
