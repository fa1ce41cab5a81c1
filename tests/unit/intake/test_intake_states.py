"""Detection of recoveries in titles, transitions and states."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_incident_provider.exceptions import NotAnIncidentError
from airflow_incident_provider.intake import RoutingTable
from airflow_incident_provider.intake.conf import read_notification

from .datadog_payloads import NOW, alert_payload, read

DEFAULT_PAYLOAD = {"id": "1", "event_type": "query_alert_monitor", "body": "x", "date": "1795430100000"}
RECOVERY_TITLES = [
    "Recovered: CPU", "RECOVERED - CPU", "Recovered on host:a - CPU", "[RESOLVED] CPU", "[OK on {host:a}] CPU",
    "[Auto] [Recovered] CPU", "\u2705 [Recovered] CPU", ":white_check_mark: Recovered CPU", "Re: [Recovered] CPU",
    "[Recovered from No Data] CPU", "No Data recovered: CPU", "RECOVERY: CPU", "CPU has recovered", "CPU recovered",
    "[Synthetics] [Recovered] CPU", "Closed: CPU", "CPU is back to normal",
]  # fmt: skip
AMBIGUOUS_TITLES = [
    "Recovered records pile up", "Not recovered: CPU", "OK rate below 90%", "Closed connections are high",
    "Recovery job failed", "Recovery: replica cannot catch up", "Recovery point objective missed",
    "Messages cannot be recovered", "The pod hasn't recovered", "CPU usage is up", "Up to 30 % of orders fail",
]  # fmt: skip


@pytest.mark.parametrize("title", RECOVERY_TITLES)
def test_recovery_title_opens_nothing_without_transition(title: str) -> None:
    for conf in ({"datadog": {"title": title}}, {"datadog": {**DEFAULT_PAYLOAD, "title": title}}):
        with pytest.raises(NotAnIncidentError):
            read(conf)
    assert read({"datadog": alert_payload(title=title, alert={"title": title})}).transition == "Triggered"
    assert (
        read({"datadog": {"alert_id": "1", "title": title, "alert_type": "error"}}).severity == "high"
        or "[" in title
    )


@pytest.mark.parametrize("title", AMBIGUOUS_TITLES)
def test_ambiguous_title_opens_incident(title: str) -> None:
    assert read({"datadog": {**DEFAULT_PAYLOAD, "title": title}}).title == title
    assert read({"title": title})


@pytest.mark.parametrize(
    "transition",
    [
        "Recovered (No Data)", "Recovered from Warn", "Alert -> OK", "Warn \u2192 OK", "Auto-resolved",
        "Manually Resolved", "Recovery", "Normal", "Back to normal", "Recovered on {host:a}", "Muted Recovered",
        "cleared", "Closed",
    ],
)  # fmt: skip
def test_recovery_transition_synonyms(transition: str) -> None:
    with pytest.raises(NotAnIncidentError):
        read({"datadog": alert_payload(alert={"transition": transition, "type": None})})


@pytest.mark.parametrize(
    ("transition", "expected"),
    [
        ("Re-Triggered Warn", "Re-Warn"), ("Re-Triggered No Data", "Re-No Data"), ("Triggered Warn", "Warn"),
        ("Renotify Alert", "Renotify"), ("OK -> Warn", "Warn"), ("OK => Alert", "Triggered"),
    ],
)  # fmt: skip
def test_compound_transition_is_normalized(transition: str, expected: str) -> None:
    assert read({"datadog": alert_payload(alert={"transition": transition})}).transition == expected


@pytest.mark.parametrize("kind", ["ok", "recovery", "SUCCESS "])
def test_alert_type_marks_recovery(kind: str) -> None:
    with pytest.raises(NotAnIncidentError):
        read({"datadog": alert_payload(title="x", alert={"title": "x", "transition": "", "type": kind})})


@pytest.mark.parametrize(
    "state",
    [
        {"status": "back to normal"}, {"status": "auto-resolved"}, {"status": "canceled"},
        {"status": "gel\u00f6st"}, {"title": "\u2705 Resolved: x"}, {"title": "x (resolved)"},
        {"resolved": "true"}, {"is_resolved": True}, {"firing": False}, {"resolved_at": "2026-11-23T09:00:00Z"},
        {"type": "RECOVERY"}, {"incident_status": "resolved"},
        {"title": "** RECOVERY Service Alert: db/x is OK **"}, {"title": "UP: x"}, {"title": "(Resolved) x"},
    ],
)  # fmt: skip
def test_resolved_report_synonyms_open_nothing(state: dict[str, Any]) -> None:
    with pytest.raises(NotAnIncidentError):
        read({"title": "x", **state})


@pytest.mark.parametrize(
    "state",
    [{"status": "resolved?"}, {"status": "to be resolved"}, {"type": "normal"}, {"resolved_at": None},
     {"resolved_at": "0001-01-01T00:00:00Z"}, {"firing": True}, {"resolved": "no"}],
)  # fmt: skip
def test_uncertain_resolution_opens_incident(state: dict[str, Any]) -> None:
    assert read({"title": "x", **state})


@pytest.mark.parametrize(
    ("firing_title", "recovery_title"),
    [
        ("FIRING: Disk", "RESOLVED: Disk"), ("PROBLEM: Disk", "RECOVERY: Disk"), ("[DOWN] api", "[UP] api"),
        ("TRIGGERED - Disk", "\u2705 Resolved - Disk"), ("[FIRING:1] Disk", "[RESOLVED:1] Disk"),
    ],
)  # fmt: skip
def test_recovery_has_group_of_its_alert(firing_title: str, recovery_title: str) -> None:
    for conf in (
        ({"title": firing_title}, {"title": recovery_title}),
        ({"datadog": {"title": firing_title}}, {"datadog": {"title": recovery_title}}),
    ):
        first, last = (read_notification(one, received_at=NOW, routing=RoutingTable()) for one in conf)
        assert first.group == last.group
        assert first.recovery_reason is None is not last.recovery_reason


@pytest.mark.parametrize(
    "status",
    [
        "Complete outage",
        "completed with errors",
        "OK to ALARM",
        "up == 0",
        "success rate low",
        "success_rate_low",
        "healthy hosts < 2",
        "Normal replicas lost",
        "closed-loop failure",
        "Up 95%",
        "Close the valve",
        "OK but slow",
        "up and down",
    ],
)
def test_status_that_only_begins_like_an_end_opens_incident(status: str) -> None:
    assert read({"title": "x", "status": status})
    assert read({"title": "x", "condition": status})


@pytest.mark.parametrize(
    "status",
    [
        "Resolved by dana",
        "resolved_by_user",
        "Closed as duplicate",
        "OK (was critical)",
        "OK: back",
        "OK - fine",
        "Recovered to normal",
        "Resolved in 5m",
        "resolved 10:05 UTC",
        "Closed/Resolved",
        "Resolved with workaround",
    ],
)
def test_status_with_details_of_an_end_opens_nothing(status: str) -> None:
    with pytest.raises(NotAnIncidentError):
        read({"title": "x", "status": status})


@pytest.mark.parametrize(
    "title",
    [
        "Payments are down since the primary recovered",
        "Only 3 of 10 hosts recovered",
        "0 of 5 nodes recovered",
        "Checkout fails but the dashboard is healthy",
        "Pods crash after the node has recovered",
        "Latency is high even though the cache is ok",
    ],
)
def test_title_that_ends_like_an_end_of_something_else_opens_incident(title: str) -> None:
    assert read({"title": title}).title == title


def test_alerts_that_ended_beside_others_that_fire_end_nothing() -> None:
    assert read({"title": "3 alerts", "firing": 2, "resolved": 1})
    with pytest.raises(NotAnIncidentError):
        read({"title": "3 alerts", "firing": 0, "resolved": 3})
