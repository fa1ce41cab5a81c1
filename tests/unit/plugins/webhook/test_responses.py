"""Test the responses of the webhook application, without a database."""

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
Decide = Callable[[Sequence[PendingAlert]], list[Outcome | Exception]]


rejections: list[Rejection] = []


@pytest.fixture(autouse=True)
def clear_rejections() -> None:
    rejections.clear()


def client(decide_alerts: Decide, **environment: Any) -> TestClient:
    connection = Connection(conn_id="incident_webhook", conn_type="generic", password=SECRET)
    receiver = AlertReceiver(
        Authentication(lambda: connection), lambda alerts, _: decide_alerts(alerts), rejections.append
    )
    return TestClient(create_app(receiver=receiver), headers={SECRET_HEADER: SECRET}, raise_server_exceptions=False)


def decide_all(alerts: Sequence[PendingAlert]) -> list[Outcome | Exception]:
    """Decide each alert without other incidents."""
    decisions = [decide(alert.signal, [], alert.routing, datetime.now(UTC)) for alert in alerts]
    return [Outcome(decision, decision.runs[0].run_id if decision.runs else None, ()) for decision in decisions]


def raising(error: Exception) -> Decide:
    def decide_alerts(alerts: Sequence[PendingAlert]) -> list[Outcome | Exception]:
        raise error

    return decide_alerts


def returning(error: Exception) -> Decide:
    return lambda alerts: [error for _ in alerts]


def test_accepted_alert_returns_its_decision() -> None:
    response = client(decide_all).post("/webhook/generic", json=REPORT)
    assert (response.status_code, response.json()["decision"]) == (202, "open")
    assert response.json()["run_id"] == response.json()["incident"] == "man.CHG-1"
    assert response.json()["reason"].startswith("New")


@pytest.mark.parametrize(
    ("fields", "expected_note"),
    [
        ({"colour": "red"}, "colour: not a field"),
        ({"servics": ["a"]}, "servics: not a field, so it was ignored: did you mean services?"),
        ({"targets": ["not a url !!"]}, "targets: left out"),
        ({"started_at": "some day"}, "started_at: "),
        ({"a\nb" + "c" * 900: 1}, "a b"),
    ],
)
def test_ignored_field_is_named_in_the_response(fields: dict[str, Any], expected_note: str) -> None:
    response = client(decide_all).post("/webhook/generic", json={"severity": "high", **REPORT, **fields})
    [note] = response.json()["notes"]
    assert note.startswith(expected_note)
    assert len(note) <= 300


@pytest.mark.parametrize("fields", [{}, {"service": ["a"]}, {"Priority": "P1"}, {"dry_run": True}])
def test_known_field_is_not_named_in_the_response(fields: dict[str, Any]) -> None:
    assert (
        client(decide_all).post("/webhook/generic", json={"severity": "high", **REPORT, **fields}).json()["notes"]
        == []
    )


def test_fields_of_other_formats_are_not_named(payload: Callable[[str], dict[str, Any]]) -> None:
    for endpoint, body in (("datadog", payload("01")), ("generic", payload("01")), ("generic", {"conf": REPORT})):
        notes = client(decide_all).post(f"/webhook/{endpoint}", json=body).json()["notes"]
        assert [note for note in notes if "not a field" in note] == [], (endpoint, notes)


def test_recovery_of_unknown_alert_returns_200(payload: Callable[[str], dict[str, Any]]) -> None:
    response = client(decide_all).post("/webhook/datadog", json=payload("03"))
    assert (response.status_code, response.json()["decision"], response.json()["incident"]) == (200, "ignore", None)


