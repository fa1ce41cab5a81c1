"""Test bodies with several alerts: each is decided and recorded separately."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import Connection
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_incident_provider.exceptions import InvalidPayloadError, RegistryUnavailableError
from airflow_incident_provider.intake.request_body import MAX_ALERTS, UnreadableBodyError, parse_body
from airflow_incident_provider.lifecycle.decision import decide
from airflow_incident_provider.plugins.api.app import create_app
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER, Authentication
from airflow_incident_provider.plugins.webhook.receiver import AlertReceiver
from airflow_incident_provider.registry.decisions import Outcome, PendingAlert
from airflow_incident_provider.registry.records import Rejection

SECRET = "a-secret-for-these-tests"
A, B, C = ({"id": name, "title": f"Alert {name}"} for name in "abc")


class Sender:
    """Send bodies to the application, which decides each alert without other incidents."""

    def __init__(self, errors: dict[str, Exception] | None = None) -> None:
        self.errors = errors or {}
        self.rejections: list[Rejection] = []
        connection = Connection(conn_id="incident_webhook", conn_type="generic", password=SECRET)
        self.receiver = AlertReceiver(
            Authentication(lambda: connection), lambda alerts, _: self._act_on(alerts), self.rejections.append
        )
        self._client = TestClient(create_app(receiver=self.receiver), headers={SECRET_HEADER: SECRET})

    def post(self, body: str | bytes, content_type: str = "application/json", path: str = "generic") -> Any:
        return self._client.post(f"/webhook/{path}", content=body, headers={"Content-Type": content_type})

    def _act_on(self, alerts: Sequence[PendingAlert]) -> list[Outcome | Exception]:
        return [self.errors.get(alert.signal.incident.id) or self._decide(alert) for alert in alerts]

    def _decide(self, alert: PendingAlert) -> Outcome:
        decision = decide(alert.signal, [], alert.routing, datetime.now(UTC))
        return Outcome(decision, decision.runs[0].run_id if decision.runs else None, ())


def _lines(*alerts: object) -> str:
    return "\n".join(json.dumps(alert) for alert in alerts)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([A, B, C]),
        _lines(A, B, C),
        _lines(A, B, C).replace("\n", ""),
        _lines(A, B, C).replace("\n", ",\n"),
        json.dumps(A, indent=2) + "\n" + json.dumps(B, indent=2) + json.dumps(C, indent=2),
        "\x1e" + _lines(A, B, C).replace("\n", "\n\x1e"),
        "\n\n".join(f"data: {json.dumps(alert)}" for alert in (A, B, C)),
        json.dumps([[A], [B, C]]),
        json.dumps({"payload": [A, B, C]}),
        json.dumps({"version": 1, "events": [A, B, C]}),
        json.dumps(json.dumps([A, B, C])),
        "payload=" + json.dumps([A, B, C]),
        "&".join(f"payload={json.dumps(alert)}" for alert in (A, B, C)),
        _lines(A, B, C).replace("\n", "\r"),
        _lines(A, B, C).replace("\n", " | "),
        "\n".join(f"2026-11-23 INFO {json.dumps(alert)}" for alert in (A, B, C)),
        json.dumps([A, B, C])[:-1],
        json.dumps([A, B, C]).replace("}, {", "} {"),
        json.dumps([A, B, C]).replace("]", ",]"),
        json.dumps([json.dumps(alert) for alert in (A, B, C)]),
    ],
    ids=str,
)
def test_each_alert_of_a_body_opens_an_incident(body: str) -> None:
    response = Sender().post(body)
    assert response.status_code == 202
    results = response.json()["results"]
    assert [result["incident"] for result in results] == ["man.a", "man.b", "man.c"]
    assert {(result["status"], result["decision"], result["error"]) for result in results} == {(202, "open", None)}


def test_list_of_one_alert_is_handled_as_a_single_alert() -> None:
    response = Sender().post(json.dumps([A]))
    assert (response.status_code, response.json()["incident"]) == (202, "man.a")
    assert "results" not in response.json()


@pytest.mark.parametrize(
    ("bad", "title"),
    [
        ('{"severity": "P1"}', "severity"),
        ('{"title": "cut off", "id": "x", "stat', "cut off"),
        ('{"title": "broken" @@ "x}', "broken"),
        ('{"schemaId": "azureMonitorCommonAlertSchema", "title": "CPU"}', "CPU"),
    ],
)
def test_invalid_alert_is_recorded_and_does_not_affect_others(
    bad: str, title: str, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Sender()
    response = sender.post("\n".join([json.dumps(A), bad, json.dumps(C)]))
    assert response.status_code == 202
    assert [result["status"] for result in response.json()["results"]] == [202, 400, 202]
    assert response.json()["error"] == response.json()["results"][1]["error"]
    assert [title in rejection.title for rejection in sender.rejections] == [True]
    assert sender.receiver.refused == {400: 1}
    assert "was refused: 400" in caplog.text


def test_temporary_failure_of_one_alert_returns_503() -> None:
    sender = Sender({"b": RegistryUnavailableError("No lock.")})
    response = sender.post(json.dumps([A, B, {"severity": "x"}]))
    assert response.status_code == 503
    assert [result["status"] for result in response.json()["results"]] == [202, 503, 400]
    assert len(sender.rejections) == 1


def test_body_with_only_refused_alerts_returns_400() -> None:
    sender = Sender({"a": InvalidPayloadError("title: wrong.")})
    response = sender.post(json.dumps([A, 5]))
    assert (response.status_code, [result["status"] for result in response.json()["results"]]) == (400, [400, 400])
    assert response.json()["error"] == "title: wrong."
    assert len({rejection.id for rejection in sender.rejections}) == 2


@pytest.mark.parametrize("body", ["[null]", "[null, null]", "[[null], null]", '{"alerts": [null]}', "null\nnull"])
def test_body_without_alerts_returns_400_and_is_recorded(body: str) -> None:
    sender = Sender()
    assert sender.post(body).status_code == 400
    assert len(sender.rejections) == 1


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), st.lists, max_leaves=6))
def test_any_json_body_has_alerts_or_is_refused(value: Any) -> None:
    with contextlib.suppress(UnreadableBodyError):
        assert parse_body(json.dumps(value).encode(), "application/json")


def test_alerts_beyond_the_limit_are_reported() -> None:
    sender = Sender()
    response = sender.post(_lines(*({"id": str(n), "title": f"Alert {n}"} for n in range(MAX_ALERTS + 7))))
    results = response.json()["results"]
    assert [result["decision"] for result in results[:-1]] == ["open"] * MAX_ALERTS
    assert f"holds {MAX_ALERTS + 7} alerts" in results[-1]["error"]
    assert sender.rejections[0].title == f"Alert {MAX_ALERTS}"


def test_fields_beside_a_list_apply_to_each_alert() -> None:
    alerts = parse_body(
        json.dumps({"private": True, "severity": "P1", "alerts": [A, {**B, "severity": "P4"}]}).encode()
    )
    assert alerts == [{"private": True, "severity": "P1", **A}, {"private": True, **B, "severity": "P4"}]


def test_alertmanager_group_is_one_alert() -> None:
    group = {"groupKey": "k", "status": "firing", "alerts": [{"labels": {"alertname": n}} for n in "xy"]}
    response = Sender().post(json.dumps(group))
    assert (response.status_code, response.json()["decision"]) == (202, "open")


def test_pagerduty_messages_are_separate_alerts() -> None:
    messages = [{"id": f"m{n}", "incident": {"id": f"P{n}", "title": f"Queue {n}"}} for n in (1, 2)]
    response = Sender().post(json.dumps({"messages": messages}))
    assert [result["decision"] for result in response.json()["results"]] == ["open", "open"]


objects = st.dictionaries(st.sampled_from(["id", "title", "x", "y"]), st.text(max_size=20), min_size=1, max_size=4)


@settings(max_examples=50)
@given(st.lists(objects, min_size=2, max_size=6), st.sampled_from(["", "\n", ",", " ; ", "\n\n"]))
def test_documents_are_parsed_with_any_separator(alerts: list[dict[str, str]], separator: str) -> None:
    parsed = parse_body(separator.join(json.dumps(alert) for alert in alerts).encode())
    assert len(parsed) == len(alerts)


@settings(max_examples=50)
@given(st.lists(objects, min_size=2, max_size=6), st.data())
def test_truncated_list_loses_only_the_last_alert(alerts: list[dict[str, str]], data: Any) -> None:
    texts = [json.dumps(alert) for alert in alerts]
    length = data.draw(st.integers(1, len(texts[-1]) - 1))
    body = "[" + ",".join(texts[:-1]) + "," + texts[-1][:length]
    parsed = [alert for alert in parse_body(body.encode()) if not isinstance(alert, UnreadableBodyError)]
    expected = [
        {name: text.replace("\0", "\N{REPLACEMENT CHARACTER}") for name, text in alert.items()} for alert in alerts
    ]
    assert parsed[: len(alerts) - 1] == expected[:-1]
