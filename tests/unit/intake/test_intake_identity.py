"""Every received tag decides wherever it stands, and what differs is never joined."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from airflow_incident_provider.intake import RoutingTable
from airflow_incident_provider.intake.conf import read_notification

from .lenient import NOW, TABLE, dd, read

# --- tags -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_all_tags_decide_wherever_they_stand(order: int) -> None:
    tags = [f"k{n}:x" for n in range(150)] + ["service:checkout", "env:prod", "team:payments", "tier:gold"]
    incident = read({"datadog": dd(tags=",".join(tags[::order]), alert={"scope": "*"})}, TABLE)
    assert (incident.services, incident.env, incident.teams) == (("checkout",), "prod", ("payments",))
    assert incident.responders == ("dana@acme.example",)
    assert {"service:checkout", "env:prod", "team:payments", "tier:gold"} <= set(incident.tags)
    assert len(incident.tags) <= 50


def test_a_tag_that_a_correlation_or_triage_rule_names_is_kept() -> None:
    table = """
        correlation: {rules: [{name: x, by: ["tag:cluster"]}]}
        triage: {rules: [{name: y, match: {tag: "data:*"}, presence: room}]}
        runbooks: {Runbook: "https://wiki.acme.example/{value}"}
    """
    tags = [f"a{n}:x" for n in range(100)] + ["cluster:eu1", "data:customer", "runbook:rb-1"]
    incident = read({"datadog": dd(tags=tags)}, table)
    assert {"cluster:eu1", "data:customer", "runbook:rb-1"} <= set(incident.tags)
    assert incident.route.runbook == "https://wiki.acme.example/rb-1"


def test_na_is_no_value_of_a_tag() -> None:
    incident = read({"datadog": dd(tags="service:N/A,env:none,team:payments", alert={"scope": "service:N/A"})})
    assert (incident.services, incident.env, incident.teams) == ((), None, ("payments",))


# --- identity ---------------------------------------------------------------------------------------


def test_reports_without_id_differ_in_what_differs() -> None:
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


def test_groups_of_a_large_fleet_have_distinct_keys() -> None:
    names = (f"host:ip-10-0-{a}-{b}.ec2.internal" for a, b in itertools.product(range(64), range(256)))
    keys = {
        read_notification({"datadog": dd(alert={"scope": name})}, received_at=NOW, routing=RoutingTable()).group
        for name in itertools.islice(names, 8000)
    }
    assert len(keys) == 8000


def test_the_start_of_a_report_is_not_the_time_of_its_notification() -> None:
    incident = read({"id": "INC-7", "title": "x", "started_at": "2026-11-23T09:50:00Z"})
    assert (incident.occurred_at, incident.notified_at) == (NOW - timedelta(minutes=10), NOW)


# --- other systems ----------------------------------------------------------------------------------


def test_the_same_id_of_another_system_is_another_incident() -> None:
    pagerduty = {
        "event": {"event_type": "incident.triggered", "data": {"type": "incident", "id": "P1", "title": "x"}}
    }
    opsgenie = {"action": "Create", "alert": {"alertId": "P1", "message": "x"}}
    keys = {read(conf).key for conf in (pagerduty, opsgenie, {"id": "P1", "title": "x"})}
    assert len(keys) == 3


def test_the_labels_of_a_group_hold_for_its_alerts() -> None:
    group = {
        "alerts": [{"status": "firing"}],
        "groupKey": "k",
        "commonLabels": {"alertname": "Z", "severity": "info"},
    }
    incident = read(group)
    assert (incident.title, incident.severity) == ("Z", "low")


def test_prometheus_none_calls_nobody() -> None:
    watchdog = {"alerts": [{"status": "firing", "labels": {"alertname": "Watchdog", "severity": "none"}}]}
    assert read(watchdog).severity == "low"


# --- where fields stand -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tags",
    [
        "['service:checkout', 'env:prod']", "#service:checkout, #env:prod", '"service:checkout","env:prod"',
        "service=checkout,env=prod", "service: checkout, env: prod", "service:checkout|env:prod",
        ["service:checkout,env:prod"], [{"service": "checkout"}, "env = prod"],
    ],
)  # fmt: skip
def test_tags_decide_in_every_form(tags: Any) -> None:
    for conf in ({"datadog": dd(tags=tags)}, {"title": "x", "tags": tags}):
        incident = read(conf)
        assert (incident.services, incident.env) == (("checkout",), "prod")
        assert {"service:checkout", "env:prod"} <= set(incident.tags)


def test_service_env_and_team_may_have_fields_of_their_own() -> None:
    payload = {"alert_id": "5", "title": "x", "service": "checkout", "env": "prod", "team": ["payments"]}
    incident = read({"datadog": {**payload, "tags": "tier:gold"}}, TABLE)
    assert (incident.services, incident.env, incident.teams) == (("checkout",), "prod", ("payments",))
    assert incident.responders == ("dana@acme.example",)
    assert read({"datadog": {"alert_id": "5", "title": "x", "service": "$TAGS[service]"}}).services == ()


def test_the_tags_of_a_report_say_where_it_happens() -> None:
    incident = read({"title": "x", "tags": ["team:payments", "env:prod", "tier:gold", "host:db-1"]}, TABLE)
    assert (incident.teams, incident.hosts, incident.responders) == (
        ("payments",),
        ("db-1",),
        ("dana@acme.example",),
    )
    keys = {read({"title": "x", "tags": tags}).key for tags in ("env:prod", "env:dev", "host:a", "host:b")}
    assert len(keys) == 4


def test_the_group_of_a_monitor_decides_as_its_tags_do() -> None:
    table = """
        rules:
          - {name: customers, match: {tag: "data:customer"}, private: true}
          - {name: eu, match: {env: eu}, responders: [eu@acme.example]}
    """
    incident = read({"datadog": dd(tags="env:prod", alert={"scope": "data:customer,env:eu"})}, table)
    assert incident.route.private
    assert incident.responders == ("eu@acme.example",)


ADDED = {"private": True, "users": ["dana@acme.example"]}


@pytest.mark.parametrize(
    "conf",
    [
        {"datadog": {**dd(), **ADDED}}, {**dd(), **ADDED}, {"datadog": {"datadog": dd(), **ADDED}},
        {"conf": {"datadog": dd(), **ADDED}}, {"detail-type": "x", "detail": dd(), **ADDED},
        {"specversion": "1.0", "data": {**dd(), **ADDED}}, {"datadog": {"payload": dd(), "x": 1}, **ADDED},
    ],
)  # fmt: skip
def test_a_payload_in_an_envelope_keeps_what_adds_to_it(conf: dict[str, Any]) -> None:
    incident = read(conf)
    assert (incident.source, incident.title) == ("datadog_alert", "Checkout is slow")
    assert (incident.route.private, incident.responders) == (True, ("dana@acme.example",))


def test_a_security_signal_is_an_alert() -> None:
    signal = {
        "SECURITY_SIGNAL_ID": "A1",
        "SECURITY_SIGNAL_TITLE": "Brute force",
        "SECURITY_SIGNAL_SEVERITY": "high",
    }
    for conf in ({"datadog": signal}, signal):
        incident = read(conf)
        assert (incident.title, incident.severity, incident.source) == ("Brute force", "high", "datadog_alert")


def test_alerts_without_a_title_are_not_one() -> None:
    groups = {
        read_notification({"datadog": {"id": name}}, received_at=NOW, routing=RoutingTable()).group
        for name in ("a", "b")
    }
    assert len(groups) == 2


@pytest.mark.parametrize(
    ("stated", "severity"),
    [({"priority": "1"}, "critical"), ({"priority": "critical"}, "critical"), ({"priority": "normal"}, "high")],
)
def test_a_priority_without_its_letter_is_read(stated: dict[str, str], severity: str) -> None:
    assert read({"datadog": {"alert_id": "5", "title": "x", **stated}}).severity == severity


def test_the_braces_around_a_scope_are_no_part_of_it() -> None:
    one, other = (read({"datadog": dd(alert={"scope": scope})}) for scope in ("{host:a,env:b}", "env:b,host:a"))
    assert one.key == other.key