@pytest.mark.parametrize(
    ("decide_alerts", "status", "expected_text"),
    [
        (returning(DagNotReadyError("The DAG x is paused.", fix="Unpause it.")), 503, "paused"),
        (raising(RegistryUnavailableError("Airflow does not know the asset yet.")), 503, "asset"),
        (raising(OperationalError(STATEMENT, {"hostile": "text"}, OSError("refused"))), 503, "database"),
        (raising(PoolTimeoutError("QueuePool limit")), 503, "database"),
        (raising(ZeroDivisionError("a bug")), 503, "internal error"),
        (returning(DataError(STATEMENT, {"hostile": "text"}, ValueError("bad"))), 503, "database"),
        (returning(ValueError("a defect")), 503, "internal error"),
        (returning(ParamValidationError("Invalid input for param title")), 400, "title"),
        (returning(InvalidPayloadError("title: wrong.")), 400, "title"),
    ],
)
def test_errors_are_mapped_to_responses(decide_alerts: Decide, status: int, expected_text: str) -> None:
    response = client(decide_alerts).post("/webhook/generic", json=REPORT)
    assert (response.status_code, expected_text in response.json()["error"]) == (status, True), response.text
    assert "hostile" not in response.text


def test_report_without_title_is_refused() -> None:
    response = client(decide_all).post("/webhook/generic", json={"severity": "purple"})
    assert (response.status_code, response.json()["error"].split(":")[0]) == (400, "title")


def test_slow_decision_returns_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "ANSWER_SECONDS", 0.2)

    released = threading.Event()

    def slow(alerts: Sequence[PendingAlert]) -> list[Outcome | Exception]:
        released.wait(60)
        return decide_all(alerts)

    response = client(slow).post("/webhook/generic", json=REPORT)
    released.set()
    assert (response.status_code, "within" in response.json()["error"]) == (503, True)


def test_invalid_request_is_not_decided() -> None:
    received: list[PendingAlert] = []

    def decide_alerts(alerts: Sequence[PendingAlert]) -> list[Outcome | Exception]:
        received.extend(alerts)
        return decide_all(alerts)

    app = client(decide_alerts)
    assert app.post("/webhook/generic", json=REPORT, headers={SECRET_HEADER: "wrong"}).status_code == 401
    assert (
        app.post("/webhook/generic", content="{", headers={"Content-Type": "application/json"}).status_code == 400
    )
    assert app.post("/webhook/generic", json=REPORT, headers={"Content-Encoding": "gzip"}).status_code == 415
    assert app.post("/webhook/generic", json={**REPORT, "description": "x" * 300_000}).status_code == 413
    assert app.get("/webhook/generic").status_code == 405
    assert app.post("/webhook/unknown", json=REPORT).json() == {"error": "Not Found.", "fix": None}
    assert received == []


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress])
def test_compressed_body_is_decompressed_within_limits(encode: Callable[[bytes], bytes]) -> None:
    app = client(decide_all)
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
def test_permanently_refused_alert_is_recorded(content: bytes, headers: Any, status: int) -> None:
    assert client(decide_all).post("/webhook/generic", content=content, headers=headers).status_code == status
    assert [rejection.title for rejection in rejections] == ["Disk is full"]
    assert rejections[0].reason


def test_alert_is_accepted_with_invalid_routing_table(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "routing.yaml"
    table.write_text("version: 1\nrulez: []\n")
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(table))
    app = client(decide_all)
    for change in (lambda: None, lambda: table.write_text("version: 1\n"), table.unlink):
        change()
        assert app.post("/webhook/generic", json=REPORT).status_code == 202


