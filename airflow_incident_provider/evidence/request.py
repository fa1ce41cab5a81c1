"""What evidence is wanted about: a service, a monitor, a moment."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

from airflow_incident_provider.evidence.metric_query import Monitored, read_monitor_query
from airflow_incident_provider.evidence.series import Series
from airflow_incident_provider.evidence.symptoms import (
    OPERATIONS,
    SIGNALS,
    Resource,
    Signal,
    Symptom,
    operation_of,
    symptom_of,
)
from airflow_incident_provider.intake.policies import EvidenceRules
from airflow_incident_provider.models import Incident, Model, UtcDatetime

HISTORY = timedelta(hours=3)
"""How far back metrics are read."""

WINDOW = timedelta(minutes=30)
"""How long before the alert the incident may have begun: what is older is the normal range."""

_TAG_VALUE = re.compile(r"[A-Za-z0-9_./:\-]{1,200}")
"""What a tag's value may hold to become part of a query: it comes from an alert, and a query is a language."""


class EvidenceRequest(Model):
    """What to ask the monitoring for. Times are UTC.

    :param alerted_at: when the monitor alerted.
    :param query: the monitor's query, as the alert brought it.
    :param scope: the tags of the group that alerted, such as ``host:web-03``.
    :param calls: known (caller, callee) pairs, beside those of the catalog.
    """

    service: str | None = None
    env: str | None = None
    monitor_id: str | None = None
    query: str | None = None
    metric: str | None = None
    title: str = ""
    scope: tuple[str, ...] = ()
    alerted_at: UtcDatetime
    now: UtcDatetime
    window: timedelta = WINDOW
    signals: tuple[Signal, ...] = ()
    operations: tuple[str, ...] = ()
    calls: tuple[tuple[str, str], ...] = ()

    @property
    def symptom(self) -> Symptom:
        """What kind of alert it is."""
        return symptom_of(self.metric, self.query, self.title)

    @property
    def monitored(self) -> Monitored | None:
        """The metric query behind the alert with its threshold, if there is a plain one."""
        return read_monitor_query(self.query) if self.query is not None else None

    @property
    def metric_query(self) -> str | None:
        """The metric query behind the alert, if there is a plain one."""
        monitored = self.monitored
        return monitored.query if monitored else None

    @property
    def all_operations(self) -> tuple[str, ...]:
        """The trace operations to compare services by, the alert's own first."""
        own = operation_of(self.query) or operation_of(self.metric)
        return tuple(dict.fromkeys(filter(None, (own, *(self.operations or OPERATIONS)))))

    @property
    def all_signals(self) -> tuple[Signal, ...]:
        """The metrics that distinguish the causes of this kind of alert, with those of the routing table."""
        return (*SIGNALS[self.symptom], *self.signals)

    @property
    def end(self) -> int:
        """Unix seconds, on a full minute, up to which metrics are read: the running minute is incomplete."""
        return _full_minute(self.now)

    @property
    def start(self) -> int:
        """Unix seconds, on a full minute, from which metrics are read."""
        return _full_minute(self.alerted_at - HISTORY)

    @property
    def window_start(self) -> int:
        """Unix seconds, on a full minute, from which on a change belongs to the incident."""
        return _full_minute(self.alerted_at - self.window)

    def split(self, series: Series) -> tuple[Series, Series]:
        """Return the points of a series before the window, and those in it."""
        return series.between(self.start, self.window_start), series.between(self.window_start, self.end)

    def selector(self) -> str:
        """Return ``{service:checkout,env:prod}``; without a known service or environment, less of it."""
        return f"{{{','.join(self.tags(self.service)) or '*'}}}"

    def search(self, service: str | None) -> str:
        """Return the same of a service in the language of events, logs and deployments."""
        return " ".join(self.tags(service))

    def tags(self, service: str | None) -> list[str]:
        """Return the tags of a service in the environment, as far as both are known."""
        return [f"{key}:{value}" for key, value in (("service", service), ("env", self.env)) if value]


def _full_minute(at: datetime) -> int:
    return math.floor(at.timestamp() / 60) * 60


def request_for(incident: Incident, *, now: datetime) -> EvidenceRequest:
    """Return what to ask about an incident. Values that could not be part of a query are left out."""
    measured = incident.metrics[0] if incident.metrics else None
    # A drill of a monitor's alert has a monitor id of its own; what Datadog knows is about the monitor itself.
    ids = (each.removeprefix("drill-") for each in incident.monitor_ids)
    monitor = next((each for each in ids if each.isdecimal()), None)
    return EvidenceRequest(
        service=safe_tag(next(iter(incident.services), None)),
        env=safe_tag(incident.env),
        monitor_id=monitor,
        query=measured.query if measured else None,
        metric=measured.metric if measured else None,
        title=incident.title,
        scope=tuple(filter(None, (safe_tag(tag.strip()) for tag in (incident.scope or "").split(",")))),
        alerted_at=incident.occurred_at,
        now=max(now, incident.occurred_at),
    )


def with_rules(request: EvidenceRequest, rules: EvidenceRules) -> EvidenceRequest:
    """Return the request with what the routing table adds: signals, trace operations, calls."""
    signals = tuple(
        Signal(name=rule.name, query=rule.query, resource=Resource(rule.resource))
        for rule in rules.signals
        if not rule.symptoms or request.symptom.value in rule.symptoms
    )
    calls = tuple((caller, callee) for caller, callees in rules.calls.items() for callee in callees)
    return request.model_copy(update={"signals": signals, "operations": rules.operations, "calls": calls})


def safe_tag(value: str | None) -> str | None:
    """Return a tag's value if it can be part of a query, else nothing."""
    return value if value and _TAG_VALUE.fullmatch(value) else None
