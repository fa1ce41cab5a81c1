"""Property-based tests of the parser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from airflow_incident_provider.exceptions import InvalidPayloadError, NotAnIncidentError
from airflow_incident_provider.intake import RoutingTable, read_incident
from airflow_incident_provider.intake.conf import read_notification
from airflow_incident_provider.intake.limits import MAX_BYTES, encoded_size
from airflow_incident_provider.intake.notification import Notification
from airflow_incident_provider.intake.values import is_unset
from airflow_incident_provider.models import Incident
from airflow_incident_provider.text import one_line, redact_values

Read = Callable[..., Incident]
Make = Callable[..., dict[str, Any]]

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
RUN_ID = re.compile(r"[A-Za-z0-9_.~:+-]{1,200}")

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60)
interesting = st.sampled_from(
    [
        "null",
        "$ALERT_ID",
        "P1",
        "Triggered",
        "https://a.example/x",
        "a:b,c:d",
        "1795430100000",
        "[P1] [Warn on {a:b}] x",
    ]
)
anything = st.recursive(
    scalars | interesting,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
alerts = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("id", "cycle_key", "title", "transition", "type", "priority", "metric", "query", "scope", "status"),
        anything,
    ),
)
incidents = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("public_id", "uuid", "title", "severity", "status", "url", "commander", "fields", "integrations"), anything
    ),
)
payloads = st.fixed_dictionaries(
    {},
    optional={
        "alert": alerts | anything,
        "incident": incidents | anything,
        **dict.fromkeys(("id", "title", "body", "text", "date", "link", "snapshot", "hostname", "tags"), anything),
    },
)
MANUAL_FIELDS = (
    "id", "title", "severity", "users", "services", "hosts", "description", "links", "env", "teams", "tags",
    "targets", "private", "started_at", "status",
)  # fmt: skip
manual = st.fixed_dictionaries({}, optional=dict.fromkeys(MANUAL_FIELDS, anything))
objects = st.dictionaries(st.text(max_size=10), anything, max_size=5)
confs = (
    objects
    | payloads
    | manual
    | st.builds(dict, datadog=payloads | anything)
    | st.builds(lambda sent, fields: {"datadog": sent, **fields}, payloads.map(json.dumps), manual)
)


def assert_usable(incident: Incident) -> None:
    assert RUN_ID.fullmatch(incident.key)
    assert ".." not in incident.key
    assert incident.title == " ".join(incident.title.split()) != ""
    assert encoded_size(incident.to_xcom()) <= MAX_BYTES
    assert Incident.model_validate(incident.to_xcom()) == incident
    json.dumps(incident.to_xcom(), allow_nan=False).encode("utf-8")


@given(conf=confs)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_object_is_parsed_or_refused_with_short_message(conf: Any, read: Read) -> None:
    try:
        incident = read(conf)
    except (InvalidPayloadError, NotAnIncidentError) as error:
        words = str(error)
    else:
        words = ""
        assert_usable(incident)
    assert len(words) < 1000


@given(text=st.text(min_size=1, max_size=200))
@settings(max_examples=300, deadline=None)
def test_title_is_one_printable_line(text: str, read: Read) -> None:
    try:
        title = read({"title": text}).title
    except InvalidPayloadError:
        title = ""
        assert not one_line(text)
    assert title.isprintable() or all(not c.isspace() or c == " " for c in title)
    assert len(title) <= 300


tags = st.lists(
    st.from_regex(r"(env|service|host|team):[a-z0-9-]{1,10}", fullmatch=True), min_size=1, max_size=8, unique=True
)


@given(data=st.data(), scope=tags)
@settings(max_examples=200, deadline=None)
def test_key_does_not_depend_on_tag_order(data: st.DataObject, scope: Any, alert: Make, read: Read) -> None:
    shuffled = data.draw(st.permutations(scope))
    one = read(alert({"tags": ",".join(scope)}, scope=",".join(scope)))
    other = read(alert({"tags": ", ".join(shuffled)}, scope=" , ".join(shuffled)))
    assert one.key == other.key


@given(one=tags, other=tags)
@settings(max_examples=200, deadline=None)
def test_different_groups_have_different_keys(one: list[str], other: list[str], alert: Make, read: Read) -> None:
    same = set(one) == set(other)
    assert (read(alert(scope=",".join(one))).key == read(alert(scope=",".join(other))).key) is same


@given(values=st.lists(st.text(min_size=1, max_size=100), min_size=2, max_size=2, unique=True))
@settings(max_examples=200, deadline=None)
def test_different_cycles_have_different_keys(values: list[str], alert: Make, read: Read) -> None:
    one, other = (value.strip() for value in values)
    if one == other or any(is_unset(value) for value in (one, other)):
        reject()
    assert read(alert(cycle_key=one)).key != read(alert(cycle_key=other)).key


labels = st.dictionaries(st.sampled_from(["alertname", "severity", "service", "env", "host"]), anything, max_size=4)
other_formats = st.one_of(
    st.fixed_dictionaries(
        {"alerts": st.lists(st.fixed_dictionaries({"labels": labels | anything}, optional={"status": anything}))},
        optional=dict.fromkeys(("status", "groupKey", "title", "orgId", "commonAnnotations"), anything),
    ),
    st.fixed_dictionaries(
        {
            "event": st.fixed_dictionaries(
                {"event_type": st.text(max_size=20)}, optional={"data": objects | anything}
            )
        }
    ),
    st.fixed_dictionaries(
        {"event_action": st.sampled_from(["trigger", "resolve"])},
        optional=dict.fromkeys(("payload", "dedup_key", "links"), anything),
    ),
    st.fixed_dictionaries(
        {"action": st.text(max_size=10), "alert": st.fixed_dictionaries({"alertId": anything})},
        optional={"details": anything},
    ),
    st.fixed_dictionaries({"state": st.text(max_size=10), "ruleId": anything}, optional={"tags": anything}),
)


@given(conf=confs | other_formats)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_parsing_is_deterministic_and_raises_only_documented_error(conf: Any) -> None:
    def parsed() -> Notification | str:
        try:
            return read_notification(conf, received_at=NOW, routing=RoutingTable())
        except InvalidPayloadError as error:
            return str(error)

    first = parsed()
    assert parsed() == first
    if isinstance(first, Notification):
        assert_usable(first.incident)
        assert first.may_open is False or first.recovery_reason is None


SECRETS = [
    "password=Zx9kQ7vLm2", "postgres://app:Zx9kQ7vLm2@db:5432/x", "Authorization: Bearer Zx9kQ7vLm2Zx9kQ7vLm2",
    '{"api_key": "Zx9kQ7vLm2"}', "redis://:Zx9kQ7vLm2@cache", "--token Zx9kQ7vLm2", "xoxb-123456789-Zx9kQ7vLm2",
    "https://x.example/?access_token=Zx9kQ7vLm2&y=1", "DD_API_KEY: Zx9kQ7vLm2", "client_secret => 'Zx9kQ7vLm2'",
]  # fmt: skip


@given(secret=st.sampled_from(SECRETS), before=st.text(max_size=20), after=st.text(max_size=20), data=st.data())
@settings(max_examples=150, deadline=None)
def test_secrets_are_redacted(secret: str, before: str, after: str, data: st.DataObject) -> None:
    text = f"{before} {secret} {after}"
    field = data.draw(st.sampled_from(["title", "text", "hostname", "tags", "scope", "query", "sample", "report"]))
    if field == "report":
        conf: dict[str, Any] = {
            "title": text,
            "description": text,
            "services": [text],
            "tags": [text],
            "users": "x",
        }
    else:
        alert = {"id": "7", "cycle_key": "1", "title": "x", "transition": "Triggered", "metric": "m"}
        conf = {"datadog": {"id": "1", "title": "x", "alert": alert}}
        if field == "sample":
            conf["datadog"]["logs_sample"] = [{"rows": [{"items": [], "message": text}]}]
        else:
            (alert if field in ("scope", "query") else conf["datadog"])[field] = text
            alert["title"] = text if field == "title" else "x"
    incident = read_incident(conf, received_at=NOW, routing=RoutingTable())
    assert "Zx9kQ7vLm2" not in incident.model_dump_json()
    assert "Zx9kQ7vLm2" not in json.dumps(redact_values(conf))
