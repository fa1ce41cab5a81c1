"""Titles, message bodies and status texts of Datadog's notifications."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit

from airflow_incident_provider.intake.limits import MAX_NAME, MAX_QUERY, ParseWarnings, bounded_line
from airflow_incident_provider.intake.states import is_ended, is_negated, read_title_state
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
    "No Data Recovered",
    "Renotify",
)
REPEATS = frozenset({"Re-Triggered", "Re-Warn", "Re-No Data", "Renotify"})
"""Transitions of an alert that was reported before."""
NO_DATA = frozenset({"No Data", "Re-No Data"})

_BY_LETTERS = {re.sub(r"[^a-z]", "", name.lower()): name for name in _TRANSITIONS} | {
    "alert": "Triggered", "alerted": "Triggered", "alerting": "Triggered", "firing": "Triggered",
    "warned": "Warn", "warning": "Warn", "ok": "Recovered", "resolved": "Recovered",
}  # fmt: skip
"""Datadog's transitions, and the states that stand in for them in templates of other receivers."""
_COMPOUND = re.compile(
    r"(?P<renotify>re-?notif(?:y|ied|ication) ?)?(?P<re>re-?)?(?:trigger(?:ed)?|alert(?:ed|ing)?)? ?"
    r"(?:(?P<nodata>no[ _-]?data)|(?P<warn>warn(?:ing|ed)?))?",
    re.IGNORECASE,
)
"""A transition with the state that it leads to, as in ``Re-Triggered Warn``."""

_PRIORITY = re.compile(r"\[(P[1-5])\]\s*", re.IGNORECASE)
_TEST = re.compile(r"\[TEST\]\s*", re.IGNORECASE)
_TRANSITION = re.compile(r"\[([A-Za-z -]{1,30}?)(?: on \{(.{0,1000}?)\})?\]\s*", re.IGNORECASE | re.DOTALL)
_BRACKETS = re.compile(r"(?:\[[^\[\]{}]{1,60}\]|[^\w\[\]]|\b(?:re|fwd?):)*", re.IGNORECASE)
_MAX_PREFIXES = 6


@dataclass(frozen=True)
class Title:
    """A title taken apart: the monitor's name, and what its prefixes state."""

    name: str
    priority: str | None = None
    transition: str | None = None
    scope: str | None = None
    is_test: bool = False


def known_transition(text: str) -> str | None:
    """Return Datadog's name for a transition, however it is spelt, or ``None`` if Datadog has no such."""
    text = re.split(r"->|=>|[\u2192\u21d2]", text[:50].strip())[-1].strip()
    known = _BY_LETTERS.get(re.sub(r"[^a-z]", "", text.lower()))
    if known is not None or not text:
        return known
    compound = _COMPOUND.fullmatch(text)
    if compound is None:
        return None
    state = "No Data" if compound["nodata"] else "Warn" if compound["warn"] else "Triggered"
    return "Renotify" if compound["renotify"] else f"Re-{state}" if compound["re"] else state


def is_recovery(transition: str | None, alert_type: str | None) -> bool:
    """Return whether the monitor recovered: by its transition, or by the event's type if that is not conclusive.

    Any transition that ends in "recovered" counts, so that one which Datadog adds opens no room for good news.
    """
    if transition is not None and (known := known_transition(transition)) is not None:
        return known.endswith("Recovered")
    if transition is not None and (is_ended(transition) or _ends_in_recovered(transition)):
        return True
    return alert_type is not None and is_ended(alert_type)


def _ends_in_recovered(words: str) -> bool:
    return re.search(r"\b(?:recovered|resolved)\W*$", words, re.IGNORECASE) is not None and not is_negated(words)


def states_firing(alert_type: str | None) -> bool:
    """Return whether an event's type says that the monitor fires."""
    return alert_type is not None and alert_type.casefold() in ("error", "warning")


