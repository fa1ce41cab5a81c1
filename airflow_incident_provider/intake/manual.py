"""
An incident that a person wrote: in Airflow's trigger form, on the command line, or in another DAG.

A person can mend a mistake at once, so what is wrong is refused in words; only what is too much is cut and flagged.
The form sends every field, the empty ones as ``null`` or empty text: both mean that the field was not filled.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.keys import manual_key, slug
from airflow_incident_provider.intake.limits import (
    MAX_DESCRIPTION,
    MAX_HOST,
    MAX_HOSTS,
    MAX_NAME,
    MAX_RESPONDERS,
    MAX_TARGETS,
    MAX_TITLE,
    ParseWarnings,
    bounded_line,
    bounded_names,
    bounded_paragraphs,
)
from airflow_incident_provider.intake.targets import read_target
from airflow_incident_provider.intake.urls import distinct_links, make_link
from airflow_incident_provider.intake.validation import path_of, reasons
from airflow_incident_provider.intake.values import CHOICES, is_plausible, read_moment, read_severity
from airflow_incident_provider.models import Incident, Link, LinkKind, Severity, Source, Target
from airflow_incident_provider.text import for_error, one_line

_NAMES_SEPARATOR = re.compile(r"[,\n\r]+")
_TARGETS_SEPARATOR = re.compile(r"[,\s]+")
_URLS_SEPARATOR = re.compile(r"\s*,\s*(?=https?://)|[\s]+", re.IGNORECASE)
_MAX_READ = 1000
"""Items of a list that are looked at; far more than are kept."""
_LONGEST_NUMBER = 64
"""Bits of a number that can be an id."""
_TRUE = frozenset({"true", "yes", "1"})
_FALSE = frozenset({"false", "no", "0"})


def is_empty(value: object) -> bool:
    """Return whether a field was not filled."""
    return value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip())


def _text(value: object) -> str | None:
    if is_empty(value):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _LONGEST_NUMBER:
        return str(value)
    raise ValueError(f"{for_error(value)} is not text")


def _severity(value: object) -> Severity | None:
    if is_empty(value):
        return None
    severity = read_severity(value)
    if severity is None:
        raise ValueError(f"{for_error(value)} is not a severity; {CHOICES}")
    return severity


def _yes_or_no(value: object) -> bool | None:
    if is_empty(value) or isinstance(value, bool):
        return value if isinstance(value, bool) else None
    word = value.strip().casefold() if isinstance(value, str) else ""
    if word not in _TRUE | _FALSE:
        raise ValueError(f"{for_error(value)} is neither true nor false")
    return word in _TRUE


def _moment(value: object) -> datetime | None:
    if is_empty(value):
        return None
    moment = read_moment(value)
    if moment is None:
        raise ValueError(f"{for_error(value)} is not a time; write it like 2026-11-23T10:35:00Z")
    if moment.tzinfo is None:
        raise ValueError(f"{for_error(value)} has no time zone; add Z for UTC, or an offset such as +01:00")
    return moment


def _items(value: object, separator: re.Pattern[str]) -> tuple[object, ...]:
    """Return the items of a list, or of text in which something separates them."""
    if is_empty(value):
        return ()
    if isinstance(value, str):
        return tuple(item for item in separator.split(value[:100_000]) if item.strip())
    if isinstance(value, list | tuple):
        return tuple(value[:_MAX_READ])
    raise ValueError(f"{for_error(value)} is not a list")


def _names(value: object) -> tuple[str, ...]:
    names = (_text(item) for item in _items(value, _NAMES_SEPARATOR))
    return tuple(name for name in names if name is not None)


def _targets(value: object) -> tuple[Target, ...]:
    texts = (_text(item) for item in _items(value, _TARGETS_SEPARATOR))
    return tuple(read_target(text) for text in texts if text is not None)


def _links(value: object) -> tuple[object, ...]:
    items = (value,) if isinstance(value, dict) and value else _items(value, _URLS_SEPARATOR)
    for item in items:
        if not isinstance(item, str) and not (isinstance(item, dict) and isinstance(item.get("url"), str)):
            raise ValueError(f"{for_error(item)} is not a link; use a URL, or an object with url, label and kind")
    return items


Text = Annotated[str | None, BeforeValidator(_text)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class ManualConf(BaseModel):
    """The fields of a conf that a person wrote. Beside a Datadog payload some of them add to it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Text = None
    title: Text = None
    severity: Annotated[Severity | None, BeforeValidator(_severity)] = None
    description: Text = None
    env: Text = None
    users: Names = ()
    services: Names = ()
    hosts: Names = ()
    teams: Names = ()
    tags: Names = ()
    links: Annotated[tuple[object, ...], BeforeValidator(_links)] = ()
    targets: Annotated[tuple[Target, ...], BeforeValidator(_targets)] = ()
    private: Annotated[bool | None, BeforeValidator(_yes_or_no)] = None
    started_at: Annotated[datetime | None, BeforeValidator(_moment)] = None


