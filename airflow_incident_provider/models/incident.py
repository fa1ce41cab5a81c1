"""The incident, and what the routing table makes of it: the value of ``parse_incident_event``."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from airflow_incident_provider.config import DRILL_TAG
from airflow_incident_provider.models.values import Model, UtcDatetime, XComValue

IncidentKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.~:+-]{1,200}$")]
"""An incident's key. It only has characters that Airflow allows in a run id."""


class Severity(StrEnum):
    """Severity of an incident, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Source(StrEnum):
    """The kind of payload that an incident was parsed from."""

    DATADOG_ALERT = "datadog_alert"
    DATADOG_INCIDENT = "datadog_incident"
    ALERT = "alert"
    """Another monitoring or paging system: Grafana, Alertmanager, PagerDuty, Opsgenie."""
    MANUAL = "manual"


class LinkKind(StrEnum):
    """The kind of page that a link opens; it selects and orders bookmarks and the links of the brief."""

    MONITOR = "monitor"
    INCIDENT = "incident"
    EVENT = "event"
    DASHBOARD = "dashboard"
    RUNBOOK = "runbook"
    OTHER = "other"


class ParseWarning(Model):
    """A field of the payload with an unexpected value, and how it was handled."""

    field: str
    value: str
    note: str


class Link(Model):
    """A link to a web page (http or https)."""

    kind: LinkKind
    label: str
    url: str


class Measurement(Model):
    """The monitor's measurement, as far as the payload has it."""

    metric: str
    query: str | None = None
    value: str | None = None
    comparison: str | None = None
    threshold: str | None = None
    window: str | None = None


class Expectation(Model):
    """What a healthy target does, as the routing table defines it. Empty fields keep the probes' defaults.

    :param statuses: HTTP statuses that are healthy: ``204``, ``2xx`` or ``200-299``.
    :param follow_redirects: whether redirects are followed, each with the safety checks of the target itself.
    :param headers: request headers, as name and value. They are shown to people: never put a secret here.
    :param client_certificate: id of the Airflow connection that holds a client certificate and its key.
    :param body: regular expression that the beginning of the body (32 KB) has to match.
    :param slow_ms: milliseconds from which on an answer is slow.
    """

    statuses: tuple[str, ...] = ()
    follow_redirects: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    client_certificate: str | None = None
    body: str | None = None
    slow_ms: Annotated[int, Field(ge=1)] | None = None


class Target(Model):
    """Something to probe: exactly one of a URL, or a host with or without a port.

    ``trusted`` is true only for what the routing table names: targets that an alert brought are checked
    against private ranges; link-local and metadata addresses are refused for both. A URL is ``http``, ``https``,
    ``grpc``, ``grpcs``, ``tls`` or ``tcp``. ``expect`` comes from the routing table only.
    """

    url: str | None = None
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    trusted: bool = False
    expect: Expectation | None = None

    def __str__(self) -> str:
        """Return the target in its usual notation."""
        if self.url is not None:
            return self.url
        if self.port is None:
            return str(self.host)
        host = f"[{self.host}]" if ":" in (self.host or "") else self.host
        return f"{host}:{self.port}"


class Route(Model):
    """The routing table's result for an incident: responders, channel, probes, targets and DAG."""

    matched: tuple[str, ...] = ()
    responders: tuple[str, ...] = ()
    channel_prefix: str = "inc"
    private: bool = False
    runbook: str | None = None
    dag_id: str | None = None
    probes: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    allowed_networks: tuple[str, ...] = ()


class Incident(XComValue):
    """An incident, whatever its source. The value of ``parse_incident_event``.

    ``key`` identifies it for good: the run id, the channel and every message derive from it. ``id`` is what
    people call it (the monitor's id, the Datadog incident's number, or the id that a person gave). ``occurred_at``
    is when the trouble began, as far as the payload states it; ``event_at`` is when this notification of it was
    sent (absent in values of version 0.1.0).
    """

    key: IncidentKey
    id: str
    source: Source
    title: str
    severity: Severity
    occurred_at: UtcDatetime
    event_at: UtcDatetime | None = None
    received_at: UtcDatetime
    description: str | None = None
    transition: str | None = None
    status: str | None = None
    env: str | None = None
    services: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    monitor_ids: tuple[str, ...] = ()
    metrics: tuple[Measurement, ...] = ()
    scope: str | None = None
    tags: tuple[str, ...] = ()
    fields: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    links: tuple[Link, ...] = ()
    snapshot_url: str | None = None
    commander: str | None = None
    reporter: str | None = None
    responders: tuple[str, ...] = ()
    slack_channel_id: str | None = None
    targets: tuple[Target, ...] = ()
    route: Route = Route()
    flags: tuple[ParseWarning, ...] = ()

    @property
    def is_drill(self) -> bool:
        """Whether it is a drill (``airflow incident drill``)."""
        return DRILL_TAG in self.tags

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags, with those of the monitor's group, which a sender may leave out of the tags."""
        parts = (part.strip() for part in (self.scope or "").split(","))
        return (*self.tags, *(part for part in parts if ":" in part))

    @property
    def notified_at(self) -> datetime:
        """The time that orders the notifications of one alert."""
        return self.event_at or self.occurred_at

    def link(self, kind: LinkKind) -> Link | None:
        """Return the first link of this kind, if there is one."""
        return next((link for link in self.links if link.kind is kind), None)
