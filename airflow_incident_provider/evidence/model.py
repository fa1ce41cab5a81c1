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
    UNREACHABLE = "unreachable"


class Support(StrEnum):
    """Kinds of evidence for a hypothesis."""

    SYMPTOM = "symptom"
    CHANGE_JUST_BEFORE = "change_just_before"
    CHANGE_BEFORE = "change_before"
    VERSION_ARRIVED = "version_arrived"
    VERSION_FAILS_MORE = "version_fails_more"
    VERSION_SLOWER = "version_slower"
    ERROR_IN_VERSION = "error_in_version"
    NEW_ERROR = "new_error"
    ERROR_TEXT = "error_text"
    LOG_TEXT = "log_text"
    LOG_TEXT_NEW = "log_text_new"
    ONE_HOST = "one_host"
    EXPLAINS_EXCESS = "explains_excess"
    ALERTED_FIRST = "alerted_first"
    TRAFFIC_ROSE = "traffic_rose"
    RESOURCE_ABNORMAL = "resource_abnormal"
    RESOURCE_GROWS = "resource_grows"
    STOPPED_REPORTING = "stopped_reporting"
    REQUESTS_CONTINUE = "requests_continue"
    DOWNTIME = "downtime"
    PROBE_FAILED = "probe_failed"
    PROBE_FAILED_TOO = "probe_failed_too"
    PROBE_PASSED = "probe_passed"
    PROBE_PASSED_TOO = "probe_passed_too"
    EXPIRED_JUST_BEFORE = "expired_just_before"


class Contradiction(StrEnum):
    """Kinds of evidence against a hypothesis."""

    OBSERVED = "observed"
    PROBE_PASSED = "contradicting_probe_passed"


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
    :param confidence: between 0 and 1, from the tables in :mod:`.weighing`.
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
