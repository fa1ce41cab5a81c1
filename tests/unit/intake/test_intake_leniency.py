"""No alert is lost to an unrelated value, every received tag decides, and what differs is never joined."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_incident_provider.exceptions import InvalidPayloadError, NotAnIncidentError, RoutingTableError
from airflow_incident_provider.intake import RoutingTable, load_routing_table, read_incident
from airflow_incident_provider.intake.conf import read_notification
from airflow_incident_provider.models import Incident

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
TABLE = """
rules:
  - {name: payments, match: {team: payments, env: prod, tag: "tier:gold"}, responders: [dana@acme.example]}
"""


def dd(**changes: Any) -> dict[str, Any]:
    alert = {
        "id": "123", "cycle_key": "c1", "title": "[Triggered] Checkout is slow", "transition": "Triggered",
        "type": "error", "priority": "P1", "scope": "host:a",
    }  # fmt: skip
    alert |= changes.pop("alert", {})
    return {
        "id": "e1", "title": "[Triggered] Checkout is slow", "tags": "service:checkout,env:prod",
        "date": str(int(NOW.timestamp() * 1000)), "alert": alert, **changes,
    }  # fmt: skip


def read(conf: dict[str, Any], table: str = "", at: datetime = NOW) -> Incident:
    return read_incident(conf, received_at=at, routing=load_routing_table(table))


# --- one value in many shapes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "severity"),
    [
        ("P1 (urgent)", "critical"), ("5 - Disaster", "critical"), ("2 - Warning", "medium"),
        ("Priority: 2", "high"), ("CRÍTICO", "critical"), ("\uff30\uff11", "critical"), (["low"], "low"),
        ({"name": "P3"}, "medium"), ("P1/P4", "high"), ("not critical", "high"), ("very low", "high"),
    ],
)  # fmt: skip
def test_a_severity_is_read_from_what_is_certain_in_it(value: Any, severity: str) -> None:
    incident = read({"title": "x", "severity": value})
    assert incident.severity == severity
    is_certain = severity != "high" or value == "Priority: 2"
    assert bool(incident.flags) is not is_certain


@pytest.mark.parametrize(
    "value",
    [
        "(null)",
        "<none>",
        "N/A",
        "--",
        "'null'",
        "[]",
        "${ID}",
        "%ALERT_ID%",
        "#{id}",
        "__ALERT_ID__",
        "[Object object]",
    ],
)
def test_nothing_in_any_spelling_is_not_given(value: str) -> None:
    datadog = dd(title=value, alert={"id": value, "cycle_key": value, "title": value, "transition": value})
    incident = read({"datadog": datadog, "users": value})
    assert (incident.key.count("."), incident.transition, incident.responders) == (2, None, ())
    report = read({"title": value, "description": "Checkout fails", "id": value, "services": value, "env": value})
    assert (report.title, report.services, report.env) == ("Checkout fails", (), None)


def test_a_value_in_a_list_or_an_object_is_the_value() -> None:
    report = {
        "title": ["Checkout fails"], "id": {"value": "T-1"}, "services": {"name": "checkout"}, "env": ["prod"],
        "users": [{"email": "dana@acme.example", "name": "Dana"}], "targets": [{"url": "https://a.example"}],
        "private": ["true"], "started_at": ["2026-11-23T09:00:00Z"], "severity": "low",
        "tags": [{"key": "team", "value": "payments"}, {"tier": ["gold", "eu"]}],
    }  # fmt: skip
    incident = read(report)
    assert (incident.key, incident.services, incident.env) == ("man.T-1", ("checkout",), "prod")
    assert (incident.responders, incident.route.private) == (("dana@acme.example",), True)
    assert incident.tags == ("team:payments", "tier:gold", "tier:eu")
    assert [str(target) for target in incident.targets] == ["https://a.example"]
    assert incident.flags == ()
    recovered = dd(alert={"transition": ["Recovered"], "type": None}, title="x")
    with pytest.raises(NotAnIncidentError):
        read({"datadog": recovered})


@pytest.mark.parametrize(
    ("text", "hour"),
    [("Nov 22, 2026 10:00 PM", 22), ("Nov 22, 2026 10:00 am", 10), ("9:00pm", 21), ("12:00 a.m.", 0), ("9 pm", 21)],
)
def test_a_time_of_twelve_hours_is_not_half_a_day_off(text: str, hour: int) -> None:
    assert read({"title": "x", "started_at": text}).occurred_at.hour == hour


@pytest.mark.parametrize("services", ["checkout, cart", ["checkout, cart"], "checkout;cart", "- checkout\n- cart"])
def test_a_list_is_split_wherever_it_is_written(services: Any) -> None:
    assert read({"title": "x", "services": services}).services == ("checkout", "cart")


@pytest.mark.parametrize("tags", ["team:payments env:prod", "team:payments, env:prod", ["team:payments;env:prod"]])
def test_tags_of_a_report_are_split_as_those_of_an_alert(tags: Any) -> None:
    assert read({"title": "x", "tags": tags}).tags == ("team:payments", "env:prod")


@pytest.mark.parametrize(
    "state",
    [
        {"status": "Resolved (auto)"}, {"status": "auto-closed"}, {"state": "OK"}, {"resolved": True},
        {"alert_status": "recovered"}, {"event_type": "RECOVERY"}, {"title": "[RESOLVED] x"},
        {"title": "[OK:2] x"}, {"title": "Resolved in 3m 2s: x"}, {"status": {"name": "closed"}},
    ],
)  # fmt: skip
def test_an_end_by_any_name_opens_nothing(state: dict[str, Any]) -> None:
    with pytest.raises(NotAnIncidentError):
        read({"title": "x", **state})


@pytest.mark.parametrize(
    "state",
    [
        {"status": "not resolved"}, {"status": "no longer ok"}, {"status": "partially fixed"}, {"resolved": False},
        {"action": "restart"}, {"event": "deploy done yet?"}, {"title": "Resolved tickets pile up"},
    ],
)  # fmt: skip
def test_what_only_sounds_like_an_end_opens(state: dict[str, Any]) -> None:
    assert read({"title": "x", **state}).title


def test_an_id_is_enough_to_name_a_report() -> None:
    incident = read({"id": "T-1", "title": None, "severity": "low"})
    assert (incident.title, incident.flags[0].field) == ("Report T-1", "title")


@pytest.mark.parametrize(
    "more",
    [
        {"responders": ["dana@acme.example"]}, {"details": {"a": 1}, "hosts": ["a"]}, {"entity": "db", "env": "x"},
    ],
)  # fmt: skip
def test_a_report_is_not_taken_for_an_alert_of_another_system(more: dict[str, Any]) -> None:
    incident = read({"message": "Disk is full", "severity": "critical", **more})
    assert (incident.source, incident.severity) == ("manual", "critical")
    assert incident.responders == tuple(more.get("responders", ()))


@pytest.mark.parametrize("scope", [["host:a", "env:b"], {"host": "a", "env": "b"}, " env:b , host:a "])
def test_a_scope_tells_groups_apart_in_every_form(scope: Any) -> None:
    same, other = (read({"datadog": dd(alert={"scope": each})}) for each in ("host:a,env:b", "host:c,env:b"))
    assert read({"datadog": dd(alert={"scope": scope})}).key == same.key != other.key


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


# --- unrelated values -------------------------------------------------------------------------------

ODD: list[Any] = [False, True, [], {}, ["web-1"], {"a": [1]}, 10**500, -1.5, "\x00", "x" * 100_000, None]
TOP = [
    "hostname",
    "snapshot",
    "text",
    "body",
    "last_updated",
    "tags",
    "link",
    "event_type",
    "logs_sample",
    "synthetics",
]
ALERT = ["query", "metric", "status", "scope", "priority", "type"]


@pytest.mark.parametrize("odd", ODD, ids=lambda value: repr(value)[:20])
def test_no_unrelated_value_refuses_an_alert(odd: Any) -> None:
    for name in TOP:
        assert read({"datadog": dd(**{name: odd})}).title == "Checkout is slow"
    for name in ALERT:
        assert read({"datadog": dd(alert={name: odd})}).title == "Checkout is slow"
    for name in ("incident", "org", "whatever"):
        assert read({"datadog": dd(**{name: odd})}).title == "Checkout is slow"
    for name in ("users", "targets", "links", "private", "severity", "title"):
        assert read({"datadog": dd(), name: odd}).title == "Checkout is slow"


@pytest.mark.parametrize("odd", ODD, ids=lambda value: repr(value)[:20])
def test_no_value_but_the_title_refuses_a_report(odd: Any) -> None:
    fields = [
        "id", "severity", "description", "env", "users", "services", "hosts", "teams", "tags", "links", "targets",
        "private", "started_at",
    ]  # fmt: skip
    for name in fields:
        assert read({"title": "Checkout is down", name: odd}).title == "Checkout is down"


def test_everything_that_was_left_out_of_a_report_is_listed() -> None:
    incident = read(
        {
            "title": "Orders cannot be written",
            "severity": "purple",
            "targets": "not a url !!\nftp://x/y\nhttps://orders.acme.example/healthz",
            "links": ["javascript:alert(1)", "https://wiki.acme.example"],
            "started_at": "whenever",
            "private": "perhaps",
        }
    )
    assert [str(target) for target in incident.targets] == ["https://orders.acme.example/healthz"]
    assert incident.route.private
    assert [flag.field for flag in incident.flags] == [
        "severity", "started_at", "private", "targets", "targets", "severity", "links",
    ]  # fmt: skip


# --- payloads of other people -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "unset", ["", "null", "Null", "NULL", "None", "undefined", "$ALERT_TRANSITION", "{{x}}", None]
)
def test_an_unset_transition_leaves_title_and_type_to_tell(unset: Any) -> None:
    title = "[P2] [Recovered] Nightly export"
    payload = dd(title=title, alert={"title": title, "transition": unset, "type": "success"})
    assert read_notification({"datadog": payload}, received_at=NOW, routing=RoutingTable()).incident.transition
    with pytest.raises(NotAnIncidentError):
        read({"datadog": payload})


@pytest.mark.parametrize(
    ("title", "recovers", "scope"),
    [
        ("[No Data Recovered on {host:a}] CPU", True, "host:a"),
        ("[Recovered] [No Data] CPU", True, None),
        ("[Triggered on {host:a}] [Recovered] jobs pile up", False, "host:a"),
        ("[P1] [Triggered] [P2] x", False, None),
        ("[Anything Recovered] x", True, None),
    ],
)
def test_the_first_transition_of_a_title_counts(title: str, recovers: bool, scope: str | None) -> None:
    conf = {"id": "1", "event_type": "query_alert_monitor", "title": title, "body": "", "date": "1795430100000"}
    notification = read_notification({"datadog": conf}, received_at=NOW, routing=RoutingTable())
    assert notification.incident.scope == scope
    if recovers:
        with pytest.raises(NotAnIncidentError):
            read({"datadog": conf})
    else:
        assert read({"datadog": conf}).transition == "Triggered"


@pytest.mark.parametrize("transition", ["Unresolved", "key: [unclosed", "Escalated", "Not closed", "Not recovered"])
def test_what_only_sounds_like_an_end_fires(transition: str) -> None:
    assert read({"datadog": dd(alert={"transition": transition})}).transition == transition


def test_a_quoted_monitor_link_decides_nothing() -> None:
    footer = "[[Monitor Status](https://app.datadoghq.com/monitors/123?group=host%3Aa)]"
    body = f"log: [Monitor Status](https://evil.example/monitors/666?group=x%3Ay)\n\n{footer}"
    default = {"id": "1", "event_type": "log_alert", "title": "[Triggered] x", "date": "1795430100000"}
    incident = read({"datadog": {**default, "body": body}})
    assert (incident.monitor_ids, incident.scope) == (("123",), "host:a")
    assert not any("evil" in link.url for link in incident.links if link.kind == "monitor")
    assert (
        read({"datadog": {**default, "body": "[Monitor Status](https://evil.example/monitors/6)"}}).monitor_ids
        == ()
    )
    groups = [
        read_notification(
            {"datadog": dd(body=text, alert={"scope": ""})}, received_at=NOW, routing=RoutingTable()
        ).group
        for text in (body, footer, "")
    ]
    assert len(set(groups)) == 1


def test_a_stable_datadog_incident_opens_no_room_and_is_no_recovery() -> None:
    payload = {"id": "1", "title": "x", "incident": {"public_id": "118", "title": "x", "status": "stable"}}
    with pytest.raises(NotAnIncidentError, match="stable"):
        read({"datadog": payload})


def test_no_data_has_no_threshold_and_a_repetition_says_that_it_began_before() -> None:
    query = "avg(last_5m):avg:x{*} > 0.02"
    (measured,) = read({"datadog": dd(alert={"transition": "No Data", "metric": "x", "query": query})}).metrics
    assert (measured.value, measured.threshold) == ("no data", None)
    (flag,) = read({"datadog": dd(alert={"transition": "Re-Triggered"})}).flags
    assert "began before" in flag.note


def test_a_synthetic_test_brings_its_step_its_url_and_a_target() -> None:
    summary = {
        "test_name": "Checkout", "request_url": "https://shop.acme.example/pay", "location": "Frankfurt (AWS)",
        "failing_steps": [{"number": "3", "name": "Press pay", "error_message": "Element is missing"}],
        "result_url": "https://app.datadoghq.com/synthetics/details/a",
    }  # fmt: skip
    for synthetics in ({"summary": [summary]}, summary, [summary], json.dumps(summary)):
        incident = read({"datadog": dd(synthetics=synthetics)})
        assert "Failing step: 3 Press pay Element is missing" in (incident.description or "")
        assert [str(target) for target in incident.targets] == ["https://shop.acme.example/pay"]
        assert not incident.targets[0].trusted
        assert "Test result" in [link.label for link in incident.links]


def test_a_log_sample_is_shown() -> None:
    sample = {"columns": ["time"], "rows": [{"items": ["10:35"], "message": "timed out password=hunter2"}] * 9}
    text = read({"datadog": dd(logs_sample=[sample])}).description or ""
    assert "10:35 timed out password=[redacted]" in text
    assert "and 4 more" in text


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


# --- times ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "minutes"),
    [
        ("2026-11-23 09:45", -15), ("2026-11-23T09:45:00Z", -15), ("2026-11-23 10:45:00 +01:00", -15),
        ("Mon, 23 Nov 2026 09:45:00 +0000", -15), ("09:45", -15), ("9:45 UTC", -15), ("15 min ago", -15),
        (1795427100, -15), ("1795427100000", -15), ("1795427100000000", -15), (1795427100.0, -15),
        ("now", 0), ("10:30", 30 - 24 * 60), ("2026-11-23T10:05:00Z", 0),
    ],
)  # fmt: skip
def test_times_as_people_write_them(stated: Any, minutes: int) -> None:
    assert read({"title": "x", "started_at": stated}).occurred_at == NOW + timedelta(minutes=minutes)


def test_a_clock_that_runs_ahead_makes_no_event_of_the_future() -> None:
    ahead = str(int((NOW + timedelta(hours=2)).timestamp() * 1000))
    incident = read({"datadog": dd(date=ahead)})
    assert incident.occurred_at == incident.notified_at == NOW
    assert "ahead of our clock" in incident.flags[0].note


# --- routing table ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            "rules:\n- {name: a, match: {team: x}}\nrules:\n- {name: b, match: {team: y}}\n",
            "line 3.*first in line 1",
        ),
        (
            "rules:\n- name: a\n  match: {team: x}\n  responders: [a]\n  responders: [b]\n",
            "line 5.*first in line 4",
        ),
        ("rules:", "rules: nothing is given; leave the line out"),
        ("defaults:", "defaults: nothing is given; leave the line out"),
        ("reminders:\nrules: [{name: a, match: {env: prod}}]", "reminders: nothing is given; leave the line out"),
        ("rules: [{name: a, match: }]", r"rules\[0\].match: nothing is given"),
        ("rules: [{name: a, match: {env: }}]", r"rules\[0\].match.env: nothing is given"),
        ("rules: [{name: a, match: {tag: []}}]", r"rules\[0\].match.tag: nothing is given"),
        ("rules: [{name: a, match: {severity: }}]", r"rules\[0\].match.severity"),
        ("rules: [{name: a, match: {env: prod}, responders: }]", r"rules\[0\].responders: nothing is given"),
        ("severity: {rules: [{name: staging, match: {env: }, severity: low}]}", r"severity.rules\[0\].match.env"),
        ("rules: [{name: a, match: {service: '^pay.*$'}}]", "regular expression"),
        ("rules: [{name: a, match: {service: 'pay|search'}}]", "regular expression"),
        ("rules: [{name: a, match: {env: '!prod'}}]", "regular expression"),
        ("defaults: {responders: ['@pay-*']}", "pattern, which has no meaning here"),
        (
            "runbooks: {rb: 'https://w.example/{value}', RB: 'https://x.example/{value}'}",
            "runbooks.rb and runbooks.RB",
        ),
        ("correlation: {rules: [{name: a, by: env}, {name: A, by: service}]}", r"rules\[0\] and rules\[1\]"),
    ],
)
def test_a_table_that_says_something_twice_or_nothing_is_refused(table: str, words: str) -> None:
    with pytest.raises(RoutingTableError, match=words):
        load_routing_table(table)


def test_patterns_are_understood_in_every_criterion() -> None:
    table = """
        rules:
          - {name: one, match: {service: "payments-*", env: "prod*"}, responders: ["@payments-oncall"]}
          - {name: two, match: {tag: "team:pay*"}, responders: [dana@acme.example]}
          - {name: three, match: {team: "p?yments", host: "db-[1]"}, responders: [sam@acme.example]}
    """
    incident = read(
        {"datadog": dd(tags="env:prod-eu,service:payments-api,team:payments", hostname="db-[1]")}, table
    )
    assert incident.route.matched == ("one", "two", "three")


def test_privacy_that_any_rule_asks_for_holds() -> None:
    rules = "{{name: a, match: {{}}, private: {}}}, {{name: b, match: {{tag: 'data:customer'}}, private: {}}}"
    for first, second in ((False, True), (True, False)):
        table = f"rules: [{rules.format(str(first).lower(), str(second).lower())}]"
        assert read({"title": "x", "tags": "data:customer"}, table).route.private


# --- secrets ----------------------------------------------------------------------------------------


def test_no_secret_of_an_alert_is_in_its_incident() -> None:
    text = (
        "could not connect to postgres://orders:Tr0ub4dor-and-3@orders-db.acme.example:5432/orders\n"
        "Authorization: Bearer abcdefghijklmnopqrstuvwxyz012345\napi_key=0123456789abcdef0123456789abcdef"
    )
    payload = dd(
        text=text,
        hostname="admin:hunter2hunter2@db-1:5432",
        link="https://app.datadoghq.com/event/event?id=1&api_key=0123456789abcdef",
        tags=["env:prod", "password:hunter2hunter2"],
        body="[log](https://logs.acme.example/?token=abcdefabcdef&x=1) https://u:hunter2hunter2@x.example/",
        alert={
            "title": "[Triggered] Orders (password=hunter2hunter2)",
            "query": "x{token:abcdefabcdef} > 1",
            "metric": "x",
        },
    )
    incident = read({"datadog": payload, "targets": ["redis://:hunter2hunter2@cache.acme.example:6379/0"]})
    dumped = incident.model_dump_json()
    for secret in ("Tr0ub4dor", "abcdefghijkl", "0123456789abcdef", "hunter2", "abcdefabcdef"):
        assert secret not in dumped
    assert incident.title == "Orders (password=[redacted])"
    assert [str(target) for target in incident.targets] == ["cache.acme.example:6379"]
    report = read({"title": "x password=hunter2hunter2", "description": text, "id": "token=hunter2hunter2"})
    assert "hunter2" not in report.model_dump_json()


def test_an_error_names_no_secret() -> None:
    with pytest.raises(InvalidPayloadError) as refused:
        read({"title": None, "datadog": "password=hunter2"})
    assert "hunter2" not in str(refused.value)


# --- people -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("users", "queries"),
    [
        ("Whitfield, Dana\nOkafor, Priya", ("Whitfield, Dana", "Okafor, Priya")),
        (
            "dana@acme.example; alice@acme.example @sre-oncall",
            ("dana@acme.example", "alice@acme.example", "@sre-oncall"),
        ),
        (["Dana Reyes <dana@acme.example>", '"Ng, Alice" <alice@acme.example>'], None),
    ],
)
def test_people_as_they_are_written(users: Any, queries: Any) -> None:
    found = read({"title": "x", "users": users}).responders
    if queries is not None:
        assert found == queries
    else:
        assert [address in " ".join(found) for address in ("dana@acme.example", "alice@acme.example")] == [
            True,
            True,
        ]
        assert len(found) == 2


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


# --- mistakes in the routing table ------------------------------------------------------------------


@pytest.mark.parametrize(
    "match",
    [
        {"service": "checkout-.*"}, {"service": ".*"}, {"host": "db-[0-9]"}, {"service": "{a,b}"},
        {"env": "not prod"},
        {"service": "check%"}, {"service": "a, b"}, {"team": "a;b"}, {"tag": "team=a"}, {"tag": "team: a"},
        {"tag": "'team:a'"}, {"service": "service:a"}, {"env": "ENV:prod"}, {"host": "host:a"},
    ],
    ids=str,
)  # fmt: skip
def test_a_criterion_that_could_never_match_is_refused(match: dict[str, str]) -> None:
    with pytest.raises(RoutingTableError, match=next(iter(match))):
        load_routing_table(json.dumps({"rules": [{"name": "x", "match": match}]}))


@pytest.mark.parametrize("name", ["a*", "*.acme.example", "web.*", "checkout?", "Payments (EU)", "a:b", "**"])
def test_a_name_or_a_pattern_is_accepted(name: str) -> None:
    match = {"service": name, "team": name, "host": name}
    assert load_routing_table(json.dumps({"rules": [{"name": "x", "match": match}]})).rules


@pytest.mark.parametrize(
    "responders",
    ["dana@acme.example, sam@acme.example", "dana@acme.example\nsam@acme.example",
     "dana@acme.example sam@acme.example", ["Dana <dana@acme.example>; sam@acme.example"]],
)  # fmt: skip
def test_responders_of_a_rule_are_split_as_those_of_a_report(responders: Any) -> None:
    table = load_routing_table(json.dumps({"defaults": {"responders": responders}}))
    assert table.defaults.responders == ("dana@acme.example", "sam@acme.example")
    assert load_routing_table("defaults: {responders: ['Reyes, Dana']}").defaults.responders == ("Reyes, Dana",)


def test_a_rule_cannot_send_alerts_to_a_dag_that_opens_no_room() -> None:
    with pytest.raises(RoutingTableError, match="opens no room"):
        load_routing_table("defaults: {dag: incident_update}")


@pytest.mark.parametrize("value", ["hunter2xyz", "[redacted]", "%5Bredacted%5D"])
def test_a_target_keeps_no_secret_of_its_query(value: str) -> None:
    incident = read({"title": "x", "targets": [f"https://a.example/health?api_key={value}&deep=1"]})
    assert [str(target) for target in incident.targets] == ["https://a.example/health?deep=1"]


def test_a_commander_in_plain_text_is_invited() -> None:
    incident = {"public_id": "12", "title": "x", "severity": "SEV-1", "status": "active"}
    read_commander = [
        read({"datadog": {"id": "1", "incident": {**incident, "commander": commander}}}).responders
        for commander in ("dana@acme.example", "Dana Reyes", "null", "$INCIDENT_COMMANDER")
    ]
    assert read_commander == [("dana@acme.example",), ("Dana Reyes",), (), ()]


# --- states -----------------------------------------------------------------------------------------

DEFAULT = {"id": "1", "event_type": "query_alert_monitor", "body": "x", "date": "1795430100000"}
ENDS = [
    "Recovered: CPU", "RECOVERED - CPU", "Recovered on host:a - CPU", "[RESOLVED] CPU", "[OK on {host:a}] CPU",
    "[Auto] [Recovered] CPU", "\u2705 [Recovered] CPU", ":white_check_mark: Recovered CPU", "Re: [Recovered] CPU",
    "[Recovered from No Data] CPU", "No Data recovered: CPU", "RECOVERY: CPU", "CPU has recovered", "CPU recovered",
    "[Synthetics] [Recovered] CPU", "Closed: CPU", "CPU is back to normal",
]  # fmt: skip
SOUNDS = [
    "Recovered records pile up", "Not recovered: CPU", "OK rate below 90%", "Closed connections are high",
    "Recovery job failed", "Recovery: replica cannot catch up", "Recovery point objective missed",
    "Messages cannot be recovered", "The pod hasn't recovered", "CPU usage is up", "Up to 30 % of orders fail",
]  # fmt: skip


@pytest.mark.parametrize("title", ENDS)
def test_a_title_that_reports_an_end_opens_nothing_where_nothing_else_tells(title: str) -> None:
    for conf in ({"datadog": {"title": title}}, {"datadog": {**DEFAULT, "title": title}}):
        with pytest.raises(NotAnIncidentError):
            read(conf)
    assert read({"datadog": dd(title=title, alert={"title": title})}).transition == "Triggered"
    assert (
        read({"datadog": {"alert_id": "1", "title": title, "alert_type": "error"}}).severity == "high"
        or "[" in title
    )


@pytest.mark.parametrize("title", SOUNDS)
def test_a_title_that_only_sounds_like_an_end_opens(title: str) -> None:
    assert read({"datadog": {**DEFAULT, "title": title}}).title == title
    assert read({"title": title})


@pytest.mark.parametrize(
    "transition",
    [
        "Recovered (No Data)", "Recovered from Warn", "Alert -> OK", "Warn \u2192 OK", "Auto-resolved",
        "Manually Resolved", "Recovery", "Normal", "Back to normal", "Recovered on {host:a}", "Muted Recovered",
        "cleared", "Closed",
    ],
)  # fmt: skip
def test_an_end_in_other_words_is_a_recovery(transition: str) -> None:
    with pytest.raises(NotAnIncidentError):
        read({"datadog": dd(alert={"transition": transition, "type": None})})


@pytest.mark.parametrize(
    ("transition", "read_as"),
    [
        ("Re-Triggered Warn", "Re-Warn"), ("Re-Triggered No Data", "Re-No Data"), ("Triggered Warn", "Warn"),
        ("Renotify Alert", "Renotify"), ("OK -> Warn", "Warn"), ("OK => Alert", "Triggered"),
    ],
)  # fmt: skip
def test_a_transition_with_its_state_is_understood(transition: str, read_as: str) -> None:
    assert read({"datadog": dd(alert={"transition": transition})}).transition == read_as


@pytest.mark.parametrize("kind", ["ok", "recovery", "SUCCESS "])
def test_a_type_that_reports_an_end_is_a_recovery(kind: str) -> None:
    with pytest.raises(NotAnIncidentError):
        read({"datadog": dd(title="x", alert={"title": "x", "transition": "", "type": kind})})


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
def test_a_report_of_an_end_in_other_words_opens_nothing(state: dict[str, Any]) -> None:
    with pytest.raises(NotAnIncidentError):
        read({"title": "x", **state})


@pytest.mark.parametrize(
    "state",
    [{"status": "resolved?"}, {"status": "to be resolved"}, {"type": "normal"}, {"resolved_at": None},
     {"resolved_at": "0001-01-01T00:00:00Z"}, {"firing": True}, {"resolved": "no"}],
)  # fmt: skip
def test_a_report_that_is_not_certain_of_an_end_opens(state: dict[str, Any]) -> None:
    assert read({"title": "x", **state})


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("FIRING: Disk", "RESOLVED: Disk"), ("PROBLEM: Disk", "RECOVERY: Disk"), ("[DOWN] api", "[UP] api"),
        ("TRIGGERED - Disk", "\u2705 Resolved - Disk"), ("[FIRING:1] Disk", "[RESOLVED:1] Disk"),
    ],
)  # fmt: skip
def test_what_ends_has_the_identity_of_what_began(begin: str, end: str) -> None:
    for conf in ({"title": begin}, {"title": end}), ({"datadog": {"title": begin}}, {"datadog": {"title": end}}):
        first, last = (read_notification(one, received_at=NOW, routing=RoutingTable()) for one in conf)
        assert first.group == last.group
        assert first.recovery_reason is None is not last.recovery_reason


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
