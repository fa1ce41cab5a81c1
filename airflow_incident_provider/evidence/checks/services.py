"""The alerting service's traffic, its versions, and the services that it calls, from trace metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from airflow_incident_provider.evidence.calls import HOSTS, SERVICES, VERSIONS, Answer, Answers, relations_name
from airflow_incident_provider.evidence.checks.finding import (
    ago,
    clock,
    finding,
    number,
    partly,
    percent,
    unchecked,
)
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
from airflow_incident_provider.evidence.series import Direction, Series, Shift, State, compare, lost_since
from airflow_incident_provider.evidence.symptoms import Symptom, measures_share
from airflow_incident_provider.models import Verdict

_HISTORY_STARTS_WITHIN_S = 600
"""A version that was seen this soon after the start of the history ran before it."""

_FEW_REQUESTS = 20
"""With fewer requests than these an error share says nothing."""

_RELATED_CHANGE_S = 3600
_MUCH_HIGHER = 1.5
_SILENT_S = 600
_KINDS = 3
"""Requests, errors and durations are asked for, of each trace operation."""

EMPTY = Series((), ())


def by_tag(answer: Answer | None, request: EvidenceRequest, tag: str, what: int) -> dict[str, Series]:
    """Return one kind of series by a tag's value, added over the trace operations.

    :param what: which of the queries of each operation: 0 requests, 1 errors, 2 durations.
    :param answer: of a query that asks for each operation in turn.
    """
    if answer is None:
        return {}
    series = timeseries(answer, now=request.now.timestamp())
    found: dict[str, list[Series]] = {}
    for index, rows in series.items():
        if index % _KINDS == what:
            for row in rows:
                if row.tags.get(tag) not in {None, "", "N/A"}:
                    found.setdefault(row.tags[tag], []).append(row.series)
    return {value: _joined(rows, what == 2) for value, rows in sorted(found.items())}  # noqa: PLR2004


def _joined(rows: list[Series], mean: bool) -> Series:
    """Return several operations of a service as one: counts add up, of durations the first operation's counts."""
    return rows[0] if len(rows) == 1 or mean else added(rows)


def service_series(request: EvidenceRequest, answers: Answers) -> dict[str, tuple[Series, Series, Series]]:
    """Return each service's requests, share of failed requests, and duration."""
    answer = answers.get(SERVICES)
    hits, errors = by_tag(answer, request, "service", 0), by_tag(answer, request, "service", 1)
    durations = by_tag(answer, request, "service", 2)
    return {
        service: (
            series,
            share(sparse_counter(errors.get(service), series), series),
            durations.get(service, EMPTY),
        )
        for service, series in hits.items()
    }


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
    series = service_series(request, answers).get(request.service or "")
    if series is None:
        return None
    _, failed, duration = series
    found = [("share of failed requests", Measure.SHARE, "share", failed)]
    found.append(("mean duration", Measure.LEVEL, "second", duration))
    if request.symptom is Symptom.LATENCY:
        found.reverse()
    shifts = [
        Substitute(name, measure, unit, each, shift)
        for name, measure, unit, each in found
        if (shift := _shift(request, each)) is not None and _much_higher(shift)
    ]
    return min(shifts, key=lambda each: each.shift.state is not State.ABNORMAL, default=None)


def _much_higher(shift: Shift) -> bool:
    return shift.direction is Direction.UP and (shift.factor is None or shift.factor >= _MUCH_HIGHER)


def host_series(request: EvidenceRequest, answers: Answers) -> dict[str, tuple[Series, Series, Series]]:
    """Return the service's requests, failed requests and durations by host."""
    answer = answers.get(HOSTS)
    hits, errors, durations = (by_tag(answer, request, "host", what) for what in range(_KINDS))
    return {
        host: (series, sparse_counter(errors.get(host), series), durations.get(host, EMPTY))
        for host, series in hits.items()
    }


def check_traffic(request: EvidenceRequest, answers: Answers, metric: MetricSeen | None) -> Checked[TrafficSeen]:
    """Compare the requests of the service, and the share of them that failed, with the hours before."""
    answer = answers.get(SERVICES)
    if answer is None or not answer.usable:
        return Checked(unchecked("traffic", request, answers, [SERVICES], "the traffic is"))
    series = service_series(request, answers).get(request.service or "")
    if series is None or not series[0].known():
        text = f"Datadog returned no requests of {request.service}: whether it is traced is not known"
        return Checked(finding("traffic", request, Verdict.UNKNOWN, text, answers, [SERVICES]))
    requests, failed, duration = series
    lost = _lost_since(request, requests)
    seen = TrafficSeen(
        requests=_shift(request, requests),
        error_share=_shift(request, failed),
        latency=_shift(request, duration),
        lost_at=lost,
    )
    # While all else is well, more or fewer requests are an ordinary day.
    symptoms = [seen.error_share, seen.latency, seen.requests if metric is None or metric.symptomatic else None]
    changed = lost is not None or any(each is not None and each.state is not State.NORMAL for each in symptoms)
    verdict = Verdict.WARN if changed else Verdict.OK
    text = _traffic(request, seen)
    return Checked(finding("traffic", request, verdict, f"{text}{partly(answer)}", answers, [SERVICES]), seen)


