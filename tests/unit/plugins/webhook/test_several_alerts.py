"""Bodies with several alerts: each is decided, recorded and answered by itself."""

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
    """Sends bodies to the application, whose alerts have no other incident beside them."""

    def __init__(self, errors: dict[str, Exception] | None = None) -> None:
        self.errors = errors or {}
        self.rejected: list[Rejection] = []
        connection = Connection(conn_id="incident_webhook", conn_type="generic", password=SECRET)
        self.receiver = AlertReceiver(
            Authentication(lambda: connection), lambda alerts, _: self._act_on(alerts), self.rejected.append
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
def test_each_alert_of_a_body_opens_its_own_incident(body: str) -> None:
    answer = Sender().post(body)
    assert answer.status_code == 202
    results = answer.json()["results"]
    assert [result["incident"] for result in results] == ["man.a", "man.b", "man.c"]
    assert {(result["status"], result["decision"], result["error"]) for result in results} == {(202, "open", None)}


def test_a_list_of_one_is_answered_as_a_single_alert() -> None:
    answer = Sender().post(json.dumps([A]))
    assert (answer.status_code, answer.json()["incident"]) == (202, "man.a")
    assert "results" not in answer.json()


@pytest.mark.parametrize(
    ("bad", "title"),
    [
        ('{"severity": "P1"}', "severity"),
        ('{"title": "cut off", "id": "x", "stat', "cut off"),
        ('{"title": "broken" @@ "x}', "broken"),
        ('{"schemaId": "azureMonitorCommonAlertSchema", "title": "CPU"}', "CPU"),
    ],
)
def test_one_bad_alert_costs_the_others_nothing_and_leaves_a_record(
    bad: str, title: str, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Sender()
    answer = sender.post("\n".join([json.dumps(A), bad, json.dumps(C)]))
    assert answer.status_code == 202
    assert [result["status"] for result in answer.json()["results"]] == [202, 400, 202]
    assert answer.json()["error"] == answer.json()["results"][1]["error"]
    assert [title in one.title for one in sender.rejected] == [True]
    assert sender.receiver.refused == {400: 1}
    assert "was refused: 400" in caplog.text


def test_an_alert_that_may_succeed_later_makes_the_sender_send_all_again() -> None:
    sender = Sender({"b": RegistryUnavailableError("No lock.")})
    answer = sender.post(json.dumps([A, B, {"severity": "x"}]))
    assert answer.status_code == 503
    assert [result["status"] for result in answer.json()["results"]] == [202, 503, 400]
    assert len(sender.rejected) == 1


def test_a_body_whose_alerts_are_all_refused_is_answered_400_with_a_record_for_each() -> None:
    sender = Sender({"a": InvalidPayloadError("title: wrong.")})
    answer = sender.post(json.dumps([A, 5]))
    assert (answer.status_code, [result["status"] for result in answer.json()["results"]]) == (400, [400, 400])
    assert answer.json()["error"] == "title: wrong."
    assert len({one.id for one in sender.rejected}) == 2


@pytest.mark.parametrize("body", ["[null]", "[null, null]", "[[null], null]", '{"alerts": [null]}', "null\nnull"])
def test_a_body_without_any_alert_is_answered_400_with_a_record(body: str) -> None:
    sender = Sender()
    assert sender.post(body).status_code == 400
    assert len(sender.rejected) == 1


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), st.lists, max_leaves=6))
def test_every_body_that_is_json_holds_an_alert_or_is_refused(value: Any) -> None:
    with contextlib.suppress(UnreadableBodyError):
        assert parse_body(json.dumps(value).encode(), "application/json")


def test_more_alerts_than_are_read_are_reported() -> None:
    sender = Sender()
    answer = sender.post(_lines(*({"id": str(n), "title": f"Alert {n}"} for n in range(MAX_ALERTS + 7))))
    results = answer.json()["results"]
    assert [result["decision"] for result in results[:-1]] == ["open"] * MAX_ALERTS
    assert f"holds {MAX_ALERTS + 7} alerts" in results[-1]["error"]
    assert sender.rejected[0].title == f"Alert {MAX_ALERTS}"


def test_what_stands_beside_a_list_holds_for_each_of_its_alerts() -> None:
    alerts = parse_body(
        json.dumps({"private": True, "severity": "P1", "alerts": [A, {**B, "severity": "P4"}]}).encode()
    )
    assert alerts == [{"private": True, "severity": "P1", **A}, {"private": True, **B, "severity": "P4"}]


def test_a_group_of_alertmanager_stays_one_alert() -> None:
    group = {"groupKey": "k", "status": "firing", "alerts": [{"labels": {"alertname": n}} for n in "xy"]}
    answer = Sender().post(json.dumps(group))
    assert (answer.status_code, answer.json()["decision"]) == (202, "open")


def test_the_messages_of_pagerduty_are_separate_alerts() -> None:
    messages = [{"id": f"m{n}", "incident": {"id": f"P{n}", "title": f"Queue {n}"}} for n in (1, 2)]
    answer = Sender().post(json.dumps({"messages": messages}))
    assert [result["decision"] for result in answer.json()["results"]] == ["open", "open"]


objects = st.dictionaries(st.sampled_from(["id", "title", "x", "y"]), st.text(max_size=20), min_size=1, max_size=4)


@settings(max_examples=50)
@given(st.lists(objects, min_size=2, max_size=6), st.sampled_from(["", "\n", ",", " ; ", "\n\n"]))
def test_whole_documents_are_all_found_behind_any_separator(alerts: list[dict[str, str]], separator: str) -> None:
    found = parse_body(separator.join(json.dumps(alert) for alert in alerts).encode())
    assert len(found) == len(alerts)


@settings(max_examples=50)
@given(st.lists(objects, min_size=2, max_size=6), st.data())
def test_a_list_that_is_cut_off_loses_only_the_alert_in_which_it_was(
    alerts: list[dict[str, str]], data: Any
) -> None:
    texts = [json.dumps(alert) for alert in alerts]
    cut = data.draw(st.integers(1, len(texts[-1]) - 1))
    body = "[" + ",".join(texts[:-1]) + "," + texts[-1][:cut]
    found = [one for one in parse_body(body.encode()) if not isinstance(one, UnreadableBodyError)]
    whole = [
        {name: text.replace("\0", "\N{REPLACEMENT CHARACTER}") for name, text in one.items()} for one in alerts
    ]
    assert found[: len(alerts) - 1] == whole[:-1]
