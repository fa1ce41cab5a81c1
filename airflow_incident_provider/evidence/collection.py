"""From a request to evidence: what is asked in which round, and which checks read the answers.

The first round asks everything that depends on nothing. The rounds after it follow abnormal calls: the dependencies
of services that were found abnormal, then what changed there. The caller makes the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_incident_provider.evidence.calls import (
    Answer,
    Answers,
    Call,
    deployments,
    entity,
    events,
    first_calls,
    metric_calls,
    relations,
    relations_name,
)
from airflow_incident_provider.evidence.checks.changes import check_changes
from airflow_incident_provider.evidence.checks.context import (
    check_catalog,
    check_downtime,
    check_monitors,
    check_signals,
)
from airflow_incident_provider.evidence.checks.errors import check_errors, check_logs
from airflow_incident_provider.evidence.checks.metric import check_groups, check_metric
from airflow_incident_provider.evidence.checks.services import (
    check_dependencies,
    check_traffic,
    check_versions,
    measured_localization,
    service_graph,
)
from airflow_incident_provider.evidence.hypotheses import propose
from airflow_incident_provider.evidence.late_alert import covering_onset
from airflow_incident_provider.evidence.model import Evidence, Marker, MetricGraph
from airflow_incident_provider.evidence.observations import (
    ChangesSeen,
    MetricSeen,
    Observations,
    summary_of,
    value_of,
)
from airflow_incident_provider.evidence.reading import text_of, utc
from airflow_incident_provider.evidence.request import EvidenceRequest
from airflow_incident_provider.evidence.series import Series

Fetch = Callable[[Sequence[Call]], Sequence[Answer]]
"""Makes calls, side by side, and returns their answers in the same order. Never raises."""

MAX_ROUNDS = 4
MAX_EXPANDED = 6
_RELATED_HOPS = 3
_GRAPH_POINTS = 120


def collect(request: EvidenceRequest, fetch: Fetch) -> Evidence:
    """Ask, check and conclude."""
    answers: dict[str, Answer] = {}
    pending = first_calls(request)
    for _ in range(MAX_ROUNDS):
        answers |= {call.name: answer for call, answer in zip(pending, fetch(pending), strict=True)}
        request = covering_onset(_with_monitor_query(request, answers), answers)
        pending = [call for call in _next_calls(request, answers) if call.name not in answers]
        if not pending:
            break
    return conclude_evidence(request, observe(request, answers), answers)


def observe(request: EvidenceRequest, answers: Answers) -> Observations:
    """Run all checks on the recorded answers.

    :param request: with a window that holds the onset, see :func:`.covering_onset`.
    """
    metric = check_metric(request, answers)
    seen = metric.seen
    groups = check_groups(request, answers, seen)
    downtime = check_downtime(request, answers)
    if request.service is None:
        return Observations(metric=metric, groups=groups, downtime=downtime)
    traffic = check_traffic(request, answers, seen)
    graph = service_graph(request, answers)
    related = frozenset({request.service, *graph.within(request.service, _RELATED_HOPS)})
    related |= frozenset(graph.callers(request.service))
    return Observations(
        metric=metric,
        groups=groups,
        traffic=traffic,
        versions=check_versions(request, answers, seen),
        changes=check_changes(request, answers, seen),
        dependencies=check_dependencies(request, answers),
        signals=check_signals(request, answers, seen),
        errors=check_errors(request, answers, seen),
        logs=check_logs(request, answers, traffic.seen),
        monitors=check_monitors(request, answers, seen, related),
        downtime=downtime,
        catalog=check_catalog(request, answers),
    )


def conclude_evidence(request: EvidenceRequest, seen: Observations, answers: Answers) -> Evidence:
    """Return the findings with the hypotheses that follow from them, and the calls that they cite."""
    metric = value_of(seen.metric)
    proposal = propose(seen, request.service)
    return Evidence(
        service=request.service,
        env=request.env,
        monitor_id=request.monitor_id,
        onset=utc(metric.onset) if metric and metric.onset is not None else None,
        onset_open=metric is not None and metric.onset_open,
        symptomatic=metric is not None and metric.symptomatic,
        findings=seen.findings,
        **vars(proposal),
        calls=tuple(answer.call for answer in answers.values()),
        graph=_graph(request, seen, metric) if metric else None,
    )


def _with_monitor_query(request: EvidenceRequest, answers: Answers) -> EvidenceRequest:
    """Return the request with the monitor's own query, where the alert brought none."""
    answer = answers.get("monitor")
    if request.query is not None or answer is None or not answer.usable:
        return request
    query = text_of({"query": answer.at("query")}, "query", limit=2000)
    return request.model_copy(update={"query": query}) if query else request


def _next_calls(request: EvidenceRequest, answers: Answers) -> list[Call]:
    calls: list[Call] = []
    if request.metric_query is not None and "metric" not in answers:
        calls += metric_calls(request, request.metric_query)
    if request.service is None or not service_graph(request, answers).callees(request.service):
        return calls
    localization, _ = measured_localization(request, answers)
    abnormal = [each.service for each in localization.suspects][:MAX_EXPANDED]
    # What an abnormal service calls that reports nothing may call what is at fault.
    followed = [*abnormal, *localization.unmeasured][:MAX_EXPANDED]
    unread = [service for service in followed if relations_name(service) not in answers]
    calls += [relations(service) for service in unread]
    if abnormal and not unread:
        first = abnormal[0]
        calls += [
            deployments(request, first, name=f"deployments:{first}"),
            events(request, first, name=f"events:{first}"),
            entity(first, name=f"entity:{first}"),
        ]
    return calls


def _graph(request: EvidenceRequest, seen: Observations, metric: MetricSeen) -> MetricGraph:
    """Return what is drawn: the last two hours of the metric, with its normal range, onset and changes."""
    series = Series(metric.series.times[-_GRAPH_POINTS:], metric.series.values[-_GRAPH_POINTS:])
    baseline = metric.shift.baseline if metric.shift else None
    changes = value_of(seen.changes) or ChangesSeen()
    first = series.times[0] if series.times else 0
    shown = [change for change in (*changes.before, *changes.unclear, *changes.after) if change.at >= first]
    monitored = None if metric.name else request.monitored
    summary, title = summary_of(seen.metric), metric.name or request.metric_query or ""
    return MetricGraph(
        title=title,
        times=series.times,
        values=series.values,
        normal_low=baseline.quantile(0.01) if baseline else None,
        normal_high=baseline.quantile(0.99) if baseline else None,
        threshold=monitored.threshold if monitored else None,
        onset=utc(metric.onset) if metric.onset is not None else None,
        markers=tuple(Marker(at=utc(change.at), label=change.title) for change in shown[:5]),
        alt_text=f"{title}: {summary}",
    )
