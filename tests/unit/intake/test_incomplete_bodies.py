"""Bodies that were cut off or damaged: what is left of them is used if it identifies the alert."""

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
OF_PEOPLE = load_routing_table("rules: [{name: people, match: {source: [manual]}, private: true}]")


def whole(transition: str = "Triggered", **top: object) -> dict[str, Any]:
    """Return a payload whose alert comes first, and then what routes it."""
    alert = {"id": "101", "cycle_key": "c1", "title": "Disk", "transition": transition, "scope": "host:a"}
    return {"schema": "airflow-incident/1", "id": "9", "alert": alert, "tags": "env:prod", "hostname": "a", **top}


def cut(payload: dict[str, Any], before: str) -> bytes:
    """Return the body of a payload up to a text within it."""
    text = json.dumps(payload)
    return text[: text.index(before)].encode()


def signal(body: bytes, table: RoutingTable | None = None, *, minute: int = 0, path: str = "datadog") -> Signal:
    [content] = parse_body(body)
    assert isinstance(content, dict)
    conf = {"datadog": content} if path == "datadog" else content
    return read_signal(conf, received_at=NOW + timedelta(minutes=minute), routing=table or RoutingTable())


def notes(read: Signal) -> dict[str, str]:
    return {flag.field: flag.note for flag in read.incident.flags}


def test_what_identifies_the_alert_opens_an_incident_that_says_what_is_missing() -> None:
    read = signal(cut(whole(body="x" * 50), "xxx"))
    assert (read.incident.title, read.kind, read.private) == ("Disk", "Triggered", False)
    assert "cut off or damaged: missing or not whole are 'body'" in notes(read)["request body"]
    assert read.alert_key == signal(json.dumps(whole()).encode()).alert_key
    again = read_incident(read.conf, received_at=NOW, routing=RoutingTable())
    assert again == read.incident


@pytest.mark.parametrize("before", ["c1", "101", "Disk", "Triggered", '"schema', ', "transition'])
def test_what_does_not_identify_the_alert_is_refused(before: str) -> None:
    body = cut({"schema": "airflow-incident/1", "id": "9", "alert": whole()["alert"]}, before)
    with pytest.raises(InvalidPayloadError):
        signal(body)


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
def test_the_state_or_the_id_may_be_what_is_missing(body: bytes) -> None:
    with pytest.raises(InvalidPayloadError, match="identify"):
        signal(body, path="generic")


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "CHG-1", "title": "Orders are late", "status": "firing", "private": false, "descrip',
        b'{"event": {"event_type": "incident.triggered", "data": {"id": "P1", "title": "Queue", "service": {"i',
        b'{"action": "Create", "alert": {"alertId": "7", "message": "Queue", "tags": ["a',
        b'{"event_action": "trigger", "dedup_key": "k", "payload": {"summary": "Queue", "source": "db-7',
    ],
)
def test_other_formats_are_identified_by_their_own_fields(body: bytes) -> None:
    read = signal(body, path="generic")
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
        (OF_PEOPLE, '"tags', False),
        (RoutingTable(), '"tags', False),
    ],
)
def test_a_missing_field_never_makes_a_private_alert_public(
    table: RoutingTable, before: str, private: bool
) -> None:
    read = signal(cut(whole(end="x"), before), table)
    assert (read.private, read.privacy_assumed or not private) == (private, private or not read.privacy_assumed)
    assert ("private" in notes(read)) is read.privacy_assumed


def test_a_list_of_tags_that_was_cut_is_not_complete() -> None:
    payload = whole(tags=["env:prod", "data:customer"])
    alert_last = {**{key: payload[key] for key in payload if key != "tags"}, "tags": payload["tags"]}
    assert signal(cut(alert_last, "customer"), PRIVATE).private


def test_a_report_that_was_cut_is_private_unless_it_says_otherwise() -> None:
    body = b'{"id": "CHG-1", "title": "Orders are late", "status": "firing", "descrip'
    assert signal(body, path="generic").private
    assert not signal(body.replace(b'"firing"', b'"firing", "private": "no"'), path="generic").private


