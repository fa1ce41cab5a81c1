"""What evidence is made of: recorded API calls, findings that cite them, hypotheses that cite findings."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

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
    UNREACHABLE = "unreachable"


class Weighed(StrEnum):
    """A kind of evidence, with its weight."""

    weight: float

    def __new__(cls, value: str, weight: float) -> Self:
        """Make a member whose value is the text alone."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.weight = weight
        return member


class Support(Weighed):
    """Kinds of evidence for a hypothesis, and how much each supports it, between 0 and 1."""

    SYMPTOM = "symptom", 0.15
    CHANGE_JUST_BEFORE = "change_just_before", 0.5
    CHANGE_BEFORE = "change_before", 0.2
    VERSION_ARRIVED = "version_arrived", 0.4
    VERSION_FAILS_MORE = "version_fails_more", 0.6
    VERSION_SLOWER = "version_slower", 0.6
    ERROR_IN_VERSION = "error_in_version", 0.4
    NEW_ERROR = "new_error", 0.15
    ERROR_TEXT = "error_text", 0.45
    LOG_TEXT = "log_text", 0.4
    LOG_TEXT_NEW = "log_text_new", 0.45
    ONE_HOST = "one_host", 0.55
    EXPLAINS_EXCESS = "explains_excess", 0.6
    ALERTED_FIRST = "alerted_first", 0.3
    TRAFFIC_ROSE = "traffic_rose", 0.55
    RESOURCE_ABNORMAL = "resource_abnormal", 0.45
    RESOURCE_GROWS = "resource_grows", 0.55
    STOPPED_REPORTING = "stopped_reporting", 0.45
    REQUESTS_CONTINUE = "requests_continue", 0.4
    DOWNTIME = "downtime", 0.65
    PROBE_FAILED = "probe_failed", 0.5
    PROBE_FAILED_TOO = "probe_failed_too", 0.1
    PROBE_PASSED = "probe_passed", 0.3
    PROBE_PASSED_TOO = "probe_passed_too", 0.1
    EXPIRED_JUST_BEFORE = "expired_just_before", 0.4


class Contradiction(Weighed):
    """Kinds of evidence against a hypothesis, and the factor by which each lowers its confidence."""

    OBSERVED = "observed", 0.5
    # A server that is slow or fails some requests regularly answers a probe.
    PROBE_PASSED = "contradicting_probe_passed", 0.85


class Citation(Model):
    """A finding, by its id (:func:`finding_id`), and what of it bears on a hypothesis.

    :param kind: what kind of evidence it is, by which it is weighed; version 0.1.0 did not store it.
    """

    finding: str
    text: str
    kind: Support | Contradiction | None = None


def finding_id(finding: Finding) -> str:
    """Return what hypotheses cite a finding by: its check, or a probe with its target."""
    return finding.probe if finding.calls else f"{finding.probe} {finding.target}".rstrip()


class Hypothesis(Model):
    """A possible cause, apart from the facts.

    :param subject: the service, host or flag that it is about.
    :param confidence: between 0 and 1, from the weights of the evidence, see :mod:`.weighing`.
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
    :param onset_open: whether it was abnormal from the first point that was looked at: it may be older.
    :param symptomatic: whether the metric is, or was, abnormal on the side on which the monitor alerts: only then
        causes are weighed.
    :param abstained: why no hypothesis is named, and what would settle it.
    :param candidates: what else was weighed, and is too weak or too far down to be named.
    """

    service: str | None = None
    env: str | None = None
    monitor_id: str | None = None
    onset: UtcDatetime | None = None
    onset_open: bool = False
    symptomatic: bool = False
    findings: tuple[Finding, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    abstained: str | None = None
    candidates: tuple[Hypothesis, ...] = ()
    calls: tuple[ApiCall, ...] = ()
    graph: MetricGraph | None = None
    past: tuple[PastIncident, ...] = ()