def read_title(text: str, *, is_state_known: bool = True) -> Title:
    """Return ``text`` without the prefixes that Datadog puts before a monitor's name, and what they state.

    Datadog puts one priority and one transition there: the first of each counts, and further brackets, like those
    that are none of Datadog's, belong to the name.

    :param is_state_known: whether the payload states elsewhere what happened. Otherwise the title is all there is:
        a transition behind other brackets counts, and so does a state in plain words.
    """
    found: dict[str, str | None] = {}
    is_test = False
    rest = text.strip()
    for _ in range(_MAX_PREFIXES):
        if (priority := _PRIORITY.match(rest)) and "priority" not in found:
            found["priority"] = priority[1].upper()
            rest = rest[priority.end() :]
        elif test := _TEST.match(rest):
            is_test = True
            rest = rest[test.end() :]
        elif (transition := _TRANSITION.match(rest)) and "transition" not in found:
            name = _title_transition(transition[1])
            if name is None:
                break
            found |= {"transition": name, "scope": transition[2]}
            rest = rest[transition.end() :]
        else:
            break
    title = Title(name=rest.strip(), is_test=is_test, **found)
    return title if is_state_known or title.transition is not None else _with_state_in_words(title)


def _with_state_in_words(title: Title) -> Title:
    """Return a title with the state that it gives behind other brackets, or in plain words."""
    state = read_title_state(title.name)
    if state.is_end or state.is_firing:
        return replace(title, name=state.name, transition="Recovered" if state.is_end else "Triggered")
    for bracket in list(_TRANSITION.finditer(title.name[:500]))[:_MAX_PREFIXES]:
        before = title.name[: bracket.start()]
        if not _BRACKETS.fullmatch(before):
            break
        name = _title_transition(bracket[1]) or ("Recovered" if is_ended(bracket[1]) else None)
        if name is not None:
            return replace(title, name=before + title.name[bracket.end() :], transition=name, scope=bracket[2])
    return title


def _title_transition(words: str) -> str | None:
    """Return the transition that a bracket of a title names; a state of another receiver is none of them."""
    known = known_transition(words)
    letters = re.sub(r"[^a-z]", "", words.lower())
    if known in _TRANSITIONS and (letters == re.sub(r"[^a-z]", "", known.lower()) or " " in words.strip()):
        return known
    return words.strip() if _ends_in_recovered(words) and not words.strip().lower().endswith("resolved") else None


