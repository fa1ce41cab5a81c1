"""
The routing table: which incidents bring whom, into what room, with which probes.

It is a file that the platform team owns, so it is trusted where an alert is not, and strict where an alert is read
leniently: a misspelt setting would leave somebody asleep.
"""

from __future__ import annotations

import difflib
import fnmatch
import ipaddress
import re
from collections.abc import Collection, Iterable
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.intake.bounds import MAX_NAME, MAX_NAMES, MAX_RESPONDERS
from airflow_incident_provider.intake.refusals import path_of, reasons
from airflow_incident_provider.intake.severity import CHOICES, read_severity
from airflow_incident_provider.intake.targets import read_target
from airflow_incident_provider.intake.text import one_line, shown
from airflow_incident_provider.intake.web import url_objection
from airflow_incident_provider.models import Incident, Route, Severity, Source, Target

_PROBE = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_CHANNEL_PREFIX = re.compile(r"[a-z0-9][a-z0-9_-]{0,20}")
_TAG_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,99}")
"""What may be put into a runbook's URL: a tag comes from an alert, and must not lead out of its place."""
_PLACE = "{value}"
_RANKS = {severity: rank for rank, severity in enumerate(Severity)}
_MOST_REASONS = 5

_Setting = TypeVar("_Setting")


def _name(value: object) -> str:
    if not isinstance(value, str):
        hint = "; put quotes around it" if isinstance(value, bool | int | float) else ""
        raise ValueError(f"{shown(value)} is not text{hint}")
    name = one_line(value)
    if not name or len(name) > MAX_NAME:
        raise ValueError(f"{shown(value)} is not a name of 1 to {MAX_NAME} characters")
    return name


def _one_or_more(value: object) -> object:
    """Let a list with one item be written without its brackets."""
    if value is None:
        return ()
    return value if isinstance(value, list) else [value]


def _at_least(value: object) -> Severity:
    severity = read_severity(value)
    if severity is None:
        raise ValueError(f"{shown(value)} is not a severity; {CHOICES}")
    return severity


def _source(value: object) -> Source:
    if not isinstance(value, str) or value not in set(Source):
        raise ValueError(f"{shown(value)} is not a source; use {', '.join(Source)}")
    return Source(value)


def _probe(value: object, info: ValidationInfo) -> str:
    name = _name(value)
    if not _PROBE.fullmatch(name):
        raise ValueError(f"{shown(value)} is not the name of a probe; use lower-case letters, digits, - and _")
    known: Collection[str] | None = (info.context or {}).get("known_probes")
    if known is not None and name not in known:
        raise ValueError(f"there is no probe {shown(value)}; there are {', '.join(sorted(known))}")
    return name


def _target(value: object) -> Target:
    return read_target(_name(value), trusted=True)


def _network(value: object) -> str:
    try:
        return str(ipaddress.ip_network(_name(value)))
    except ValueError:
        raise ValueError(f"{shown(value)} is not a network; write it like 10.20.0.0/16") from None


def _prefix(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _CHANNEL_PREFIX.fullmatch(value):
        raise ValueError(
            f"{shown(value)} is not a channel prefix; use 1 to 21 lower-case letters, digits, hyphens, underscores"
        )
    return value


def _url(value: object) -> str | None:
    if value is None:
        return None
    url = _name_or_url(value)
    objection = url_objection(url)
    if objection is not None:
        raise ValueError(f"{shown(url)} {objection}")
    return url


def _name_or_url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a URL")
    return value.strip()


def _template(value: object) -> str:
    template = _name_or_url(value)
    host, _, _ = template.partition("://")[2].partition("/")
    if template.count(_PLACE) != 1 or _PLACE in host:
        raise ValueError(f"{shown(value)} needs {_PLACE} once, after its host")
    _url(template.replace(_PLACE, "x"))
    return template


Name = Annotated[str, BeforeValidator(_name)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_one_or_more), Field(max_length=MAX_NAMES)]
Probe = Annotated[str, BeforeValidator(_probe)]
TrustedTarget = Annotated[Target, BeforeValidator(_target)]
Network = Annotated[str, BeforeValidator(_network)]
ChannelPrefix = Annotated[str | None, BeforeValidator(_prefix)]
Url = Annotated[str | None, BeforeValidator(_url)]
UrlTemplate = Annotated[str, BeforeValidator(_template)]