def test_openapi_document_declares_security_and_responses() -> None:
    document = client(decide_all).get("/openapi.json").json()
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
def test_refused_alert_is_recorded_redacted_and_counted(
    body: bytes, title: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = client(decide_all)
    response = app.post("/webhook/datadog", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    [rejection] = rejections
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
def test_record_of_refused_alert_hides_private_title(
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
    assert client(decide_all).post("/webhook/datadog", content=body).status_code == 400
    [rejection] = rejections
    assert (rejection.title == PRIVATE_ALERT) is is_private
    assert is_private is ("Card" not in rejection.title)


def test_wrong_secret_is_counted_and_logged_but_not_recorded(caplog: pytest.LogCaptureFixture) -> None:
    app = client(decide_all)
    assert app.post("/webhook/generic", json=REPORT, headers={SECRET_HEADER: "wrong"}).status_code == 401
    assert (rejections, app.app.state.receiver.refused) == ([], {401: 1})  # type: ignore[attr-defined]
    assert "was refused: 401" in caplog.text


def test_hanging_secrets_backend_uses_few_threads() -> None:
    released = threading.Event()

    def hang() -> Connection:
        assert released.wait(timeout=60)
        return Connection(conn_id="incident_webhook", conn_type="generic", password=SECRET)

    async def run() -> int:
        receiver = AlertReceiver(Authentication(hang), lambda alerts, _: decide_all(alerts), rejections.append)
        request = Request({"type": "http", "method": "POST", "path": "/", "headers": [], "client": None})
        for _ in range(40):
            with anyio.move_on_after(0.01):
                await receiver.receive(request, SECRET, dict)
        alive = sum(thread.name.startswith("incident-reader") for thread in threading.enumerate())
        released.set()
        return alive

    before = sum(thread.name.startswith("incident-reader") for thread in threading.enumerate())
    assert anyio.run(run) - before <= receiver_module.MAX_READERS


def test_response_does_not_wait_without_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(receiver_module, "RECORD_SECONDS", 60.0)
    released = threading.Event()

    def hang() -> Connection:
        released.wait()
        return Connection(conn_id="incident_webhook", conn_type="generic", password=SECRET)

    async def run() -> RequestError:
        receiver = AlertReceiver(Authentication(hang), lambda alerts, _: decide_all(alerts), rejections.append)
        request = Request({"type": "http", "method": "POST", "path": "/", "headers": [], "client": None})
        try:
            with anyio.fail_after(30):
                for _ in range(receiver_module.MAX_READERS + 1):
                    with pytest.raises(RequestError) as exc_info:
                        await receiver.receive(request, SECRET, dict)
            return exc_info.value
        finally:
            released.set()

    assert anyio.run(run).may_succeed_later
    assert rejections == []


def test_health_shows_configuration_only_with_the_secret(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, airflow_home: Any
) -> None:
    table = tmp_path / "routing.yaml"
    table.write_text("rules: [{name: x, match: {}, targets: ['db-internal.acme:99999']}]")
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(table))
    app = client(decide_all)
    assert "db-internal" in app.get("/health").text
    anonymous = app.get("/health", headers={SECRET_HEADER: "wrong"})
    assert (anonymous.status_code, "db-internal" in anonymous.text) == (503, False)
    assert "routing table" in anonymous.text


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress])
def test_truncated_compressed_body_is_read(
    encode: Callable[[bytes], bytes], payload: Callable[[str], dict[str, Any]]
) -> None:
    body = encode(json.dumps({**payload("01"), "noise": [str(n) for n in range(2000)]}).encode())
    response = client(decide_all).post(
        "/webhook/datadog", content=body[:-500], headers={"Content-Encoding": "deflate"}
    )
    assert (response.status_code, response.json()["decision"]) == (202, "open")


def test_gzip_is_detected_without_content_encoding() -> None:
    body = gzip.compress(b'{"id": "a", ') + gzip.compress(b'"title": "x"}')
    assert client(decide_all).post("/webhook/generic", content=body).json()["incident"] == "man.a"


def test_oversized_body_is_used_if_its_start_identifies_the_alert(
    payload: Callable[[str], dict[str, Any]],
) -> None:
    body = {**payload("01"), "logs": "x" * 300_000}
    response = client(decide_all).post("/webhook/datadog", json=body)
    assert (response.status_code, response.headers["Connection"], rejections) == (202, "close", [])
    alerts = json.dumps([{**REPORT, "id": "a"}, {**REPORT, "id": "b"}, body])
    response = client(decide_all).post("/webhook/generic", content=alerts)
    assert [result["status"] for result in response.json()["results"]] == [202, 202, 202, 413]
