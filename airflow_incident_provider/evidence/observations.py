"""What the checks saw, as typed values: hypotheses and messages are built from these, never from sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Generic, TypeVar

from airflow_incident_provider.evidence.localization import Localization, Measure
from airflow_incident_provider.evidence.model import Cause
from airflow_incident_provider.evidence.series import MINUTE_S, Direction, Series, Shift, State
from airflow_incident_provider.evidence.symptoms import Resource, Symptom
from airflow_incident_provider.models import Finding

FAILS_MORE = 3.0
"""How many times the share of failed requests has to be that before, or beside, to be worse."""

LEAST_ERROR_SHARE = 0.01
"""Of a share of failed requests below this nothing is said."""


def fails_more(share: float, than: float) -> bool:
    """Return whether a share of failed requests is worse than the one before, or beside."""
    return share >= max(LEAST_ERROR_SHARE, FAILS_MORE * than)


Seen = TypeVar("Seen")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Checked(Generic[Seen]):
    """A finding with what it was made of; ``seen`` is absent when it could not be checked."""

    finding: Finding
    seen: Seen | None = None


def value_of(checked: Checked[Seen] | None) -> Seen | None:
    """Return what a check saw; ``None`` if it was not made, or could not be made."""
    return checked.seen if checked else None


def values_of(checked: Checked[tuple[Item, ...]] | None) -> tuple[Item, ...]:
    """Return all that a check saw; nothing if it was not made, or could not be made."""
    return value_of(checked) or ()


def summary_of(checked: Checked[Seen] | None) -> str:
    """Return the summary of a check's finding; empty if it was not made."""
    return checked.finding.summary if checked else ""


@dataclass(frozen=True, kw_only=True)
class MetricSeen:
    """The alert's own metric, or what was looked at in its place.

    :param symptom: what it measures.
    :param name: of what was looked at in its place; empty for the alert's own.
    :param measure: of what was looked at in its place.
    :param onset: Unix seconds when it left its normal range, or stopped reporting.
    :param onset_open: whether it was abnormal from the first point that was looked at: it may be older.
    :param onset_from: since when it was not reported until the onset, which may be anywhere in between.
    :param growing_since: since when it only grows.
    :param symptomatic: whether it is abnormal on the side on which the monitor alerts.
    """

    series: Series
    shift: Shift | None
    state: State
    onset: int | None = None
    onset_open: bool = False
    onset_from: int | None = None
    growing_since: int | None = None
    symptomatic: bool = False
    symptom: Symptom = Symptom.OTHER
    name: str = ""
    measure: Measure | None = None

    @property
    def earliest_onset(self) -> int | None:
        """From when on the onset may be, where it is not known to the minute."""
        coarse = self.onset is not None and self.state is not State.LOST and self.series.interval > MINUTE_S
        return self.onset if self.onset_from is None and coarse else self.onset_from

    @property
    def latest_onset(self) -> int:
        """The end of what the first abnormal point covers."""
        return (self.onset or 0) + (self.series.interval if self.state is not State.LOST else MINUTE_S)


