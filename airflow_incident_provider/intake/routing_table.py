"""
The routing table: who is invited to which incident, into what room, and what is probed.

It is a file that the platform team owns, so it is trusted where an alert is not, and strict where an alert is read
leniently: a misspelt setting would leave somebody asleep. Its other sections are in :mod:`.policies`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from airflow_incident_provider.config import DRILL_TAG
from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.intake.limits import MAX_NAMES, MAX_RESPONDERS
from airflow_incident_provider.intake.policies import (
    Correlation,
    CorrelationRule,
    EvidenceRules,
    Interaction,
    Lifecycle,
    Reminders,
    SeverityRule,
    SeverityRules,
    SignalRule,
    Storm,
    Triage,
    TriageRule,
    channel_reference,
)
from airflow_incident_provider.intake.routing_fields import (
    PLACE,
    ChannelPrefix,
    DagId,
    Match,
    Name,
    Network,
    People,
    Privacy,
    Probe,
    Strict,
    TrustedTarget,
    Url,
    UrlTemplate,
    is_like,
    one_or_more,
)
from airflow_incident_provider.models import Incident, Route
from airflow_incident_provider.text import distinct, for_error, one_line, shorten


def reasons(error: ValidationError) -> Iterable[tuple[tuple[int | str, ...], ErrorDetails, str]]:
    """Yield the place, the details and the plain reason of each thing that is wrong."""
    for details in error.errors(include_url=False):
        yield details["loc"], details, _reason(details)


def path_of(location: Iterable[int | str]) -> str:
    """Return a place in the input as people write it, such as ``rules[1].match.service``."""
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{shorten(one_line(step), 60)}"
    return path.lstrip(".")


def _reason(details: ErrorDetails) -> str:
    """Return what is wrong: in the words of our own validators, else in pydantic's with the value that it saw."""
    own = details.get("ctx", {}).get("error")
    if isinstance(own, ValueError):
        return str(own)
    return f"{for_error(details['input'])} is wrong: {details['msg'][:1].lower()}{details['msg'][1:]}"


_TAG_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,99}")
"""What may be put into a runbook's URL: a tag comes from an alert, and must not lead out of its place."""
_STATES_PRIVATE = re.compile(
    r"\b(?:is[_-]?)?(?:private|confidential)\\?[\"']?\s{0,4}(?:[:=]|%3[ad])[\s\[\\\"']{0,6}(?!false\b|no\b|n\b|off\b|0|null\b|none\b|\$)\w",
    re.IGNORECASE,
)
"""The field ``private`` of a text, with a value that does not deny it."""
_IDENTIFYING_TAGS = ("service", "env", "team", "host", "version")
_MOST_REASONS = 5

_Setting = TypeVar("_Setting")


class Settings(Strict):
    """Settings of a rule or of the defaults. Lists add up over the rules; of other settings the first counts."""

    responders: People = ()
    probes: Annotated[tuple[Probe, ...], BeforeValidator(one_or_more), Field(max_length=MAX_NAMES)] = ()
    targets: Annotated[tuple[TrustedTarget, ...], BeforeValidator(one_or_more), Field(max_length=MAX_NAMES)] = ()
    channel_prefix: ChannelPrefix = None
    private: Privacy = None
    runbook: Url = None
    dag: DagId = None


class Rule(Settings):
    """Settings for the incidents that match; ``name`` is what the brief calls it."""

    name: Name
    match: Match


