"""The alerting service's traffic, its versions, and the services that it calls, from trace metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from airflow_incident_provider.evidence.calls import SERVICES, VERSIONS, Answer, Answers, relations_name
from airflow_incident_provider.evidence.checks.finding import Check, ago, clock, listed, number, partly, percent
from airflow_incident_provider.evidence.localization import (
    Localization,
    Measure,
    ServiceGraph,
    Silence,
    Telemetry,
    localize,
    usual_requests,
)
from airflow_incident_provider.evidence.observations import (
    Checked,
    DependenciesSeen,
    MetricSeen,
    TrafficSeen,
    VersionSeen,
)
from airflow_incident_provider.evidence.reading import added, share, sparse_counter, text_of, timeseries
from airflow_incident_provider.evidence.request import EvidenceRequest
from airflow_incident_provider.evidence.series import MINUTE_S, Direction, Series, Shift, State, compare, lost_since
from airflow_incident_provider.evidence.symptoms import Symptom, measures_share
from airflow_incident_provider.models import Verdict

_HISTORY_STARTS_WITHIN_S = 600
"""A version that was seen this soon after the start of the history ran before it."""

_FEW_REQUESTS = 20
"""With fewer requests than these an error share says nothing."""

FEW_FAILED = 3
"""Fewer failed requests than these are no sign of anything."""

_RELATED_CHANGE_S = 3600
_MUCH_HIGHER = 1.5
_FEW_MS = 10
_SILENT_S = 600
_RECENT_S = 600
"""The shares of the traffic are those of the newest requests."""


@dataclass(frozen=True)
class Traces:
    """The requests of a service, a host or a version, those of them that failed, and their mean durations."""

    requests: Series
    failed: Series
    durations: Series

    @property
    def failed_share(self) -> Series:
        """The share of the requests that failed, at each point."""
        return share(self.failed, self.requests)

    def between(self, start: float, end: float) -> Traces:
        """Return what was traced at ``start <= time < end``."""
        return Traces(*(each.between(start, end) for each in (self.requests, self.failed, self.durations)))

    @property
    def error_share(self) -> float | None:
        """The share of all requests that failed; nothing is said of a few."""
        return self.failed.total / self.requests.total if self.requests.total >= _FEW_REQUESTS else None

    @property
    def mean_duration(self) -> float | None:
        """The mean duration of the requests, in seconds; nothing is said of a few."""
        durations = dict(self.durations.known())
        counted = [(count, durations[at]) for at, count in self.requests.known() if at in durations]
        total = sum(count for count, _ in counted)
        return sum(count * duration for count, duration in counted) / total if total >= _FEW_REQUESTS else None


def traced(request: EvidenceRequest, answers: Answers, call: str, tag: str) -> dict[str, Traces]:
    """Return the traces by a tag's value. Counts of several operations add up; of durations the first one's count.

    :param call: the name of a query that asks for requests, errors and durations of each operation in turn.
    """
    kinds: tuple[dict[str, list[Series]], ...] = ({}, {}, {})
    for index, rows in timeseries(answers.get(call), now=request.now.timestamp()).items():
        for row in rows:
            if (value := row.tags.get(tag)) and value != "N/A":
                kinds[index % len(kinds)].setdefault(value, []).append(row.series)
    found = {}
    requests, failed, durations = kinds
    for value, operations in sorted(requests.items()):
        total = _sum(operations)
        errors = sparse_counter(_sum(failed.get(value, [])), total)
        found[value] = Traces(total, errors, durations.get(value, [Series()])[0])
    return found


def _sum(rows: list[Series]) -> Series:
    return rows[0] if len(rows) == 1 else added(rows)


def own_traces(request: EvidenceRequest, answers: Answers) -> Traces | None:
    """Return the traces of the alerting service, if it is traced."""
    return traced(request, answers, SERVICES, "service").get(request.service or "")


@dataclass(frozen=True)
class Substitute:
    """A symptom of the service's own traces, which is looked at where the alert's metric cannot be."""

    name: str
    measure: Measure
    unit: str
    series: Series
    shift: Shift


def substitute(request: EvidenceRequest, answers: Answers) -> Substitute | None:
    """Return what is most clearly wrong with the service's requests, if anything is known to be."""
    own = own_traces(request, answers)
    if own is None:
        return None
    durations = compare(*request.split(own.durations))
    symptoms = [
        ("share of failed requests", Measure.SHARE, "share", own.failed_share, _failures(request, own)),
        ("mean duration", Measure.LEVEL, "second", own.durations, durations),
    ]
    if request.symptom is Symptom.LATENCY:
        symptoms.reverse()
    found = [
        Substitute(name, measure, unit, series, shift)
        for name, measure, unit, series, shift in symptoms
        if shift is not None
        and shift.direction is Direction.UP
        and (shift.factor is None or shift.factor >= _MUCH_HIGHER)
    ]
    return min(found, key=lambda each: each.shift.state is not State.ABNORMAL, default=None)


