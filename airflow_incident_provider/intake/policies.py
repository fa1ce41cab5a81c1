"""
Policies of the routing table: severity overrides, correlation, storm, triage and lifecycle times.

Every setting has a default; a table without these sections is valid.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from airflow_incident_provider.intake.datadog.text import known_transition
from airflow_incident_provider.intake.limits import ParseWarnings
from airflow_incident_provider.intake.routing_fields import (
    Duration,
    KnownSeverity,
    Match,
    Name,
    PlainNames,
    Sources,
    Strict,
    one_or_more,
)
from airflow_incident_provider.models import Incident, Severity, Source
from airflow_incident_provider.text import for_error


class SeverityRule(Strict):
    """How bad the incidents that match are."""

    name: Name
    match: Match
    severity: KnownSeverity


class SeverityRules(Strict):
    """The first rule that matches decides; without one, the alert's own severity holds.

    ``severity`` in a rule's ``match`` is the alert's own: "at least high, and staging" can be made medium.
    """

    rules: Annotated[tuple[SeverityRule, ...], Field(max_length=1000)] = ()

    def applied_to(self, incident: Incident) -> Incident:
        """Apply the first matching rule; an override is shown in the brief."""
        rule = next((rule for rule in self.rules if rule.match.matches(incident)), None)
        if rule is None or rule.severity is incident.severity:
            return incident
        warnings = ParseWarnings(incident.flags)
        warnings.add(
            "severity", incident.severity.value, f"{rule.severity} by the routing table's rule {rule.name!r}"
        )
        return incident.model_copy(update={"severity": rule.severity, "flags": warnings.as_tuple()})


_TRAITS = ("service", "env", "team", "host", "monitor")
_TAG_TRAIT = re.compile(r"tag:[a-z0-9][a-z0-9_./-]{0,99}")
_CHANNEL = re.compile(r"[CG][A-Z0-9]{2,30}|#[^\s#,]{1,80}")
_MONITORS_ONLY = (Source.DATADOG_ALERT, Source.ALERT)


class Visibility(StrEnum):
    """Where an incident shows, as triage decided: the most visible first."""

    ROOM = "room"
    THREAD = "thread"
    RECORD = "record"


def _trait(value: object) -> str:
    plain = value.removesuffix("?") if isinstance(value, str) else ""
    if not isinstance(value, str) or not (plain in _TRAITS or _TAG_TRAIT.fullmatch(plain)):
        raise ValueError(f"{for_error(value)} is nothing to compare; use {', '.join(_TRAITS)} or tag:KEY")
    return value


def _transition(value: object) -> str:
    known = known_transition(value) if isinstance(value, str) else None
    if known is None:
        raise ValueError(f"{for_error(value)} is not a transition of Datadog's, such as Triggered or Warn")
    return known


def _presence(value: object) -> Visibility:
    if not isinstance(value, str) or value not in set(Visibility):
        raise ValueError(f"{for_error(value)} is not where an incident can show; use {', '.join(Visibility)}")
    return Visibility(value)


def channel_reference(value: object) -> str:
    """Return the reference to a channel: its id, or its name with ``#``.

    :raises ValueError: it is neither.
    """
    if not isinstance(value, str) or not _CHANNEL.fullmatch(value):
        raise ValueError(f'{for_error(value)} is not a channel; write its id, or its name like "#triage"')
    return value


def _minute_or_more(value: timedelta) -> timedelta:
    if value < timedelta(minutes=1):
        raise ValueError("updates come at most once a minute; use 60s or more")
    return value


class CorrelationRule(Strict):
    """Which alerts belong together: those that match, and are equal in all of ``by``.

    A thing that an alert does not name equals nothing, not even the same gap; with a ``?`` after it, two alerts
    that both do not name it are equal in it. ``window`` counts from the incident's last signal.
    """

    name: Name
    match: Match = Match()
    by: Annotated[
        tuple[Annotated[str, BeforeValidator(_trait)], ...], BeforeValidator(one_or_more), Field(min_length=1)
    ]
    window: Duration = timedelta(minutes=15)


class Correlation(Strict):
    """Which alerts join an open incident: those that belong to it by any rule.

    By default those of the same service and env, and those of the same monitor unless their service or env differ:
    a monitor sends one notification for each of its groups. Reports of people join nothing themselves.
    """

    rules: Annotated[tuple[CorrelationRule, ...], Field(max_length=100)] = (
        CorrelationRule(name="same service", match=Match(source=_MONITORS_ONLY), by=("service", "env")),
        CorrelationRule(
            name="same monitor", match=Match(source=_MONITORS_ONLY), by=("monitor", "service?", "env?")
        ),
    )

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        """Require distinct names: a rule's name identifies the incidents that it joined."""
        first: dict[str, int] = {}
        for index, rule in enumerate(self.rules):
            if (other := first.setdefault(rule.name.casefold(), index)) != index:
                raise ValueError(f"rules[{other}] and rules[{index}] are both named {for_error(rule.name)}")
        return self


class Storm(Strict):
    """When there are too many new incidents: the ``threshold``-th within ``window`` takes in those after it.

    Without a threshold there is no storm breaker. Incidents that are only recorded do not count and are not taken.
    """

    threshold: Annotated[int, Field(ge=2, le=100)] | None = 10
    window: Duration = timedelta(seconds=60)
    sources: Sources = _MONITORS_ONLY


