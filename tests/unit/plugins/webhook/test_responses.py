"""The response of the application to each kind of request, without a database."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from airflow.exceptions import ParamValidationError
from airflow.sdk import Connection
from fastapi import Request
from fastapi.testclient import TestClient
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from airflow_incident_provider.exceptions import InvalidPayloadError, RegistryUnavailableError
from airflow_incident_provider.lifecycle.decision import decide
from airflow_incident_provider.plugins.api.app import create_app
from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.webhook import receiver as receiver_module
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER, Authentication
from airflow_incident_provider.plugins.webhook.receiver import AlertReceiver
from airflow_incident_provider.registry.decisions import Outcome, PendingAlert
from airflow_incident_provider.registry.records import PRIVATE_ALERT, Rejection
from airflow_incident_provider.registry.runs import DagNotReadyError

SECRET = "a-secret-for-these-tests"
STATEMENT = "INSERT INTO x VALUES (:hostile)"
REPORT = {"id": "CHG-1", "title": "Orders are late"}
Act = Callable[[Sequence[PendingAlert]], list[Outcome | Exception]]


rejected: list[Rejection] = []


@pytest.fixture(autouse=True)
def no_rejections() -> None:
    rejected.clear()


def client(act: Act, **environment: Any) -> TestClient:
    connection = Connection(conn_id="incident_webhook", conn_type="generic", password=SECRET)
    receiver = AlertReceiver(Authentication(lambda: connection), lambda alerts, _: act(alerts), rejected.append)
    return TestClient(create_app(receiver=receiver), headers={SECRET_HEADER: SECRET}, raise_server_exceptions=False)


def decided(alerts: Sequence[PendingAlert]) -> list[Outcome | Exception]:
    """Decide without any other incident."""
    decisions = [decide(alert.signal, [], alert.routing, datetime.now(UTC)) for alert in alerts]
    return [Outcome(decision, decision.runs[0].run_id if decision.runs else None, ()) for decision in decisions]


def failing(error: Exception) -> Act:
    def act(alerts: Sequence[PendingAlert]) -> list[Outcome | Exception]:
        raise error

    return act


def refusing(error: Exception) -> Act:
    return lambda alerts: [error for _ in alerts]


def test_an_accepted_alert_returns_its_decision() -> None:
    answer = client(decided).post("/webhook/generic", json=REPORT)
    assert (answer.status_code, answer.json()["decision"]) == (202, "open")
    assert answer.json()["run_id"] == answer.json()["incident"] == "man.CHG-1"
    assert answer.json()["reason"].startswith("New")


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ({"colour": "red"}, "colour: not a field"),
        ({"servics": ["a"]}, "servics: not a field, so it was ignored: did you mean services?"),
        ({"targets": ["not a url !!"]}, "targets: left out"),
        ({"started_at": "some day"}, "started_at: "),
        ({"a\nb" + "c" * 900: 1}, "a b"),
    ],
)
def test_what_is_not_read_is_named_in_the_response(more: dict[str, Any], note: str) -> None:
    answer = client(decided).post("/webhook/generic", json={"severity": "high", **REPORT, **more})
    [noted] = answer.json()["notes"]
    assert noted.startswith(note)
    assert len(noted) <= 300


@pytest.mark.parametrize("more", [{}, {"service": ["a"]}, {"Priority": "P1"}, {"dry_run": True}])
def test_what_is_read_is_not_named(more: dict[str, Any]) -> None:
    assert (
        client(decided).post("/webhook/generic", json={"severity": "high", **REPORT, **more}).json()["notes"] == []
    )


def test_fields_of_other_formats_are_not_named_as_unknown(payload: Callable[[str], dict[str, Any]]) -> None:
    for endpoint, body in (("datadog", payload("01")), ("generic", payload("01")), ("generic", {"conf": REPORT})):
        notes = client(decided).post(f"/webhook/{endpoint}", json=body).json()["notes"]
        assert [note for note in notes if "not a field" in note] == [], (endpoint, notes)


def test_a_recovery_of_nothing_is_answered_200(payload: Callable[[str], dict[str, Any]]) -> None:
    answer = client(decided).post("/webhook/datadog", json=payload("03"))
    assert (answer.status_code, answer.json()["decision"], answer.json()["incident"]) == (200, "ignore", None)


@pytest.mark.parametrize(
    ("act", "status", "said"),
    [
        (refusing(DagNotReadyError("The DAG x is paused.", fix="Unpause it.")), 503, "paused"),
        (failing(RegistryUnavailableError("Airflow does not know the asset yet.")), 503, "asset"),
        (failing(OperationalError(STATEMENT, {"hostile": "text"}, OSError("refused"))), 503, "database"),
        (failing(PoolTimeoutError("QueuePool limit")), 503, "database"),
        (failing(ZeroDivisionError("a bug")), 503, "internal error"),
        (refusing(DataError(STATEMENT, {"hostile": "text"}, ValueError("bad"))), 503, "database"),
        (refusing(ValueError("a defect")), 503, "internal error"),
        (refusing(ParamValidationError("Invalid input for param title")), 400, "title"),
        (refusing(InvalidPayloadError("title: wrong.")), 400, "title"),
    ],
)
def test_every_error_has_a_response(act: Act, status: int, said: str) -> None:
    answer = client(act).post("/webhook/generic", json=REPORT)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text
    assert "hostile" not in answer.text


def test_a_report_without_title_is_refused() -> None:
    answer = client(decided).post("/webhook/generic", json={"severity": "purple"})
    assert (answer.status_code, answer.json()["error"].split(":")[0]) == (400, "title")


def test_a_slow_decision_is_answered_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "ANSWER_SECONDS", 0.2)

    answered = threading.Event()

    def slow(alerts: Sequence[PendingAlert]) -> list[Outcome | Exception]:
        answered.wait(60)
        return decided(alerts)

    answer = client(slow).post("/webhook/generic", json=REPORT)
    answered.set()
    assert (answer.status_code, "within" in answer.json()["error"]) == (503, True)


def test_nothing_is_decided_without_the_secret_or_for_a_bad_body() -> None:
    asked: list[PendingAlert] = []

    def act(alerts: Sequence[PendingAlert]) -> list[Outcome | Exception]:
        asked.extend(alerts)
        return decided(alerts)

    app = client(act)
    assert app.post("/webhook/generic", json=REPORT, headers={SECRET_HEADER: "wrong"}).status_code == 401
    assert (
        app.post("/webhook/generic", content="{", headers={"Content-Type": "application/json"}).status_code == 400
    )
    assert app.post("/webhook/generic", json=REPORT, headers={"Content-Encoding": "gzip"}).status_code == 415
    assert app.post("/webhook/generic", json={**REPORT, "description": "x" * 300_000}).status_code == 413
    assert app.get("/webhook/generic").status_code == 405
    assert app.post("/webhook/nowhere", json=REPORT).json() == {"error": "Not Found.", "fix": None}
    assert asked == []


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress])
def test_a_compressed_body_is_read_within_its_bounds(encode: Callable[[bytes], bytes]) -> None:
    app = client(decided)
    headers = {"Content-Encoding": "gzip" if encode is gzip.compress else "deflate"}
    assert app.post("/webhook/generic", content=encode(json.dumps(REPORT).encode()), headers=headers).is_success
    large = encode(json.dumps({**REPORT, "description": "x" * 5_000_000}).encode())
    assert app.post("/webhook/generic", content=large, headers=headers).status_code == 413


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b'{"id": 7, "title": "Disk is full", "description": "' + b"x" * 300_000 + b'"}', {}, 413),
        (b'{"title": "Disk is full"}', {"Content-Encoding": "br"}, 415),
        (b'{"title": "Disk is full", ', {}, 400),
    ],
)
def test_every_alert_that_is_refused_for_good_is_recorded(content: bytes, headers: Any, status: int) -> None:
    assert client(decided).post("/webhook/generic", content=content, headers=headers).status_code == status
    assert [one.title for one in rejected] == ["Disk is full"]
    assert rejected[0].reason


def test_an_invalid_routing_table_costs_no_alert(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "routing.yaml"
    table.write_text("version: 1\nrulez: []\n")
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(table))
    app = client(decided)
    for change in (lambda: None, lambda: table.write_text("version: 1\n"), table.unlink):
        change()
        assert app.post("/webhook/generic", json=REPORT).status_code == 202


def test_the_openapi_document_declares_the_secret_and_every_response() -> None:
    document = client(decided).get("/openapi.json").json()
    for path in ("/webhook/datadog", "/webhook/generic"):
        operation = document["paths"][path]["post"]
        assert operation["security"] == [{"Secret": []}]
        assert set(operation["responses"]) == {"200", "202", "400", "401", "403", "413", "415", "503"}
        assert operation["requestBody"]["content"]["application/json"]["schema"]["properties"]["title"]


@pytest.mark.parametrize(
    ("body", "title", "reason"),
    [
        (b'{"title": "Disk full on db-1", "severity": "purple"', "Disk full on db-1", "JSON"),
        (b'{"alert_title": "password=hunter2hunter2 leaked" oops}', "password=", "JSON"),
        (b"[]", "An alert without a title", "object"),
        (b"\xff\xfe", "An alert without a title", "JSON"),
    ],
)
def test_an_alert_that_is_refused_for_good_leaves_a_record(
    body: bytes, title: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = client(decided)
    answer = app.post("/webhook/datadog", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    [rejection] = rejected
    assert title in rejection.title
    assert "hunter2hunter2" not in rejection.title
    assert reason in rejection.reason
    assert "was refused: 400" in caplog.text
    assert app.app.state.receiver.refused == {400: 1}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "is_private"),
    [
        (b'{"title": "Card numbers" oops, "tags": "env:prod,Data:Customer"', True),
        (b'{"title": "Card numbers" oops, "tags": [{"key": "data", "value": "customer"}]', True),
        (b'{"title": "Card numbers" oops, "hostname": "HR-7.acme.example"', True),
        (b'{"title": "Card numbers" oops, "private": true', True),
        (b'{"title": "Card numbers" oops, "private" : "yes"', True),
        (b"title=&severity=x&private=1&description=", True),
        (b'{"title": "Card numbers" oops, "private": false, "tags": "env:prod"', False),
        (b'{"title": "Card numbers" oops, "private": null, "hostname": "web-1"', False),
        (b'{"title": "Card numbers of a private person" oops', False),
    ],
)
def test_the_record_of_a_refused_alert_shows_no_title_that_may_be_private(
    body: bytes, is_private: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "routing.yaml"
    table.write_text(
        "rules:\n"
        "- {name: customers, match: {tag: 'data:customer'}, private: true}\n"
        "- {name: hr, match: {host: 'hr-*'}, private: true}\n"
        "- {name: all, match: {}, responders: [dana@acme.example]}\n"
    )
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(table))
    assert client(decided).post("/webhook/datadog", content=body).status_code == 400
    [rejection] = rejected
    assert (rejection.title == PRIVATE_ALERT) is is_private
    assert is_private is ("Card" not in rejection.title)


def test_a_wrong_secret_is_counted_and_logged_but_not_recorded(caplog: pytest.LogCaptureFixture) -> None:
    app = client(decided)
    assert app.post("/webhook/generic", json=REPORT, headers={SECRET_HEADER: "wrong"}).status_code == 401
    assert (rejected, app.app.state.receiver.refused) == ([], {401: 1})  # type: ignore[attr-defined]
    assert "was refused: 401" in caplog.text


def test_a_hanging_secrets_backend_keeps_few_threads() -> None:
    released = threading.Event()

    def hang() -> Connection:
        assert released.wait(timeout=60)
        return Connection(conn_id="incident_webhook", conn_type="generic", password=SECRET)

    async def run() -> int:
        receiver = AlertReceiver(Authentication(hang), lambda alerts, _: decided(alerts), rejected.append)
        request = Request({"type": "http", "method": "POST", "path": "/", "headers": [], "client": None})
        for _ in range(40):
            with anyio.move_on_after(0.01):
                await receiver.receive(request, SECRET, dict)
        alive = sum(thread.name.startswith("incident-reader") for thread in threading.enumerate())
        released.set()
        return alive

    before = sum(thread.name.startswith("incident-reader") for thread in threading.enumerate())
    assert anyio.run(run) - before <= receiver_module.MAX_READERS


def test_a_response_waits_for_no_record_if_there_is_nothing_to_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(receiver_module, "RECORD_SECONDS", 60.0)
    released = threading.Event()

    def hang() -> Connection:
        released.wait()
        return Connection(conn_id="incident_webhook", conn_type="generic", password=SECRET)

    async def run() -> RequestError:
        receiver = AlertReceiver(Authentication(hang), lambda alerts, _: decided(alerts), rejected.append)
        request = Request({"type": "http", "method": "POST", "path": "/", "headers": [], "client": None})
        try:
            with anyio.fail_after(30):
                for _ in range(receiver_module.MAX_READERS + 1):
                    with pytest.raises(RequestError) as refused:
                        await receiver.receive(request, SECRET, dict)
            return refused.value
        finally:
            released.set()

    assert anyio.run(run).may_succeed_later
    assert rejected == []


def test_health_quotes_the_configuration_only_to_who_has_the_secret(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, airflow_home: Any
) -> None:
    table = tmp_path / "routing.yaml"
    table.write_text("rules: [{name: x, match: {}, targets: ['db-internal.acme:99999']}]")
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(table))
    app = client(decided)
    assert "db-internal" in app.get("/health").text
    anonymous = app.get("/health", headers={SECRET_HEADER: "wrong"})
    assert (anonymous.status_code, "db-internal" in anonymous.text) == (503, False)
    assert "routing table" in anonymous.text


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress])
def test_of_a_damaged_compressed_body_the_beginning_is_read(
    encode: Callable[[bytes], bytes], payload: Callable[[str], dict[str, Any]]
) -> None:
    body = encode(json.dumps({**payload("01"), "noise": [str(n) for n in range(2000)]}).encode())
    answer = client(decided).post("/webhook/datadog", content=body[:-500], headers={"Content-Encoding": "deflate"})
    assert (answer.status_code, answer.json()["decision"]) == (202, "open")


def test_gzip_is_recognised_without_its_header() -> None:
    body = gzip.compress(b'{"id": "a", ') + gzip.compress(b'"title": "x"}')
    assert client(decided).post("/webhook/generic", content=body).json()["incident"] == "man.a"


def test_a_body_that_is_too_large_is_used_if_its_beginning_identifies_the_alert(
    payload: Callable[[str], dict[str, Any]],
) -> None:
    sent = {**payload("01"), "logs": "x" * 300_000}
    answer = client(decided).post("/webhook/datadog", json=sent)
    assert (answer.status_code, answer.headers["Connection"], rejected) == (202, "close", [])
    several = json.dumps([{**REPORT, "id": "a"}, {**REPORT, "id": "b"}, sent])
    answer = client(decided).post("/webhook/generic", content=several)
    assert [result["status"] for result in answer.json()["results"]] == [202, 202, 202, 413]
