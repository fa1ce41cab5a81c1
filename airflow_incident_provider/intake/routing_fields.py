"""
Field types of the routing table, and the match of its rules.

The platform team owns the table, so its fields are strict where an alert is read leniently.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Collection
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from airflow_incident_provider.config import DagId as ShippedDag
from airflow_incident_provider.intake.limits import MAX_NAME, MAX_NAMES
from airflow_incident_provider.intake.lists import split_people, values_of
from airflow_incident_provider.intake.targets import read_target
from airflow_incident_provider.intake.values import SEVERITY_CHOICES, read_severity
from airflow_incident_provider.models import Expectation, Incident, Severity, Source, Target
from airflow_incident_provider.text import for_error, one_line, redact, url_problem

_PROBE = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_DAG_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_CHANNEL_PREFIX = re.compile(r"[a-z0-9][a-z0-9_-]{0,20}")
_FOREIGN_PATTERN = re.compile(
    r"[\^$|\\{}]|\[[^\]]{2,}\]|^[~!/=<>(@-]|^not\s|^(?:re|regexp?|glob|not):|\(\?|\.\*.|(?:^|[^A-Za-z0-9*?])\.\*"
    r"|\)\*|\+$|%$|\s(?-i:AND|OR|NOT)\s",
    re.IGNORECASE,
)
"""What stands in regular expressions, SQL, search queries and other globs, and in no name."""
_NOT_AT_LEAST = re.compile(r"\s*(?:[<!~-]|not\b|below\b|under\b)", re.IGNORECASE)
PLACE = "{value}"
"""What a tag's value takes the place of in a runbook's URL."""
_SEPARATOR = re.compile(r"[,;]")
_DURATION = re.compile(r"(\d{1,6})\s*(s|m|min|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=30)
_SHORT_DURATION = re.compile(r"(\d{1,6})\s*(ms|s)")
_STATUS = re.compile(r"[1-5](?:\d\d|\dx|xx)|[1-5]\d\d-[1-5]\d\d")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[ -~]{0,1000}")
_SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)


def _name(value: object) -> str:
    if not isinstance(value, str):
        hint = "; put quotes around it" if isinstance(value, bool | int | float) else ""
        raise ValueError(f"{for_error(value)} is not text{hint}")
    name = one_line(value)
    if not name or len(name) > MAX_NAME:
        raise ValueError(f"{for_error(value)} is not a name of 1 to {MAX_NAME} characters")
    return name


def one_or_more(value: object) -> object:
    """Let a list with one item be written without its brackets; a line without a value is unfinished."""
    if value is None:
        raise ValueError("nothing is given; name something, or leave the line out")
    return value if isinstance(value, list | tuple) else [value]


def _criterion(value: object) -> object:
    """Return the alternatives of a criterion. Without any it would match everything, which is never intended."""
    if value is None or value in ([], "", {}):
        raise ValueError("nothing is given, so it would match everything; name something, or leave the line out")
    return one_or_more(value)


def _pattern(value: object) -> str:
    """Return a name or a pattern with ``*`` and ``?``; what looks like another kind of pattern never matches."""
    name = _name(value)
    if _SEPARATOR.search(name):
        raise ValueError(f"{for_error(value)} looks like several; write a list, such as [a, b]")
    if _FOREIGN_PATTERN.search(name):
        raise ValueError(f"{for_error(value)} looks like a regular expression; use * and ?, or a list of names")
    return name


def _tag_pattern(value: object) -> str:
    tag = _pattern(value)
    if tag.casefold().startswith(("tag:", "tags:", ":")):
        raise ValueError(f"{for_error(value)} is not a tag; write only its key and value, like team:payments")
    if ": " in tag or tag.strip("\"'") != tag or ("=" in tag and ":" not in tag):
        raise ValueError(f"{for_error(value)} is not a tag; write it like team:payments")
    return tag


def _people(value: object) -> object:
    """Return each query for people in a list, or a text with several, as in a report."""
    items = one_or_more(value)
    assert isinstance(items, list | tuple)
    return [
        query
        for item in items
        for query in (split_people(item) if isinstance(item, str) and item.strip() else [item])
    ]


def _plain_name(value: object) -> str:
    name = _name(value)
    if "*" in name or "?" in name:
        raise ValueError(f"{for_error(value)} is a pattern, which has no meaning here; name each one")
    return name


def _given(value: object) -> object:
    """Return what is given. A line without a value is unfinished, or what follows it was taken for a comment."""
    if value is None:
        raise ValueError("nothing is given; leave the line out, or put quotes around a value that begins with #")
    return value


def _at_least(value: object) -> Severity:
    if isinstance(value, str) and _NOT_AT_LEAST.match(value):
        raise ValueError(f"{for_error(value)} is not a severity; name the least that the rule is for, such as high")
    return _severity(value)


def _severity(value: object) -> Severity:
    severity = read_severity(value)
    if severity is None:
        raise ValueError(f"{for_error(value)} is not a severity; {SEVERITY_CHOICES}")
    return severity


def _source(value: object) -> Source:
    if not isinstance(value, str) or value not in set(Source):
        raise ValueError(f"{for_error(value)} is not a source; use {', '.join(Source)}")
    return Source(value)


def _probe(value: object, info: ValidationInfo) -> str:
    name = _name(value)
    if not _PROBE.fullmatch(name):
        raise ValueError(f"{for_error(value)} is not the name of a probe; use lower-case letters, digits, - and _")
    known: Collection[str] | None = (info.context or {}).get("known_probes")
    if known is not None and name not in known:
        raise ValueError(f"there is no probe {for_error(value)}; there are {', '.join(sorted(known))}")
    return name


def _target(value: object) -> Target:
    """Return a target: a text, or a mapping with the target's URL or host and what a healthy one does."""
    if not isinstance(value, dict):
        return read_target(_name(value), trusted=True)
    written = ExpectedTarget.model_validate(value)
    target = read_target(written.url, trusted=True)
    if written.path is not None:
        if target.url is None:
            raise ValueError(f"path needs a URL, and {for_error(written.url)} is none")
        target = target.model_copy(update={"url": urlunsplit((*urlsplit(target.url)[:2], written.path, "", ""))})
    return target.model_copy(update={"expect": written.expectation()})