def _failures(request: EvidenceRequest, traces: Traces) -> Shift | None:
    """Compare the share of failed requests: of few requests, one that fails is a large share, but no sign."""
    shift = compare(*request.split(traces.failed_share))
    if shift is None or shift.onset is None or shift.direction is not Direction.UP:
        return shift
    few = traces.failed.between(shift.onset, shift.ended or request.end).total < FEW_FAILED
    return Shift(State.NORMAL, shift.baseline, shift.latest, shift.latest) if few else shift


def check_traffic(request: EvidenceRequest, answers: Answers, metric: MetricSeen | None) -> Checked[TrafficSeen]:
    """Compare the requests of the service, and the share of them that failed, with the hours before."""
    check = Check("traffic", request, answers, [SERVICES])
    if (answer := check.answer()) is None:
        return check.unanswered("the traffic is")
    own = own_traces(request, answers)
    if own is None or not own.requests.known():
        return check.unknown(
            f"Datadog returned no requests of {request.service}: whether it is traced is not known"
        )
    lost = silent_since(request, own)
    seen = TrafficSeen(
        requests=compare(*request.split(own.requests)),
        error_share=_failures(request, own),
        latency=compare(*request.split(own.durations)),
        lost_at=lost,
    )
    # While all else is well, more or fewer requests are an ordinary day.
    symptoms = [seen.error_share, seen.latency, seen.requests if metric is None or metric.symptomatic else None]
    changed = lost is not None or any(each is not None and each.state is not State.NORMAL for each in symptoms)
    text = f"{_traffic(request, seen, own.requests.interval // MINUTE_S)}{partly(answer)}"
    return check.found(text, seen, Verdict.WARN if changed else Verdict.OK)


def silent_since(request: EvidenceRequest, traces: Traces | None) -> int | None:
    """Return since when a service or host reports no requests: it is not known to be in its normal range."""
    return lost_since(*request.split(traces.requests), request.end) if traces else None


def _traffic(request: EvidenceRequest, seen: TrafficSeen, minutes: int) -> str:
    if seen.lost_at is not None:
        return f"no requests are reported since {clock(seen.lost_at, request)}: that is no value, not zero"
    changed, normal_parts = [], []
    for name, shift, form in (
        ("requests a minute" if minutes == 1 else f"requests in {minutes} min", seen.requests, number),
        ("share of failed requests", seen.error_share, percent),
        ("mean duration", seen.latency, _seconds),
    ):
        if shift is None:
            continue
        normal = form(shift.baseline.median)
        if shift.state is State.NORMAL:
            normal_parts.append(f"{name} within the normal range ({form(shift.latest)}, normally {normal})")
            continue
        verb = "rose" if shift.direction is Direction.UP else "fell"
        since = clock(shift.onset or 0, request)
        ended = f", normal again since {clock(shift.ended, request)}" if shift.ended is not None else ""
        changed.append(f"{name} {verb} to {form(shift.extreme)} (normally {normal}) since {since}{ended}")
    return "; ".join((*changed, *normal_parts)) or "requests are reported, but too few to compare"


def _seconds(value: float) -> str:
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1000:.0f} ms" if value >= _FEW_MS / 1000 else f"{value * 1000:.2g} ms"


