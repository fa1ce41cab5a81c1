"""Unusual Datadog responses: coarse points, several groups, times in any unit, truncated lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_incident_provider.evidence.calls import Answer, Call
from airflow_incident_provider.evidence.checks.finding import number, percent
from airflow_incident_provider.evidence.collection import collect
from airflow_incident_provider.evidence.model import ApiCall, Cause, Evidence
from airflow_incident_provider.evidence.reading import classify, seconds_of
from airflow_incident_provider.evidence.request import EvidenceRequest
from airflow_incident_provider.models import Finding, Verdict

ALERTED = datetime(2026, 11, 23, 18, 1, tzinfo=UTC)
QUERY = "avg(last_5m):avg:queue.size{service:checkout} > 5"
Values = Callable[[float], float | None]


def at(hour: int, minute: int) -> int:
    return int(datetime(2026, 11, 23, hour, minute, tzinfo=UTC).timestamp())


def step_at(change_at: float, before: float | None, after: float) -> Values:
    return lambda second: before if second < change_at else after


def metric(values: Values, *, step: int = 60, tags: Sequence[str] = (), unit: str | None = None) -> dict[str, Any]:
    start = int((ALERTED - timedelta(hours=3)).timestamp()) // step * step
    points = [[second * 1000.0, values(second)] for second in range(start, int(ALERTED.timestamp()) + 60, step)]
    return {"pointlist": points, "tag_set": list(tags), "unit": [{"name": unit}, None] if unit else None}


def traces(tag: str, *series: Values) -> dict[str, Any]:
    seconds = range(int((ALERTED - timedelta(hours=3)).timestamp()), int(ALERTED.timestamp()) + 60, 60)
    attributes = {
        "times": [second * 1000 for second in seconds],
        "series": [{"query_index": index, "group_tags": [tag]} for index in range(len(series))],
        "values": [[values(second) for second in seconds] for values in series],
    }
    return {"data": {"attributes": attributes}}


def collect_evidence(
    answers: Mapping[str, Any], *, query: str = QUERY, now: datetime = ALERTED, **fields: Any
) -> Evidence:
    def fetch(calls: Sequence[Call]) -> list[Answer]:
        return [_answer(call, answers.get(call.name, {"data": [], "series": [], "groups": []})) for call in calls]

    request_fields = {"service": "checkout", "env": "prod", "monitor_id": "1", "query": query, **fields}
    return collect(EvidenceRequest(alerted_at=ALERTED, now=now + timedelta(minutes=1), **request_fields), fetch)


def _answer(call: Call, body: Any) -> Answer:
    outcome, reason = classify(call.endpoint, 200, body)
    call_fields = {"endpoint": call.endpoint.value, "method": call.method, "path": call.path, "reason": reason}
    return Answer(ApiCall(id=call.name, outcome=outcome, **call_fields), body)


def finding(evidence: Evidence, name: str) -> Finding:
    return next(each for each in evidence.findings if each.probe == name)


def deployment(started_at: object) -> dict[str, Any]:
    attributes = {
        "service": "checkout",
        "env": "prod",
        "version": "2.0",
        "started_at": started_at,
        "finished_at": 1,
    }
    return {"data": [{"attributes": attributes}]}


RISES = {"metric": {"series": [metric(step_at(at(17, 55), 1.0, 10.0))]}}


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("form", [int, float, str])
def test_deployment_time_is_read_in_every_unit(unit: int, form: Callable[[int], object]) -> None:
    summary = finding(
        collect_evidence({**RISES, "deployments": deployment(form(at(17, 50) * unit))}), "changes"
    ).summary
    assert summary == "deployment of checkout 2.0 at 17:50 UTC, 5 min before the onset"


@pytest.mark.parametrize("time", [10**30, 10**400, "9" * 25, "Mon, 23 Nov 2026 17:50:00 GMT", None, True, "", [1]])
def test_deployment_without_a_valid_time_is_not_ignored(time: object) -> None:
    changes = finding(collect_evidence({**RISES, "deployments": deployment(time)}), "changes")
    assert changes.verdict is Verdict.UNKNOWN
    assert changes.summary == "no change was found, but 1 deployment has no time that can be read"
    assert seconds_of(time) is None


def test_incomplete_interval_of_a_sum_is_not_a_fall() -> None:
    series = metric(step_at(at(18, 0), 600.0, 250.0), step=300)
    query = "sum(last_5m):sum:orders{service:checkout}.as_count().rollup(sum, 300) < 400"
    metric_finding = finding(collect_evidence({"metric": {"series": [series]}}, query=query), "metric")
    assert (metric_finding.verdict, metric_finding.summary) == (
        Verdict.OK,
        "within its normal range, until 18:00 UTC: 600 (normally 600)",
    )


def test_sparse_counter_is_not_treated_as_coarse() -> None:
    series = metric(lambda second: 3.0 if second % 600 == 0 or second % 420 == 0 or second >= at(17, 58) else None)
    known = [point for point in series["pointlist"] if point[1] is not None]
    evidence = collect_evidence({"metric": {"series": [{**series, "pointlist": known}]}})
    assert "until" not in finding(evidence, "metric").summary


@pytest.mark.parametrize(
    ("minute", "expected"),
    [
        (53, "in the 5 min that the metric's first abnormal point covers: whether it came first is not known"),
        (48, "at least 2 min before the onset"),
        (56, "6 min after the onset: no cause of it"),
    ],
)
def test_change_is_ordered_against_a_coarse_first_abnormal_point(minute: int, expected: str) -> None:
    series = metric(step_at(at(17, 50), 1.0, 10.0), step=300)
    query = "avg(last_5m):avg:queue.size{service:checkout}.rollup(avg, 300) > 5"
    evidence = collect_evidence(
        {"metric": {"series": [series]}, "deployments": deployment(at(17, minute))}, query=query
    )
    assert finding(evidence, "changes").summary.endswith(expected)
    assert "abnormal since 17:50 UTC (a point covers 5 min)" in finding(evidence, "metric").summary
    assert bool([*evidence.hypotheses, *evidence.candidates]) == (minute == 48)


def test_group_of_the_alert_is_compared() -> None:
    query = "avg(last_5m):max(sum:queue.size{*} by {host,service}) by {service} > 5"
    normal, abnormal = metric(lambda _: 3.0), metric(step_at(at(17, 45), 3.0, 20.0))
    with_alert_group = {
        "series": [{**normal, "tag_set": ["service:a"]}, {**abnormal, "tag_set": ["service:checkout"]}]
    }
    assert "rose to 20" in finding(collect_evidence({"metric": with_alert_group}, query=query), "metric").summary
    other_groups = {"series": [{**normal, "tag_set": ["service:a"]}, {**abnormal, "tag_set": ["service:b"]}]}
    unknown = finding(collect_evidence({"metric": other_groups}, query=query), "metric")
    assert unknown.verdict is Verdict.UNKNOWN
    assert "Datadog returned 2 groups" in unknown.summary


def test_growth_is_described_from_its_start() -> None:
    growing = metric(lambda second: 80.0 if second < at(16, 40) else 10 + (second - at(16, 40)) / 120)
    summary = finding(collect_evidence({"metric": {"series": [growing]}}), "metric").summary
    assert summary == "has grown steadily since 16:40 UTC or earlier: from 10 to 50"


def test_only_version_of_an_idle_service_is_not_new() -> None:
    start = at(17, 40)
    series = (
        step_at(start, None, 100.0),
        step_at(at(17, 45), None, 10.0),
        step_at(start, None, 0.2),
    )
    answers = {
        "metric": {"series": [metric(step_at(at(17, 45), 0.0, 10.0))]},
        "services": traces("service:checkout", *series),
        "versions": traces("version:1.0", *series),
    }
    for deployed in ({}, {"deployments": deployment(at(17, 39))}):
        evidence = collect_evidence({**answers, **deployed})
        texts = [each.text for draft in (*evidence.hypotheses, *evidence.candidates) for each in draft.supporting]
        assert not [text for text in texts if "more than before" in text]
    without_deployment = collect_evidence(answers)
    causes = [each.cause for each in (*without_deployment.hypotheses, *without_deployment.candidates)]
    assert Cause.DEPLOYMENT not in causes


def test_full_page_of_logs_is_unknown() -> None:
    def log_page(count: int) -> dict[str, Any]:
        return {"data": [{"attributes": {"message": "payment refused"}}] * count}

    logs = finding(collect_evidence({**RISES, "logs": log_page(1000), "logs_before": log_page(600)}), "logs")
    assert logs.verdict is Verdict.UNKNOWN
    partial_page = finding(collect_evidence({**RISES, "logs": log_page(900), "logs_before": log_page(600)}), "logs")
    assert partial_page.summary == "no error log message became more frequent"


def test_monitors_finding_mentions_its_time_range_and_unread_groups() -> None:
    group = {"group_tags": ["service:checkout"], "status": "Alert", "last_triggered_ts": at(16, 0)}
    body = {"groups": [{**group, "monitor_id": 7, "monitor_name": "p99"}], "metadata": {"total_count": 900}}
    summary = finding(collect_evidence({**RISES, "monitor_groups": body}), "monitors").summary
    assert "began to alert within 30 min of this one" in summary
    assert summary.endswith("(only 1 of 900 alerting groups were read)")


def test_metric_abnormal_on_the_harmless_side_is_not_called_normal() -> None:
    answers = {"metric": {"series": [metric(step_at(at(17, 45), 10.0, 100.0))]}}
    evidence = collect_evidence(answers, query="avg(last_5m):avg:queue.size{service:checkout} < 5")
    assert "rose to 100" in finding(evidence, "metric").summary
    assert "abnormal only on the side on which its monitor does not alert" in (evidence.abstained or "")


def test_equality_monitor_alerts_on_both_sides() -> None:
    answers = {"metric": {"series": [metric(step_at(at(17, 45), 10.0, 0.0))]}}
    assert collect_evidence(answers, query="sum(last_5m):sum:orders{*}.as_count() == 0").symptomatic


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (200_000.0, "byte", "195 KiB"),
        (300.0, "byte", "300 B"),
        (0.0, "byte", "0 B"),
        (5 * 2**20, "byte", "5 MiB"),
        (999.7, None, "1,000"),
        (350.0, "millisecond", "350 ms"),
        (0.35, "second", "0.35 s"),
        (99.5, "percent", "99.5 %"),
        (1.0, "share", "100 %"),
        (0.9961, "share", "99.61 %"),
        (0.999999, "share", "99.99 %"),
    ],
)
def test_number_is_formatted_with_its_unit(value: float, unit: str | None, expected: str) -> None:
    assert number(value, unit) == expected
    assert percent(0.5) == "50 %"


def _traffic_of(version: str, spans: Sequence[tuple[int, int]], fails_from: int) -> list[tuple[str, Values]]:
    def serves(second: float) -> bool:
        return any(start <= second < end for start, end in spans)

    return [
        (f"version:{version}", lambda second: 100.0 if serves(second) else None),
        (f"version:{version}", lambda second: 40.0 if serves(second) and second >= fails_from else None),
        (f"version:{version}", lambda second: 0.2 if serves(second) else None),
    ]


def test_version_rolled_back_before_the_onset_is_not_the_cause() -> None:
    onset, end = at(17, 50), at(18, 2)
    old = _traffic_of("1.9", [(0, at(17, 40)), (at(17, 45), end)], onset)
    new = _traffic_of("2.0", [(at(17, 40), at(17, 45))], onset)
    both = [traces(tag, values) for tag, values in (*old, *new)]
    attributes = {
        "times": both[0]["data"]["attributes"]["times"],
        "series": [{"query_index": i % 3, "group_tags": [tag]} for i, (tag, _) in enumerate((*old, *new))],
        "values": [each["data"]["attributes"]["values"][0] for each in both],
    }
    rows = [deployment(at(17, 40))["data"][0], deployment(at(17, 45))["data"][0]]
    rows[1] = {"attributes": {**rows[1]["attributes"], "version": "1.9"}}
    answers = {
        "metric": {"series": [metric(step_at(onset, 1.0, 10.0))]},
        "versions": {"data": {"attributes": attributes}},
        "deployments": {"data": rows},
    }
    evidence = collect_evidence(answers)
    assert evidence.hypotheses == ()
    contradictions = {each.text for draft in evidence.candidates for each in draft.contradicting}
    assert contradictions == {
        "2.0 was replaced before the onset, and served no request since",
        "1.9 served before the onset without what it shows since",
    }


def _event(title: str, *tags: str) -> dict[str, Any]:
    tagged = ["service:checkout", *tags]
    inner = {"title": title}
    return {"data": [{"attributes": {"timestamp": at(17, 48) * 1000, "tags": tagged, "attributes": inner}}]}


@pytest.mark.parametrize(
    "title",
    [
        "Deployment checkout does not have minimum availability",
        "kubernetes: deployment checkout unavailable",
        "ReplicaSet checkout-7f9 created for deployment checkout",
        "[FIRING:1] Deployment errors of checkout",
        "[Re-Triggered on {host:web-1}] Failed logins after deployment",
        "Deploys are frozen until Monday",
        "Deployment of checkout 2.0 did not start",
        "Deploy of checkout 2.0 is waiting for a slot",
        "Deploy of checkout 2.0 postponed",
        "Deployed checkout 2.0 to staging",
        "Feature flag new-cart is on in dev",
    ],
)
def test_event_title_without_a_change_is_not_a_cause(title: str) -> None:
    evidence = collect_evidence({**RISES, "events": _event(title)})
    assert finding(evidence, "changes").verdict is Verdict.OK
    assert not [*evidence.hypotheses, *evidence.candidates]


@pytest.mark.parametrize(
    ("title", "tags"),
    [
        ("Deployed checkout 2.0 to production", ()),
        ("Deployed checkout 2.0 to live", ()),
        ("Deployed checkout 2.0 to staging and to prod", ()),
        ("Deployed checkout 2.0 to stage-7", ()),
        ("Deployed checkout 2.0 to staging", ("env:prod",)),
        ("Deployed checkout 2.0. Smoke tests did not run", ()),
        ("Rollout of checkout 2.0 paused at 20 %", ()),
    ],
)
def test_event_title_with_a_change_is_a_deployment(title: str, tags: tuple[str, ...]) -> None:
    evidence = collect_evidence({**RISES, "events": _event(title, *tags)})
    assert [each.cause for each in evidence.hypotheses] == [Cause.DEPLOYMENT]


@pytest.mark.parametrize(
    ("scope", "groups", "verdict"),
    [
        ("env:prod", [], Verdict.WARN),
        ("*", [], Verdict.WARN),
        ("service:check* AND env:prod", [], Verdict.WARN),
        ("env:staging", [], Verdict.OK),
        ("host:db-*", [], Verdict.OK),
        ("env:staging AND team:payments", [], Verdict.OK),
        ("env:prod", ["host:web-2"], Verdict.OK),
        ("env:prod", ["host:web-2", "host:web-1"], Verdict.WARN),
        ("env:prod OR env:staging", [], Verdict.UNKNOWN),
        ("env:prod AND NOT host:web-2", [], Verdict.UNKNOWN),
        ("env:prod,!host:web-2", [], Verdict.UNKNOWN),
        ("service IN (checkout, cart)", [], Verdict.UNKNOWN),
        ("team:payments", [], Verdict.OK),
        ("env:prod", ["pod:a"], Verdict.OK),
    ],
)
def test_downtime_is_denied_only_if_it_covers_others(scope: str, groups: list[str], verdict: Verdict) -> None:
    attributes = {"scope": scope, "groups": groups, "start": "2026-11-23T17:00:00Z", "end": None}
    body = {"data": [{"attributes": attributes}]}
    evidence = collect_evidence({**RISES, "downtimes": body}, scope=("host:web-1", "env:prod"))
    assert finding(evidence, "downtime").verdict is verdict
