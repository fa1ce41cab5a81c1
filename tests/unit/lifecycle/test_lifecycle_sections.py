"""Lifecycle sections of the routing table: defaults, errors and the example."""

from __future__ import annotations

from datetime import timedelta
from importlib import resources

import pytest

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.intake import RoutingTable, load_routing_table
from airflow_incident_provider.intake.policies import (
    Correlation,
    CorrelationRule,
    Lifecycle,
    Storm,
    Triage,
    TriageRule,
)


def test_default_settings() -> None:
    table = load_routing_table("")
    assert table.lifecycle.reopen_window == timedelta(hours=1)
    assert table.lifecycle.quiet_period == timedelta(minutes=10)
    assert table.lifecycle.archive_delay == timedelta(days=1)
    assert (table.storm.threshold, table.storm.window) == (10, timedelta(minutes=1))


def test_example_documents_every_setting_and_keeps_defaults() -> None:
    text = resources.files("airflow_incident_provider.intake").joinpath("routing.example.yaml").read_text()
    for model in (Correlation, CorrelationRule, Storm, Triage, TriageRule, Lifecycle):
        assert all(f"{name}:" in text for name in model.model_fields)
    table = load_routing_table(text)
    assert table.correlation.rules[:2] == Correlation().rules
    assert table.storm == Storm()
    assert table.lifecycle == Lifecycle()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lifecycle: {reopen_window: 60}", "lifecycle.reopen_window: 60 is not a duration; write it like 60s"),
        ("lifecycle: {quiet_period: 0s}", "is not a duration"),
        ("lifecycle: {archive_delay: 31d}", "30d at most"),
        ("lifecycle: {update_interval: 5s}", "at most once a minute"),
        ("lifecycle: {reopen_windw: 5m}", "did you mean reopen_window?"),
        ("storm: {threshold: 1}", "storm.threshold"),
        ("storm: {treshold: 5}", "did you mean threshold?"),
        ("correlation: {rules: [{name: x, by: servce}]}", "is nothing to compare; use service, env"),
        ("correlation: {rules: [{name: x, by: []}]}", "correlation.rules[0].by"),
        ("correlation: {rules: [{name: x, by: env, windw: 5m}]}", "did you mean window?"),
        ("correlation: {rules: [{name: x, by: env, match: {servise: a}}]}", "did you mean service?"),
        ("triage: {channel: triage}", 'write its id, or its name like "#triage"'),
        ("triage: {rules: [{name: x, presence: channel}]}", "use room, thread, record"),
        ("triage: {rules: [{name: x, presense: room}]}", "did you mean presence?"),
        ("triage: {rules: [{name: x, presence: room, transition: Fired}]}", "is not a transition of Datadog's"),
    ],
)
def test_invalid_setting_is_explained(text: str, message: str) -> None:
    with pytest.raises(RoutingTableError, match="The routing table is wrong") as exc_info:
        load_routing_table(text)
    assert message in str(exc_info.value)


def test_transition_spellings_are_normalized() -> None:
    table = load_routing_table("triage: {rules: [{name: x, presence: room, transition: [re-warn, nodata]}]}")
    assert table.triage.rules[0].transition == ("Re-Warn", "No Data")


def test_table_without_sections_equals_default() -> None:
    assert load_routing_table("version: 1") == RoutingTable()
