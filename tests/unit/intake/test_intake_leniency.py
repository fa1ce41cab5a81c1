"""Unusual value formats are parsed, and an invalid field never rejects the alert."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_incident_provider.exceptions import InvalidPayloadError, NotAnIncidentError
from airflow_incident_provider.intake import RoutingTable
from airflow_incident_provider.intake.conf import read_notification, reading_notes

from .datadog_payloads import NOW, alert_payload, read

# --- value formats -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "severity"),
    [
        ("P1 (urgent)", "critical"), ("5 - Disaster", "critical"), ("2 - Warning", "medium"),
        ("Priority: 2", "high"), ("CRÍTICO", "critical"), ("\uff30\uff11", "critical"), (["low"], "low"),
        ({"name": "P3"}, "medium"), ("P1/P4", "high"), ("not critical", "high"), ("very low", "high"),
    ],
)  # fmt: skip
def test_severity_is_read_from_unambiguous_text(value: Any, severity: str) -> None:
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
def test_null_placeholders_count_as_missing(value: str) -> None:
    datadog = alert_payload(
        title=value, alert={"id": value, "cycle_key": value, "title": value, "transition": value}
    )
    incident = read({"datadog": datadog, "users": value})
    assert (incident.key.count("."), incident.transition, incident.responders) == (2, None, ())
    report = read({"title": value, "description": "Checkout fails", "id": value, "services": value, "env": value})
    assert (report.title, report.services, report.env) == ("Checkout fails", (), None)


def test_nested_values_are_unwrapped() -> None:
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
    recovered = alert_payload(alert={"transition": ["Recovered"], "type": None}, title="x")
    with pytest.raises(NotAnIncidentError):
        read({"datadog": recovered})


@pytest.mark.parametrize(
    ("text", "hour"),
    [("Nov 22, 2026 10:00 PM", 22), ("Nov 22, 2026 10:00 am", 10), ("9:00pm", 21), ("12:00 a.m.", 0), ("9 pm", 21)],
)
def test_twelve_hour_time_is_read(text: str, hour: int) -> None:
    assert read({"title": "x", "started_at": text}).occurred_at.hour == hour


@pytest.mark.parametrize("services", ["checkout, cart", ["checkout, cart"], "checkout;cart", "- checkout\n- cart"])
def test_lists_are_split_at_common_separators(services: Any) -> None:
    assert read({"title": "x", "services": services}).services == ("checkout", "cart")


@pytest.mark.parametrize("tags", ["team:payments env:prod", "team:payments, env:prod", ["team:payments;env:prod"]])
def test_report_tags_are_split(tags: Any) -> None:
    assert read({"title": "x", "tags": tags}).tags == ("team:payments", "env:prod")


@pytest.mark.parametrize(
    "state",
    [
        {"status": "Resolved (auto)"}, {"status": "auto-closed"}, {"state": "OK"}, {"resolved": True},
        {"alert_status": "recovered"}, {"event_type": "RECOVERY"}, {"title": "[RESOLVED] x"},
        {"title": "[OK:2] x"}, {"title": "Resolved in 3m 2s: x"}, {"status": {"name": "closed"}},
    ],
)  # fmt: skip
def test_resolved_report_opens_no_incident(state: dict[str, Any]) -> None:
    with pytest.raises(NotAnIncidentError):
        read({"title": "x", **state})


@pytest.mark.parametrize(
    "state",
    [
        {"status": "not resolved"}, {"status": "no longer ok"}, {"status": "partially fixed"}, {"resolved": False},
        {"action": "restart"}, {"event": "deploy done yet?"}, {"title": "Resolved tickets pile up"},
    ],
)  # fmt: skip
def test_ambiguous_resolution_opens_incident(state: dict[str, Any]) -> None:
    assert read({"title": "x", **state}).title


def test_report_title_falls_back_to_id() -> None:
    incident = read({"id": "T-1", "title": None, "severity": "low"})
    assert (incident.title, incident.flags[0].field) == ("Report T-1", "title")


@pytest.mark.parametrize(
    "more",
    [
        {"responders": ["dana@acme.example"]}, {"details": {"a": 1}, "hosts": ["a"]}, {"entity": "db", "env": "x"},
    ],
)  # fmt: skip
def test_report_is_not_mistaken_for_alert_of_other_system(more: dict[str, Any]) -> None:
    incident = read({"message": "Disk is full", "severity": "critical", **more})
    assert (incident.source, incident.severity) == ("manual", "critical")
    assert incident.responders == tuple(more.get("responders", ()))


@pytest.mark.parametrize("scope", [["host:a", "env:b"], {"host": "a", "env": "b"}, " env:b , host:a "])
def test_scope_formats_are_equivalent(scope: Any) -> None:
    same, other = (
        read({"datadog": alert_payload(alert={"scope": each})}) for each in ("host:a,env:b", "host:c,env:b")
    )
    assert read({"datadog": alert_payload(alert={"scope": scope})}).key == same.key != other.key


# --- invalid values -------------------------------------------------------------------------------

INVALID_VALUES: list[Any] = [False, True, [], {}, ["web-1"], {"a": [1]}, 10**500, -1.5, "\x00", "x" * 100_000, None]
TOP_FIELDS = [
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
ALERT_FIELDS = ["query", "metric", "status", "scope", "priority", "type"]


@pytest.mark.parametrize("value", INVALID_VALUES, ids=lambda value: repr(value)[:20])
def test_invalid_field_does_not_reject_alert(value: Any) -> None:
    for name in TOP_FIELDS:
        assert read({"datadog": alert_payload(**{name: value})}).title == "Checkout is slow"
    for name in ALERT_FIELDS:
        assert read({"datadog": alert_payload(alert={name: value})}).title == "Checkout is slow"
    for name in ("incident", "org", "whatever"):
        assert read({"datadog": alert_payload(**{name: value})}).title == "Checkout is slow"
    for name in ("users", "targets", "links", "private", "severity", "title"):
        assert read({"datadog": alert_payload(), name: value}).title == "Checkout is slow"


@pytest.mark.parametrize("value", INVALID_VALUES, ids=lambda value: repr(value)[:20])
def test_invalid_field_does_not_reject_report(value: Any) -> None:
    fields = [
        "id", "severity", "description", "env", "users", "services", "hosts", "teams", "tags", "links", "targets",
        "private", "started_at",
    ]  # fmt: skip
    for name in fields:
        assert read({"title": "Checkout is down", name: value}).title == "Checkout is down"


def test_ignored_report_values_are_flagged() -> None:
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


# --- customized payloads -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "unset", ["", "null", "Null", "NULL", "None", "undefined", "$ALERT_TRANSITION", "{{x}}", None]
)
def test_unset_transition_falls_back_to_title_and_type(unset: Any) -> None:
    title = "[P2] [Recovered] Nightly export"
    payload = alert_payload(title=title, alert={"title": title, "transition": unset, "type": "success"})
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
def test_first_transition_in_title_wins(title: str, recovers: bool, scope: str | None) -> None:
    conf = {"id": "1", "event_type": "query_alert_monitor", "title": title, "body": "", "date": "1795430100000"}
    notification = read_notification({"datadog": conf}, received_at=NOW, routing=RoutingTable())
    assert notification.incident.scope == scope
    if recovers:
        with pytest.raises(NotAnIncidentError):
            read({"datadog": conf})
    else:
        assert read({"datadog": conf}).transition == "Triggered"


@pytest.mark.parametrize("transition", ["Unresolved", "key: [unclosed", "Escalated", "Not closed", "Not recovered"])
def test_ambiguous_transition_is_kept(transition: str) -> None:
    assert read({"datadog": alert_payload(alert={"transition": transition})}).transition == transition


def test_only_monitor_link_in_footer_identifies_monitor() -> None:
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
            {"datadog": alert_payload(body=text, alert={"scope": ""})}, received_at=NOW, routing=RoutingTable()
        ).group
        for text in (body, footer, "")
    ]
    assert len(set(groups)) == 1


def test_stable_datadog_incident_is_no_incident() -> None:
    payload = {"id": "1", "title": "x", "incident": {"public_id": "118", "title": "x", "status": "stable"}}
    with pytest.raises(NotAnIncidentError, match="stable"):
        read({"datadog": payload})


def test_no_data_has_no_threshold_and_retrigger_is_flagged() -> None:
    query = "avg(last_5m):avg:x{*} > 0.02"
    (measured,) = read(
        {"datadog": alert_payload(alert={"transition": "No Data", "metric": "x", "query": query})}
    ).metrics
    assert (measured.value, measured.threshold) == ("no data", None)
    (flag,) = read({"datadog": alert_payload(alert={"transition": "Re-Triggered"})}).flags
    assert "began before" in flag.note


def test_synthetic_test_adds_failing_step_link_and_target() -> None:
    summary = {
        "test_name": "Checkout", "request_url": "https://shop.acme.example/pay", "location": "Frankfurt (AWS)",
        "failing_steps": [{"number": "3", "name": "Press pay", "error_message": "Element is missing"}],
        "result_url": "https://app.datadoghq.com/synthetics/details/a",
    }  # fmt: skip
    for synthetics in ({"summary": [summary]}, summary, [summary], json.dumps(summary)):
        incident = read({"datadog": alert_payload(synthetics=synthetics)})
        assert "Failing step: 3 Press pay Element is missing" in (incident.description or "")
        assert [str(target) for target in incident.targets] == ["https://shop.acme.example/pay"]
        assert not incident.targets[0].trusted
        assert "Test result" in [link.label for link in incident.links]


def test_log_sample_is_in_description() -> None:
    sample = {"columns": ["time"], "rows": [{"items": ["10:35"], "message": "timed out password=hunter2"}] * 9}
    text = read({"datadog": alert_payload(logs_sample=[sample])}).description or ""
    assert "10:35 timed out password=[redacted]" in text
    assert "and 4 more" in text


# --- times ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("started_at", "minutes"),
    [
        ("2026-11-23 09:45", -15), ("2026-11-23T09:45:00Z", -15), ("2026-11-23 10:45:00 +01:00", -15),
        ("Mon, 23 Nov 2026 09:45:00 +0000", -15), ("09:45", -15), ("9:45 UTC", -15), ("15 min ago", -15),
        (1795427100, -15), ("1795427100000", -15), ("1795427100000000", -15), (1795427100.0, -15),
        ("now", 0), ("10:30", 30 - 24 * 60), ("2026-11-23T10:05:00Z", 0),
    ],
)  # fmt: skip
def test_started_at_formats(started_at: Any, minutes: int) -> None:
    assert read({"title": "x", "started_at": started_at}).occurred_at == NOW + timedelta(minutes=minutes)


def test_future_date_is_clamped_to_arrival() -> None:
    ahead = str(int((NOW + timedelta(hours=2)).timestamp() * 1000))
    incident = read({"datadog": alert_payload(date=ahead)})
    assert incident.occurred_at == incident.notified_at == NOW
    assert "ahead of our clock" in incident.flags[0].note


# --- secrets ----------------------------------------------------------------------------------------


def test_incident_contains_no_secrets() -> None:
    text = (
        "could not connect to postgres://orders:Tr0ub4dor-and-3@orders-db.acme.example:5432/orders\n"
        "Authorization: Bearer abcdefghijklmnopqrstuvwxyz012345\napi_key=0123456789abcdef0123456789abcdef"
    )
    payload = alert_payload(
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


def test_error_contains_no_secrets() -> None:
    with pytest.raises(InvalidPayloadError) as exc_info:
        read({"title": None, "datadog": "password=hunter2"})
    assert "hunter2" not in str(exc_info.value)


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
def test_users_formats(users: Any, queries: Any) -> None:
    found = read({"title": "x", "users": users}).responders
    if queries is not None:
        assert found == queries
    else:
        assert [address in " ".join(found) for address in ("dana@acme.example", "alice@acme.example")] == [
            True,
            True,
        ]
        assert len(found) == 2


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "conf",
    [
        {"incidentId": "7", "alert-name": "Disk full", "startedAt": "2026-11-23T09:00:00Z", "host_name": "db-1"},
        {"Incident Id": "7", "Title": "Disk full", "started-at": "2026-11-23T09:00:00Z", "HostName": "db-1"},
        {"ProblemID": 7, "ProblemTitle": "Disk full", "startsAt": "2026-11-23T09:00:00Z", "HOST": "db-1"},
    ],
)
def test_field_names_ignore_case_and_punctuation(conf: dict[str, Any]) -> None:
    incident = read(conf)
    assert (incident.id, incident.title, incident.hosts) == ("7", "Disk full", ("db-1",))
    assert incident.occurred_at == NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    "conf",
    [
        {"Title": "x", "Tags": ["a:b"], "Status": "firing", "services[]": "checkout"},
        {"title": "x", "current_state": "DOWN", "alertTypeFriendlyName": "Down", "isFiring": True},
    ],
)
def test_fields_that_were_read_are_not_called_ignored(conf: dict[str, Any]) -> None:
    assert [note for note in reading_notes(conf, read(conf)) if "ignored" in note] == []


@pytest.mark.parametrize("name", ["incident", "issue", "problem", "alert_group"])
def test_alert_of_another_system_in_an_envelope_keeps_its_identity(name: str) -> None:
    first, second, end = (
        read_notification({name: incident}, received_at=NOW, routing=RoutingTable())
        for incident in (
            {"id": 7, "title": "Checkout is down", "status": "investigating", "severity": "critical"},
            {"id": 8, "title": "Checkout is down", "status": "investigating"},
            {"id": 7, "name": "Checkout is down", "status": {"name": "Resolved"}},
        )
    )
    assert first.incident.severity == "critical"
    assert first.group != second.group
    assert (end.group, end.recovery_reason is None) == (first.group, False)


def test_fields_in_sections_of_a_datadog_template_are_read() -> None:
    payload = {
        "event": {"id": "1", "title": "CPU", "hostname": "db-1", "date": "1795428000"},
        "monitor": {"id": "3", "name": "CPU", "status": "Alert", "service": "checkout", "priority": "P1"},
    }
    incident = read({"datadog": payload})
    assert (incident.transition, incident.severity) == ("Triggered", "critical")
    assert (incident.services, incident.hosts) == (("checkout",), ("db-1",))
    with pytest.raises(NotAnIncidentError):
        read({"datadog": {**payload, "monitor": {**payload["monitor"], "status": "OK"}}})


# --- tags that decide who comes ---------------------------------------------------------------------

DECIDING = "rules: [{name: a, match: {tag: 'team:S\u00e9curit\u00e9'}, private: true}]"


@pytest.mark.parametrize(
    "tags",
    [
        "team:Se\u0301curite\u0301",
        "team\uff1as\u00e9curit\u00e9",
        'team="s\u00e9curit\u00e9"',
        "team:'s\u00e9curit\u00e9'",
        '{env="prod", team="s\u00e9curit\u00e9"}',
        '{"team": "s\u00e9curit\u00e9"}',
        {"team": {"name": "s\u00e9curit\u00e9"}},
    ],
)
def test_tag_decides_however_it_is_written(tags: Any) -> None:
    assert read({"title": "x", "tags": tags}, DECIDING).route.private
    assert read({"datadog": alert_payload(tags=tags)}, DECIDING).route.private


@pytest.mark.parametrize("env", [["prod", "pci"], "prod, pci", {"name": "pci"}])
def test_every_env_of_a_report_decides(env: Any) -> None:
    assert read({"title": "x", "env": env}, "rules: [{name: a, match: {env: pci}, private: true}]").route.private


# --- times with their zone --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "started_at",
    [
        "2026-11-23 10:30:00 CET",
        "Mon, 23 Nov 2026 10:30:00 CET",
        "Mon Nov 23 10:30:00 CET 2026",
        "2026-11-23 09:30:00 +0000 UTC",
        "2026-11-23 09:30:00.5 +0000 UTC m=+0.25",
        "2026-11-23T09:30:00Z[UTC]",
        "Mon Nov 23 2026 10:30:00 GMT+0100 (Central European Standard Time)",
        "Mon, 23 Nov 2026 09:30:00 GMT",
        "2026-11-23 04:30 AM EST",
    ],
)
def test_time_is_read_in_its_zone(started_at: str) -> None:
    incident = read({"title": "x", "started_at": started_at})
    assert incident.occurred_at.replace(microsecond=0) == NOW - timedelta(minutes=30)


@pytest.mark.parametrize("started_at", ["2026-11-23", "23.11.2026", "2026-W48-1", "2026-11-23 09:30 IST"])
def test_time_that_would_be_a_guess_is_left_out(started_at: str) -> None:
    incident = read({"title": "x", "started_at": started_at})
    assert incident.occurred_at == NOW
    assert any(flag.field == "started_at" for flag in incident.flags)
