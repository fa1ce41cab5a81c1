"""Routing table mistakes are refused, and lenient notations are accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.intake import load_routing_table

from .datadog_payloads import alert_payload, read


@pytest.mark.parametrize(
    ("table", "message"),
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
def test_duplicate_or_empty_setting_is_refused(table: str, message: str) -> None:
    with pytest.raises(RoutingTableError, match=message):
        load_routing_table(table)


def test_patterns_match_in_every_criterion() -> None:
    table = """
        rules:
          - {name: one, match: {service: "payments-*", env: "prod*"}, responders: ["@payments-oncall"]}
          - {name: two, match: {tag: "team:pay*"}, responders: [dana@acme.example]}
          - {name: three, match: {team: "p?yments", host: "db-[1]"}, responders: [sam@acme.example]}
    """
    incident = read(
        {"datadog": alert_payload(tags="env:prod-eu,service:payments-api,team:payments", hostname="db-[1]")}, table
    )
    assert incident.route.matched == ("one", "two", "three")


def test_any_private_rule_makes_route_private() -> None:
    rules = "{{name: a, match: {{}}, private: {}}}, {{name: b, match: {{tag: 'data:customer'}}, private: {}}}"
    for first, second in ((False, True), (True, False)):
        table = f"rules: [{rules.format(str(first).lower(), str(second).lower())}]"
        assert read({"title": "x", "tags": "data:customer"}, table).route.private


# --- criteria ------------------------------------------------------------------


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
def test_criterion_that_cannot_match_is_refused(match: dict[str, str]) -> None:
    with pytest.raises(RoutingTableError, match=next(iter(match))):
        load_routing_table(json.dumps({"rules": [{"name": "x", "match": match}]}))


@pytest.mark.parametrize("name", ["a*", "*.acme.example", "web.*", "checkout?", "Payments (EU)", "a:b", "**"])
def test_names_and_patterns_are_accepted(name: str) -> None:
    match = {"service": name, "team": name, "host": name}
    assert load_routing_table(json.dumps({"rules": [{"name": "x", "match": match}]})).rules


@pytest.mark.parametrize(
    "responders",
    ["dana@acme.example, sam@acme.example", "dana@acme.example\nsam@acme.example",
     "dana@acme.example sam@acme.example", ["Dana <dana@acme.example>; sam@acme.example"]],
)  # fmt: skip
def test_rule_responders_are_split(responders: Any) -> None:
    table = load_routing_table(json.dumps({"defaults": {"responders": responders}}))
    assert table.defaults.responders == ("dana@acme.example", "sam@acme.example")
    assert load_routing_table("defaults: {responders: ['Reyes, Dana']}").defaults.responders == ("Reyes, Dana",)


def test_dag_that_opens_no_room_is_refused() -> None:
    with pytest.raises(RoutingTableError, match="opens no room"):
        load_routing_table("defaults: {dag: incident_update}")


@pytest.mark.parametrize("value", ["hunter2xyz", "[redacted]", "%5Bredacted%5D"])
def test_secret_in_target_query_is_removed(value: str) -> None:
    incident = read({"title": "x", "targets": [f"https://a.example/health?api_key={value}&deep=1"]})
    assert [str(target) for target in incident.targets] == ["https://a.example/health?deep=1"]


def test_plain_text_commander_is_invited() -> None:
    incident = {"public_id": "12", "title": "x", "severity": "SEV-1", "status": "active"}
    read_commander = [
        read({"datadog": {"id": "1", "incident": {**incident, "commander": commander}}}).responders
        for commander in ("dana@acme.example", "Dana Reyes", "null", "$INCIDENT_COMMANDER")
    ]
    assert read_commander == [("dana@acme.example",), ("Dana Reyes",), (), ()]


@pytest.mark.parametrize("value", ["!!bool x", "!!int ''", "!!timestamp x", "!!float x", "!!python/name:os.system"])
def test_value_that_is_not_what_its_tag_says_is_refused(value: str) -> None:
    with pytest.raises(RoutingTableError, match="is not YAML"):
        load_routing_table(f"version: {value}")


def test_different_keys_that_python_calls_equal_are_no_duplicates() -> None:
    with pytest.raises(RoutingTableError, match="is not text"):
        load_routing_table("evidence: {calls: {1: [a], yes: [b]}}")
