"""Titles, message bodies and status texts of Datadog's notifications."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from airflow_incident_provider.intake.limits import MAX_NAME, MAX_QUERY, ParseWarnings, bounded_line
from airflow_incident_provider.models import Measurement

_TRANSITIONS = (
    "Triggered",
    "Re-Triggered",
    "Warn",
    "Re-Warn",
    "No Data",
    "Re-No Data",
    "Recovered",
    "Warn Recovered",
    "Renotify",
)
_BY_LETTERS = {re.sub(r"[^a-z]", "", name.lower()): name for name in _TRANSITIONS}

_PRIORITY = re.compile(r"\[(P[1-5])\]\s*", re.IGNORECASE)
_TEST = re.compile(r"\[TEST\]\s*", re.IGNORECASE)
_TRANSITION = re.compile(r"\[([A-Za-z -]{1,30}?)(?: on \{(.{0,1000}?)\})?\]\s*", re.IGNORECASE | re.DOTALL)
_MAX_PREFIXES = 6


@dataclass(frozen=True)
class Title:
    """A title taken apart: the monitor's name, and what its prefixes say."""

    name: str
    priority: str | None = None
    transition: str | None = None
    scope: str | None = None
    is_test: bool = False


def known_transition(said: str) -> str | None:
    """Return Datadog's name for a transition, however it is spelt, or nothing if Datadog has no such."""
    return _BY_LETTERS.get(re.sub(r"[^a-z]", "", said[:50].lower()))


def read_title(text: str) -> Title:
    """Return ``text`` without the prefixes that Datadog puts before a monitor's name, and what they say.

    A bracket that is none of Datadog's belongs to the name.
    """
    found: dict[str, str | None] = {}
    is_test = False
    rest = text.strip()
    for _ in range(_MAX_PREFIXES):
        if priority := _PRIORITY.match(rest):
            found["priority"] = priority[1].upper()
            rest = rest[priority.end() :]
        elif test := _TEST.match(rest):
            is_test = True
            rest = rest[test.end() :]
        elif (transition := _TRANSITION.match(rest)) and (name := known_transition(transition[1])):
            found |= {"transition": name, "scope": transition[2]}
            rest = rest[transition.end() :]
        else:
            break
    return Title(name=rest.strip(), is_test=is_test, **found)


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


_NUMBER = r"-?\d{1,20}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,3})?(?: ?%)?"
_COMPARED = re.compile(rf"(>=|<=|==|!=|>|<)\s*({_NUMBER})")
_VALUE = re.compile(rf"\bvalue(?:\s+(?:is|was|of))?\s*[:=]?\s*({_NUMBER})", re.IGNORECASE)
_WINDOW = re.compile(
    r"\b(?:during|over|in) the (?:last|past) (\d{1,6} ?(?:seconds?|minutes?|hours?|days?|weeks?|[smhdw])\b)",
    re.IGNORECASE,
)
_QUERY_WINDOW = re.compile(r"\(last_(\d{1,6}[smhdw])\)")
_QUERY_COMPARED = re.compile(rf"(>=|<=|==|!=|>|<)\s*({_NUMBER})\s*$")
_MAX_READ = 5000


def read_measurement(
    metric: str | None, query: str | None, status: str, *, warnings: ParseWarnings
) -> Measurement | None:
    """Return what was measured, or nothing without a metric or query.

    The status says what happened; the query fills in what it leaves out, for it tells what the monitor watches.

    :param status: the monitor's status or the event's text, as plain text.
    """
    if metric is None and query is None:
        return None
    said, asked = status[:_MAX_READ], (query or "")[-_MAX_READ:]
    compared = _COMPARED.search(said) or _QUERY_COMPARED.search(asked)
    value = _VALUE.search(said)
    window = _WINDOW.search(said) or _QUERY_WINDOW.search(asked)
    return Measurement(
        metric=bounded_line(metric or "query", MAX_NAME, field="alert.metric", warnings=warnings),
        query=bounded_line(query, MAX_QUERY, field="alert.query", warnings=warnings) if query else None,
        value=value[1] if value else None,
        comparison=compared[1] if compared else None,
        threshold=compared[2] if compared else None,
        window=window[1] if window else None,
    )
