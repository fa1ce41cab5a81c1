"""Routing table: matching, merging of rules and error messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.intake import RoutingTable, load_routing_table
from airflow_incident_provider.models import Incident

Read = Callable[..., Incident]
Make = Callable[..., dict[str, Any]]


def rule(**settings: object) -> str:
    import json

    return json.dumps({"rules": [{"name": "r", **settings}]})


def test_example_table_routes_recorded_payloads(payload: Make, read: Read, example_table: RoutingTable) -> None:
    checkout = read(payload("01_metric_triggered.json"), example_table).route
    assert checkout.responders == (
        "dana@acme.example",
        "Alice Ng",
        "José García",
        "@payments-oncall",
        "@sre-oncall",
    )
    disk = read(payload("09a_multi_host_web-03.json"), example_table).route
    assert disk.responders == ("@platform-oncall",)
    assert disk.probes == ("dns", "tcp", "http", "tls")
    secret = read({"title": "Leak", "severity": "low", "tags": "data:customer"}, example_table)
    assert secret.route.private
    assert secret.route.channel_prefix == "sec"


def test_example_table_documents_every_setting(example_table: RoutingTable) -> None:
    from importlib import resources

    from airflow_incident_provider.intake.routing_table import Match, RoutingTable, Rule

    text = resources.files("airflow_incident_provider.intake").joinpath("routing.example.yaml").read_text()
    for model in (RoutingTable, Rule, Match):
        assert all(f"{name}:" in text for name in model.model_fields)


def test_empty_table_adds_nothing(payload: Make, read: Read) -> None:
    route = read(payload("01_metric_triggered.json"), load_routing_table("")).route
    assert route.model_dump(exclude_defaults=True) == {}


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        ({"service": "checkout"}, True),
        ({"service": "CHECKOUT"}, True),
        ({"service": ["cart", "checkout"]}, True),
        ({"service": "cart"}, False),
        ({"service": "check*"}, True),
        ({"team": "payments", "env": "prod"}, True),
        ({"team": "payments", "env": "staging"}, False),
        ({"severity": "medium"}, True),
        ({"severity": "high"}, True),
        ({"severity": "SEV-2"}, True),
        ({"severity": "critical"}, False),
        ({"tag": "runbook:rb-117"}, True),
        ({"tag": "runbook"}, False),
        ({"host": "web-*"}, True),
        ({"host": ["db-*", "WEB-0?"]}, True),
        ({"host": "web"}, False),
        ({"source": "manual"}, True),
        ({"source": ["datadog_alert", "datadog_incident"]}, False),
        ({}, True),
    ],
)
def test_match_criteria(match: dict[str, Any], matches: bool, read: Read) -> None:
    conf = {
        "title": "x", "severity": "high", "services": ["checkout"], "teams": ["Payments"], "env": "Prod",
        "hosts": ["db-1.example", "web-03"], "tags": ["runbook:rb-117"],
    }  # fmt: skip
    table = load_routing_table(rule(match=match, responders="someone"))
    assert (read(conf, table).route.responders == ("someone",)) is matches


def test_lists_are_merged_and_first_scalar_wins(read: Read) -> None:
    table = load_routing_table("""
        defaults: {responders: [last], probes: [dns], runbook: "https://w.example/default", private: true}
        rules:
          - {name: one, match: {env: prod}, responders: [a, b], probes: [http], channel_prefix: one, private: false}
          - {name: none, match: {env: test}, responders: [never], channel_prefix: none}
          - {name: two, match: {team: t}, responders: [B, c], probes: [dns], channel_prefix: two,
             runbook: "https://w.example/two", targets: ["web:80"]}
    """)
    route = read({"title": "x", "env": "prod", "teams": "t"}, table).route
    assert route.matched == ("one", "two")
    assert route.responders == ("a", "b", "c", "last")
    assert route.probes == ("http", "dns")
    assert route.channel_prefix == "one"
    assert route.private is False
    assert route.runbook == "https://w.example/two"
    assert [(str(target), target.trusted) for target in route.targets] == [("web:80", True)]


def test_report_can_make_room_private_but_not_public(read: Read) -> None:
    table = load_routing_table("defaults: {private: true}")
    assert read({"title": "x", "private": False}, table).route.private
    assert read({"title": "x", "private": True}).route.private
    assert not read({"title": "x", "private": False}).route.private


@pytest.mark.parametrize(
    ("tag", "runbook"),
    [
        ("runbook:rb-117", "https://wiki.acme.example/runbooks/rb-117"),
        ("runbook:v1.2_a", "https://wiki.acme.example/runbooks/v1.2_a"),
        ("runbook:../../admin", None),
        ("runbook:a..b", None),
        ("runbook:a/b", None),
        ("runbook:a?x=1", None),
        ("runbook:%2e%2e", None),
        ("runbook:a b", None),
        ("runbook:" + "a" * 200, None),
        ("runbook:", None),
        ("runbook", None),
        ("other:rb-117", None),
    ],
)
def test_runbook_from_tag(tag: str, runbook: str | None, read: Read) -> None:
    table = load_routing_table("runbooks: {runbook: 'https://wiki.acme.example/runbooks/{value}'}")
    incident = read({"title": "x", "tags": [tag]}, table)
    assert incident.route.runbook == runbook
    assert [link.url for link in incident.links] == ([runbook] if runbook else [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [", "is not YAML at line 1, column 9"),
        ("- a", "is a list of 1, not sections"),
        ("ruls: []", "ruls: no such setting (did you mean rules?)"),
        ("version: 2", "version: 2 is wrong"),
        (rule(match={"servce": "x"}), "rules[0].match.servce: no such setting (did you mean service?)"),
        (rule(match={"x": "x"}), "rules[0].match.x: no such setting; there are service, team"),
        (rule(match={}, responder=["x"]), "rules[0].responder: no such setting (did you mean responders?)"),
        ("rules: [{match: {}}]", "rules[0].name: missing"),
        ("rules: [{name: a}]", "rules[0].match: missing"),
        ("rules: [{name: a, match: {env: no}}]", "rules[0].match.env[0]: false is not text; put quotes around it"),
        (
            "rules: [{name: a, match: {severity: bad}}]",
            "rules[0].match.severity: 'bad' is not a severity; use critical",
        ),
        (
            "rules: [{name: a, match: {source: pager}}]",
            "rules[0].match.source[0]: 'pager' is not a source; use datadog_",
        ),
        ("rules: 7", "rules: 7 is wrong"),
        ("defaults: {probes: ['rm -rf']}", "defaults.probes[0]: 'rm -rf' is not the name of a probe"),
        ("defaults: {targets: ['-x']}", "defaults.targets[0]: '-x' is not a target"),
        ("defaults: {channel_prefix: 'Inc!'}", "defaults.channel_prefix: 'Inc!' is not a channel prefix"),
        ("defaults: {runbook: 'javascript:x'}", "defaults.runbook: 'javascript:x' is not an http or https URL"),
        ("defaults: {private: maybe}", "defaults.private: 'maybe' is wrong"),
        ("defaults: {responders: [{a: b}]}", "defaults.responders[0]: an object with 1 keys is not text"),
        ("runbooks: {runbook: 'https://w.example/'}", "runbooks.runbook: 'https://w.example/' needs {value} once"),
        ("runbooks: {runbook: 'https://{value}.example/'}", "needs {value} once, after its host"),
        ("allowed_networks: [10.0.0.0/99]", "allowed_networks[0]: '10.0.0.0/99' is not a network; write it like"),
        ("allowed_networks: [10.0.0.1/8]", "is not a network"),
    ],
)
def test_error_names_its_location(text: str, message: str) -> None:
    with pytest.raises(RoutingTableError) as exc_info:
        load_routing_table(text)
    assert message in str(exc_info.value)
    assert "pydantic" not in str(exc_info.value)


def test_errors_are_reported_together() -> None:
    with pytest.raises(RoutingTableError, match=r"a: no such .*; b: no such .*and 2 more"):
        load_routing_table("{a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1}")


def test_unknown_probe_is_refused_if_probes_are_known() -> None:
    text = "defaults: {probes: [dns, htttp]}"
    assert load_routing_table(text).defaults.probes == ("dns", "htttp")
    with pytest.raises(RoutingTableError, match=r"probes\[1\]: there is no probe 'htttp'; there are dns, http"):
        load_routing_table(text, known_probes={"http", "dns"})


def test_yaml_object_tags_are_refused() -> None:
    with pytest.raises(RoutingTableError, match="not YAML"):
        load_routing_table("!!python/object/apply:os.system ['id']")


@pytest.mark.parametrize(
    "match",
    [
        "env: '=prod'",
        "service: '==pay'",
        "service: '=~pay'",
        "service: '-pay'",
        "service: '(pay)'",
        "service: '<pay>'",
        "host: 'regex:web-1'",
        "tag: '-team:payments'",
        "tag: '@team:payments'",
        "tag: 'tag:team:payments'",
        "tag: 'team:payments AND env:prod'",
        "tag: 'team:payments OR team:checkout'",
        "tag: ':payments'",
        "severity: '<high'",
        "severity: 'not high'",
        "severity: 'below high'",
    ],
)
def test_misleading_criterion_is_refused(match: str) -> None:
    with pytest.raises(RoutingTableError, match=r"rules\[0\]\.match\."):
        load_routing_table(f"rules: [{{name: a, match: {{{match}}}}}]")


@pytest.mark.parametrize("match", ["host: 'web.*'", "service: 'pay*'", "severity: '>= high'", "tag: 'team:*'"])
def test_glob_and_comparison_patterns_are_accepted(match: str) -> None:
    assert load_routing_table(f"rules: [{{name: a, match: {{{match}}}}}]").rules


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("announce: #incidents", "announce"),
        ("triage:\n  channel: #triage", "triage.channel"),
        ("defaults:\n  private:", "defaults.private"),
        ("rules:\n- name: a\n  match: {}\n  private: # true", r"rules\[0\]\.private"),
        ("rules:\n- name: a\n  match: {}\n  dag:", r"rules\[0\]\.dag"),
        ("defaults:\n  runbook: #https://wiki.acme.example", "defaults.runbook"),
        ("defaults:\n  channel_prefix:", "defaults.channel_prefix"),
    ],
)
def test_setting_with_only_a_comment_is_refused(text: str, place: str) -> None:
    with pytest.raises(RoutingTableError, match=place):
        load_routing_table(text)