@dataclass(frozen=True, kw_only=True)
class GroupsSeen:
    """The alert's metric by host.

    :param lost: hosts that report nothing any more, since when; those that were abnormal before are in both.
    """

    abnormal: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()
    lost: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The number of hosts that could be compared."""
        return len({*self.abnormal, *self.normal, *self.lost})


@dataclass(frozen=True, kw_only=True)
class VersionSeen:
    """One version of the service.

    :param first_seen: Unix seconds; absent when it ran from the beginning.
    :param last_seen: Unix seconds.
    :param error_share: of its requests since the onset, or in the window; absent without requests.
    :param errors_before: the same share before the onset.
    :param latency: the mean duration of its requests in the same time, in seconds; ``latency_before`` before the
        onset.
    :param traffic_share: of the service's requests at the end.
    """

    version: str
    first_seen: int | None
    last_seen: int
    requests: float
    error_share: float | None
    errors_before: float | None
    latency: float | None
    latency_before: float | None
    traffic_share: float

    def served_before(self, at: int) -> bool:
        """Return whether it served requests before a moment."""
        return self.first_seen is None or self.first_seen < at


@dataclass(frozen=True, kw_only=True)
class Change:
    """A deployment, feature flag or configuration change. Times are Unix seconds.

    :param finished: ``False`` while a deployment is still rolling out.
    """

    kind: Cause
    at: int
    service: str
    title: str
    version: str | None = None
    author: str | None = None
    finished: bool = True
    call: str = ""


@dataclass(frozen=True, kw_only=True)
class ChangesSeen:
    """Changes before the onset, the closest first, and those after it.

    :param unclear: changes while the metric was not reported, so that it is not known which was first.
    """

    before: tuple[Change, ...] = ()
    after: tuple[Change, ...] = ()
    unclear: tuple[Change, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RelatedMonitor:
    """Another monitor that alerts."""

    id: str
    name: str
    service: str | None
    triggered_at: int


class ErrorKind(StrEnum):
    """What the text of an error points to."""

    CERTIFICATE = "certificate"
    DNS = "dns"
    POOL = "pool"
    MEMORY = "memory"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class NewError:
    """An error that appeared with the incident, or came back."""

    type: str
    message: str
    first_seen: int
    version: str | None
    count: int | None
    kind: ErrorKind
    regression: bool = False


@dataclass(frozen=True, kw_only=True)
class LogPattern:
    """A masked log message that occurs more often than before; counts are of the window and the time before it."""

    pattern: str
    count: int
    before: int
    kind: ErrorKind
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SignalSeen:
    """A metric that distinguishes causes, and how it compares with its baseline."""

    name: str
    resource: Resource
    state: State
    direction: Direction | None
    onset: int | None
    growing_since: int | None = None


@dataclass(frozen=True, kw_only=True)
class TrafficSeen:
    """The requests of the alerting service, with the share of them that failed."""

    requests: Shift | None
    error_share: Shift | None
    latency: Shift | None
    lost_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class DependenciesSeen:
    """The walk along abnormal calls.

    :param measure: by what services were compared.
    :param kinds: what the catalog says a service is, such as ``external``.
    """

    localization: Localization
    measure: Measure
    edges: int
    kinds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DowntimeSeen:
    """A planned downtime that covers the alert."""

    scope: str
    start: int | None
    end: int | None


@dataclass(frozen=True, kw_only=True)
class CatalogSeen:
    """Who owns the service, and where its runbook is."""

    owner: str | None
    runbooks: tuple[str, ...]
    contacts: tuple[str, ...]


@dataclass(frozen=True)
class Observations:
    """All that was checked, by the check's name. A check that is absent was not made."""

    metric: Checked[MetricSeen] | None = None
    groups: Checked[GroupsSeen] | None = None
    traffic: Checked[TrafficSeen] | None = None
    versions: Checked[tuple[VersionSeen, ...]] | None = None
    changes: Checked[ChangesSeen] | None = None
    dependencies: Checked[DependenciesSeen] | None = None
    signals: Checked[tuple[SignalSeen, ...]] | None = None
    errors: Checked[tuple[NewError, ...]] | None = None
    logs: Checked[tuple[LogPattern, ...]] | None = None
    monitors: Checked[tuple[RelatedMonitor, ...]] | None = None
    downtime: Checked[tuple[DowntimeSeen, ...]] | None = None
    catalog: Checked[CatalogSeen] | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all checks, in the order in which they are read."""
        checks = (getattr(self, name) for name in CHECKS)
        return tuple(check.finding for check in checks if check is not None)

    def without(self, finding: str) -> Observations:
        """Return the same without one check."""
        return replace(self, **{finding: None})


CHECKS = tuple(each.name for each in fields(Observations))
"""The names of the checks, which are the ``probe`` of their findings."""
