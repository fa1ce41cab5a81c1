"""Duplicate tag and privacy fields, also in the envelope of an alert, are merged."""

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
def test_privacy_fields_apply_at_any_level(conf: dict[str, Any]) -> None:
    assert is_private(json.dumps(conf))


@pytest.mark.parametrize(
    "body",
    [
        '{"title": "x", "tags": "data:customer", "tags": "env:prod"}',
        '{"title": "x", "tags": ["data:customer"], "tags": {"env": "prod"}}',
        '{"title": "x", "private": true, "private": false}',
    ],
)
def test_duplicate_json_keys_are_merged(body: str) -> None:
    assert is_private(body)


@pytest.mark.parametrize(
    "body",
    [
        "title=x&tags=data:customer&tags=env:prod",
        "title=x&tags[]=data:customer&tags[]=env:prod",
        "title=x&private=1",
    ],
)
def test_duplicate_form_fields_are_merged(body: str) -> None:
    assert is_private(body, "application/x-www-form-urlencoded")


tag_fields = st.sampled_from(["tags", "Tags", "tag", "labels", "TAGS[]"])
other_tags = st.sampled_from(["env:prod", ["env:prod", "team:x"], {"env": "prod"}, "a:b, c:d", None, ""])


@given(st.dictionaries(tag_fields, other_tags), tag_fields)
def test_private_tag_applies_under_any_field_name(other_fields: dict[str, Any], name: str) -> None:
    conf = {"title": "x", **other_fields, name: [other_fields.get(name), TAG]}
    assert read_signal(conf, received_at=NOW, routing=TABLE).private
