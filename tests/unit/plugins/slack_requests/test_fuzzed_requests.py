"""Fuzz signed requests of Slack and requests of Airflow users: none may cause a server error."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from airflow.api_fastapi.core_api.security import get_user
from airflow.sdk import Connection
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from incident_sandbox.interactivity import sign
from schemathesis import Case

from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle.coordination import ActionKind
from airflow_incident_provider.messages.controls import FormContext, form
from airflow_incident_provider.plugins.api import actions
from airflow_incident_provider.plugins.api.app import create_app
from airflow_incident_provider.plugins.slack_requests import service
from airflow_incident_provider.plugins.slack_requests.authorization import Authorization
from airflow_incident_provider.plugins.slack_requests.receiver import SlackReceiver
from airflow_incident_provider.plugins.slack_requests.service import SlackService
from airflow_incident_provider.plugins.slack_requests.verification import Verification
from airflow_incident_provider.registry.actions import DatabaseIncidents

from .one_incident import KEY, Registry, Workspace, open_incident

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
ROOM, DANA = "C0ROOM", "U0DANAREYES"
SUPPRESSED_CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
fuzz_settings = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=SUPPRESSED_CHECKS)

BUTTON: dict[str, Any] = {
    "type": "block_actions",
    "user": {"id": DANA, "username": "dana"},
    "api_app_id": "A0WARROOM1",
    "team": {"id": "T0ACME"},
    "channel": {"id": ROOM},
    "trigger_id": "1.1.a",
    "actions": [
        {
            "type": "static_select",
            "action_id": "incident.useful",
            "value": json.dumps([KEY, "http x"]),
            "selected_option": {"value": "severity"},
        }
    ],
}
SUBMISSION: dict[str, Any] = {
    "type": "view_submission",
    "user": {"id": DANA, "username": "dana"},
    "api_app_id": "A0WARROOM1",
    "team": {"id": "T0ACME"},
    "view": {
        **form(FormContext(key=KEY, kind=ActionKind.UPDATE, channel_id=ROOM), title="t"),
        "id": "V1",
        "state": {"values": {"value": {"input": {"value": "We roll back"}}, "next": {"input": {"value": "15"}}}},
    },
}
COMMAND = {
    "team_id": "T0ACME",
    "api_app_id": "A0WARROOM1",
    "user_id": DANA,
    "user_name": "dana",
    "channel_id": ROOM,
    "command": "/incident",
    "text": "lead",
    "trigger_id": "1.1.a",
}
VERBS = [*(kind.value for kind in ActionKind), "", "help", "LEAD", "explode"]
REPLACEMENTS = ("", "null", "true", "5", "1e400", '""', '"x"', '"\\ud800"', "[]", "[1]", "[[]]", "{}", '{"a": 1}')
"""JSON texts; an empty one removes the part."""
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
command_words = st.sampled_from(
    ["<@U1|x>", "<#C1>", "critical", "-1", "1e9", "9" * 30, "@sre-oncall", "\x00", "\ud7ff", '"']
)
commands = st.builds(
    lambda verb, rest: " ".join([verb, *rest]),
    st.sampled_from(VERBS),
    st.lists(command_words | st.text(), max_size=4),
)


class InMemoryIncidents(DatabaseIncidents):
    """The incidents of the API without a database."""

    def __init__(self, registry: Registry) -> None:
        self.find = registry.find  # type: ignore[method-assign]
        self.apply = registry.apply  # type: ignore[method-assign]


class User:
    """An Airflow user."""

    def get_name(self) -> str:
        return "dana"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Run the application without Slack and without a database."""
    registry, workspace = Registry(open_incident(ROOM)), Workspace({ROOM: {DANA}}, {}, set())
    extra = json.dumps({"signing_secret": SECRET, "app_id": "A0WARROOM1", "team_id": "T0ACME"})
    verification = Verification(lambda: Connection(conn_id="slack", conn_type="slack", extra=extra))
    table = RoutingTable()
    receiver = SlackReceiver(registry, Authorization(lambda: workspace), lambda: table, lambda *_: None)
    monkeypatch.setattr(service, "_reply", lambda *_: None)
    monkeypatch.setattr(actions, "may_trigger", lambda *_: True)
    app = create_app(slack=SlackService(verification, receiver))
    app.state.incidents = InMemoryIncidents(registry)
    app.dependency_overrides[get_user] = User
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def post_signed(client: TestClient, path: str, fields: dict[str, Any]) -> int:
    """Send a signed form and return the status."""
    body = urlencode({name: str(value) for name, value in fields.items()}, errors="surrogatepass").encode()
    return client.post(path, content=body, headers=sign(SECRET, body)).status_code


