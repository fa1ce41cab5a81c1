"""No alert is lost to an unrelated value, and a value in an unusual shape is understood."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_incident_provider.exceptions import InvalidPayloadError, NotAnIncidentError
from airflow_incident_provider.intake import RoutingTable
from airflow_incident_provider.intake.conf import read_notification

from .lenient import NOW, dd, read

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
