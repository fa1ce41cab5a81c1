"""The trigger form, held against Airflow's own validation of parameters."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_incident_provider.intake import trigger_form
from airflow_incident_provider.intake.manual import ManualConf
from airflow_incident_provider.models import Incident

Read = Callable[..., Incident]
Make = Callable[..., dict[str, Any]]
Validate = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def validated() -> Validate:
    """Return a conf as Airflow merges it with the form's defaults, once it has passed their schemas."""
    from airflow.sdk import Param
    from airflow.sdk.definitions.param import ParamsDict

    def validate(conf: dict[str, Any]) -> dict[str, Any]:
        params = ParamsDict({name: Param(**field) for name, field in trigger_form().items()})
        params.update(conf)
        return params.validate()

    return validate


def test_the_form_has_a_field_for_everything_that_is_read() -> None:
    assert trigger_form().keys() == {*ManualConf.model_fields, "datadog"}


def test_every_field_is_explained_and_optional() -> None:
    for name, field in trigger_form().items():
        assert field["title"], name
        assert field["description"].endswith("."), name
        assert field["section"], name
        assert "null" in field["type"], name
        json.dumps(field)


def test_a_form_is_nobody_elses() -> None:
    trigger_form()["title"]["type"].append("object")
    assert "object" not in trigger_form()["title"]["type"]


@pytest.mark.parametrize(
    "name", ["01_metric_triggered.json", "06_incident_created.json", "11_default_payload_triggered.json"]
)
def test_datadogs_payloads_pass_in_all_shapes(name: str, validated: Validate, payload: Make, read: Read) -> None:
    told = payload(name)
    for conf in ({"datadog": told}, {"datadog": json.dumps(told)}, told):
        assert read(validated(conf)) == read(conf)


@pytest.mark.parametrize(
    "conf",
    [
        {"title": "x"},
        {"title": "x", "severity": "critical", "users": ["dana@acme.example"], "private": True},
        {"title": "x", "severity": "low", "users": "dana@acme.example, Alice Ng", "targets": "web:443\nweb:80"},
        {"title": "x", "severity": None, "links": [{"url": "https://a.example/", "kind": "runbook"}]},
        {"title": "x", "severity": "low", "started_at": "2026-11-23T10:35:00Z", "id": "INC-1"},
    ],
)
def test_a_persons_conf_passes_and_reads_alike(conf: Any, validated: Validate, read: Read) -> None:
    assert read(validated(conf)) == read(conf)


@pytest.mark.parametrize(
    "conf", [{"severity": "catastrophic"}, {"title": ["x"]}, {"users": 7}, {"private": "maybe"}]
)
def test_airflow_refuses_wrong_types_at_the_door(conf: Any, validated: Validate) -> None:
    from airflow.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        validated(conf)