class _Strict(BaseModel):
    """A part of the table: what it does not know, it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Match(_Strict):
    """Which incidents a rule is for: all that is given must hold, of a list any one.

    Case does not matter. ``severity`` means at least this bad; ``host`` is a pattern with ``*`` and ``?``.
    """

    service: Names = ()
    team: Names = ()
    env: Names = ()
    severity: Annotated[Severity | None, BeforeValidator(lambda v: None if v is None else _at_least(v))] = None
    tag: Names = ()
    host: Names = ()
    source: Annotated[tuple[Annotated[Source, BeforeValidator(_source)], ...], BeforeValidator(_one_or_more)] = ()

    def matches(self, incident: Incident) -> bool:
        """Return whether a rule with this match is for ``incident``."""
        return (
            _any_equal(self.service, incident.services)
            and _any_equal(self.team, incident.teams)
            and _any_equal(self.env, (incident.env,) if incident.env else ())
            and _any_equal(self.tag, incident.tags)
            and _any_like(self.host, incident.hosts)
            and (not self.source or incident.source in self.source)
            and (self.severity is None or _RANKS[incident.severity] <= _RANKS[self.severity])
        )


class Settings(_Strict):
    """What a rule, or the defaults, say: lists add up over the rules, of the others the first one counts."""

    responders: Names = ()
    probes: Annotated[tuple[Probe, ...], BeforeValidator(_one_or_more), Field(max_length=MAX_NAMES)] = ()
    targets: Annotated[tuple[TrustedTarget, ...], BeforeValidator(_one_or_more), Field(max_length=MAX_NAMES)] = ()
    channel_prefix: ChannelPrefix = None
    private: bool | None = None
    runbook: Url = None


class Rule(Settings):
    """Settings for the incidents that match; ``name`` is what the brief calls it."""

    name: Name
    match: Match


class RoutingTable(_Strict):
    """The whole table. An empty one is valid and adds nothing."""

    version: Literal[1] = 1
    defaults: Settings = Settings()
    rules: Annotated[tuple[Rule, ...], Field(max_length=1000)] = ()
    runbooks: dict[Name, UrlTemplate] = Field(default_factory=dict)
    allowed_networks: Annotated[tuple[Network, ...], BeforeValidator(_one_or_more), Field(max_length=100)] = ()

    def route(self, incident: Incident) -> Route:
        """Return what the table says about ``incident``.

        Every rule that matches adds its responders, probes and targets, in the order of the table, and then the
        defaults add theirs. Of channel prefix, privacy and runbook the first rule that sets one decides, else the
        defaults; but a runbook that the alert's own tag names comes before any rule's.
        """
        rules = [rule for rule in self.rules if rule.match.matches(incident)]
        layers: list[Settings] = [*rules, self.defaults]
        return Route(
            matched=tuple(rule.name for rule in rules),
            responders=_distinct(name for layer in layers for name in layer.responders)[:MAX_RESPONDERS],
            channel_prefix=_first(layer.channel_prefix for layer in layers) or "inc",
            private=_first(layer.private for layer in layers) or False,
            runbook=self._tagged_runbook(incident.tags) or _first(layer.runbook for layer in layers),
            probes=tuple(dict.fromkeys(probe for layer in layers for probe in layer.probes)),
            targets=tuple(dict.fromkeys(target for layer in layers for target in layer.targets)),
            allowed_networks=self.allowed_networks,
        )

    def _tagged_runbook(self, tags: Iterable[str]) -> str | None:
        for tag in tags:
            key, _, value = tag.partition(":")
            template = self.runbooks.get(key)
            if template is not None and _TAG_VALUE.fullmatch(value):
                return template.replace(_PLACE, value)
        return None


def load_routing_table(text: str, *, known_probes: Collection[str] | None = None) -> RoutingTable:
    """Return the routing table that a YAML text holds; an empty text is an empty table.

    :param known_probes: the probes that there are; without it, names are checked only for their form.
    :raises RoutingTableError: with the place of everything that is wrong, and what would be right.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        place = f" at line {where.line + 1}, column {where.column + 1}" if where is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise RoutingTableError(f"The routing table is not YAML{place}: {one_line(str(problem))}.") from None
    if content is not None and not isinstance(content, dict):
        raise RoutingTableError(f"The routing table is {shown(content)}, not sections such as `rules:`.")
    try:
        return RoutingTable.model_validate(content or {}, context={"known_probes": known_probes})
    except ValidationError as error:
        told = [f"{path_of(place)}: {_mended(place, how, why)}" for place, how, why in reasons(error)]
        more = f"; and {len(told) - _MOST_REASONS} more" if len(told) > _MOST_REASONS else ""
        raise RoutingTableError(f"The routing table is wrong: {'; '.join(told[:_MOST_REASONS])}{more}.") from None


def _mended(place: tuple[int | str, ...], details: ErrorDetails, reason: str) -> str:
    """Return the reason; for a setting that there is not, with the one that was probably meant."""
    if details["type"] == "missing":
        return "missing"
    if details["type"] != "extra_forbidden":
        return reason
    settings = _settings_at(place)
    meant = difflib.get_close_matches(str(place[-1]), settings, n=1)
    return (
        f"no such setting; did you mean {meant[0]}?"
        if meant
        else f"no such setting; there are {', '.join(settings)}"
    )


def _settings_at(place: tuple[int | str, ...]) -> list[str]:
    part: type[BaseModel] = RoutingTable
    if "match" in place[:-1]:
        part = Match
    elif place[0] == "rules" and len(place) > 1:
        part = Rule
    elif place[0] == "defaults" and len(place) > 1:
        part = Settings
    return list(part.model_fields)


def _any_equal(wanted: Collection[str], found: Iterable[str]) -> bool:
    return not wanted or not {name.casefold() for name in wanted}.isdisjoint(name.casefold() for name in found)


def _any_like(patterns: Collection[str], found: Collection[str]) -> bool:
    return not patterns or any(
        fnmatch.fnmatchcase(name.casefold(), pattern.casefold()) for name in found for pattern in patterns
    )


def _first(values: Iterable[_Setting | None]) -> _Setting | None:
    return next((value for value in values if value is not None), None)


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    kept: dict[str, str] = {}
    for name in names:
        kept.setdefault(name.casefold(), name)
    return tuple(kept.values())
