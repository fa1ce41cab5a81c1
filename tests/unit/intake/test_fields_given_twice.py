"""Tags and privacy that are given more than once, or around the alert: none hides the other."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.intake import load_routing_table
from airflow_incident_provider.intake.request_body import parse_body
from airflow_incident_provider.lifecycle.signals import read_signal

NOW = datetime(2026, 11, 23, 10, 40, 41, tzinfo=UTC)
TABLE = load_routing_table("rules: [{name: customers, match: {tag: 'data:customer'}, private: true}]")
TAG = "data:customer"
ALERT: dict[str, Any] = {"schema": "airflow-incident/1", "id": "1", "alert": {"id": "5", "transition": "Triggered"}}
GROUP: dict[str, Any] = {"groupKey": "k", "alerts": [{"status": "firing", "labels": {"alertname": "A"}}]}


def is_private(body: str, content_type: str = "application/json") -> bool:
    alerts = [alert for alert in parse_body(body.encode(), content_type) if isinstance(alert, dict)]
    assert alerts
    return all(read_signal(alert, received_at=NOW, routing=TABLE).private for alert in alerts)


@pytest.mark.parametrize(
    "conf",
    [
        {"title": "x", "labels": {"data": "customer"}},
        {"title": "x", "labels": {"data": "customer"}, "tags": ["env:prod"]},
        {"title": "x", "tag": TAG, "tags": ["env:prod"]},
        {"title": "x", "Tags": [TAG], "tags": "env:prod"},
        {"title": "x", "tags": [["env:prod"], [TAG]]},
        {"title": "x", "Private": True, "private": False},
        {"tags": [TAG], "payload": {"title": "x", "tags": ["env:prod"]}},
        {"private": True, "payload": {"title": "x", "private": False}},
        {"private": "yes", "events": [{"title": "x", "private": False}, {"title": "y"}]},
        {"tags": TAG, "events": [{"title": "x", "tags": ["env:prod"]}, {"title": "y"}]},
        {"private": True, "payload": ALERT},
        {**GROUP, "private": True},
        {"private": True, "payload": GROUP},
        {**ALERT, "tags": "env:prod", "event": {"tags": [TAG]}},
        {**ALERT, "tags": "env:prod", "monitor": {"tags": TAG}},
        {**ALERT, "tags": "env:prod", "alert": {**ALERT["alert"], "tags": TAG}},
        {**ALERT, "incident": {"public_id": "7", "status": "active"}, "tags": "env:prod", "event": {"tags": TAG}},
        {"action": "Create", "alert": {"alertId": "a", "message": "M", "tags": f"env:prod,{TAG}"}},
        {"event_action": "trigger", "payload": {"summary": "S", "custom_details": {"data": "customer"}}},
        {"event_action": "trigger", "payload": {"summary": "S", "custom_details": {"tags": ["env:prod", TAG]}}},
    ],
    ids=json.dumps,
)
def test_what_makes_an_alert_private_counts_wherever_it_stands(conf: dict[str, Any]) -> None:
    assert is_private(json.dumps(conf))


@pytest.mark.parametrize(
    "body",
    [
        '{"title": "x", "tags": "data:customer", "tags": "env:prod"}',
        '{"title": "x", "tags": ["data:customer"], "tags": {"env": "prod"}}',
        '{"title": "x", "private": true, "private": false}',
    ],
)
def test_a_name_that_is_given_twice_hides_nothing(body: str) -> None:
    assert is_private(body)


@pytest.mark.parametrize(
    "body",
    [
        "title=x&tags=data:customer&tags=env:prod",
        "title=x&tags[]=data:customer&tags[]=env:prod",
        "title=x&private=1",
    ],
)
def test_a_form_field_that_is_given_twice_hides_nothing(body: str) -> None:
    assert is_private(body, "application/x-www-form-urlencoded")


names = st.sampled_from(["tags", "Tags", "tag", "labels", "TAGS[]"])
others = st.sampled_from(["env:prod", ["env:prod", "team:x"], {"env": "prod"}, "a:b, c:d", None, ""])


@given(st.dictionaries(names, others), names)
def test_one_tag_under_any_name_is_enough(beside: dict[str, Any], name: str) -> None:
    conf = {"title": "x", **beside, name: [beside.get(name), TAG]}
    assert read_signal(conf, received_at=NOW, routing=TABLE).private