class TriageRule(Strict):
    """Where the incidents that match show.

    All that is given must hold. ``notifications`` is a threshold: the rule is for an incident with at least so
    many notifications.
    """

    name: Name
    match: Match = Match()
    transition: Annotated[
        tuple[Annotated[str, BeforeValidator(_transition)], ...], BeforeValidator(one_or_more)
    ] = ()
    notifications: Annotated[int, Field(ge=1, le=1000)] = 1
    presence: Annotated[Visibility, BeforeValidator(_presence)]


DEFAULT_TRIAGE = (
    TriageRule(
        name="reported by people",
        match=Match(source=(Source.MANUAL, Source.DATADOG_INCIDENT)),
        presence=Visibility.ROOM,
    ),
    TriageRule(name="a warning", transition=("Warn", "Re-Warn"), presence=Visibility.THREAD),
    TriageRule(name="medium or worse", match=Match(severity=Severity.MEDIUM), presence=Visibility.ROOM),
    TriageRule(name="anything else", presence=Visibility.RECORD),
)
"""What holds after the table's own rules. The last one matches everything."""


_OPERATION = re.compile(r"[a-zA-Z][a-zA-Z0-9_.]{0,99}")


def _signal_query(query: str) -> str:
    if query.count("{scope}") != 1 or len(query) > 500:  # noqa: PLR2004
        raise ValueError(f"{for_error(query)} needs {{scope}} once, where the service and environment go")
    return query


def _trace_operation(operation: str) -> str:
    if not _OPERATION.fullmatch(operation):
        raise ValueError(f"{for_error(operation)} is not a trace operation; write it like http.request")
    return operation


TraceOperation = Annotated[str, AfterValidator(_trace_operation)]


class Triage(Strict):
    """Where incidents show: the first rule that matches decides, and the default rules come after the table's.

    ``channel`` is the standing channel for threads. While there is none, rules that want a thread are passed over.
    """

    channel: Annotated[str | None, BeforeValidator(channel_reference)] = None
    rules: Annotated[tuple[TriageRule, ...], Field(max_length=1000)] = ()


class Lifecycle(Strict):
    """The times of an incident's life.

    ``reopen_window``: how long after its recovery or resolution it comes back to its room when it fires again.
    ``quiet_period``: from recovery to resolution. ``archive_delay``: from resolution to the room's archiving.
    ``update_interval``: at most one posted update in each.
    """

    reopen_window: Duration = timedelta(minutes=60)
    quiet_period: Duration = timedelta(minutes=10)
    archive_delay: Duration = timedelta(hours=24)
    update_interval: Annotated[Duration, AfterValidator(_minute_or_more)] = timedelta(minutes=1)


class ReminderTimes(Strict):
    """Times of one severity: until somebody leads, between updates, and after a recovery until somebody resolves.

    Without a time there is no such reminder. Each is repeated at the same interval.
    """

    commander: Duration | None = None
    update: Duration | None = None
    stalled: Duration | None = None


class Reminders(Strict):
    """Reminders in the room, by severity."""

    critical: ReminderTimes = ReminderTimes.model_validate({"commander": "5m", "update": "30m", "stalled": "30m"})
    high: ReminderTimes = ReminderTimes.model_validate({"commander": "10m", "update": "1h", "stalled": "1h"})
    medium: ReminderTimes = ReminderTimes()
    low: ReminderTimes = ReminderTimes()

    def of(self, severity: Severity) -> ReminderTimes:
        """Return the times of a severity."""
        return {
            Severity.CRITICAL: self.critical,
            Severity.HIGH: self.high,
            Severity.MEDIUM: self.medium,
            Severity.LOW: self.low,
        }[severity]


class Interaction(Strict):
    """Who may act on an incident besides the members of its room: members of these user groups (ids or handles)."""

    groups: Annotated[tuple[Name, ...], BeforeValidator(one_or_more), Field(max_length=20)] = ()


class SignalRule(Strict):
    """A metric that distinguishes causes, compared with its baseline when one of the symptoms is alerted on.

    ``query`` holds ``{scope}`` where the service and the environment go. Without ``symptoms`` it is for all.
    """

    name: Name
    query: Annotated[str, AfterValidator(_signal_query)]
    resource: Literal["memory", "cpu", "throttling", "restarts", "pool", "network", "other"] = "other"
    symptoms: Annotated[
        tuple[Literal["error_rate", "latency", "memory", "cpu", "network", "other"], ...],
        BeforeValidator(one_or_more),
    ] = ()


class EvidenceRules(Strict):
    """What is asked of Datadog beside the defaults.

    ``operations`` are the trace operations by which services are compared. ``calls`` are callees by caller, beside
    those of Datadog's catalog.
    """

    signals: Annotated[tuple[SignalRule, ...], Field(max_length=20)] = ()
    operations: Annotated[tuple[TraceOperation, ...], BeforeValidator(one_or_more), Field(max_length=5)] = ()
    calls: Annotated[dict[Name, PlainNames], Field(max_length=500)] = Field(default_factory=dict)
