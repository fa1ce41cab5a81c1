"""What evidence is made of: recorded API calls, findings that cite them, hypotheses that cite findings."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from airflow_incident_provider.models import Finding, Model, UtcDatetime, XComValue


class CallOutcome(StrEnum):
    """What became of an API call. Only ``ANSWERED`` supports a statement that something is not there."""

    ANSWERED = "answered"
    PARTIAL = "partial"
    FORBIDDEN = "forbidden"
    REJECTED = "rejected"
    RATE_LIMITED = "rate_limited"
    OVER_BUDGET = "over_budget"
    UNAVAILABLE = "unavailable"


class ApiCall(Model):
    """One call of the monitoring's API, as findings cite it. Keys and answers are not kept.

    :param id: what findings cite, unique in one :class:`Evidence`.
    :param query: what was asked for, shortened.
    :param reason: why there is no full answer.
    """

    id: str
    endpoint: str
    method: str
    path: str
    query: str = ""
    status: int | None = None
    outcome: CallOutcome
    reason: str | None = None
    duration_ms: Annotated[int, Field(ge=0)] = 0
    cached: bool = False


class Cause(StrEnum):
    """The classes of causes that hypotheses name."""

    DEPLOYMENT = "deployment"
    FEATURE_FLAG = "feature_flag"
    CONFIGURATION = "configuration"
    HOST = "host"
    DEPENDENCY = "dependency"
    THIRD_PARTY = "third_party"
    TRAFFIC = "traffic"
    MEMORY_LEAK = "memory_leak"
    CPU_SATURATION = "cpu_saturation"
    POOL_EXHAUSTED = "pool_exhausted"
    CERTIFICATE = "certificate"
    DNS = "dns"
    EMITTER_LOST = "emitter_lost"
    PLANNED_WORK = "planned_work"


class Citation(Model):
    """A finding, by its ``probe``, and what of it bears on a hypothesis."""

    finding: str
    text: str


class Hypothesis(Model):
    """A possible cause, apart from the facts.

    :param subject: the service, host or flag that it is about.
    :param confidence: between 0 and 1, from the table in :mod:`.hypotheses`.
    :param settles: what would confirm or refute it.
    """

    cause: Cause
    subject: str
    text: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    supporting: tuple[Citation, ...] = ()
    contradicting: tuple[Citation, ...] = ()
    unchecked: tuple[str, ...] = ()
    settles: str = ""
    path: tuple[str, ...] = ()


class Marker(Model):
    """A moment in a graph, such as a deployment."""

    at: UtcDatetime
    label: str


class MetricGraph(Model):
    """A metric to draw: its points (a gap is ``None``), normal range, threshold, onset and changes."""

    title: str
    times: tuple[int, ...] = ()
    values: tuple[float | None, ...] = ()
    normal_low: float | None = None
    normal_high: float | None = None
    threshold: float | None = None
    onset: UtcDatetime | None = None
    markers: tuple[Marker, ...] = ()
    alt_text: str = ""


class PastIncident(Model):
    """An earlier incident of the same monitor or service."""

    key: str
    title: str
    occurred_at: UtcDatetime
    same: tuple[str, ...] = ()
    duration: timedelta | None = None
    ended: str | None = None
    url: str | None = None


class Evidence(XComValue):
    """What the monitoring knows about an incident. The value of ``collect_evidence``.

    :param onset: when the metric left its normal range; absent when it did not, or when that is unknown.
    :param abstained: why no hypothesis is named, and what would settle it.
    """

    service: str | None = None
    env: str | None = None
    monitor_id: str | None = None
    onset: UtcDatetime | None = None
    findings: tuple[Finding, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    abstained: str | None = None
    calls: tuple[ApiCall, ...] = ()
    graph: MetricGraph | None = None
    past: tuple[PastIncident, ...] = ()
