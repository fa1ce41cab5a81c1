"""Parse monitor queries: the metric, its threshold and its direction."""

from __future__ import annotations

import pytest

from airflow_incident_provider.evidence.metric_query import Monitored, grouped, narrowed, read_monitor_query

LATENCY = "avg:trace.http.request{env:prod,service:checkout} by {host}"
SHARE = "default_zero(sum:a.b{x:y}.as_count()) / sum:c.d{x:y}.as_count()"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"avg(last_5m):{LATENCY} > 0.5", Monitored(LATENCY, 0.5, False)),
        (f"min(current_1h):{LATENCY} <= -2e3", Monitored(LATENCY, -2000.0, True)),
        (f"percentile(last_1h):{LATENCY} >= 3", Monitored(LATENCY, 3.0, False)),
        (f"avg(last_4h):anomalies({LATENCY}, 'agile', 2, interval=60) >= 1", Monitored(LATENCY, None, None)),
        (
            f"avg(last_4h):anomalies({LATENCY}, 'basic', 2, direction='below') >= 1",
            Monitored(LATENCY, None, True),
        ),
        (f"max(next_1w):forecast({LATENCY}, 'linear', 1) >= 90", Monitored(LATENCY, 90.0, False)),
        (f"avg(last_30m):outliers({LATENCY}, 'DBSCAN', 3) > 0", Monitored(LATENCY, None, None)),
        (f"pct_change(avg(last_5m),last_1h):{LATENCY} > 100", Monitored(LATENCY, None, False)),
        (f"change(sum(last_1d),last_1d):{LATENCY} < -5", Monitored(LATENCY, None, True)),
        (f"sum(last_5m):anomalies({SHARE}, 'agile', 2) >= 1", Monitored(SHARE, None, None)),
    ],
)
def test_metric_is_read_from_each_metric_monitor_type(query: str, expected: Monitored) -> None:
    assert read_monitor_query(query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "1001 && !1002",
        'burn_rate("a1").over("30d").long_window("1h").short_window("5m") > 14.4',
        'error_budget("a1").over("7d") > 90',
        'logs("service:checkout status:error").index("*").rollup("count").last("5m") > 100',
        '"http.can_connect".over("instance:x").by("host").last(4).count_by_status()',
        "avg(last_5m):abs(anomalies(avg:a.b{*}, 'agile', 2)) >= 1",
        "avg(last_5m):avg:system.cpu.user > 80",
        "",
    ],
)
def test_other_monitors_have_no_metric_query(query: str) -> None:
    assert read_monitor_query(query) is None


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ("env:prod,host:web-*", "env:prod,host:web-*,host:web-1"),
        ("env:prod,!host:test", "env:prod,!host:test,host:web-1"),
        ("*", "host:web-1,env:prod"),
        ("env:prod,host:web-1", "env:prod,host:web-1"),
        ("env:prod AND service IN (a,b)", "(env:prod AND service IN (a,b)) AND host:web-1"),
        ("env:prod OR env:stg", "(env:prod OR env:stg) AND host:web-1 AND env:prod"),
        ("host not in (a, b) and env:prod", "(host not in (a, b) and env:prod) AND host:web-1"),
        ("NOT env:dev", "(NOT env:dev) AND host:web-1 AND env:prod"),
        ("env:prod AND host:web-1", "env:prod AND host:web-1"),
    ],
)
def test_query_is_narrowed_to_the_alert_group_in_its_filter_syntax(filter_: str, expected: str) -> None:
    query = f"avg:a.b{{{filter_}}}.rollup(avg, 60)"
    assert narrowed(query, {"host": "web-1", "env": "prod"}) == f"avg:a.b{{{expected}}}.rollup(avg, 60)"


def test_query_that_counts_groups_keeps_them() -> None:
    counted = "count_nonzero(avg:a.b{*} by {host})"
    assert grouped(counted, ()) == counted
    assert grouped("avg:a.b{*} by {host}", ()) == "avg:a.b{*}"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("avg(last_5m):avg:a.b{*} > .5", Monitored("avg:a.b{*}", 0.5, False)),
        ("sum(last_5m):sum:a.b{*}.as_count() == 0", Monitored("sum:a.b{*}.as_count()", 0.0, None)),
        ("avg(last_5m):p99.9:a.b{*} > 1", Monitored("p99.9:a.b{*}", 1.0, False)),
        ("avg(last_5m):cumsum(sum:a.b{*}) > 1", None),
    ],
)
def test_unusual_conditions_and_functions_are_parsed(query: str, expected: Monitored | None) -> None:
    assert read_monitor_query(query) == expected
