"""Truncated or damaged bodies are processed if the rest identifies the alert."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake import RoutingTable, load_routing_table, read_incident
from airflow_incident_provider.intake.json_repair import NotJsonError, salvage_json
from airflow_incident_provider.intake.request_body import LOST_KEY, UnreadableBodyError, extract, parse_body
from airflow_incident_provider.lifecycle.decision import Action, Decision, decide
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.lifecycle.signals import Signal, read_signal

Payload = Callable[[str], dict[str, Any]]

NOW = datetime(2026, 11, 23, 10, 40, 41, tzinfo=UTC)
PRIVATE = load_routing_table("rules: [{name: customers, match: {tag: 'data:customer'}, private: true}]")
IN_PROD = load_routing_table("rules: [{name: prod, match: {env: prod, severity: critical}, private: true}]")
REPORTS_PRIVATE = load_routing_table("rules: [{name: people, match: {source: [manual]}, private: true}]")


def complete_payload(transition: str = "Triggered", **top: object) -> dict[str, Any]:
    """Build a complete payload whose alert precedes the fields that route it."""
    alert = {"id": "101", "cycle_key": "c1", "title": "Disk", "transition": transition, "scope": "host:a"}
    return {"schema": "airflow-incident/1", "id": "9", "alert": alert, "tags": "env:prod", "hostname": "a", **top}


def truncated(payload: dict[str, Any], before: str) -> bytes:
    """Serialize a payload and truncate it before a text."""
    text = json.dumps(payload)
    return text[: text.index(before)].encode()


def parse_signal(
    body: bytes, table: RoutingTable | None = None, *, minute: int = 0, path: str = "datadog"
) -> Signal:
    [content] = parse_body(body)
    assert isinstance(content, dict)
    conf = {"datadog": content} if path == "datadog" else content
    return read_signal(conf, received_at=NOW + timedelta(minutes=minute), routing=table or RoutingTable())


def notes(read: Signal) -> dict[str, str]:
    return {flag.field: flag.note for flag in read.incident.flags}


def test_truncated_body_opens_incident_and_flags_missing_fields() -> None:
    read = parse_signal(truncated(complete_payload(body="x" * 50), "xxx"))
    assert (read.incident.title, read.kind, read.private) == ("Disk", "Triggered", False)
    assert "cut off or damaged: missing or not whole are 'body'" in notes(read)["request body"]
    assert read.alert_key == parse_signal(json.dumps(complete_payload()).encode()).alert_key
    again = read_incident(read.conf, received_at=NOW, routing=RoutingTable())
    assert again == read.incident


@pytest.mark.parametrize("before", ["c1", "101", "Disk", "Triggered", '"schema', ', "transition'])
def test_body_truncated_before_identity_is_refused(before: str) -> None:
    body = truncated({"schema": "airflow-incident/1", "id": "9", "alert": complete_payload()["alert"]}, before)
    with pytest.raises(InvalidPayloadError):
        parse_signal(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "CHG-1", "title": "Orders are late", "severity": "P1", "descrip',
        b'{"groupKey": "k", "alerts": [{"status": "resolved", "labels": {"alertname": "x"}}, {"st',
        b'{"title": "[Triggered] Disk", "alert": {"id": "7", "cycle_key": "c", "transi',
        b'--b\nContent-Disposition: form-data; name="id"\n\n7\n--b\nContent-Disposition: form-data; name="t',
        b'{"title": "Orders are late", "status": "firing", "descrip',
        b'{"status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "x"}}, {"st',
        b'{"event": {"id": "1", "event_type": "incident.triggered", "data": {"id": "P1", "ti',
        b'{"id": "9", "event_type": "query_alert_monitor", "title": "[Triggered] Disk", "body": "... ',
    ],
)
def test_body_without_state_or_id_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidPayloadError, match="identify"):
        parse_signal(body, path="generic")


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "CHG-1", "title": "Orders are late", "status": "firing", "private": false, "descrip',
        b'{"event": {"event_type": "incident.triggered", "data": {"id": "P1", "title": "Queue", "service": {"i',
        b'{"action": "Create", "alert": {"alertId": "7", "message": "Queue", "tags": ["a',
        b'{"event_action": "trigger", "dedup_key": "k", "payload": {"summary": "Queue", "source": "db-7',
    ],
)
def test_truncated_bodies_of_other_formats_are_identified(body: bytes) -> None:
    read = parse_signal(body, path="generic")
    assert (read.private, read.may_open) == (False, True)
    assert "request body" in notes(read)


@pytest.mark.parametrize(
    ("table", "before", "private"),
    [
        (PRIVATE, ', "tags', True),
        (PRIVATE, "prod", True),
        (PRIVATE, ', "hostname', True),
        (PRIVATE, '"end', False),
        (IN_PROD, '"end', True),
        (IN_PROD, '"tags', True),
        (REPORTS_PRIVATE, '"tags', False),
        (RoutingTable(), '"tags', False),
    ],
)
def test_missing_routing_field_implies_private(table: RoutingTable, before: str, private: bool) -> None:
    read = parse_signal(truncated(complete_payload(end="x"), before), table)
    assert (read.private, read.privacy_assumed or not private) == (private, private or not read.privacy_assumed)
    assert ("private" in notes(read)) is read.privacy_assumed


def test_truncated_tags_imply_private() -> None:
    payload = complete_payload(tags=["env:prod", "data:customer"])
    alert_last = {**{key: payload[key] for key in payload if key != "tags"}, "tags": payload["tags"]}
    assert parse_signal(truncated(alert_last, "customer"), PRIVATE).private


def test_truncated_report_is_private_by_default() -> None:
    body = b'{"id": "CHG-1", "title": "Orders are late", "status": "firing", "descrip'
    assert parse_signal(body, path="generic").private
    assert not parse_signal(body.replace(b'"firing"', b'"firing", "private": "no"'), path="generic").private


class RecordStore:
    """Process notifications against records in memory."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self.records: dict[str, IncidentRecord] = {}

    def process(self, body: bytes, minute: int) -> Decision:
        read = parse_signal(body, self._table, minute=minute)
        now = NOW + timedelta(minutes=minute)
        decision = decide(read, list(self.records.values()), self._table, now)
        if decision.record is not None:
            self.records[decision.record.key] = IncidentRecord.from_json(decision.record.to_json())
        return decision