def _history(request: EvidenceRequest, series: Series) -> Series:
    return series.between(request.start, request.window_start)


def _window(request: EvidenceRequest, series: Series) -> Series:
    return series.between(request.window_start, request.end)


def _lost_since(request: EvidenceRequest, series: Series) -> int | None:
    return lost_since(_history(request, series), _window(request, series), request.end)


def _shift(request: EvidenceRequest, series: Series) -> Shift | None:
    return compare(_history(request, series), _window(request, series))


def _traffic(request: EvidenceRequest, seen: TrafficSeen) -> str:
    if seen.lost_at is not None:
        return f"no requests are reported since {clock(seen.lost_at, request)}: that is no value, not zero"
    changed, normal_parts = [], []
    for name, shift, form in (
        ("requests a minute", seen.requests, number),
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
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def check_versions(
    request: EvidenceRequest, answers: Answers, metric: MetricSeen | None
) -> Checked[tuple[VersionSeen, ...]]:
    """See which versions ran, since when, and which share of their requests failed."""
    answer = answers.get(VERSIONS)
    if answer is None or not answer.usable:
        return Checked(unchecked("versions", request, answers, [VERSIONS], "the versions are"))
    series = by_tag(answer, request, "version", 0)
    hits = {version: each for version, each in series.items() if any(value > 0 for _, value in each.known())}
    if not hits:
        text = (
            f"Datadog returned no version of {request.service}: its traces carry no version tag, or there are none"
        )
        return Checked(finding("versions", request, Verdict.UNKNOWN, text, answers, [VERSIONS]))
    onset = metric.onset if metric and metric.symptomatic else None
    errors, durations = by_tag(answer, request, "version", 1), by_tag(answer, request, "version", 2)
    versions = _versions(request, hits, errors, durations, onset or request.window_start)
    seen = tuple(sorted(versions, key=lambda version: version.first_seen or 0))
    suspicious = onset is not None and any(_arrived_before(each, onset) for each in seen)
    verdict = Verdict.WARN if suspicious else Verdict.OK
    text = _versions_text(request, seen, onset)
    return Checked(finding("versions", request, verdict, f"{text}{partly(answer)}", answers, [VERSIONS]), seen)


def _arrived_before(version: VersionSeen, onset: int) -> bool:
    return version.first_seen is not None and 0 <= onset - version.first_seen <= _RELATED_CHANGE_S


def _versions(
    request: EvidenceRequest,
    hits: Mapping[str, Series],
    errors: Mapping[str, Series],
    durations: Mapping[str, Series],
    onset: int,
) -> Iterable[VersionSeen]:
    recent = request.end - 600
    whole = sum(value for series in hits.values() for _, value in series.between(recent, request.end).known())
    for version, series in hits.items():
        served = [at for at, value in series.known() if value > 0]
        failed, duration = sparse_counter(errors.get(version), series), durations.get(version, EMPTY)
        since, earlier = series.between(onset, request.end), series.between(request.start, onset)
        latest = sum(value for _, value in series.between(recent, request.end).known())
        began = served[0]
        yield VersionSeen(
            version=version,
            first_seen=began if began > request.start + _HISTORY_STARTS_WITHIN_S else None,
            last_seen=served[-1],
            requests=sum(value for _, value in since.known()),
            error_share=error_share(failed.between(onset, request.end), since),
            errors_before=error_share(failed.between(request.start, onset), earlier),
            latency=_mean_duration(duration, since),
            latency_before=_mean_duration(duration, earlier),
            traffic_share=latest / whole if whole else 0.0,
        )


def error_share(failed: Series, hits: Series) -> float | None:
    """Return the share of the requests that failed; nothing is said of a few."""
    return failed.total / hits.total if hits.total >= _FEW_REQUESTS else None


def _mean_duration(duration: Series, hits: Series) -> float | None:
    """Return the mean duration of the requests, in seconds."""
    requests, known = dict(hits.known()), dict(duration.known())
    counted = sum(value for at, value in requests.items() if at in known)
    if counted < _FEW_REQUESTS:
        return None
    return sum(value * known[at] for at, value in requests.items() if at in known) / counted


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
    edges = list(request.calls)
    for name, answer in answers.items():
        if name.startswith(relations_name("")):
            edges += _edges(answer)
    return ServiceGraph.of(edges)


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
    series = service_series(request, answers)
    graph = service_graph(request, answers)
    order = [Measure.SHARE, Measure.LEVEL]
    if not measures_share(request.symptom):
        order.reverse()
    silent: tuple[Localization, Measure] | None = None
    for measure in order:
        telemetry = {service: _telemetry(request, each, measure) for service, each in series.items()}
        found = localize(graph, request.service or "", telemetry, measure)
        if found.suspects:
            return found, measure
        silent = silent or (found, measure)
    assert silent is not None
    return silent


def _telemetry(request: EvidenceRequest, series: tuple[Series, Series, Series], measure: Measure) -> Telemetry:
    hits, failed, duration = series
    symptom = failed if measure is Measure.SHARE else duration
    points = range(request.window_start, request.end, 60)
    values, requests = dict(symptom.known()), dict(hits.known())
    return Telemetry(
        _history(request, symptom).values,
        [values.get(at) for at in points],
        [requests.get(at) for at in points],
        usual_requests(_history(request, hits).values),
    )


def check_dependencies(request: EvidenceRequest, answers: Answers) -> Checked[DependenciesSeen]:
    """Walk along abnormal calls to the service that explains what the alerting one shows."""
    names = [name for name in answers if name.startswith(relations_name(""))]
    calls = [SERVICES, *names]
    answer = answers.get(SERVICES)
    if answer is None or not answer.usable:
        return Checked(unchecked("dependencies", request, answers, [SERVICES], "the services it calls are"))
    graph = service_graph(request, answers)
    if not graph.callees(request.service or ""):
        unread = [name for name in names if not answers[name].usable]
        if unread or not names:
            return Checked(unchecked("dependencies", request, answers, names, "the services it calls are"))
        text = f"the catalog knows no service that {request.service} calls"
        return Checked(finding("dependencies", request, Verdict.UNKNOWN, text, answers, calls))
    localization, measure = measured_localization(request, answers)
    if localization.silence is Silence.ALERTING_NORMAL and silent_since(request, answers) is not None:
        localization = replace(localization, silence=Silence.NO_BASELINE)
    edges = len(list(graph.edges()))
    seen = DependenciesSeen(localization=localization, measure=measure, edges=edges, kinds=_entity_kinds(answers))
    text = _dependencies_text(request, graph, seen)
    silent = localization.silence is Silence.NO_BASELINE
    verdict = Verdict.WARN if localization.suspects else Verdict.UNKNOWN if silent else Verdict.OK
    return Checked(
        finding("dependencies", request, verdict, f"{text}{partly(answer)}", answers, calls),
        None if silent else seen,
    )


def silent_since(request: EvidenceRequest, answers: Answers) -> int | None:
    """Return since when the alerting service reports no requests: it is not known to be in its normal range."""
    series = service_series(request, answers).get(request.service or "")
    return _lost_since(request, series[0]) if series is not None else None


def _dependencies_text(request: EvidenceRequest, graph: ServiceGraph, seen: DependenciesSeen) -> str:
    found = seen.localization
    missing = f"; no data of {', '.join(found.unmeasured[:5])}" if found.unmeasured else ""
    if found.silence is Silence.NO_BASELINE:
        return f"the calls of {request.service} cannot be compared: it reports no requests to compare with"
    if not found.suspects:
        measured = [each for each in graph.callees(request.service or "") if each not in found.unmeasured]
        if found.silence is Silence.ALERTING_NORMAL:
            return f"{request.service} itself is within its normal range, so its calls were not followed{missing}"
        if found.silence is Silence.UNEXPLAINED:
            return f"no service that {request.service} calls is abnormal enough to explain it{missing}"
        return (
            f"{', '.join(measured[:5])}: within their normal range{missing}"
            if measured
            else f"nothing known{missing}"
        )
    first = found.suspects[0]
    what = "fails more requests" if seen.measure is Measure.SHARE else "is slower"
    path = " calls ".join(first.path)
    return f"{first.service} {what} than normal ({path}){missing}"


def _entity_kinds(answers: Answers) -> dict[str, str]:
    kinds = {}
    for name, answer in answers.items():
        if name.startswith("entity:"):
            for row in answer.rows("included"):
                kind = text_of(row, "attributes", "schema", "spec", "type")
                if kind:
                    kinds[name.partition(":")[2]] = kind.lower()
    return kinds
