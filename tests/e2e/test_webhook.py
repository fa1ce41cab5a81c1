"""The webhook in a running Airflow, with PostgreSQL, two API server workers and concurrent requests."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import socket
import statistics
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.demo.processes import wait_until
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, DEFAULT_WEBHOOK_CONN_ID
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER
from airflow_incident_provider.registry.transaction import opened

from ..airflow_settings import LOW_IDLE_LOAD

pytestmark = pytest.mark.e2e

SECRET, PREVIOUS, OLDER = "current-secret-0123456789", "previous-secret-012345678", "older-secret-0123456789a"
PAYLOAD = json.loads((Path(__file__).parents[1] / "payloads" / "01_metric_triggered.json").read_text())
FORMATS = Path(__file__).parents[1] / "payloads" / "formats"
DATADOG_TIMEOUT = 15
STORM_THRESHOLD, STORM_WINDOW = 10, timedelta(seconds=60)
ROUTING_WITH_STORM = f"version: 1\nstorm: {{threshold: {STORM_THRESHOLD}, window: 60s}}\n"
ROUTING_WITHOUT_STORM = "version: 1\nstorm: {threshold: null}\n"

EMPTY_DAG = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("{dag_id}", schedule=None, max_active_runs=100):
    # Without inlets the scheduler marks it successful without running it.
    EmptyOperator(task_id="nothing")
"""
REGISTRY_USER = """
from datetime import UTC, datetime

from airflow.sdk import dag, get_current_context, task

from airflow_incident_provider.lifecycle.records import Room
from airflow_incident_provider.registry.keys import REGISTRY
from airflow_incident_provider.registry.task_client import TaskRegistry


@dag(schedule=None)
def registry_user():
    @task(inlets=[REGISTRY])
    def store_room(dag_run=None):
        TaskRegistry.of(get_current_context()).store_room(dag_run.conf["key"], Room(channel_id="C1"))

    @task(inlets=[REGISTRY])
    def read_and_resolve(dag_run=None):
        registry = TaskRegistry.of(get_current_context())
        seen = registry.incident(dag_run.conf["key"])
        updates = registry.updates(dag_run.conf["update_run"])
        outdated = seen.model_copy(update={"version": seen.version - 1})
        return {
            "unknown": registry.incident("dd.unknown") is None,
            "room": seen.record.room.channel_id,
            "updates": [item.kind for item in updates.items],
            "outdated": registry.resolve(outdated, datetime.now(UTC)),
            "resolved": registry.resolve(seen, datetime.now(UTC)),
        }

    store_room() >> read_and_resolve()


registry_user()
"""
SCHEMATHESIS_HOOKS = """
from urllib.parse import unquote

import schemathesis


@schemathesis.hook
def filter_path_parameters(context, path_parameters):
    # Airflow's mount pattern matches no line break, so Airflow itself responds to these paths.
    return not any("\\n" in unquote(str(value)) for value in (path_parameters or {}).values())
"""


@pytest.fixture(scope="module")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dags")
    for dag_id in ("incident_response", "incident_update"):
        (folder / f"{dag_id}.py").write_text(EMPTY_DAG.format(dag_id=dag_id))
    (folder / "registry_user.py").write_text(textwrap.dedent(REGISTRY_USER))
    return folder