def notification(transition: str, minute: int, **top: object) -> dict[str, Any]:
    at = int((NOW + timedelta(minutes=minute)).timestamp() * 1000)
    return complete_payload(transition, **{"date": str(at), "id": f"e{minute}", **top})


def test_truncated_notifications_update_and_recover_incident() -> None:
    store = RecordStore(PRIVATE)
    assert store.process(json.dumps(notification("Triggered", 0)).encode(), 0).action is Action.OPEN
    assert store.process(truncated(notification("Re-Triggered", 1), '"tags'), 1).action is Action.UPDATE
    [record] = store.records.values()
    assert (record.private, record.privacy_assumed) == (False, False)
    assert store.process(truncated(notification("Recovered", 2), '"tags'), 2).action is Action.RECOVER


def test_incident_opened_by_truncated_body_accepts_complete_ones() -> None:
    store = RecordStore(PRIVATE)
    assert store.process(truncated(notification("Triggered", 0), '"tags'), 0).action is Action.OPEN
    assert store.process(json.dumps(notification("Re-Triggered", 1)).encode(), 1).action is Action.UPDATE
    assert store.process(json.dumps(notification("Recovered", 2)).encode(), 2).action is Action.RECOVER
    [record] = store.records.values()
    assert (record.private, record.status) == (True, Status.RECOVERED)


@pytest.mark.parametrize("transition", ["Re-Triggered", "Recovered"])
def test_notification_truncated_before_group_matches_by_cycle(transition: str) -> None:
    store = RecordStore(RoutingTable())
    store.process(json.dumps(notification("Triggered", 0)).encode(), 0)
    expected = Action.RECOVER if transition == "Recovered" else Action.UPDATE
    assert store.process(truncated(notification(transition, 1), '"scope'), 1).action is expected
    [record] = store.records.values()
    assert len(record.alerts) == 1


def test_recovery_without_group_is_ignored_if_ambiguous() -> None:
    store = RecordStore(RoutingTable())
    for minute, host in enumerate("ab"):
        alert = {**complete_payload()["alert"], "scope": f"host:{host}"}
        store.process(json.dumps(notification("Triggered", minute, alert=alert)).encode(), minute)
    assert store.process(truncated(notification("Recovered", 2), '"scope'), 2).action is Action.IGNORE


def test_private_alert_does_not_join_public_incident() -> None:
    store = RecordStore(PRIVATE)
    store.process(json.dumps(notification("Triggered", 0)).encode(), 0)
    secret = notification("Re-Triggered", 1, tags="env:prod,data:customer")
    assert store.process(json.dumps(secret).encode(), 1).action is Action.OPEN
    assert {record.private for record in store.records.values()} == {True, False}


def test_damage_in_the_middle_loses_only_affected_fields() -> None:
    body = (
        json.dumps(complete_payload(tags="env:prod")).replace('"tags": "env:prod"', '"tags": @@"env"prod').encode()
    )
    [content] = parse_body(body)
    assert isinstance(content, dict)
    assert content[LOST_KEY] == ["tags"]
    assert content["hostname"] == "a"
    assert parse_signal(body, PRIVATE).private


