"""The trigger form's schema accepts every conf that the parser accepts."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.intake import RoutingTable, read_incident, trigger_form
from airflow_incident_provider.intake.report_fields import FIELDS, parse_report
from airflow_incident_provider.models import Incident

Read = Callable[..., Incident]
Make = Callable[..., dict[str, Any]]
Validate = Callable[[dict[str, Any]], dict[str, Any]]

NOW = datetime(2026, 11, 23, 10, 40, 41, tzinfo=UTC)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=30)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def validate(conf: dict[str, Any]) -> dict[str, Any]:
    """Validate a conf against the form's schema and merge it with its defaults, as Airflow does."""
    from airflow.serialization.definitions.param import SerializedParam, SerializedParamsDict

    params = SerializedParamsDict({name: SerializedParam(**field) for name, field in trigger_form().items()})
    return params.deep_merge(conf).validate()


@pytest.fixture(scope="module")
def validated() -> Validate:
    return validate


def test_form_has_every_parsed_field() -> None:
    assert trigger_form().keys() == {*FIELDS, "datadog"}


def test_form_fields_are_optional_and_documented() -> None:
    validate({})
    for name, field in trigger_form().items():
        assert field["title"], name
        assert field["description"].endswith("."), name
        json.dumps(field)


def test_basic_fields_have_no_section() -> None:
    first = [name for name, field in trigger_form().items() if "section" not in field]
    assert first == ["title", "severity", "users", "description"]


def test_forms_do_not_share_state() -> None:
    trigger_form()["title"]["title"] = "x"
    assert trigger_form()["title"]["title"] == "Title"


@given(st.dictionaries(st.sampled_from(FIELDS), anything, max_size=6))
def test_any_field_value_passes_form_and_is_parsed_or_flagged(conf: dict[str, Any]) -> None:
    conf = {**conf, "title": "Checkout is down"}
    merged = validate(conf)
    incident = read_incident({**merged, "status": None}, received_at=NOW, routing=RoutingTable())
    assert incident.title == "Checkout is down"
    _, rejected = parse_report(conf, received_at=NOW)
    reported = {warning.field for warning in incident.flags}
    assert {one.field for one in rejected} - {"status"} <= reported


@pytest.mark.parametrize(
    "name", ["01_metric_triggered.json", "06_incident_created.json", "11_default_payload_triggered.json"]
)
def test_datadog_payloads_pass_form(name: str, validated: Validate, payload: Make, read: Read) -> None:
    sent = payload(name)
    for conf in ({"datadog": sent}, {"datadog": json.dumps(sent)}, sent):
        assert read(validated(conf)) == read(conf)


@pytest.mark.parametrize(
    "conf",
    [
        {"title": "x"},
        {"title": "x", "severity": "critical", "users": ["dana@acme.example"], "private": True},
        {"title": "x", "severity": "low", "users": "dana@acme.example, Alice Ng", "targets": "web:443\nweb:80"},
        {"title": "x", "severity": None, "links": [{"url": "https://a.example/", "kind": "runbook"}]},
        {"title": "x", "severity": "low", "started_at": "2026-11-23T10:35:00Z", "id": "INC-1"},
        {"title": "x", "severity": "P1", "id": 4711502, "private": "yes", "started_at": 1795000000},
        {"title": "x", "severity": 2, "links": {"url": "https://a.example/"}, "users": 7, "tags": {"env": "prod"}},
    ],
)
def test_report_confs_pass_form_unchanged(conf: Any, validated: Validate, read: Read) -> None:
    assert read(validated(conf)) == read(conf)