def check_versions(
    request: EvidenceRequest, answers: Answers, metric: MetricSeen | None
) -> Checked[tuple[VersionSeen, ...]]:
    """See which versions ran, since when, and which share of their requests failed."""
    check = Check("versions", request, answers, [VERSIONS])
    if (answer := check.answer()) is None:
        return check.unanswered("the versions are")
    onset = metric.onset if metric and metric.symptomatic else None
    exact = onset if metric and metric.earliest_onset is None else None
    versions = _versions(request, traced(request, answers, VERSIONS, "version"), onset or request.window_start)
    seen = tuple(sorted(versions, key=lambda version: version.first_seen or 0))
    if not seen:
        return check.unknown(
            f"Datadog returned no version of {request.service}: its traces carry no version tag, or there are none"
        )
    arrivals = [each.first_seen for each in seen if each.first_seen is not None]
    suspicious = onset is not None and any(0 <= onset - at <= _RELATED_CHANGE_S for at in arrivals)
    text = f"{_versions_text(request, seen, exact)}{partly(answer)}"
    return check.found(text, seen, Verdict.WARN if suspicious else Verdict.OK)


def _versions(request: EvidenceRequest, traces: Mapping[str, Traces], onset: int) -> Iterable[VersionSeen]:
    latest = {name: each.requests.between(request.end - _RECENT_S, request.end) for name, each in traces.items()}
    whole = sum(each.total for each in latest.values())
    for version, each in traces.items():
        served = [at for at, value in each.requests.known() if value > 0]
        if not served:
            continue
        since, earlier = each.between(onset, request.end), each.between(request.start, onset)
        yield VersionSeen(
            version=version,
            first_seen=served[0] if served[0] > request.start + _HISTORY_STARTS_WITHIN_S else None,
            last_seen=served[-1],
            requests=since.requests.total,
            error_share=since.error_share,
            errors_before=earlier.error_share,
            latency=since.mean_duration,
            latency_before=earlier.mean_duration,
            traffic_share=latest[version].total / whole if whole else 0.0,
        )


def _versions_text(request: EvidenceRequest, seen: tuple[VersionSeen, ...], onset: int | None) -> str:
    arrived = [each for each in seen if each.first_seen is not None]
    if not arrived:
        last = max(each.last_seen for each in seen)
        ended = f", last at {clock(last, request)}" if request.end - last > _SILENT_S else ""
        return f"no new version: {', '.join(each.version for each in seen[:5])} was seen before, too{ended}"
    return "; ".join(_version_text(request, each, seen, onset) for each in arrived[-3:])


def _version_text(
    request: EvidenceRequest, version: VersionSeen, seen: tuple[VersionSeen, ...], onset: int | None
) -> str:
    assert version.first_seen is not None
    text = f"version {version.version} first seen {clock(version.first_seen, request)}"
    if onset is not None:
        text += f", {ago(version.first_seen, onset)} the onset"
    if version.error_share is None:
        return text
    text += f"; {percent(version.error_share)} of its requests failed"
    others = [v for v in seen if v is not version and v.error_share is not None][:2]
    if others:
        text += f" against {', '.join(f'{percent(v.error_share or 0)} of {v.version}' for v in others)}"
    if version.latency is not None:
        text += f"; mean duration {_seconds(version.latency)}"
        slower = [f"{_seconds(v.latency)} of {v.version}" for v in others if v.latency is not None]
        text += f" against {', '.join(slower)}" if slower else ""
    return text


def service_graph(request: EvidenceRequest, answers: Answers) -> ServiceGraph:
    """Return the service graph: the catalog's relations that were read, and the edges of the request."""
    read = (answer for name, answer in answers.items() if name.startswith(relations_name("")))
    return ServiceGraph.of((*request.calls, *(edge for answer in read for edge in _edges(answer))))


def _edges(answer: Answer) -> Iterable[tuple[str, str]]:
    for row in answer.rows("data"):
        caller = text_of(row, "attributes", "from", "name")
        callee = text_of(row, "attributes", "to", "name")
        kind = text_of(row, "attributes", "type")
        if caller and callee and kind == "RelationTypeDependsOn":
            yield caller, callee


