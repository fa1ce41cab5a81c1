"""Datadog sandbox, used through Datadog's official client."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests
from incident_sandbox import SandboxClient, SandboxServer, Workspace

WEBHOOKS = "/api/v1/integration/webhooks/configuration/webhooks"
VARIABLES = "/api/v1/integration/webhooks/configuration/custom-variables"


@pytest.fixture
def datadog(server: SandboxServer, workspace: Workspace) -> Any:
    import datadog

    keys = workspace.datadog
    datadog.initialize(api_key=keys.api_key, app_key=keys.app_key, api_host=server.datadog_url, mute=False)
    return datadog


@pytest.fixture
def headers(workspace: Workspace) -> dict[str, str]:
    return {"DD-API-KEY": workspace.datadog.api_key, "DD-APPLICATION-KEY": workspace.datadog.app_key}


def test_metrics_are_stored(datadog: Any, workspace: Workspace, control: SandboxClient) -> None:
    response = datadog.api.Metric.send(
        metric="incident.opened", points=[(time.time(), 1)], tags=["env:prod"], type="count"
    )

    assert response["status"] == "ok"
    stored = control.state()["datadog"]["series"][0]
    assert (stored["metric"], stored["tags"], stored["version"]) == ("incident.opened", ["env:prod"], "v1")


def test_series_v2_are_stored(server: SandboxServer, headers: dict[str, str], workspace: Workspace) -> None:
    body = {"series": [{"metric": "m", "type": 1, "points": [{"timestamp": 1, "value": 2}]}]}
    response = requests.post(f"{server.url}/api/v2/series", json=body, headers=headers, timeout=60)

    assert (response.status_code, response.json()) == (202, {"errors": []})
    assert workspace.datadog.series[0]["version"] == "v2"


def test_event_round_trip(datadog: Any) -> None:
    created = datadog.api.Event.create(title="Room opened", text="here", tags=["incident:dd.1"], alert_type="info")
    read = datadog.api.Event.get(created["event"]["id"])

    assert read["event"]["title"] == "Room opened"
    assert read["event"]["tags"] == ["incident:dd.1"]


def test_query_returns_the_scripted_series(datadog: Any, server: SandboxServer) -> None:
    script = {"query": "avg:up{*}", "series": [{"metric": "up", "pointlist": [[1_000, 1.0]], "scope": "*"}]}
    requests.post(f"{server.url}/sandbox/datadog/queries", json=script, timeout=60).raise_for_status()

    scripted = datadog.api.Metric.query(start=1, end=2, query="avg:up{*}")
    other = datadog.api.Metric.query(start=1, end=2, query="avg:down{*}")

    assert scripted["series"] == script["series"]
    assert (scripted["from_date"], scripted["to_date"]) == (1000, 2000)
    assert other["series"] == []


def test_wrong_keys_are_forbidden(server: SandboxServer, headers: dict[str, str]) -> None:
    wrong = [{}, {**headers, "DD-API-KEY": "x"}]
    for keys in wrong:
        response = requests.get(f"{server.url}/api/v1/validate", headers=keys, timeout=60)
        assert (response.status_code, response.json()) == (403, {"errors": ["Forbidden"]})
    only_api = {"DD-API-KEY": headers["DD-API-KEY"]}
    query = {"query": "x", "from": "1", "to": "2"}
    assert requests.get(f"{server.url}/api/v1/validate", headers=only_api, timeout=60).json() == {"valid": True}
    assert requests.get(f"{server.url}/api/v1/query", params=query, headers=only_api, timeout=60).status_code == 403


def test_keys_in_the_query_string_work_and_are_not_logged(
    server: SandboxServer, workspace: Workspace, control: SandboxClient
) -> None:
    keys = {"api_key": workspace.datadog.api_key, "application_key": workspace.datadog.app_key}
    response = requests.get(f"{server.url}/api/v1/validate", params=keys, timeout=60)

    assert response.json() == {"valid": True}
    assert control.calls("datadog.validate")[0]["args"] == {}


@pytest.mark.parametrize(
    ("path", "entry", "change"),
    [
        (WEBHOOKS, {"name": "airflow", "url": "https://x.example", "payload": "{}"}, {"url": "https://y.example"}),
        (VARIABLES, {"name": "SECRET", "value": "s3cret", "is_secret": False}, {"value": "new"}),
    ],
)
def test_webhooks_integration(
    server: SandboxServer, headers: dict[str, str], path: str, entry: dict[str, Any], change: dict[str, Any]
) -> None:
    def call(verb: str, name: str = "", **kwargs: Any) -> requests.Response:
        return requests.request(verb, f"{server.url}{path}{name}", headers=headers, timeout=60, **kwargs)

    one = f"/{entry['name']}"
    assert call("GET", one).status_code == 404
    assert call("POST", json=entry).status_code == 201
    assert call("POST", json=entry).status_code == 400
    assert call("PUT", one, json=change).json() == {**entry, **change}
    assert call("GET", one).json() == {**entry, **change}
    assert call("DELETE", one).status_code == 200
    assert call("GET", one).status_code == 404
    assert call("POST", json={"name": "half"}).status_code == 400


def test_secret_variables_are_not_returned(
    server: SandboxServer, headers: dict[str, str], control: SandboxClient
) -> None:
    entry = {"name": "SECRET", "value": "s3cret", "is_secret": True}
    requests.post(server.url + VARIABLES, json=entry, headers=headers, timeout=60)

    assert requests.get(f"{server.url}{VARIABLES}/SECRET", headers=headers, timeout=60).json() == {
        "name": "SECRET",
        "is_secret": True,
    }
    assert "s3cret" not in str(control.state()["datadog"])


def test_faults_apply_to_datadog(server: SandboxServer, headers: dict[str, str], control: SandboxClient) -> None:
    from incident_sandbox import Fault

    control.add_fault(Fault(method="datadog.validate", status=503, body={"errors": ["down"]}))

    assert requests.get(f"{server.url}/api/v1/validate", headers=headers, timeout=60).status_code == 503
    assert requests.get(f"{server.url}/api/v1/validate", headers=headers, timeout=60).status_code == 200


def test_invalid_json_body_is_rejected(server: SandboxServer, headers: dict[str, str]) -> None:
    response = requests.post(f"{server.url}/api/v1/events", data=b"{", headers=headers, timeout=60)

    assert response.status_code == 400