# --- requests generated from the OpenAPI document ---------------------------------------------------


def openapi_cases(client: TestClient, path: str) -> st.SearchStrategy[Case]:
    """Return the requests that the OpenAPI document allows for ``path``."""
    document = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    strategy: st.SearchStrategy[Case] = document[path]["POST"].as_strategy()
    return strategy


@pytest.mark.parametrize("path", ["/slack/actions", "/slack/commands"])
def test_signed_forms_generated_from_openapi(client: TestClient, path: str) -> None:
    @fuzz_settings
    @given(openapi_cases(client, path))
    def check(case: Case) -> None:
        assert isinstance(case.body, dict), "the document has no schema of the form"
        assert post_signed(client, path, case.body) in {200, 400, 403}

    check()


def test_actions_generated_from_openapi(client: TestClient) -> None:
    @fuzz_settings
    @given(openapi_cases(client, "/api/incidents/{key}/actions"))
    def check(case: Case) -> None:
        path = f"/api/incidents/{KEY}/actions"
        response = client.post(path, json=case.body, headers={"Authorization": "Bearer x"})
        assert response.status_code in {200, 400, 409}, response.text

    check()


# --- changed requests of Slack ----------------------------------------------------------------------


@pytest.mark.parametrize("payload", [BUTTON, SUBMISSION], ids=["button", "form"])
def test_interactions_with_each_part_replaced(client: TestClient, payload: dict[str, Any]) -> None:
    unexpected = {}
    for path_to_part in paths(payload):
        for replacement in REPLACEMENTS:
            changed = {"payload": json.dumps(replace_part(payload, path_to_part, replacement))}
            if (status := post_signed(client, "/slack/actions", changed)) not in {200, 400, 403}:
                unexpected[(*path_to_part, replacement)] = status
    assert unexpected == {}


@fuzz_settings
@given(st.data(), st.sampled_from([BUTTON, SUBMISSION]))
def test_interactions_with_random_parts_replaced(
    client: TestClient, data: st.DataObject, payload: dict[str, Any]
) -> None:
    changed = copy.deepcopy(payload)
    for _ in range(data.draw(st.integers(1, 3))):
        replace_random_part(changed, data)
    assert post_signed(client, "/slack/actions", {"payload": json.dumps(changed)}) in {200, 400, 403}


@fuzz_settings
@given(commands, st.sampled_from(sorted(COMMAND)), st.none() | st.text())
def test_random_commands(client: TestClient, text: str, field: str, replacement: str | None) -> None:
    fields = {**COMMAND, "text": text}
    if replacement is None:
        del fields[field]
    else:
        fields[field] = replacement
    assert post_signed(client, "/slack/commands", fields) in {200, 400, 403}


@fuzz_settings
@given(commands, st.none() | st.text(max_size=100))
def test_random_commands_of_the_api(client: TestClient, command: str, request_id: str | None) -> None:
    body = {"command": command, "request_id": request_id}
    response = client.post(f"/api/incidents/{KEY}/actions", json=body, headers={"Authorization": "Bearer x"})
    assert response.status_code in {200, 400, 409}, response.text


def paths(payload: Any, parent: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to each part of a payload."""
    inner = (
        payload.items() if isinstance(payload, dict) else enumerate(payload) if isinstance(payload, list) else ()
    )
    for name, part in inner:
        yield (*parent, name)
        yield from paths(part, (*parent, name))


def replace_part(payload: Any, path_to_part: tuple[Any, ...], replacement: str) -> Any:
    """Return a copy with the part at a path replaced by JSON, or removed if it is empty."""
    changed = copy.deepcopy(payload)
    inner = changed
    for name in path_to_part[:-1]:
        inner = inner[name]
    if replacement:
        inner[path_to_part[-1]] = json.loads(replacement)
    else:
        del inner[path_to_part[-1]]
    return changed


def replace_random_part(payload: Any, data: st.DataObject) -> None:
    """Replace or remove a value at a random depth."""
    while True:
        keys = list(payload) if isinstance(payload, dict) else list(range(len(payload)))
        key = data.draw(st.sampled_from(keys))
        inner = payload[key]
        if isinstance(inner, dict | list) and inner and data.draw(st.booleans()):
            payload = inner
            continue
        if data.draw(st.booleans()):
            payload[key] = data.draw(json_values)
        else:
            del payload[key]
        return
