"""The channel's name, topic, purpose and bookmarks, derived from the incident alone."""

from __future__ import annotations

import html
import re
from datetime import UTC

from slugify import slugify

from airflow_incident_provider.models import Incident, Link, LinkKind, Severity
from airflow_incident_provider.text import digest, one_line, shorten, url_problem

NAME_LIMIT = 80
PURPOSE_LIMIT = 250

_PREFIX_LIMIT = 20
_ID_LIMIT = 36
_DEFAULT_PREFIX = "inc"
_ALLOWED_IN_NAME = r"[^a-z0-9_-]+"
_KEY_IN_PURPOSE = re.compile(r"^Incident room, key ([A-Za-z0-9_.~:+-]{1,200})(?: ·|$)")
_SEVERITIES = "|".join(Severity)
_OWN_TOPIC = re.compile(
    rf"(?:drill|{_SEVERITIES}) · .*since \d{{4}}-\d\d-\d\d \d\d:\d\d UTC$"
    rf"|(?:{_SEVERITIES}) · (?:.* · )?since [0-9-]* ?\d\d:\d\d UTC · "  # version 0.1.0
)
# Topics are plain text, so there is nothing to escape; Slack does not document that "<!channel>" is inert in them.
_NO_MARKUP = str.maketrans({"<": "\u2039", ">": "\u203a"})
_BOOKMARKED = (
    (LinkKind.MONITOR, "Monitor"),
    (LinkKind.INCIDENT, "Incident"),
    (LinkKind.DASHBOARD, "Dashboard"),
    (LinkKind.RUNBOOK, "Runbook"),
)


def channel_name(incident: Incident, attempt: int = 0) -> str:
    """
    Return the room's name: ``<prefix>-<yyyymmdd>-<slug>-<id>``, such as ``inc-20261123-checkout-5xx-148275309``.

    It contains only ``a-z 0-9 _ -`` and at most 80 characters. A long title is shortened by words. The id is
    complete; only a very long one is shortened and ends in its own hash.

    :param attempt: how often the name was taken by another channel. Alternatives end in four characters of the
        key's hash; from the second on also in ``-2``, ``-3``.
    """
    again = f"-{digest(incident.key, 4)}" if attempt else ""
    tail = f"{_name_id(incident)}{again}{f'-{attempt}' if attempt > 1 else ''}"
    prefix = _slug(incident.route.channel_prefix)[:_PREFIX_LIMIT].strip("-_") or _DEFAULT_PREFIX
    head = f"{prefix}-{incident.occurred_at.astimezone(UTC):%Y%m%d}"
    room = NAME_LIMIT - len(head) - len(tail) - 2
    # slugify reads a length of 0 as "no limit".
    words = _slug(incident.title, max_length=room) if room > 0 else ""
    return "-".join(part for part in (head, words, tail) if part)


def numbered_name(name: str, attempt: int) -> str:
    """
    Return a configured room name, or an alternative if it is taken by another channel.

    :param attempt: 0 for the name itself; alternatives end in ``-2``, ``-3`` and are shortened if necessary.
    """
    return name if attempt == 0 else f"{name[: NAME_LIMIT - 4]}-{attempt + 1}"


def _name_id(incident: Incident) -> str:
    """Return the id in the characters that a name may contain."""
    words = _slug(incident.id)
    if not words:
        return digest(incident.key, 8)
    if len(words) <= _ID_LIMIT:
        return words
    return f"{words[: _ID_LIMIT - 9].rstrip('-_')}-{digest(incident.id, 8)}"


def _slug(text: str, max_length: int = 0) -> str:
    """Return the text in the characters that Slack allows in a name."""
    # Titles are untrusted: bound the time that slugify takes.
    return slugify(
        text[:1000], regex_pattern=_ALLOWED_IN_NAME, max_length=max_length, word_boundary=True, save_order=True
    ).strip("-_")


def topic(incident: Incident, *, status: str = "open", commander: str | None = None) -> str:
    """Return the topic: severity, status, lead, service, since when. Plain text, not to be escaped.

    A phone shows only its beginning, so what changes comes first.
    """
    lead = _shortened(commander or incident.commander or "", 60)
    place = f"{_shortened(', '.join(incident.services), 60)} {_shortened(incident.env or '', 30)}"
    parts = (
        "drill" if incident.is_drill else incident.severity.value,
        _shortened(status, 40),
        f"lead {lead}" if lead else "",
        place.strip(),
        f"since {incident.occurred_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
    )
    return " · ".join(part for part in parts if part)


def is_own_topic(text: str) -> bool:
    """Return whether a topic is empty or was set by this app; other topics must not be overwritten."""
    return not text or _OWN_TOPIC.match(text) is not None


def purpose(incident: Incident) -> str:
    """Return the purpose, which contains the incident key so that the room can be identified."""
    key = f"Incident room, key {incident.key}"
    return _shortened(f"{key} · {one_line(incident.title)}", PURPOSE_LIMIT) if incident.title.strip() else key


def purpose_key(text: str) -> str | None:
    """Return the incident key in a purpose as Slack returns it, with entities; ``None`` if there is none."""
    found = _KEY_IN_PURPOSE.match(html.unescape(text))
    return found.group(1) if found else None


def _shortened(text: str, limit: int) -> str:
    """Return one line of plain text without markup, truncated with an ellipsis."""
    return shorten(one_line(text).translate(_NO_MARKUP), limit)


def bookmarks(incident: Incident, run_url: str | None) -> tuple[Link, ...]:
    """Return the room's bookmarks, in order: monitor, incident, dashboard, runbook and Airflow run."""
    urls = {kind: link.url for kind, _ in _BOOKMARKED if (link := incident.link(kind)) is not None}
    if incident.route.runbook is not None:
        urls.setdefault(LinkKind.RUNBOOK, incident.route.runbook)
    found = [Link(kind=kind, label=title, url=urls[kind]) for kind, title in _BOOKMARKED if kind in urls]
    if run_url is not None:
        found.append(Link(kind=LinkKind.OTHER, label="Airflow run", url=run_url))
    return tuple(link for link in found if not url_problem(link.url))
