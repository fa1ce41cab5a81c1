"""Answers of Datadog in forms that are rare: coarse points, several groups, times in any unit, cut lists."""

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


def step_at(moment: float, before: float | None, after: float) -> Values:
    return lambda second: before if second < moment else after


def metric(values: Values, *, step: int = 60, tags: Sequence[str] = (), unit: str | None = None) -> dict[str, Any]:
    start = int((ALERTED - timedelta(hours=3)).timestamp()) // step * step
    points = [[second * 1000.0, values(second)] for second in range(start, int(ALERTED.timestamp()) + 60, step)]
    return {"pointlist": points, "tag_set": list(tags), "unit": [{"name": unit}, None] if unit else None}


def traces(tag: str, *kinds: Values) -> dict[str, Any]:
    seconds = range(int((ALERTED - timedelta(hours=3)).timestamp()), int(ALERTED.timestamp()) + 60, 60)
    attributes = {
        "times": [second * 1000 for second in seconds],
        "series": [{"query_index": index, "group_tags": [tag]} for index in range(len(kinds))],
        "values": [[values(second) for second in seconds] for values in kinds],
    }
    return {"data": {"attributes": attributes}}


def collected(answers: Mapping[str, Any], *, query: str = QUERY, now: datetime = ALERTED, **asked: Any) -> Evidence:
    def fetch(calls: Sequence[Call]) -> list[Answer]:
        return [_answer(call, answers.get(call.name, {"data": [], "series": [], "groups": []})) for call in calls]

    given = {"service": "checkout", "env": "prod", "monitor_id": "1", "query": query, **asked}
    return collect(EvidenceRequest(alerted_at=ALERTED, now=now + timedelta(minutes=1), **given), fetch)


def _answer(call: Call, body: Any) -> Answer:
    outcome, reason = classify(call.endpoint, 200, body)
    made = {"endpoint": call.endpoint.value, "method": call.method, "path": call.path, "reason": reason}
    return Answer(ApiCall(id=call.name, outcome=outcome, **made), body)


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
def test_the_time_of_a_deployment_is_read_in_every_unit(unit: int, form: Callable[[int], object]) -> None:
    summary = finding(collected({**RISES, "deployments": deployment(form(at(17, 50) * unit))}), "changes").summary
    assert summary == "deployment of checkout 2.0 at 17:50 UTC, 5 min before the onset"


@pytest.mark.parametrize("time", [10**30, 10**400, "9" * 25, "Mon, 23 Nov 2026 17:50:00 GMT", None, True, "", [1]])
def test_a_deployment_without_a_readable_time_is_not_taken_for_none(time: object) -> None:
    changes = finding(collected({**RISES, "deployments": deployment(time)}), "changes")
    assert changes.verdict is Verdict.UNKNOWN
    assert changes.summary == "no change was found, but 1 deployment has no time that can be read"
    assert seconds_of(time) is None


def test_a_sum_whose_time_is_not_over_is_no_fall() -> None:
    series = metric(step_at(at(18, 0), 600.0, 250.0), step=300)
    query = "sum(last_5m):sum:orders{service:checkout}.as_count().rollup(sum, 300) < 400"
    seen = finding(collected({"metric": {"series": [series]}}, query=query), "metric")
    assert (seen.verdict, seen.summary) == (
        Verdict.OK,
        "within its normal range, until 18:00 UTC: 600 (normally 600)",
    )


def test_a_sparse_counter_is_not_taken_for_coarse_points() -> None:
    series = metric(lambda second: 3.0 if second % 600 == 0 or second % 420 == 0 or second >= at(17, 58) else None)
    known = [point for point in series["pointlist"] if point[1] is not None]
    evidence = collected({"metric": {"series": [{**series, "pointlist": known}]}})
    assert "until" not in finding(evidence, "metric").summary


@pytest.mark.parametrize(
    ("minute", "said"),
    [
        (53, "in the 5 min that the metric's first abnormal point covers: whether it came first is not known"),
        (48, "at least 2 min before the onset"),
        (56, "6 min after the onset: no cause of it"),
    ],
)
def test_a_change_within_the_first_abnormal_point_is_neither_before_nor_after(minute: int, said: str) -> None:
    series = metric(step_at(at(17, 50), 1.0, 10.0), step=300)
    query = "avg(last_5m):avg:queue.size{service:checkout}.rollup(avg, 300) > 5"
    evidence = collected({"metric": {"series": [series]}, "deployments": deployment(at(17, minute))}, query=query)
    assert finding(evidence, "changes").summary.endswith(said)
    assert "abnormal since 17:50 UTC (a point covers 5 min)" in finding(evidence, "metric").summary
    assert bool([*evidence.hypotheses, *evidence.candidates]) == (minute == 48)


