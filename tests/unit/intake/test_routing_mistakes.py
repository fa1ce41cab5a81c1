"""A routing table is understood as it is meant, or refused with the mistake."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.intake import load_routing_table

from .lenient import dd, read

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