FORMATS = Path(__file__).parents[2] / "payloads" / "formats"
BODIES = [
    (entry["endpoint"], json.dumps(body["json"]) if "json" in body else body["raw"])
    for path in sorted(FORMATS.glob("*.yaml"))
    for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
    for body in entry["bodies"]
]
SOME_PRIVATE = load_routing_table(
    "rules: [{name: a, match: {tag: 'env:*'}, private: true}, {name: b, match: {service: '*'}, private: true}]"
)


@given(st.sampled_from(BODIES), st.integers(1, 2000))
def test_truncation_preserves_recovery_and_privacy(sent: tuple[str, str], length: int) -> None:
    path, text = sent
    try:
        complete = [parse_content(content, path) for content in parse_body(text.encode())]
        parts = [parse_content(content, path) for content in parse_body(text[:length].encode(), is_cut=True)]
    except InvalidPayloadError:
        return
    if len(complete) == len(parts) == 1:
        assert parts[0].is_recovery is complete[0].is_recovery
        assert parts[0].private >= complete[0].private


def parse_content(content: dict[str, Any] | InvalidPayloadError, path: str) -> Signal:
    if isinstance(content, InvalidPayloadError):
        raise content
    conf = {"datadog": content} if path == "datadog" else content
    return read_signal(conf, received_at=NOW, routing=SOME_PRIVATE)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-99, 99)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=5), values, min_size=1), st.data())
def test_salvaged_fields_are_part_of_original(value: dict[str, Any], data: Any) -> None:
    text = json.dumps(value)
    end = data.draw(st.integers(1, len(text) - 1))
    try:
        parsed = salvage_json(text[:end])
    except NotJsonError:
        return
    assert parsed.lost is not None
    assert _is_part(parsed.value, value)


def _is_part(part: object, value: object) -> bool:
    if isinstance(part, dict) and isinstance(value, dict):
        return all(key in value and _is_part(item, value[key]) for key, item in part.items())
    if isinstance(part, list) and isinstance(value, list):
        return all(_is_part(*pair) for pair in zip(part, value, strict=False))
    return part == value


@given(st.text(alphabet="{}[]:,\"'\\ \na1@$", max_size=80))
def test_salvage_raises_only_not_json_error(text: str) -> None:
    with contextlib.suppress(NotJsonError):
        assert salvage_json(text).value


@pytest.mark.parametrize(
    "body",
    [
        b'{"title": "Card numbers" oops, "tags": [{"key": "data", "value": "customer"}], "severity": "high"}',
        b'{"title": "Card numbers" oops, "tags": [{"key": "data", "value": "customer"}]',
        b'{"title": "Disk "full" on", db, "private": "yes", "description": "x"}',
        b'{"title": "a" b, "Tags": {"data": "customer", "x": "y"}, "description": "c"}',
    ],
)
def test_json_repair_keeps_privacy_fields(body: bytes) -> None:
    try:
        [content] = parse_body(body)
    except UnreadableBodyError:
        return
    assert isinstance(content, dict)
    assert {"tags", "Tags", "private"} & content.keys()
    assert "tags" not in str(content.get("title")).casefold()


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("<alert><severity>1</severity><title>CPU is high</title></alert>", "CPU is high"),
        ("From: nagios\nSubject: CPU is high\n\nx", "CPU is high"),
        ("severity=high\ntitle = CPU is high\n", "CPU is high"),
        ("CPU is high on web-1", "CPU is high on web-1"),
        ('{"severity": "high"}', "severity : high"),
        ("[null, 5]", "null, 5"),
        ("null", "An alert without a title"),
        ("", "An alert without a title"),
        ("Subject: password=hunter2hunter2", "password=[redacted]"),
    ],
)
def test_title_is_extracted_from_plain_text(text: str, title: str) -> None:
    assert extract(text)["title"] == title


def test_truncated_body_of_another_template_may_have_lost_a_service() -> None:
    private = load_routing_table("rules: [{name: vault, match: {service: vault}, private: true}]")
    alert = {"id": "101", "title": "Disk", "transition": "Triggered", "scope": "", "hostname": "a", "tags": "a:b"}
    whole = {"alert": {**alert, "service": "vault"}}
    for before in ("service", "vault", 't"}}'):
        assert parse_signal(truncated(whole, before), private).private, before


@pytest.mark.parametrize("name", ["isPrivate", "is_private", "confidential"])
def test_refused_text_that_calls_itself_private_may_be_private(name: str) -> None:
    assert RoutingTable().text_may_be_private(json.dumps({name: True, "x": [1]}))
    assert not RoutingTable().text_may_be_private(json.dumps({name: False, "x": [1]}))