class World:
    """Incidents on record, in memory."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self.records: dict[str, IncidentRecord] = {}

    def take(self, body: bytes, minute: int) -> Decision:
        read = signal(body, self._table, minute=minute)
        now = NOW + timedelta(minutes=minute)
        decision = decide(read, list(self.records.values()), self._table, now)
        if decision.record is not None:
            self.records[decision.record.key] = IncidentRecord.from_json(decision.record.to_json())
        return decision


def body_of(transition: str, minute: int, **top: object) -> dict[str, Any]:
    at = int((NOW + timedelta(minutes=minute)).timestamp() * 1000)
    return whole(transition, **{"date": str(at), "id": f"e{minute}", **top})


def test_a_cut_notification_updates_and_ends_the_incident_of_its_alert() -> None:
    world = World(PRIVATE)
    assert world.take(json.dumps(body_of("Triggered", 0)).encode(), 0).action is Action.OPEN
    assert world.take(cut(body_of("Re-Triggered", 1), '"tags'), 1).action is Action.UPDATE
    [record] = world.records.values()
    assert (record.private, record.privacy_assumed) == (False, False)
    assert world.take(cut(body_of("Recovered", 2), '"tags'), 2).action is Action.RECOVER


def test_an_incident_that_a_cut_notification_opened_goes_on_with_the_whole_ones() -> None:
    world = World(PRIVATE)
    assert world.take(cut(body_of("Triggered", 0), '"tags'), 0).action is Action.OPEN
    assert world.take(json.dumps(body_of("Re-Triggered", 1)).encode(), 1).action is Action.UPDATE
    assert world.take(json.dumps(body_of("Recovered", 2)).encode(), 2).action is Action.RECOVER
    [record] = world.records.values()
    assert (record.private, record.status) == (True, Status.RECOVERED)


@pytest.mark.parametrize("transition", ["Re-Triggered", "Recovered"])
def test_a_notification_that_was_cut_before_its_group_is_that_of_its_cycle(transition: str) -> None:
    world = World(RoutingTable())
    world.take(json.dumps(body_of("Triggered", 0)).encode(), 0)
    expected = Action.RECOVER if transition == "Recovered" else Action.UPDATE
    assert world.take(cut(body_of(transition, 1), '"scope'), 1).action is expected
    [record] = world.records.values()
    assert len(record.alerts) == 1


def test_a_recovery_that_was_cut_before_its_group_ends_none_of_several() -> None:
    world = World(RoutingTable())
    for minute, host in enumerate("ab"):
        alert = {**whole()["alert"], "scope": f"host:{host}"}
        world.take(json.dumps(body_of("Triggered", minute, alert=alert)).encode(), minute)
    assert world.take(cut(body_of("Recovered", 2), '"scope'), 2).action is Action.IGNORE


def test_an_alert_known_to_be_private_never_shows_in_a_public_incident() -> None:
    world = World(PRIVATE)
    world.take(json.dumps(body_of("Triggered", 0)).encode(), 0)
    secret = body_of("Re-Triggered", 1, tags="env:prod,data:customer")
    assert world.take(json.dumps(secret).encode(), 1).action is Action.OPEN
    assert {record.private for record in world.records.values()} == {True, False}


def test_damage_in_the_middle_costs_only_what_it_touches() -> None:
    body = json.dumps(whole(tags="env:prod")).replace('"tags": "env:prod"', '"tags": @@"env"prod').encode()
    [content] = parse_body(body)
    assert isinstance(content, dict)
    assert content[LOST_KEY] == ["tags"]
    assert content["hostname"] == "a"
    assert signal(body, PRIVATE).private


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
def test_no_cut_turns_an_end_into_a_beginning_or_makes_a_private_alert_public(
    sent: tuple[str, str], length: int
) -> None:
    path, text = sent
    try:
        whole = [signal_of(content, path) for content in parse_body(text.encode())]
        parts = [signal_of(content, path) for content in parse_body(text[:length].encode(), is_cut=True)]
    except InvalidPayloadError:
        return
    if len(whole) == len(parts) == 1:
        assert parts[0].is_recovery is whole[0].is_recovery
        assert parts[0].private >= whole[0].private


def signal_of(content: dict[str, Any] | InvalidPayloadError, path: str) -> Signal:
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
def test_what_is_left_of_a_cut_object_is_whole(value: dict[str, Any], data: Any) -> None:
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
def test_no_text_is_in_the_way_of_what_is_left(text: str) -> None:
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
def test_no_repair_hides_the_fields_that_make_an_alert_private(body: bytes) -> None:
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
def test_the_title_of_a_text_that_is_no_alert(text: str, title: str) -> None:
    assert extract(text)["title"] == title