def parse_manual(conf: Mapping[str, object]) -> ManualConf:
    """Return the fields of ``conf``.

    :raises InvalidPayloadError: that names the first field which is wrong, and what would be right.
    """
    try:
        return ManualConf.model_validate(dict(conf))
    except ValidationError as error:
        location, _, reason = next(iter(reasons(error)))
        raise InvalidPayloadError(f"{path_of(location)}: {reason}.") from None


def flag_misspelt(conf: Mapping[str, object], warnings: ParseWarnings) -> None:
    """ParseWarning the keys that look like a field of ours; other unknown keys are the business of other tasks."""
    for key in list(conf)[:_MAX_READ]:
        if key in ManualConf.model_fields or not isinstance(key, str):
            continue
        meant = difflib.get_close_matches(key[:50], ManualConf.model_fields, n=1, cutoff=0.75)
        if meant:
            warnings.add(key, conf[key], f"not a field, so it was ignored: did you mean {meant[0]}?")


def read_manual(told: ManualConf, *, received_at: datetime, warnings: ParseWarnings) -> Incident:
    """Return the incident that a person described.

    Without an id the key derives from the second of arrival and the title, so that a run that is tried again
    finds its room again; the id that people see is the time of day.

    :raises InvalidPayloadError: if there is no title.
    """
    title = bounded_line(told.title or "", MAX_TITLE, field="title", warnings=warnings)
    if not title:
        raise InvalidPayloadError(
            "title: missing; an incident needs a title.",
            fix='Give one, such as {"title": "Checkout fails", "severity": "high", "users": ["dana@example.com"]}.',
        )
    given_id = one_line(told.id or "")
    arrived = received_at.astimezone(UTC)
    return Incident(
        key=manual_key(given_id or _derived_id(title, arrived)),
        id=bounded_line(given_id or f"{arrived:%H%M%S}", MAX_NAME, field="id", warnings=warnings),
        source=Source.MANUAL,
        title=title,
        severity=_severity_or_high(told.severity, warnings),
        occurred_at=_started_at(told.started_at, received_at, warnings),
        received_at=received_at,
        description=bounded_paragraphs(
            told.description or "", MAX_DESCRIPTION, field="description", warnings=warnings
        )
        or None,
        env=bounded_line(told.env or "", MAX_NAME, field="env", warnings=warnings) or None,
        services=bounded_names(told.services, field="services", warnings=warnings),
        hosts=bounded_names(told.hosts, field="hosts", warnings=warnings, count=MAX_HOSTS, limit=MAX_HOST),
        teams=bounded_names(told.teams, field="teams", warnings=warnings),
        tags=bounded_names(told.tags, field="tags", warnings=warnings),
        links=given_links(told, warnings),
        targets=given_targets(told, warnings),
        flags=warnings.as_tuple(),
    )


def given_users(told: ManualConf, warnings: ParseWarnings) -> tuple[str, ...]:
    """Return the people whom a person asked for."""
    return bounded_names(told.users, field="users", warnings=warnings, count=MAX_RESPONDERS)


def given_targets(told: ManualConf, warnings: ParseWarnings) -> tuple[Target, ...]:
    """Return what a person wants probed. It is not trusted: whoever may trigger a DAG need not run the network."""
    targets = tuple(dict.fromkeys(told.targets))
    if len(targets) > MAX_TARGETS:
        warnings.add("targets", targets, f"only the first {MAX_TARGETS} are kept")
    return targets[:MAX_TARGETS]


def given_links(told: ManualConf, warnings: ParseWarnings) -> tuple[Link, ...]:
    """Return the links that a person gave; an unsafe one is dropped and flagged."""
    return distinct_links((_link(item, warnings) for item in told.links), warnings=warnings)