def measured_localization(request: EvidenceRequest, answers: Answers) -> tuple[Localization, Measure]:
    """Walk along abnormal calls, by the alert's own kind of symptom first.

    A slow dependency makes requests fail, and a failing one makes them slow: the other kind is tried second.
    """
    services = traced(request, answers, SERVICES, "service")
    graph = service_graph(request, answers)
    first, second = Measure.SHARE, Measure.LEVEL
    if not measures_share(request.symptom):
        first, second = second, first

    def walk(measure: Measure) -> Localization:
        telemetry = {service: _telemetry(request, each, measure) for service, each in services.items()}
        return localize(graph, request.service or "", telemetry, measure)

    found = walk(first)
    if found.suspects:
        return found, first
    other = walk(second)
    # By what the service itself is abnormal, its calls were compared.
    followed = found.silence is Silence.ALERTING_NORMAL and other.silence is not Silence.NO_BASELINE
    return (other, second) if other.suspects or followed else (found, first)


def _telemetry(request: EvidenceRequest, traces: Traces, measure: Measure) -> Telemetry:
    symptom = traces.failed_share if measure is Measure.SHARE else traces.durations
    points = range(request.window_start, request.end, 60)
    values, requests = dict(symptom.known()), dict(traces.requests.known())
    return Telemetry(
        request.split(symptom)[0].values,
        [values.get(at) for at in points],
        [requests.get(at) for at in points],
        usual_requests(request.split(traces.requests)[0].values),
    )


def check_dependencies(request: EvidenceRequest, answers: Answers) -> Checked[DependenciesSeen]:
    """Walk along abnormal calls to the service that explains what the alerting one shows."""
    names = [name for name in answers if name.startswith(relations_name(""))]
    check = Check("dependencies", request, answers, [SERVICES, *names])
    if (answer := check.answer()) is None:
        return replace(check, calls=[SERVICES]).unanswered("the services it calls are")
    graph = service_graph(request, answers)
    if not graph.callees(request.service or ""):
        if not names or not all(map(check.answer, names)):
            return replace(check, calls=names).unanswered("the services it calls are")
        return check.unknown(f"the catalog knows no service that {request.service} calls")
    localization, measure = measured_localization(request, answers)
    own = own_traces(request, answers)
    if localization.silence is Silence.ALERTING_NORMAL and silent_since(request, own) is not None:
        localization = replace(localization, silence=Silence.NO_BASELINE)
    edges = len(list(graph.edges()))
    seen = DependenciesSeen(localization=localization, measure=measure, edges=edges, kinds=_entity_kinds(answers))
    text = f"{_dependencies_text(request, graph, seen)}{partly(answer)}"
    if localization.silence is Silence.NO_BASELINE:
        return check.unknown(text)
    return check.found(text, seen, Verdict.WARN if localization.suspects else Verdict.OK)


def _dependencies_text(request: EvidenceRequest, graph: ServiceGraph, seen: DependenciesSeen) -> str:
    found = seen.localization
    missing = f"; no data of {', '.join(found.unmeasured[:5])}" if found.unmeasured else ""
    if found.silence is Silence.NO_BASELINE:
        return f"the calls of {request.service} cannot be compared: it reports no requests to compare with"
    if not found.suspects:
        if found.silence is Silence.ALERTING_NORMAL:
            return f"{request.service} itself is within its normal range, so its calls were not followed{missing}"
        if found.silence is Silence.UNEXPLAINED:
            return f"no service that {request.service} calls is abnormal enough to explain it{missing}"
        measured = [each for each in graph.callees(request.service or "") if each not in found.unmeasured]
        return f"{_none_worse(measured, seen.measure) if measured else 'nothing known'}{missing}"
    first = found.suspects[0]
    what = "fails more requests" if seen.measure is Measure.SHARE else "is slower"
    path = " calls ".join(first.path)
    return f"{first.service} {what} than normal ({path}){missing}"


def _none_worse(services: Sequence[str], measure: Measure) -> str:
    """Return in what the services that are called are not worse: in that only they were compared."""
    one = len(services) == 1
    if measure is Measure.SHARE:
        return f"{listed(services)} {'fails' if one else 'fail'} no more requests than in the hours before"
    return f"{listed(services)} {'is' if one else 'are'} no slower than in the hours before"


def _entity_kinds(answers: Answers) -> dict[str, str]:
    read = [(name.partition(":")[2], answer) for name, answer in answers.items() if name.startswith("entity:")]
    rows = [(service, row) for service, answer in read for row in answer.rows("included")]
    kinds = ((service, text_of(row, "attributes", "schema", "spec", "type")) for service, row in rows)
    return {service: kind.lower() for service, kind in kinds if kind}
