"""Parse monitor queries: the metric, its threshold and its direction."""

from __future__ import annotations

import pytest

from airflow_incident_provider.evidence.metric_query import Monitored, read_monitor_query

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
