"""Tags, keys and groups that identify and route an alert."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from airflow_incident_provider.intake import RoutingTable
from airflow_incident_provider.intake.conf import read_notification

from .datadog_payloads import NOW, TABLE, alert_payload, read

# --- tags -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_tag_order_does_not_affect_routing(order: int) -> None:
    tags = [f"k{n}:x" for n in range(150)] + ["service:checkout", "env:prod", "team:payments", "tier:gold"]
    incident = read({"datadog": alert_payload(tags=",".join(tags[::order]), alert={"scope": "*"})}, TABLE)
    assert (incident.services, incident.env, incident.teams) == (("checkout",), "prod", ("payments",))
    assert incident.responders == ("dana@acme.example",)
    assert {"service:checkout", "env:prod", "team:payments", "tier:gold"} <= set(incident.tags)
    assert len(incident.tags) <= 50


def test_tags_named_by_rules_survive_tag_limit() -> None:
    table = """
        correlation: {rules: [{name: x, by: ["tag:cluster"]}]}
        triage: {rules: [{name: y, match: {tag: "data:*"}, presence: room}]}
        runbooks: {Runbook: "https://wiki.acme.example/{value}"}
    """
    tags = [f"a{n}:x" for n in range(100)] + ["cluster:eu1", "data:customer", "runbook:rb-1"]
    incident = read({"datadog": alert_payload(tags=tags)}, table)
    assert {"cluster:eu1", "data:customer", "runbook:rb-1"} <= set(incident.tags)
    assert incident.route.runbook == "https://wiki.acme.example/rb-1"


def test_placeholder_tag_values_are_ignored() -> None:
    incident = read(
        {"datadog": alert_payload(tags="service:N/A,env:none,team:payments", alert={"scope": "service:N/A"})}
    )
    assert (incident.services, incident.env, incident.teams) == ((), None, ("payments",))


# --- identity ---------------------------------------------------------------------------------------


def test_different_reports_without_id_have_different_keys() -> None:
    reports: list[dict[str, Any]] = [
        {"title": "Airflow DAG payments_daily_settlement_for_eu failed"},
        {"title": "Airflow DAG payments_daily_settlement_for_us failed"},
        {"title": "Disk full", "hosts": ["db-1"]},
        {"title": "Disk full", "hosts": ["db-2"]},
        {"title": "Disk full", "services": ["db-2"]},
        {"title": "Disk full", "env": "prod"},
        {"title": "\U0001f525"},
        {"title": "\U0001f4a5"},
    ]
    keys = [read({"severity": "high", **report}).key for report in reports]
    assert len(set(keys)) == len(reports)
    assert [read({"severity": "high", **report}).key for report in reports] == keys


def test_groups_of_large_fleet_have_distinct_keys() -> None:
    names = (f"host:ip-10-0-{a}-{b}.ec2.internal" for a, b in itertools.product(range(64), range(256)))
    keys = {
        read_notification(
            {"datadog": alert_payload(alert={"scope": name})}, received_at=NOW, routing=RoutingTable()
        ).group
        for name in itertools.islice(names, 8000)
    }
    assert len(keys) == 8000


def test_report_start_differs_from_notification_time() -> None:
    incident = read({"id": "INC-7", "title": "x", "started_at": "2026-11-23T09:50:00Z"})
    assert (incident.occurred_at, incident.notified_at) == (NOW - timedelta(minutes=10), NOW)


# --- other formats ----------------------------------------------------------------------------------


def test_same_id_from_other_system_has_different_key() -> None:
    pagerduty = {
        "event": {"event_type": "incident.triggered", "data": {"type": "incident", "id": "P1", "title": "x"}}
    }
    opsgenie = {"action": "Create", "alert": {"alertId": "P1", "message": "x"}}
    keys = {read(conf).key for conf in (pagerduty, opsgenie, {"id": "P1", "title": "x"})}
    assert len(keys) == 3


def test_group_labels_apply_to_its_alerts() -> None:
    group = {
        "alerts": [{"status": "firing"}],
        "groupKey": "k",
        "commonLabels": {"alertname": "Z", "severity": "info"},
    }
    incident = read(group)
    assert (incident.title, incident.severity) == ("Z", "low")


def test_prometheus_severity_none_is_low() -> None:
    watchdog = {"alerts": [{"status": "firing", "labels": {"alertname": "Watchdog", "severity": "none"}}]}
    assert read(watchdog).severity == "low"


# --- field placement -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tags",
    [
        "['service:checkout', 'env:prod']", "#service:checkout, #env:prod", '"service:checkout","env:prod"',
        "service=checkout,env=prod", "service: checkout, env: prod", "service:checkout|env:prod",
        ["service:checkout,env:prod"], [{"service": "checkout"}, "env = prod"],
    ],
)  # fmt: skip
def test_tag_formats_are_equivalent(tags: Any) -> None:
    for conf in ({"datadog": alert_payload(tags=tags)}, {"title": "x", "tags": tags}):
        incident = read(conf)
        assert (incident.services, incident.env) == (("checkout",), "prod")
        assert {"service:checkout", "env:prod"} <= set(incident.tags)


def test_service_env_and_team_fields_are_read() -> None:
    payload = {"alert_id": "5", "title": "x", "service": "checkout", "env": "prod", "team": ["payments"]}
    incident = read({"datadog": {**payload, "tags": "tier:gold"}}, TABLE)
    assert (incident.services, incident.env, incident.teams) == (("checkout",), "prod", ("payments",))
    assert incident.responders == ("dana@acme.example",)
    assert read({"datadog": {"alert_id": "5", "title": "x", "service": "$TAGS[service]"}}).services == ()


def test_report_tags_set_team_host_and_key() -> None:
    incident = read({"title": "x", "tags": ["team:payments", "env:prod", "tier:gold", "host:db-1"]}, TABLE)
    assert (incident.teams, incident.hosts, incident.responders) == (
        ("payments",),
        ("db-1",),
        ("dana@acme.example",),
    )
    keys = {read({"title": "x", "tags": tags}).key for tags in ("env:prod", "env:dev", "host:a", "host:b")}
    assert len(keys) == 4


def test_monitor_group_matches_rules_like_tags() -> None:
    table = """
        rules:
          - {name: customers, match: {tag: "data:customer"}, private: true}
          - {name: eu, match: {env: eu}, responders: [eu@acme.example]}
    """
    incident = read({"datadog": alert_payload(tags="env:prod", alert={"scope": "data:customer,env:eu"})}, table)
    assert incident.route.private
    assert incident.responders == ("eu@acme.example",)


EXTRA_FIELDS = {"private": True, "users": ["dana@acme.example"]}


@pytest.mark.parametrize(
    "conf",
    [
        {"datadog": {**alert_payload(), **EXTRA_FIELDS}},
        {**alert_payload(), **EXTRA_FIELDS},
        {"datadog": {"datadog": alert_payload(), **EXTRA_FIELDS}},
        {"conf": {"datadog": alert_payload(), **EXTRA_FIELDS}},
        {"detail-type": "x", "detail": alert_payload(), **EXTRA_FIELDS},
        {"specversion": "1.0", "data": {**alert_payload(), **EXTRA_FIELDS}},
        {"datadog": {"payload": alert_payload(), "x": 1}, **EXTRA_FIELDS},
    ],
)
def test_envelope_fields_are_merged_into_payload(conf: dict[str, Any]) -> None:
    incident = read(conf)
    assert (incident.source, incident.title) == ("datadog_alert", "Checkout is slow")
    assert (incident.route.private, incident.responders) == (True, ("dana@acme.example",))


def test_security_signal_is_read_as_alert() -> None:
    signal = {
        "SECURITY_SIGNAL_ID": "A1",
        "SECURITY_SIGNAL_TITLE": "Brute force",
        "SECURITY_SIGNAL_SEVERITY": "high",
    }
    for conf in ({"datadog": signal}, signal):
        incident = read(conf)
        assert (incident.title, incident.severity, incident.source) == ("Brute force", "high", "datadog_alert")


def test_untitled_alerts_have_distinct_groups() -> None:
    groups = {
        read_notification({"datadog": {"id": name}}, received_at=NOW, routing=RoutingTable()).group
        for name in ("a", "b")
    }
    assert len(groups) == 2


@pytest.mark.parametrize(
    ("fields", "severity"),
    [({"priority": "1"}, "critical"), ({"priority": "critical"}, "critical"), ({"priority": "normal"}, "high")],
)
def test_priority_without_prefix_is_read(fields: dict[str, str], severity: str) -> None:
    assert read({"datadog": {"alert_id": "5", "title": "x", **fields}}).severity == severity


def test_scope_braces_and_order_do_not_affect_key() -> None:
    one, other = (
        read({"datadog": alert_payload(alert={"scope": scope})}) for scope in ("{host:a,env:b}", "env:b,host:a")
    )
    assert one.key == other.key


def test_monitors_of_one_title_are_distinguished_by_their_link() -> None:
    groups = [
        read_notification(
            {"datadog": {"title": title, "link": link}}, received_at=NOW, routing=RoutingTable()
        ).group
        for title, link in (
            ("[Triggered] CPU", "https://app.datadoghq.com/monitors/98?group=host%3Aa"),
            ("[Triggered] CPU", "https://app.datadoghq.com/monitors/99?group=host%3Aa"),
            ("[Recovered] CPU", "https://app.datadoghq.com/monitors/99?group=host%3Aa&to_ts=1"),
            ("[Recovered] CPU", "https://app.datadoghq.com.evil.example/monitors/99"),
        )
    ]
    assert groups[1] == groups[2]
    assert len(set(groups)) == 3