class RoutingTable(Strict):
    """The whole table. An empty one is valid and adds nothing."""

    version: Literal[1] = 1
    defaults: Settings = Settings()
    rules: Annotated[tuple[Rule, ...], Field(max_length=1000)] = ()
    runbooks: dict[Name, UrlTemplate] = Field(default_factory=dict)
    allowed_networks: Annotated[tuple[Network, ...], BeforeValidator(one_or_more), Field(max_length=100)] = ()
    severity: SeverityRules = SeverityRules()
    correlation: Correlation = Correlation()
    storm: Storm = Storm()
    triage: Triage = Triage()
    announce: Annotated[str | None, BeforeValidator(channel_reference)] = None
    """The channel with one line for each incident: its id, or its name with ``#``."""
    lifecycle: Lifecycle = Lifecycle()
    reminders: Reminders = Reminders()
    interaction: Interaction = Interaction()
    evidence: EvidenceRules = EvidenceRules()

    @property
    def dag_ids(self) -> tuple[str, ...]:
        """The DAGs that the table names, each once."""
        return tuple(dict.fromkeys(layer.dag for layer in (*self.rules, self.defaults) if layer.dag))

    def route(self, incident: Incident) -> Route:
        """Return the route of ``incident``.

        Every rule that matches adds its responders, probes and targets, in the order of the table, and then the
        defaults add theirs. Of channel prefix, runbook and DAG the first rule that sets one decides, else the
        defaults; but a runbook that the alert's own tag names comes before any rule's. The room is private if any
        rule asks for it, whatever others state; the defaults' privacy yields to a rule with ``private: false``.
        """
        rules = [rule for rule in self.rules if rule.match.matches(incident)]
        layers: list[Settings] = [*rules, self.defaults]
        return Route(
            matched=tuple(rule.name for rule in rules),
            responders=distinct(name for layer in layers for name in layer.responders)[:MAX_RESPONDERS],
            channel_prefix=_first(layer.channel_prefix for layer in layers) or "inc",
            private=_is_private(rules, self.defaults),
            runbook=self._tagged_runbook(incident.tags) or _first(layer.runbook for layer in layers),
            dag_id=_first(layer.dag for layer in layers),
            probes=tuple(dict.fromkeys(probe for layer in layers for probe in layer.probes)),
            targets=tuple(dict.fromkeys(target for layer in layers for target in layer.targets)),
            allowed_networks=self.allowed_networks,
        )

    def may_be_private(self, incident: Incident, *, labels_known: bool) -> bool:
        """Return whether a rule for private incidents could be for one of which parts are missing.

        :param labels_known: whether its tags, services and hosts are complete.
        """
        private = (rule for rule in self.rules if rule.private)
        return any(rule.match.could_match(incident, labels_known=labels_known) for rule in private)

    def text_may_be_private(self, text: str) -> bool:
        """Return whether an alert of which only the text is known may be private: by its own word, or by a rule."""
        if self.defaults.private or _STATES_PRIVATE.search(text):
            return True
        return any(rule.private and rule.match.could_be_in(text) for rule in self.rules)

    def names_tag(self, tag: str) -> bool:
        """Return whether anything in the table, or what an incident is known by, depends on ``tag``."""
        key = tag.partition(":")[0].casefold()
        return (
            tag == DRILL_TAG
            or key in self._tag_keys
            or any(is_like(tag, pattern) for pattern in self._tag_patterns)
        )

    @cached_property
    def _tag_keys(self) -> frozenset[str]:
        compared = (
            trait.removeprefix("tag:").removesuffix("?") for rule in self.correlation.rules for trait in rule.by
        )
        return frozenset(map(str.casefold, (*compared, *self.runbooks, *_IDENTIFYING_TAGS)))

    @cached_property
    def _tag_patterns(self) -> tuple[str, ...]:
        sections: tuple[Iterable[Rule | SeverityRule | CorrelationRule | TriageRule], ...] = (
            self.rules,
            self.severity.rules,
            self.correlation.rules,
            self.triage.rules,
        )
        return tuple(dict.fromkeys(tag for rules in sections for rule in rules for tag in rule.match.tag))

    @model_validator(mode="after")
    def _runbooks_are_distinct(self) -> Self:
        first: dict[str, str] = {}
        for key in self.runbooks:
            if (other := first.setdefault(key.casefold(), key)) != key:
                raise ValueError(f"runbooks.{other} and runbooks.{key} are for the same tag: case does not matter")
        return self

    def _tagged_runbook(self, tags: Iterable[str]) -> str | None:
        templates = {key.casefold(): template for key, template in self.runbooks.items()}
        for tag in tags:
            key, _, value = tag.partition(":")
            template = templates.get(key.casefold())
            if template is not None and _TAG_VALUE.fullmatch(value):
                return template.replace(PLACE, value)
        return None