def _status(value: object) -> str:
    text = str(value).strip().lower()
    if not _STATUS.fullmatch(text):
        raise ValueError(f"{for_error(value)} is not an HTTP status; write it like 204, 2xx or 200-299")
    return text


def _regular_expression(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_NAME:
        raise ValueError(f"{for_error(value)} is not a regular expression of at most {MAX_NAME} characters")
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{for_error(value)} is not a regular expression: {error}") from None
    return value


def _headers(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"{for_error(value)} is not a list of headers; write them as name: value")
    for name, text in value.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{for_error(name)} is not the name of a header")
        if not isinstance(text, str) or not _HEADER_VALUE.fullmatch(text):
            raise ValueError(f"the value of the header {name} is not one line of text")
        if _SECRET_HEADER.search(name) or redact(f"{name}: {text}") != f"{name}: {text}":
            raise ValueError(f"the header {name} looks like a secret, and the routing table is no place for one")
    return value


def _milliseconds(value: object) -> int | None:
    match = _SHORT_DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if value is None:
        return None
    if match is None or not int(match[1]):
        raise ValueError(f"{for_error(value)} is not a time; write it like 500ms or 2s")
    return int(match[1]) * (1 if match[2] == "ms" else 1000)


def _network(value: object) -> str:
    try:
        return str(ipaddress.ip_network(_name(value)))
    except ValueError:
        raise ValueError(f"{for_error(value)} is not a network; write it like 10.20.0.0/16") from None


def _prefix(value: object) -> str:
    _given(value)
    if not isinstance(value, str) or not _CHANNEL_PREFIX.fullmatch(value):
        raise ValueError(
            f"{for_error(value)} is not a channel prefix; use 1 to 21 lower-case letters, digits, - or _"
        )
    return value


def _dag_id(value: object) -> str:
    _given(value)
    if not isinstance(value, str) or not _DAG_ID.fullmatch(value):
        raise ValueError(f"{for_error(value)} is not a DAG id; use letters, digits, dots, hyphens, underscores")
    if value in set(ShippedDag) - {ShippedDag.INCIDENT_RESPONSE}:
        raise ValueError(
            f"{for_error(value)} opens no room; name a DAG that does, such as {ShippedDag.INCIDENT_RESPONSE}"
        )
    return value


def _url(value: object) -> str:
    url = _name_or_url(_given(value))
    problem = url_problem(url)
    if problem is not None:
        raise ValueError(f"{for_error(url)} {problem}")
    return url


def _name_or_url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{for_error(value)} is not a URL")
    return value.strip()


def _template(value: object) -> str:
    template = _name_or_url(value)
    host, _, _ = template.partition("://")[2].partition("/")
    if template.count(PLACE) != 1 or PLACE in host:
        raise ValueError(f"{for_error(value)} needs {PLACE} once, after its host")
    _url(template.replace(PLACE, "x"))
    return template


def _duration(value: object) -> timedelta:
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    duration = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    if duration is None or not timedelta() < duration <= _LONGEST:
        raise ValueError(f"{for_error(value)} is not a duration; write it like 60s, 15m, 24h or 7d (30d at most)")
    return duration


Name = Annotated[str, BeforeValidator(_name)]
PlainNames = Annotated[
    tuple[Annotated[str, BeforeValidator(_plain_name)], ...],
    BeforeValidator(one_or_more),
    Field(max_length=MAX_NAMES),
]
People = Annotated[
    tuple[Annotated[str, BeforeValidator(_plain_name)], ...], BeforeValidator(_people), Field(max_length=MAX_NAMES)
]
Privacy = Annotated[bool | None, BeforeValidator(_given)]
TagPatterns = Annotated[
    tuple[Annotated[str, BeforeValidator(_tag_pattern)], ...],
    BeforeValidator(_criterion),
    Field(max_length=MAX_NAMES),
]
Patterns = Annotated[
    tuple[Annotated[str, BeforeValidator(_pattern)], ...], BeforeValidator(_criterion), Field(max_length=MAX_NAMES)
]
Probe = Annotated[str, BeforeValidator(_probe)]
TrustedTarget = Annotated[Target, BeforeValidator(_target)]
Network = Annotated[str, BeforeValidator(_network)]
ChannelPrefix = Annotated[str | None, BeforeValidator(_prefix)]
DagId = Annotated[str | None, BeforeValidator(_dag_id)]
Url = Annotated[str | None, BeforeValidator(_url)]
UrlTemplate = Annotated[str, BeforeValidator(_template)]
AtLeast = Annotated[Severity | None, BeforeValidator(_at_least)]
KnownSeverity = Annotated[Severity, BeforeValidator(_severity)]
Sources = Annotated[tuple[Annotated[Source, BeforeValidator(_source)], ...], BeforeValidator(_criterion)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]


class Strict(BaseModel):
    """A part of the table: what it does not know, it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExpectedTarget(Strict):
    """A target with what a healthy one does, where the probes' defaults do not fit.

    :param url: the URL, host, or host and port.
    :param path: replaces the URL's path and query.
    :param expect: HTTP statuses that are healthy.
    :param headers: request headers without secrets.
    :param client_certificate: id of an Airflow connection.
    :param body: regular expression that the body's beginning has to match.
    :param slow: from which time on an answer is slow, such as ``500ms``.
    """

    url: Annotated[str, BeforeValidator(_name)]
    path: Annotated[str | None, Field(pattern=r"^/[!-~]*$", max_length=1000)] = None
    expect: Annotated[tuple[Annotated[str, BeforeValidator(_status)], ...], BeforeValidator(one_or_more)] = ()
    follow_redirects: bool = False
    headers: Annotated[dict[str, str], BeforeValidator(_headers)] = Field(default_factory=dict)
    client_certificate: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_.-]{1,200}$")] = None
    body: Annotated[str | None, BeforeValidator(_regular_expression)] = None
    slow: Annotated[int | None, BeforeValidator(_milliseconds)] = None

    def expectation(self) -> Expectation:
        """Return what the probes need of it."""
        return Expectation(
            statuses=self.expect,
            follow_redirects=self.follow_redirects,
            headers=tuple(self.headers.items()),
            client_certificate=self.client_certificate,
            body=self.body,
            slow_ms=self.slow,
        )


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Match(Strict):
    """Which incidents a rule is for: all that is given must hold, of a list any one.

    Names are compared without case; ``*`` and ``?`` make a name a pattern. ``severity`` means at least this bad.
    """

    service: Patterns = ()
    team: Patterns = ()
    env: Patterns = ()
    severity: AtLeast = None
    tag: TagPatterns = ()
    host: Patterns = ()
    source: Sources = ()

    @model_validator(mode="after")
    def _names_have_no_key(self) -> Self:
        for field in ("service", "team", "env", "host"):
            for name in getattr(self, field):
                if name.casefold().startswith(f"{field}:"):
                    raise ValueError(
                        f"{field}: {for_error(name)} is a tag; write {for_error(name[len(field) + 1 :])}"
                    )
        return self

    def matches(self, incident: Incident) -> bool:
        """Return whether a rule with this match is for ``incident``."""
        return (
            _any_like(self.service, incident.services)
            and _any_like(self.team, incident.teams)
            and _any_like(self.env, [env for env in (incident.env, *values_of("env", incident.labels)) if env])
            and _any_like(self.tag, incident.labels)
            and _any_like(self.host, incident.hosts)
            and (not self.source or incident.source in self.source)
            and (self.severity is None or _RANKS[incident.severity] <= _RANKS[self.severity])
        )

    def could_match(self, incident: Incident, *, labels_known: bool) -> bool:
        """Return whether a rule with this match could be for an incident of which parts are missing.

        What is there can add to the incident, and its severity be another, but its source stays the same.

        :param labels_known: whether its tags, services and hosts are complete.
        """
        if not labels_known:
            return not self.source or incident.source in self.source
        return self.model_copy(update={"severity": None}).matches(incident)

    def could_be_in(self, text: str) -> bool:
        """Return whether a rule with this match could be for an alert of which only the text is known."""
        folded = _folded(text)
        criteria = (self.service, self.team, self.env, self.host, self.tag)
        return all(
            any(all(_compiled(part).search(folded) for part in pattern.split(":")) for pattern in patterns)
            for patterns in criteria
            if patterns
        )


def is_like(name: str, pattern: str) -> bool:
    """Return whether a name matches a pattern with ``*`` and ``?``, without regard to case."""
    return _compiled(pattern).fullmatch(_folded(name)) is not None


def _folded(name: str) -> str:
    """Return a name as it is compared: the same letters may be composed, and wide or narrow."""
    return name.casefold() if name.isascii() else unicodedata.normalize("NFKC", name).casefold()


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(_folded(pattern)).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def _any_like(patterns: Collection[str], found: Collection[str]) -> bool:
    return not patterns or any(is_like(name, pattern) for pattern in patterns for name in found)
