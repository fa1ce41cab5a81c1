"""Observed and documented formats of Datadog's variables."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_incident_provider.exceptions import InvalidPayloadError, NotAnIncidentError
from airflow_incident_provider.intake.datadog.text import read_title
from airflow_incident_provider.intake.times import read_time
from airflow_incident_provider.intake.values import read_severity
from airflow_incident_provider.models import Incident

Read = Callable[..., Incident]
Make = Callable[..., dict[str, Any]]

UNSET = ["", "  ", "null", None, "$ALERT_PRIORITY", "$TAGS[service]"]


def flagged(incident: Incident, field: str) -> bool:
    return any(flag.field == field for flag in incident.flags)


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("P1", "critical"), ("p1", "critical"), (" P 2 ", "high"), ("P3", "medium"), ("P4", "low"), ("P5", "low"),
        ("SEV-0", "critical"), ("SEV-1", "critical"), ("sev 1", "critical"), ("SEV2", "high"), ("Sev_3", "medium"),
        ("SEV-4", "low"), ("sev-5", "low"), ("severity 2", "high"), ("Critical", "critical"), ("HIGH", "high"),
        ("medium ", "medium"), ("low", "low"), ("major", "high"), ("minor", "low"), (1, "critical"), (2, "high"),
        (5, "low"), (0, "critical"), ("1", "critical"),
        ("catastrophic", None), ("P9", None), ("", None), (6, None), (True, None), (None, None), (1.5, None),
        ("p11", None), ("UNKNOWN", None), ([], None),
    ],
)  # fmt: skip
def test_severity_formats(text: str, severity: Any) -> None:
    assert read_severity(text) == severity


@pytest.mark.parametrize(
    ("sent", "severity", "is_flagged"),
    [
        ({"priority": "P4", "type": "error"}, "low", False),
        ({"priority": "", "type": "error"}, "high", False),
        ({"priority": "null", "type": "warning"}, "medium", False),
        ({"priority": "", "type": "info"}, "high", True),
        ({"priority": "P9", "type": "warning"}, "high", True),
        ({"priority": None, "type": None}, "high", True),
    ],
)
def test_alert_severity_from_priority_and_type(
    sent: dict[str, Any], severity: str, is_flagged: bool, alert: Make, read: Read
) -> None:
    incident = read(alert(title="Checkout", transition="Triggered", **sent))
    assert (incident.severity, flagged(incident, "alert.priority")) == (severity, is_flagged)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Triggered", "Triggered"), ("Re-Triggered", "Re-Triggered"), ("retriggered", "Re-Triggered"),
        ("Warn", "Warn"), ("Re-Warn", "Re-Warn"), ("No Data", "No Data"), ("no data", "No Data"),
        ("Re-No Data", "Re-No Data"), ("Renotify", "Renotify"), ("RENOTIFY", "Renotify"),
    ],
)  # fmt: skip
def test_known_transitions(text: str, expected: Any, alert: Make, read: Read) -> None:
    incident = read(alert(transition=text))
    assert incident.transition == expected
    assert not flagged(incident, "alert.transition")


@pytest.mark.parametrize("unset", UNSET)
def test_unset_transition_is_read_from_title(unset: Any, alert: Make, read: Read) -> None:
    title = "[P2] [Re-Triggered on {env:prod}] Disk"
    assert read(alert(transition=unset, title=title)).transition == "Re-Triggered"


def test_unknown_transition_is_kept_and_flagged(alert: Make, read: Read) -> None:
    incident = read(alert(transition="Escalated"))
    assert incident.transition == "Escalated"
    assert flagged(incident, "alert.transition")


@pytest.mark.parametrize(
    "variables",
    [
        {"transition": "Recovered"},
        {"transition": "recovered "},
        {"transition": "Warn Recovered"},
        {"transition": "No Data Recovered"},
        {"transition": "", "title": "[Recovered on {host:a}] Disk"},
        {"transition": "", "title": "Disk", "type": "success"},
    ],
)
def test_recovery_opens_no_incident(variables: dict[str, Any], alert: Make, read: Read) -> None:
    with pytest.raises(NotAnIncidentError, match="recovered"):
        read(alert(**variables))


@pytest.mark.parametrize(
    ("text", "name", "priority", "transition", "scope"),
    [
        ("[P1] [Triggered] x", "x", "P1", "Triggered", None),
        ("[P2] [Triggered on {g:v}] x", "x", "P2", "Triggered", "g:v"),
        ("[Recovered on {..}] x", "x", None, "Recovered", ".."),
        ("[Triggered] [P3] x", "x", "P3", "Triggered", None),
        ("[Re-No Data on {host:a[1],b:}}] x", "x", None, "Re-No Data", "host:a[1],b:}"),
        ("[payments] [P1] x", "[payments] [P1] x", None, None, None),
        ("[P1] [payments] x", "[payments] x", "P1", None, None),
        ("[P1] [Warn on {a:b}]", "", "P1", "Warn", "a:b"),
        ("[No data on {a:b}] [x]", "[x]", None, "No Data", "a:b"),
        ("plain", "plain", None, None, None),
    ],
)
def test_title_prefixes(text: str, name: str, priority: Any, transition: Any, scope: Any) -> None:
    title = read_title(text)
    assert (title.name, title.priority, title.transition, title.scope) == (name, priority, transition, scope)


def test_test_notification_is_marked(alert: Make, read: Read) -> None:
    incident = read(alert(title="[TEST] [P1] [Triggered on {a:b}] Disk"))
    assert incident.title == "[TEST] Disk"
    assert flagged(incident, "title")


@pytest.mark.parametrize("unset", UNSET)
def test_unset_variables_are_absent(unset: Any, alert: Make, read: Read) -> None:
    sent = alert(
        {"hostname": unset, "snapshot": unset, "tags": unset, "text": unset, "body": unset, "link": unset},
        metric=unset, query=unset, scope=unset, status=unset, title="Disk",
    )  # fmt: skip
    incident = read(sent)
    assert incident.hosts == incident.tags == incident.metrics == incident.links == ()
    assert incident.scope is incident.snapshot_url is incident.description is None
    assert incident.flags == ()


@pytest.mark.parametrize("unset", UNSET)
def test_unset_incident_variables_are_ignored(unset: Any, alert: Make, read: Read) -> None:
    sent = alert()
    sent["datadog"]["incident"] = {"public_id": unset, "uuid": unset, "message": "not empty", "commander": unset}
    assert read(sent).source == "datadog_alert"
    sent["datadog"]["incident"] = unset
    assert read(sent).source == "datadog_alert"


@pytest.mark.parametrize(
    "tags",
    [
        "monitor,service:x,env:prod",
        "monitor, service:x, env:prod",
        "service:x,env:prod",
        ["service:x", "env:prod"],
        " env:prod ,,service:x, SERVICE:x",
    ],
)
def test_tag_formats(tags: Any, alert: Make, read: Read) -> None:
    incident = read(alert({"tags": tags, "body": ""}, scope="", title="Disk"))
    assert incident.services == ("x",)
    assert incident.env == "prod"


def test_hosts_come_from_hostname_tags_and_scope(alert: Make, read: Read) -> None:
    sent = alert({"hostname": "web-1", "tags": "host:web-2,host:web-1"}, scope="host:web-3,env:prod")
    assert read(sent).hosts == ("web-1", "web-2", "web-3")


def test_more_than_one_env_is_flagged(alert: Make, read: Read) -> None:
    incident = read(alert({"tags": "env:staging"}, scope="env:prod"))
    assert incident.env == "staging"
    assert flagged(incident, "tags")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1795430100000", datetime(2026, 11, 23, 10, 35, tzinfo=UTC)),
        (1795430100000, datetime(2026, 11, 23, 10, 35, tzinfo=UTC)),
        ("1795430100", datetime(2026, 11, 23, 10, 35, tzinfo=UTC)),
        ("2026-11-23T10:35:00Z", datetime(2026, 11, 23, 10, 35, tzinfo=UTC)),
        ("2026-11-23T11:35:00+01:00", datetime(2026, 11, 23, 10, 35, tzinfo=UTC)),
        ("2026-11-23T10:35:00", datetime(2026, 11, 23, 10, 35)),  # noqa: DTZ001 - a time without a zone is the case
        ("yesterday", None), ("", None), (None, None), (True, None), (10**400, None), (float("nan"), None),
        ("9" * 20, None), ("²", None), ([], None),
    ],
)  # fmt: skip
def test_time_formats(text: str, expected: Any) -> None:
    assert read_time(text) == expected


@pytest.mark.parametrize("date", ["yesterday", "1", "4102444800000", "", "$DATE"])
def test_implausible_time_falls_back_to_arrival(date: Any, alert: Make, read: Read, received_at: datetime) -> None:
    incident = read(alert({"date": date, "last_updated": ""}))
    assert incident.occurred_at == received_at
    assert flagged(incident, "date")


def test_time_without_zone_is_utc_and_flagged(alert: Make, read: Read) -> None:
    incident = read(alert({"date": "2026-11-23T10:35:00"}))
    assert incident.occurred_at == datetime(2026, 11, 23, 10, 35, tzinfo=UTC)
    assert flagged(incident, "date")


@pytest.mark.parametrize(
    ("status", "measured"),
    [
        ("m was **> 0.02** on average during the **last 5m** (value 0.081).", ("0.081", ">", "0.02", "5m")),
        ("m was <= -1.5 at least once during the last 15 minutes", (None, "<=", "-1.5", "15 minutes")),
        ("value: 93%, threshold &gt; 90%", ("93%", ">", "90%", "5m")),
        ("no data was received", (None, ">", "0.02", "5m")),
        ("", (None, ">", "0.02", "5m")),
    ],
)
def test_measurement_from_status_and_query(status: str, measured: Any, alert: Make, read: Read) -> None:
    (found,) = read(alert({"text": "", "body": ""}, status=status)).metrics
    assert (found.value, found.comparison, found.threshold, found.window) == measured


def test_links_are_extracted_from_body(alert: Make, read: Read) -> None:
    body = (
        "%%%\nSee [the board](https://app.datadoghq.com/dashboard/abc-def) and [Runbook](https://wiki.example/rb),\n"
        "or https://status.example/page. [x](javascript:alert(1)) [y](http://u:secret@evil.example/)\n"
        "[[Monitor Status](https://app.datadoghq.com/monitors/148275309)] · [[Edit Monitor](https://app.datadoghq.com/monitors/148275309/edit)]\n%%%"
    )
    incident = read(alert({"body": body, "text": ""}))
    assert [(link.kind, link.label, link.url) for link in incident.links] == [
        ("monitor", "Monitor 148275309", "https://app.datadoghq.com/monitors/148275309"),
        ("event", "Event", "https://app.datadoghq.com/event/event?id=7716548234011234567"),
        ("dashboard", "the board", "https://app.datadoghq.com/dashboard/abc-def"),
        ("runbook", "Runbook", "https://wiki.example/rb"),
        ("other", "status.example", "https://status.example/page"),
    ]
    assert "secret" not in incident.model_dump_json(include={"flags"})
    assert "Monitor Status" not in (incident.description or "")


def test_monitor_link_keeps_datadog_site(alert: Make, read: Read) -> None:
    incident = read(alert({"link": "https://acme.datadoghq.eu/event/event?id=1"}))
    assert incident.links[0].url == "https://acme.datadoghq.eu/monitors/148275309"


def test_html_entities_are_unescaped_once(alert: Make, read: Read) -> None:
    assert read(alert({"text": "a &amp;lt; b &#x27;c&#x27;"})).description == "a &lt; b 'c'"


def test_integration_mentions_are_removed_from_description(alert: Make, read: Read) -> None:
    assert read(alert({"text": "down @webhook-x @slack-ops @dana"})).description == "down @dana"


@pytest.mark.parametrize(
    ("commander", "expected"),
    [
        ({"email": "dana@acme.example", "name": "Dana"}, "dana@acme.example"),
        ({"email": "", "handle": "dana", "name": "Dana"}, "dana"),
        ({"email": None, "name": "Dana Reyes"}, "Dana Reyes"),
        (json.dumps({"email": "dana@acme.example"}), "dana@acme.example"),
        ({}, None), (None, None), ("null", None), ("$INCIDENT_COMMANDER", None), ("[]", None), ([], None),
    ],
)  # fmt: skip
def test_commander_formats(commander: Any, expected: Any, datadog_incident: Make, read: Read) -> None:
    assert read(datadog_incident(commander=commander)).commander == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"services": ["checkout"]},
        {"services": "checkout"},
        {"services": {"type": "autocomplete", "value": ["checkout"]}},
        '{"services": ["checkout"]}',
    ],
)
def test_incident_field_formats(fields: Any, datadog_incident: Make, read: Read) -> None:
    assert read(datadog_incident(fields=fields)).services == ("checkout",)


@pytest.mark.parametrize("broken", ["{not json", 7, True, "7"])
def test_invalid_incident_json_is_flagged_and_ignored(broken: Any, datadog_incident: Make, read: Read) -> None:
    incident = read(datadog_incident(fields=broken, integrations=broken, commander=broken))
    assert incident.fields == {}
    assert {flag.field for flag in incident.flags} == {
        "incident.fields", "incident.integrations", "incident.commander",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("integrations", "channel_id"),
    [
        ([{"integration_type": 1, "metadata": {"channels": [{"channel_id": "C0ABC118"}]}}], "C0ABC118"),
        ([{"integration_type": 8, "metadata": {"channels": [{"channel_id": "C0ABC118"}]}}], None),
        ([{"integration_type": 1, "metadata": {"channels": [{"channel_id": "<!channel>"}]}}], None),
        (
            [{"integration_type": 1, "metadata": None}, "x", {"integration_type": 1, "metadata": {"channels": 3}}],
            None,
        ),
        ([], None),
    ],
)
def test_slack_channel_of_datadog_incident(
    integrations: Any, channel_id: Any, datadog_incident: Make, read: Read
) -> None:
    assert read(datadog_incident(integrations=integrations)).slack_channel_id == channel_id


def test_datadog_incident_without_number_uses_uuid(datadog_incident: Make, read: Read) -> None:
    incident = read(datadog_incident(public_id="null"))
    assert incident.key == "ddi.01c03111-172a-50c7-8df3-d61e64b0e74b"


@pytest.mark.parametrize("variables", [{"status": "resolved"}, {"status": "null", "fields": {"state": "Resolved"}}])
def test_resolved_datadog_incident_opens_nothing(
    variables: dict[str, Any], datadog_incident: Make, read: Read
) -> None:
    with pytest.raises(NotAnIncidentError, match="118"):
        read(datadog_incident(**variables))


def test_unknown_datadog_incident_severity_is_high_and_flagged(datadog_incident: Make, read: Read) -> None:
    incident = read(datadog_incident(severity="UNKNOWN"))
    assert incident.severity == "high"
    assert flagged(incident, "incident.severity")


def test_key_without_cycle_uses_event_id(alert: Make, read: Read) -> None:
    incident = read(alert(cycle_key=""))
    assert incident.key.startswith("dd.148275309.7716548234011234567.")
    assert flagged(incident, "alert.cycle_key")


def test_key_depends_on_scope(alert: Make, read: Read) -> None:
    assert read(alert(scope="", title="Disk")).key != read(alert(scope="a:b", title="Disk")).key


def test_notifications_of_one_alert_share_key(alert: Make, read: Read) -> None:
    first = read(alert())
    again = read(
        alert(
            {"id": "1", "title": "[P1] [Re-Triggered on {x}] Other", "date": "1795430160000"},
            transition="Re-Triggered",
        )
    )
    assert first.key == again.key == "dd.148275309.7716548234011230001.1c1990a1e485f49b"


def test_groups_of_one_monitor_have_different_keys(payload: Make, read: Read) -> None:
    names = ("09a_multi_host_web-03.json", "09b_multi_host_web-07.json")
    sent = [payload(name) for name in names]
    sent[1]["alert"]["cycle_key"] = sent[0]["alert"]["cycle_key"]
    assert len({read(conf).key for conf in sent}) == 2


@pytest.mark.parametrize(
    ("datadog", "text"),
    [
        ("{oops", r"datadog: '\{oops' is not JSON"),
        ("[1, 2]", "datadog: a list of 2 is not an object"),
        (7, "datadog: 7 is not an object"),
        ({"title": {"a": 1}, "alert": {"id": True}}, "neither a title nor an id"),
        ({"event_type": "query_alert_monitor"}, "neither a title nor an id"),
    ],
)
def test_unreadable_payload_is_refused_with_fix(datadog: Any, text: str, read: Read) -> None:
    with pytest.raises(InvalidPayloadError, match=text) as exc_info:
        read({"datadog": datadog})
    assert exc_info.value.fix


def test_unknown_schema_version_is_flagged(alert: Make, read: Read) -> None:
    assert flagged(read(alert({"schema": "airflow-incident/9"})), "schema")


NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("10.35", "23 10:35"),
        ("10h35", "23 10:35"),
        ("at 10:35", "23 10:35"),
        ("since 10:35", "23 10:35"),
        ("ca. 10:35", "23 10:35"),
        ("~10:35", "23 10:35"),
        ("10:35 Uhr", "23 10:35"),
        ("gegen 10:35 Uhr", "23 10:35"),
        ("10:35 CET", "23 09:35"),
        ("10:35+05:30", "23 05:05"),
        ("10:35 UTC-3", "22 13:35"),
        ("23:10", "22 23:10"),
        ("yesterday 22:10", "22 22:10"),
        ("gestern, 22:10 Uhr", "22 22:10"),
        ("10pm yesterday", "22 22:00"),
        ("today 9:05", "23 09:05"),
        ("an hour ago", "23 11:00"),
        ("half an hour ago", "23 11:30"),
        ("1.5h ago", "23 10:30"),
        ("1h 30m ago", "23 10:30"),
        ("1 hour and 5 minutes ago", "23 10:55"),
        ("vor 15 Minuten", "23 11:45"),
        ("vor einer Stunde", "23 11:00"),
        ("hace 15 minutos", "23 11:45"),
        ("il y a 2 heures", "23 10:00"),
        ("15分前", "23 11:45"),
        ("-15m", "23 11:45"),
        ("just now", "23 12:00"),
    ],
)
def test_informal_time_formats(text: str, clock: str) -> None:
    expected = read_time(text, received_at=NOON)
    assert expected is not None
    assert f"{expected:%d %H:%M}" == clock


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("23.11.2026 10:35", "2026-11-23 10:35"),
        ("3.1.2026, 9:05", "2026-01-03 09:05"),
        ("23/11/2026 10:35", "2026-11-23 10:35"),
        ("11/23/2026 10:35", "2026-11-23 10:35"),
        ("2026/11/23 10:35", "2026-11-23 10:35"),
        ("2026-11-23 10:35 (UTC)", "2026-11-23 10:35"),
    ],
)
def test_informal_date_formats(text: str, day: str) -> None:
    expected = read_time(text, received_at=NOON)
    assert expected is not None
    assert f"{expected:%Y-%m-%d %H:%M}" == day


@pytest.mark.parametrize(
    "text",
    ["2 months ago", "5 moons ago", "11/10/2026 10:35", "yesterday", "10:35 XYZ", "25:10", "Monday 10:35", "-15"],
)
def test_ambiguous_time_is_none(text: str) -> None:
    assert read_time(text, received_at=NOON) is None