_MAX_READ = 20_000
_LINK = re.compile(r"\[([^\[\]\n]{1,200})\]\(([^()\s]{1,2001})\)")
_IMAGE = re.compile(r"\[?!\[[^\[\]\n]{0,200}\]\([^()\s]{0,2001}\)(?:\]\([^()\s]{0,2001}\))?")
_EMPTY_LINK = re.compile(r"(?:\*\*)?\[\]\([^()\s]{0,2001}\)(?:\*\*)?\s?")
_BARE_URL = re.compile(r"https?://[^\s()<>\[\]|\"'`]{1,2001}")
_FENCE = re.compile(r"%%%")
_FOOTER = re.compile(
    r"^[ \t]*\[?\[(?:Monitor Status|Edit Monitor|View [A-Z][a-z]+)\]\([^()\s]{1,2001}\).*$", re.MULTILINE
)
_STATUS_LINK = re.compile(r"^[ \t]*\[?\[Monitor Status\]\(([^()\s]{1,2001})\)", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*(?:- ?){3,}$|^[ \t]*\*{3,}$", re.MULTILINE)
_INTEGRATION = re.compile(r"(?<!\S)@(?:webhook|slack|pagerduty|opsgenie|victorops|teams)-\S+")
_BOLD = re.compile(r"\*\*([^*\n]{1,500})\*\*")
_MONITOR_PATH = re.compile(r"^/monitors(?:/|#)(\d{1,30})(?:[/?]|$)")
_DATADOG_HOST = re.compile(r"(?:[a-z0-9-]+\.)*(?:datadoghq\.(?:com|eu)|ddog-gov\.com)", re.IGNORECASE)


@dataclass(frozen=True)
class MonitorReference:
    """The monitor that a body links to, and the group it alerts for."""

    id: str
    url: str
    scope: str | None


def plain_text(body: str) -> str:
    """Return a body without markup, pictures, footer and mentions of integrations."""
    text = _FENCE.sub("", body[:_MAX_READ])
    for pattern in (_FOOTER, _INTEGRATION, _IMAGE, _EMPTY_LINK, _RULE):
        text = pattern.sub("", text)
    text = _LINK.sub(r"\1", text)
    return html.unescape(_BOLD.sub(r"\1", text)).strip()


def links_in(body: str) -> Iterator[tuple[str, str]]:
    """Yield label and URL of each link, the labelled ones first; a bare URL has an empty label."""
    text = html.unescape(_IMAGE.sub("", body[:_MAX_READ]))
    for link in _LINK.finditer(text):
        yield link[1], link[2]
    for bare in _BARE_URL.finditer(_LINK.sub(" ", text)):
        yield "", bare[0].rstrip(".,;:!?*")


def is_datadog_url(url: str) -> bool:
    """Return whether a URL leads to one of Datadog's own sites."""
    try:
        return _DATADOG_HOST.fullmatch(urlsplit(url).hostname or "") is not None
    except ValueError:
        return False


def monitor_reference(body: str) -> MonitorReference | None:
    """Return the monitor that the body's footer links to: the only place where the default payload names it.

    The footer is the last link of its kind, on a line of its own, to a site of Datadog's: what stands before it may
    quote anything.
    """
    footers = _STATUS_LINK.findall(html.unescape(body[:_MAX_READ] + "\n" + body[_MAX_READ:][-_MAX_READ:]))
    return next(filter(None, map(reference_of_link, reversed(footers))), None)


def reference_of_link(url: str) -> MonitorReference | None:
    """Return the monitor that a link to a site of Datadog's leads to."""
    if not is_datadog_url(url):
        return None
    parts = urlsplit(url)
    place = parts.path + (f"#{parts.fragment}" if parts.fragment else "")
    if (path := _MONITOR_PATH.match(place)) is None:
        return None
    query = parts.query or parts.fragment.partition("?")[2]
    groups = parse_qs(query).get("group", [])
    return MonitorReference(id=path[1], url=url, scope=groups[0] if groups else None)


_NUMBER = r"-?\d{1,20}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,3})?(?: ?%)?"
_COMPARED = re.compile(rf"(>=|<=|==|!=|>|<)\s*({_NUMBER})")
_VALUE = re.compile(rf"\bvalue(?:\s+(?:is|was|of))?\s*[:=]?\s*({_NUMBER})", re.IGNORECASE)
_WINDOW = re.compile(
    r"\b(?:during|over|in) the (?:last|past) (\d{1,6} ?(?:seconds?|minutes?|hours?|days?|weeks?|[smhdw])\b)",
    re.IGNORECASE,
)
_QUERY_WINDOW = re.compile(r"\(last_(\d{1,6}[smhdw])\)")
_QUERY_COMPARED = re.compile(rf"(>=|<=|==|!=|>|<)\s*({_NUMBER})\s*$")
_MAX_STATUS = 5000


def read_measurement(
    metric: str | None, query: str | None, status: str, *, no_data: bool = False, warnings: ParseWarnings
) -> Measurement | None:
    """Return what was measured, or ``None`` without a metric or query.

    The status states what happened; the query fills in what it leaves out.

    :param status: the monitor's status or the event's text, as plain text.
    :param no_data: whether nothing was measured: then no limit was crossed either.
    """
    if metric is None and query is None:
        return None
    status, query_end = status[:_MAX_STATUS], (query or "")[-_MAX_STATUS:]
    compared = None if no_data else _COMPARED.search(status) or _QUERY_COMPARED.search(query_end)
    value = None if no_data else _VALUE.search(status)
    window = _WINDOW.search(status) or _QUERY_WINDOW.search(query_end)
    return Measurement(
        metric=bounded_line(metric or "query", MAX_NAME, field="alert.metric", warnings=warnings),
        query=bounded_line(query, MAX_QUERY, field="alert.query", warnings=warnings) if query else None,
        value="no data" if no_data else value[1] if value else None,
        comparison=compared[1] if compared else None,
        threshold=compared[2] if compared else None,
        window=window[1] if window else None,
    )