@pytest.fixture(scope="module")
def routing_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A routing table without storm detection, which would merge the incidents of several tests."""
    file = tmp_path_factory.mktemp("config") / "routing.yaml"
    file.write_text(ROUTING_WITHOUT_STORM)
    return file


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory,
    dags_folder: Path,
    routing_table: Path,
    migrated_home: Callable[[Path], Path],
) -> Iterator[LocalAirflow]:
    connection = {"conn_type": "generic", "password": SECRET, "extra": {"previous_secret": PREVIOUS}}
    # Never called: only its signing secret is used, to verify requests from Slack.
    slack = {"conn_type": "slack", "password": "xoxb-unused", "extra": {"signing_secret": "0123456789abcdef"}}
    with LocalAirflow(
        migrated_home(tmp_path_factory.mktemp("airflow")),
        dags_folder,
        connections={DEFAULT_WEBHOOK_CONN_ID: connection, DEFAULT_SLACK_CONN_ID: slack},
        environment={**LOW_IDLE_LOAD, "AIRFLOW__INCIDENT__ROUTING_TABLE": str(routing_table)},
        api_workers=2,
    ) as airflow:
        for dag_id in ("incident_response", "incident_update", "registry_user"):
            airflow.wait_for_dag(dag_id)
        warm_up(airflow)
        yield airflow


def warm_up(airflow: LocalAirflow) -> None:
    """Send requests to every worker: the first one to the execution API blocks a worker for seconds."""
    paths = ["/execution/health"] * 8 + ["/incidents/health"] * 8
    with ThreadPoolExecutor(len(paths)) as threads:
        responses = list(threads.map(lambda path: httpx.get(airflow.url + path, timeout=60), paths))
    assert {response.status_code for response in responses} == {200}, [response.text for response in responses]


def alert(monitor: int, service: str, **changed: Any) -> dict[str, Any]:
    """Return a new Datadog notification that a monitor triggered for a service."""
    payload = copy.deepcopy(PAYLOAD)
    payload |= {"id": f"9{monitor}", "tags": f"env:prod,service:{service}", "date": str(int(time.time() * 1000))}
    payload["alert"] |= {
        "id": str(monitor),
        "cycle_key": f"77{monitor}",
        "scope": f"env:prod,service:{service}",
        "title": f"[P1] [Triggered] {service} is broken, says monitor {monitor}",
        **changed,
    }
    return payload


def post_all(airflow: LocalAirflow, payloads: Sequence[dict[str, Any]], *, over_seconds: float = 0) -> list[Any]:
    """Post all concurrently, or evenly distributed over some seconds, and return the responses."""

    async def post(client: httpx.AsyncClient, place: int, payload: dict[str, Any]) -> httpx.Response:
        await asyncio.sleep(over_seconds * place / len(payloads))
        return await client.post("/incidents/webhook/datadog", json=payload)

    async def run() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        headers = {SECRET_HEADER: SECRET}
        async with httpx.AsyncClient(
            base_url=airflow.url, limits=limits, headers=headers, timeout=30, trust_env=False
        ) as client:
            return await asyncio.gather(*(post(client, *numbered) for numbered in enumerate(payloads)))

    responses = asyncio.run(run())
    times = sorted(response.elapsed.total_seconds() for response in responses)
    p95 = times[int(len(times) * 0.95)]
    print(f"{len(times)} posts: median {statistics.median(times):.3f} s, p95 {p95:.3f} s, max {times[-1]:.3f} s")
    assert times[-1] < DATADOG_TIMEOUT
    return responses


def post(
    airflow: LocalAirflow, payload: Any = None, *, secret: str | None = SECRET, **request: Any
) -> httpx.Response:
    headers = {} if secret is None else {SECRET_HEADER: secret}
    headers |= request.pop("headers", {})
    path = request.pop("path", "datadog")
    if payload is not None:
        request["json"] = payload
    return httpx.post(f"{airflow.url}/incidents/webhook/{path}", headers=headers, timeout=30, **request)


def records(airflow: LocalAirflow) -> list[IncidentRecord]:
    engine = create_engine(airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    try:
        with Session(engine) as session:
            return [incident.record for incident in opened(session).incidents().values()]
    finally:
        engine.dispose()


def records_of(airflow: LocalAirflow, service: str) -> list[IncidentRecord]:
    return [record for record in records(airflow) if any(service == named for named in record.services)]


def test_concurrent_duplicates_start_one_run(airflow: LocalAirflow) -> None:
    responses = post_all(airflow, [alert(1, "copied")] * 20)
    assert Counter(response.status_code for response in responses) == {202: 1, 200: 19}
    assert Counter(response.json()["decision"] for response in responses) == {"open": 1, "duplicate": 19}
    assert len({response.json()["run_id"] for response in responses}) == 1
    (record,) = records_of(airflow, "copied")
    assert airflow.api.runs("incident_response").count(record.key) == 1
    assert airflow.api.wait_for_run("incident_response", record.key)["conf"]["datadog"]["id"] == "91"


def test_concurrent_alerts_of_one_service_are_one_incident(airflow: LocalAirflow) -> None:
    responses = post_all(airflow, [alert(100 + number, "fifty") for number in range(50)])
    assert Counter(response.json()["decision"] for response in responses) == {"open": 1, "update": 49}
    (record,) = records_of(airflow, "fifty")
    assert (record.alert_count, record.firing_count, record.notifications) == (50, 50, 50)
    run_ids = {response.json()["run_id"] for response in responses} - {record.key}
    assert len(run_ids) == 1, "one update run for all alerts"
    assert run_ids <= set(airflow.api.runs("incident_update"))


def test_storm_keeps_every_alert(airflow: LocalAirflow, routing_table: Path) -> None:
    routing_table.write_text(ROUTING_WITH_STORM)
    services = [f"storm-{number}" for number in range(40)]
    alerts = [alert(1000 + number, services[number % 40]) for number in range(200)]
    try:
        responses = post_all(airflow, alerts, over_seconds=10)
    finally:
        routing_table.write_text(ROUTING_WITHOUT_STORM)
    assert {response.status_code for response in responses} == {202}

    stored = [record for record in records(airflow) if any(name in services for name in record.services)]
    print(Counter(record.alert_count for record in stored))
    assert sum(record.alert_count for record in stored) == 200
    assert sum(record.notifications for record in stored) == 200
    for record in records(airflow):
        within = [r for r in records(airflow) if timedelta() <= r.opened_at - record.opened_at <= STORM_WINDOW]
        assert len(within) <= STORM_THRESHOLD
    assert set(airflow.api.runs("incident_response")) >= {record.key for record in stored}


def test_task_reads_registry_and_resolves_current_version(airflow: LocalAirflow) -> None:
    key = post(airflow, alert(2, "tasked")).json()["incident"]
    update_run = post(airflow, alert(3, "tasked")).json()["run_id"]
    assert update_run != key
    run_id = airflow.api.trigger("registry_user", {"key": key, "update_run": update_run})["dag_run_id"]
    assert airflow.api.wait_for_run("registry_user", run_id)["state"] == "success"
    assert airflow.api.xcom("registry_user", run_id, "read_and_resolve") == {
        "unknown": True,
        "room": "C1",
        "updates": ["joined"],
        "outdated": False,
        "resolved": True,
    }
    assert records_of(airflow, "tasked")[0].status is Status.RESOLVED
    # The next decision uses what the task reported; it stays in the record.
    assert post(airflow, alert(3, "tasked", cycle_key="next", priority="P2")).json()["decision"] == "reopen"
    (record,) = records_of(airflow, "tasked")
    assert (record.status, record.room.channel_id, record.reopened) == (Status.OPEN, "C1", 1)


@pytest.mark.parametrize(
    ("secret", "status", "message"),
    [(None, 401, "is missing"), ("", 401, "is missing"), ("wrong", 401, "is wrong"), (OLDER, 401, "is wrong")],
)
def test_request_without_valid_secret_is_rejected(
    airflow: LocalAirflow, secret: str, status: int, message: str
) -> None:
    response = post(airflow, alert(4, "unauthenticated"), secret=secret)
    assert response.status_code == status
    assert message in response.json()["error"]
    assert records_of(airflow, "unauthenticated") == []


def test_previous_secret_is_valid_during_rotation(airflow: LocalAirflow) -> None:
    assert post(airflow, alert(5, "rotated"), secret=PREVIOUS).status_code == 202
    assert post(airflow, alert(5, "rotated"), secret=SECRET).status_code == 200


def test_payload_formats_get_expected_decisions(airflow: LocalAirflow) -> None:
    """Send a selection: the notifications of Datadog and of another system, and malformed JSON."""
    formats = {
        entry["format"]: entry for path in FORMATS.glob("*.yaml") for entry in yaml.safe_load(path.read_text())
    }
    for name in ("Datadog, flat keys", "Prometheus Alertmanager", "Datadog, JSON broken by the alert's text"):
        entry = formats[name]
        for body in entry["bodies"]:
            content = json.dumps(body["json"]) if "json" in body else body["raw"].encode()
            headers = {"Content-Type": entry.get("content_type", "application/json")}
            response = post(airflow, content=content, headers=headers, path=entry["endpoint"])
            expected = body["is"]
            if "refused" in expected:
                assert response.status_code == expected["refused"], (body["name"], response.text)
            else:
                assert response.json().get("decision") == expected["decision"], (body["name"], response.text)


def test_generic_payload_opens_incident(airflow: LocalAirflow) -> None:
    sent = {"id": "CHG-7", "title": "Orders are late", "severity": "high", "services": ["generic"]}
    first, second = (post(airflow, sent, path="generic") for _ in range(2))
    assert (first.status_code, first.json()["decision"]) == (202, "open")
    assert second.json()["incident"] == first.json()["incident"] == "man.CHG-7"
    assert airflow.api.runs("incident_response").count("man.CHG-7") == 1
    assert airflow.api.run("incident_response", first.json()["run_id"])["conf"]["title"] == "Orders are late"


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "not JSON"),
        ({"content": b"[]", "headers": {"Content-Type": "application/json"}}, 400, "not an object"),
        ({"content": b'"\xff"', "headers": {"Content-Type": "application/json"}}, 400, "not an object"),
        ({"content": b"[" * 9999, "headers": {"Content-Type": "application/json"}}, 400, "nested"),
        ({"payload": {"alert": "x"}}, 400, "neither a title nor an id"),
        ({"payload": {}}, 400, ""),
        ({"data": {"a": "b"}}, 400, "neither a title nor an id"),
        ({"content": b"{}", "headers": {"Content-Encoding": "gzip"}}, 415, "not gzip"),
        ({"content": b"x" * 300_000, "headers": {"Content-Type": "application/json"}}, 413, "256 KB"),
        (
            {"content": iter([b"x" * 65536] * 5), "headers": {"Content-Type": "application/json"}},
            413,
            "256 KB",
        ),
    ],
)
def test_invalid_body_is_rejected_with_reason(
    airflow: LocalAirflow, request_: dict[str, Any], status: int, message: str
) -> None:
    response = post(airflow, **request_)
    assert (response.status_code, message in response.json()["error"]) == (status, True), response.text


def test_incomplete_body_times_out(airflow: LocalAirflow) -> None:
    host, port = airflow.url.removeprefix("http://").split(":")
    head = (
        f"POST /incidents/webhook/datadog HTTP/1.1\r\nHost: {host}\r\n{SECRET_HEADER}: {SECRET}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        started = time.monotonic()
        connection.sendall(head.encode())
        response = connection.recv(4096).decode()
        assert response.startswith("HTTP/1.1 503 ")
        assert time.monotonic() - started < 8


def test_null_and_surrogate_characters_are_accepted(airflow: LocalAirflow) -> None:
    payload = alert(6, "odd", title="[Triggered] \0 and \ud800")
    response = post(airflow, content=json.dumps(payload), headers={"Content-Type": "application/json"})
    assert response.status_code == 202, response.text


def test_unknown_transition_opens_incident(airflow: LocalAirflow) -> None:
    response = post(airflow, alert(7, "unknown-transition", transition="Exploded"))
    assert (response.status_code, response.json()["decision"]) == (202, "open")


def test_recovery_without_alert_is_ignored(airflow: LocalAirflow) -> None:
    response = post(airflow, alert(8, "never-fired", transition="Recovered"))
    assert (response.status_code, response.json()["decision"]) == (200, "ignore")


def test_decision_is_logged_with_inputs_of_its_key(airflow: LocalAirflow) -> None:
    key = post(airflow, alert(9, "logged")).json()["incident"]
    log = (airflow.home.logs / "api-server.log").read_text()
    (line,) = [line for line in log.splitlines() if "incident_decision" in line and f'"incident": "{key}"' in line]
    entry = json.loads(line[line.index('{"event"') : line.rindex("}") + 1])
    assert entry["decision"] == "open"
    assert "monitor" in json.dumps(entry["inputs"])
    assert SECRET not in log
    assert PREVIOUS not in log


def test_responses_conform_to_openapi_document(airflow: LocalAirflow, tmp_path: Path) -> None:
    checks = (
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
        "ignored_auth,unsupported_method"
    )
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{airflow.url}/incidents/openapi.json"]
    command += ["--header", f"{SECRET_HEADER}: {SECRET}", "--checks", checks, "--max-examples", "40"]
    command += ["--phases", "examples,coverage,fuzzing", "--request-timeout", "15", "--no-shrink"]
    (tmp_path / "schemathesis_hooks.py").write_text(textwrap.dedent(SCHEMATHESIS_HOOKS))
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(tmp_path)}
    completed = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=540, check=False
    )
    print(completed.stdout[-1500:])
    assert completed.returncode == 0, completed.stdout[-6000:] + completed.stderr[-1000:]


def test_request_for_paused_dag_is_rejected_and_not_stored(airflow: LocalAirflow) -> None:
    set_paused(airflow, True)
    try:
        response = post(airflow, alert(10, "paused"))
        assert response.status_code == 503
        assert "incident_response is paused" in response.json()["error"]
        assert records_of(airflow, "paused") == []
        health = httpx.get(f"{airflow.url}/incidents/health")
        assert health.status_code == 503
        assert "incident_response is paused" in health.text
    finally:
        set_paused(airflow, False)
    assert "incident_response is paused" in (airflow.home.logs / "api-server.log").read_text()
    assert post(airflow, alert(10, "paused")).status_code == 202


def test_request_for_dag_with_import_error_is_rejected(airflow: LocalAirflow, dags_folder: Path) -> None:
    file = dags_folder / "incident_response.py"
    original = file.read_text()
    file.write_text("import missing_module  # an Airflow DAG")
    try:
        wait_for(lambda: (airflow.api.dag("incident_response") or {})["has_import_errors"])
        response = post(airflow, alert(11, "broken"))
        assert (response.status_code, "import errors" in response.json()["error"]) == (503, True)
    finally:
        file.write_text(original)
    wait_for(lambda: not (airflow.api.dag("incident_response") or {})["has_import_errors"])
    assert post(airflow, alert(11, "broken")).status_code == 202


def test_request_for_missing_dag_is_rejected(airflow: LocalAirflow, dags_folder: Path) -> None:
    """Runs last, because it deletes the DAG."""
    (dags_folder / "incident_response.py").unlink()
    path = "/api/v2/dags/incident_response"
    # Airflow responds with 500 while the scheduler works on a run of the DAG.
    wait_for(
        lambda: airflow.api._send("DELETE", path).status_code in (httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND)
    )
    response = post(airflow, alert(12, "missing"))
    assert (response.status_code, "incident_response is missing" in response.json()["error"]) == (503, True)
    assert records_of(airflow, "copied"), "the registry outlives the DAG while another DAG names its asset"


def set_paused(airflow: LocalAirflow, paused: bool) -> None:
    airflow.api._send("PATCH", "/api/v2/dags/incident_response", json={"is_paused": paused}).raise_for_status()


def wait_for(condition: Callable[[], Any]) -> None:
    wait_until(condition, what="the DAG to be parsed again", timeout=60, while_running=[])