def test_of_several_groups_the_one_of_the_alert_is_compared() -> None:
    query = "avg(last_5m):max(sum:queue.size{*} by {host,service}) by {service} > 5"
    quiet, loud = metric(lambda _: 3.0), metric(step_at(at(17, 45), 3.0, 20.0))
    named = {"series": [{**quiet, "tag_set": ["service:a"]}, {**loud, "tag_set": ["service:checkout"]}]}
    assert "rose to 20" in finding(collected({"metric": named}, query=query), "metric").summary
    others = {"series": [{**quiet, "tag_set": ["service:a"]}, {**loud, "tag_set": ["service:b"]}]}
    unknown = finding(collected({"metric": others}, query=query), "metric")
    assert unknown.verdict is Verdict.UNKNOWN
    assert "Datadog returned 2 groups" in unknown.summary


def test_growth_is_told_from_where_it_began() -> None:
    grows = metric(lambda second: 80.0 if second < at(16, 40) else 10 + (second - at(16, 40)) / 120)
    summary = finding(collected({"metric": {"series": [grows]}}), "metric").summary
    assert summary == "has grown steadily since 16:40 UTC or earlier: from 10 to 50"


def test_the_only_version_of_a_service_that_was_idle_is_not_a_new_one() -> None:
    began = at(17, 40)
    kinds = (
        step_at(began, None, 100.0),
        step_at(at(17, 45), None, 10.0),
        step_at(began, None, 0.2),
    )
    answers = {
        "metric": {"series": [metric(step_at(at(17, 45), 0.0, 10.0))]},
        "services": traces("service:checkout", *kinds),
        "versions": traces("version:1.0", *kinds),
    }
    for deployed in ({}, {"deployments": deployment(at(17, 39))}):
        evidence = collected({**answers, **deployed})
        texts = [each.text for draft in (*evidence.hypotheses, *evidence.candidates) for each in draft.supporting]
        assert not [text for text in texts if "more than before" in text]
    unreported = collected(answers)
    causes = [each.cause for each in (*unreported.hypotheses, *unreported.candidates)]
    assert Cause.DEPLOYMENT not in causes


def test_logs_that_fill_their_page_do_not_show_that_none_increased() -> None:
    def logged(count: int) -> dict[str, Any]:
        return {"data": [{"attributes": {"message": "payment refused"}}] * count}

    logs = finding(collected({**RISES, "logs": logged(1000), "logs_before": logged(600)}), "logs")
    assert logs.verdict is Verdict.UNKNOWN
    few = finding(collected({**RISES, "logs": logged(900), "logs_before": logged(600)}), "logs")
    assert few.summary == "no error log message became more frequent"


def test_a_monitor_that_alerts_for_long_is_not_denied_nor_those_that_were_not_read() -> None:
    group = {"group_tags": ["service:checkout"], "status": "Alert", "last_triggered_ts": at(16, 0)}
    body = {"groups": [{**group, "monitor_id": 7, "monitor_name": "p99"}], "metadata": {"total_count": 900}}
    summary = finding(collected({**RISES, "monitor_groups": body}), "monitors").summary
    assert "began to alert within 30 min of this one" in summary
    assert summary.endswith("(only 1 of 900 alerting groups were read)")


def test_a_metric_that_leaves_its_range_on_the_harmless_side_is_not_called_normal() -> None:
    answers = {"metric": {"series": [metric(step_at(at(17, 45), 10.0, 100.0))]}}
    evidence = collected(answers, query="avg(last_5m):avg:queue.size{service:checkout} < 5")
    assert "rose to 100" in finding(evidence, "metric").summary
    assert "abnormal only on the side on which its monitor does not alert" in (evidence.abstained or "")


def test_a_monitor_of_equality_alerts_on_both_sides() -> None:
    answers = {"metric": {"series": [metric(step_at(at(17, 45), 10.0, 0.0))]}}
    assert collected(answers, query="sum(last_5m):sum:orders{*}.as_count() == 0").symptomatic


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
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
def test_a_figure_is_shown_with_its_unit_and_is_not_rounded_to_another(
    value: float, unit: str | None, shown: str
) -> None:
    assert number(value, unit) == shown
    assert percent(0.5) == "50 %"


def _serving(version: str, spans: Sequence[tuple[int, int]], fails_from: int) -> list[tuple[str, Values]]:
    def serves(second: float) -> bool:
        return any(start <= second < end for start, end in spans)

    return [
        (f"version:{version}", lambda second: 100.0 if serves(second) else None),
        (f"version:{version}", lambda second: 40.0 if serves(second) and second >= fails_from else None),
        (f"version:{version}", lambda second: 0.2 if serves(second) else None),
    ]


def test_a_version_that_was_rolled_back_before_the_onset_is_not_blamed_nor_the_proven_one() -> None:
    onset, end = at(17, 50), at(18, 2)
    old = _serving("1.9", [(0, at(17, 40)), (at(17, 45), end)], onset)
    new = _serving("2.0", [(at(17, 40), at(17, 45))], onset)
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
    evidence = collected(answers)
    assert evidence.hypotheses == ()
    said = {each.text for draft in evidence.candidates for each in draft.contradicting}
    assert said == {
        "2.0 was replaced before the onset, and served no request since",
        "1.9 served before the onset without what it shows since",
    }