def _link(item: object, warnings: ParseWarnings) -> Link | None:
    if isinstance(item, str):
        return make_link(item, field="links", warnings=warnings)
    if not isinstance(item, dict):
        return None
    kind, label = item.get("kind"), item.get("label")
    known = next((known for known in LinkKind if known == kind), None)
    if kind is not None and known is None:
        warnings.add("links", kind, f"not a kind of link (they are {', '.join(LinkKind)}): told by its URL")
    label = label if isinstance(label, str) else None
    return make_link(item["url"], label=label, kind=known, field="links", warnings=warnings)


def _derived_id(title: str, arrived: datetime) -> str:
    return "-".join(filter(None, (f"{arrived:%Y%m%d-%H%M%S}", slug(title.lower(), 40))))


def _severity_or_high(severity: Severity | None, warnings: ParseWarnings) -> Severity:
    if severity is None:
        warnings.add("severity", severity, "not given: treated as high")
    return severity or Severity.HIGH


def _started_at(told: datetime | None, received_at: datetime, warnings: ParseWarnings) -> datetime:
    if told is None:
        return received_at
    if not is_plausible(told, received_at=received_at):
        warnings.add("started_at", told.isoformat(), "not a time that can be right: the time of arrival was taken")
        return received_at
    return told


_WHAT: Final = "What happens"
_WHO: Final = "Who comes"
_WHERE: Final = "Where it happens"
_DATADOG: Final = "From Datadog"

_TEXT: Final = ["string", "null"]
_LIST: Final = ["array", "string", "null"]


def trigger_form() -> dict[str, dict[str, Any]]:
    """Return the fields of the form: for each its name, and the keyword arguments of Airflow's ``Param``."""
    return {**_what_happens(), **_who_comes(), **_where(), **_from_datadog()}


def _what_happens() -> dict[str, dict[str, Any]]:
    return {
        "title": _field(_TEXT, _WHAT, "Title", "What people see, in a few words. Needed, unless Datadog sent it."),
        "severity": _field(
            _TEXT,
            _WHAT,
            "Severity",
            "How bad it is. Without a choice it is treated as high.",
            enum=[*(severity.value for severity in Severity), None],
            values_display={
                "critical": "Critical: customers are stopped",
                "high": "High: customers are hindered",
                "medium": "Medium: something is wrong inside",
                "low": "Low: worth a look",
                "None": "Not said",
            },
        ),
        "description": _field(_TEXT, _WHAT, "Description", "What is known so far.", format="multiline"),
        "started_at": _field(_TEXT, _WHAT, "Began", "When it began. Empty means now.", format="date-time"),
        "id": _field(
            _TEXT,
            _WHAT,
            "Id",
            "An id that it has elsewhere, such as a ticket's. The same id leads to the same room."
            " Empty means that one is made.",
        ),
    }


def _who_comes() -> dict[str, dict[str, Any]]:
    return {
        "users": _field(
            _LIST,
            _WHO,
            "People",
            "One a line: e-mail address (the surest), Slack name, Slack id, or @group."
            " The routing table adds its own.",
        ),
        "private": _field(
            ["boolean", "null"],
            _WHO,
            "Private room",
            "Only who is invited sees it, and only e-mail addresses and Slack ids invite.",
        ),
    }


def _where() -> dict[str, dict[str, Any]]:
    return {
        "env": _field(_TEXT, _WHERE, "Environment", "Such as prod."),
        "services": _field(_LIST, _WHERE, "Services", "One a line."),
        "hosts": _field(_LIST, _WHERE, "Hosts", "One a line."),
        "teams": _field(_LIST, _WHERE, "Teams", "Whose it is, one a line. The routing table goes by it."),
        "targets": _field(
            _LIST, _WHERE, "Targets", "What to probe, one a line: https://host/path, host, or host:port."
        ),
        "links": _field(_LIST, _WHERE, "Links", "Dashboards, runbooks and the like: one URL a line."),
        "tags": _field(_LIST, _WHERE, "Tags", "One a line, such as env:prod. The routing table goes by them."),
    }


def _from_datadog() -> dict[str, dict[str, Any]]:
    return {
        "datadog": _field(
            ["object", "string", "null"],
            _DATADOG,
            "Datadog payload",
            "What Datadog's webhook sent. Only people, private room, targets and links add to it.",
        )
    }


def _field(types: list[str], section: str, title: str, description: str, **schema: Any) -> dict[str, Any]:
    """Return one field, empty to begin with."""
    return {
        "default": None,
        "type": list(types),
        "title": title,
        "description": description,
        "section": section,
        **schema,
    }