_SECTIONS: dict[str, type[BaseModel]] = {
    "defaults": Settings,
    "severity": SeverityRules,
    "correlation": Correlation,
    "storm": Storm,
    "triage": Triage,
    "lifecycle": Lifecycle,
    "evidence": EvidenceRules,
}
_RULES: dict[str, type[BaseModel]] = {
    "severity": SeverityRule,
    "correlation": CorrelationRule,
    "triage": TriageRule,
}


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses a key which is written twice: the second would silently replace the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        first: dict[Any, yaml.Mark] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            value = self.construct_object(key_node)
            # For Python, true and 1 are the same key.
            key = (type(value), value)
            if key in first:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"{value} is written twice, first in line {first[key].line + 1}",
                    key_node.start_mark,
                )
            first[key] = key_node.start_mark
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def load_routing_table(text: str, *, known_probes: Collection[str] | None = None) -> RoutingTable:
    """Return the routing table that a YAML text holds; an empty text is an empty table.

    :param known_probes: the probes that there are; without it, names are checked only for their form.
    :raises RoutingTableError: with the place of everything that is wrong, and what would be right.
    """
    try:
        content = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except (
        yaml.YAMLError,
        RecursionError,
        ValueError,
        ArithmeticError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        # A value that is not what its tag says, such as `!!bool x`, ends in any of these.
        where = getattr(error, "problem_mark", None)
        place = f" at line {where.line + 1}, column {where.column + 1}" if where is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise RoutingTableError(f"The routing table is not YAML{place}: {one_line(str(problem))}.") from None
    if content is not None and not isinstance(content, dict):
        raise RoutingTableError(f"The routing table is {for_error(content)}, not sections such as `rules:`.")
    return build_routing_table(content or {}, known_probes=known_probes)


def build_routing_table(content: Mapping[str, Any], *, known_probes: Collection[str] | None = None) -> RoutingTable:
    """Return the routing table that these sections make up: as :func:`load_routing_table`, without the YAML."""
    try:
        return RoutingTable.model_validate(content, context={"known_probes": known_probes})
    except ValidationError as error:
        problems = [
            f"{path_of(place) or 'table'}: {_explained(place, how, why)}" for place, how, why in reasons(error)
        ]
        more = f"; and {len(problems) - _MOST_REASONS} more" if len(problems) > _MOST_REASONS else ""
        raise RoutingTableError(
            f"The routing table is wrong: {'; '.join(problems[:_MOST_REASONS])}{more}."
        ) from None


def _explained(place: tuple[int | str, ...], details: ErrorDetails, reason: str) -> str:
    """Return the reason; for a setting that there is not, with the one that was probably meant."""
    if details["type"] == "missing":
        return "missing"
    if details["input"] is None and details["type"] != "value_error":
        return "nothing is given; leave the line out"
    if details["type"] != "extra_forbidden":
        return reason
    settings = _settings_at(place)
    meant = difflib.get_close_matches(str(place[-1]), settings, n=1)
    return (
        f"no such setting (did you mean {meant[0]}?)"
        if meant
        else f"no such setting; there are {', '.join(settings)}"
    )


def _settings_at(place: tuple[int | str, ...]) -> list[str]:
    """Return the settings of the part of the table where ``place`` is wrong."""
    inside = place[:-1]
    part: type[BaseModel] = RoutingTable
    if "match" in inside:
        part = Match
    elif "signals" in inside:
        part = SignalRule
    elif "rules" in inside:
        part = _RULES.get(str(place[0]), Rule)
    elif inside:
        part = _SECTIONS.get(str(place[0]), RoutingTable)
    return list(part.model_fields)


def _is_private(rules: Iterable[Settings], defaults: Settings) -> bool:
    stated = {rule.private for rule in rules} - {None}
    return True in stated or (not stated and defaults.private is True)


def _first(values: Iterable[_Setting | None]) -> _Setting | None:
    return next((value for value in values if value is not None), None)
