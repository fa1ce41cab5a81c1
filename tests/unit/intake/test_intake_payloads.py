"""Recorded payloads parse and route to the reviewed golden files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider.exceptions import InvalidPayloadError, NotAnIncidentError
from airflow_incident_provider.intake import RoutingTable, payload_template
from airflow_incident_provider.intake.datadog.payload import read_payload
from airflow_incident_provider.intake.limits import ParseWarnings
from airflow_incident_provider.models import Incident

Read = Callable[..., Incident]
Make = Callable[..., dict[str, Any]]

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("*.json")))
def test_recorded_payload_matches_golden_file(
    name: str, payload: Make, read: Read, example_table: RoutingTable
) -> None:
    conf = payload(name).get("conf") or payload(name)
    incident = read(conf, example_table)
    assert incident.model_dump(mode="json", exclude_defaults=True) == json.loads((GOLDEN / name).read_text())


def test_every_recorded_payload_has_golden_file() -> None:
    recorded = {path.name for path in (Path(__file__).parents[2] / "payloads").glob("*.json")}
    assert recorded - {path.name for path in GOLDEN.glob("*.json")} == {"03_metric_recovered.json"}


def test_recovery_opens_no_incident(payload: Make, read: Read) -> None:
    with pytest.raises(NotAnIncidentError, match=r"'Checkout 5xx ratio above 2%' recovered"):
        read(payload("03_metric_recovered.json"))


@pytest.mark.parametrize(
    "name", ["01_metric_triggered.json", "06_incident_created.json", "11_default_payload_triggered.json"]
)
def test_bare_wrapped_and_text_payloads_are_equivalent(name: str, payload: Make, read: Read) -> None:
    bare = read(payload(name))
    assert read({"datadog": payload(name)}) == bare
    assert read({"datadog": json.dumps(payload(name))}) == bare


def test_conf_in_api_request_body_is_read(payload: Make, read: Read) -> None:
    body = payload("20_direct_rest_body.json")
    assert read(body) == read(body["conf"])


def test_empty_form_fields_do_not_change_payload(payload: Make, read: Read) -> None:
    sent = payload("01_metric_triggered.json")
    form = {"title": "", "severity": None, "users": [], "targets": "  ", "links": None, "private": None}
    assert read({"datadog": sent, **form}) == read(sent)


def test_conf_fields_extend_payload(payload: Make, read: Read, example_table: RoutingTable) -> None:
    conf = {
        "datadog": payload("01_metric_triggered.json"),
        "users": "jon smiht, ALICE NG",
        "targets": ["10.1.2.3:8080"],
        "links": ["https://grafana.acme.example/d/abc"],
        "private": True,
        "title": "something else",
    }
    incident = read(conf, example_table)
    assert incident.responders[:3] == ("jon smiht", "ALICE NG", "dana@acme.example")
    assert "Alice Ng" not in incident.responders
    assert [str(target) for target in incident.targets] == ["10.1.2.3:8080"]
    assert not incident.targets[0].trusted
    assert incident.links[-1].kind == "dashboard"
    assert incident.route.private
    assert incident.title == "Checkout 5xx ratio above 2%"
    assert [flag.field for flag in incident.flags] == ["title"]


def test_commander_follows_users_and_precedes_rules(
    datadog_incident: Make, read: Read, example_table: RoutingTable
) -> None:
    sent = datadog_incident(severity="SEV-1") | {"users": ["dave@acme.example"]}
    assert read(sent, example_table).responders == ("dave@acme.example", "dana@acme.example", "@sre-oncall")


def test_all_template_variables_are_parsed() -> None:
    template = json.loads(_rendered(payload_template(), lambda name: f'"{name} is set"'))
    variables = read_payload(template, ParseWarnings())
    found = json.dumps(variables.model_dump())
    missing = [name for name in re.findall(r"\$([A-Z_]+)", payload_template()) if f"${name} is set" not in found]
    assert missing == []


@pytest.mark.parametrize("value", ["null", "", "{}", "[]", '{"a": "b"}', '[{"a": 1}]', '"text"', "7"])
def test_template_is_valid_json_for_any_unquoted_value(value: str, read: Read) -> None:
    conf = json.loads(_rendered(payload_template(), lambda _name: value))
    assert read({"datadog": {**conf, "title": "Checkout"}}).title == "Checkout"


def test_packaged_template_equals_recorded_template() -> None:
    recorded = (Path(__file__).parents[2] / "payloads" / "TEMPLATE.txt").read_text(encoding="utf-8")
    assert payload_template() == recorded


def test_unrendered_template_is_refused(read: Read) -> None:
    with pytest.raises(InvalidPayloadError, match="neither a title nor an id"):
        read({"datadog": json.loads(_rendered(payload_template(), lambda name: f'"{name}"'))})


def _rendered(template: str, value_of: Callable[[str], str]) -> str:
    """Render the template with a value for each JSON variable, and optionally for each quoted one."""
    with_json = re.sub(r"\[(\$[A-Z_]+)\]", lambda found: f"[{value_of(found[1])}]", template)
    quoted = value_of("$X").endswith('is set"')
    return re.sub(r'"(\$[A-Z_]+)"', r'"\1 is set"' if quoted else r'"\1"', with_json)
