"""The webhook in a real Airflow: PostgreSQL, two API server workers, and senders that come all at once."""

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

from ..whole_airflow import LOW_IDLE_LOAD  # noqa: TID252 - tests are no package  # isort: skip

pytestmark = pytest.mark.e2e

SECRET, PREVIOUS, OLDER = "current-secret-0123456789", "previous-secret-012345678", "older-secret-0123456789a"
PAYLOAD = json.loads((Path(__file__).parents[1] / "payloads" / "01_metric_triggered.json").read_text())
FORMATS = Path(__file__).parents[1] / "payloads" / "formats"
DATADOG_PATIENCE = 15
STORM_THRESHOLD, STORM_WINDOW = 10, timedelta(seconds=60)
STORMY = f"version: 1\nstorm: {{threshold: {STORM_THRESHOLD}, window: 60s}}\n"
CALM = "version: 1\nstorm: {threshold: null}\n"

STAND_IN = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("{dag_id}", schedule=None, max_active_runs=100):
    # Without inlets: the scheduler then marks it done without running it.
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
    # Airflow mounts the application by a pattern that matches no line break: it answers these paths itself.
    return not any("\\n" in unquote(str(value)) for value in (path_parameters or {}).values())
"""


@pytest.fixture(scope="module")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dags")
    for dag_id in ("incident_response", "incident_update"):
        (folder / f"{dag_id}.py").write_text(STAND_IN.format(dag_id=dag_id))
    (folder / "registry_user.py").write_text(textwrap.dedent(REGISTRY_USER))
    return folder


@pytest.fixture(scope="module")
def routing_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The routing table without a storm breaker, which would make one incident of those of several tests."""
    file = tmp_path_factory.mktemp("config") / "routing.yaml"
    file.write_text(CALM)
    return file


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory,
    dags_folder: Path,
    routing_table: Path,
    migrated_home: Callable[[Path], Path],
) -> Iterator[LocalAirflow]:
    connection = {"conn_type": "generic", "password": SECRET, "extra": {"previous_secret": PREVIOUS}}
    # Never called here: its signing secret is what requests in Slack's name are verified with.
    slack = {"conn_type": "slack", "password": "xoxb-of-no-app", "extra": {"signing_secret": "0123456789abcdef"}}
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
    """Have every worker answer: the first request to the execution API stops a worker for seconds."""
    paths = ["/execution/health"] * 8 + ["/incidents/health"] * 8
    with ThreadPoolExecutor(len(paths)) as threads:
        answers = list(threads.map(lambda path: httpx.get(airflow.url + path, timeout=60), paths))
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]


def alert(monitor: int, service: str, **changed: Any) -> dict[str, Any]:
    """Return what Datadog sends when a monitor triggers for a service, just now."""
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
    """Post all at once, or evenly over some seconds; return the answers, each with its time in seconds."""

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

    answers = asyncio.run(run())
    times = sorted(answer.elapsed.total_seconds() for answer in answers)
    p95 = times[int(len(times) * 0.95)]
    print(f"{len(times)} posts: median {statistics.median(times):.3f} s, p95 {p95:.3f} s, most {times[-1]:.3f} s")
    assert times[-1] < DATADOG_PATIENCE
    return answers


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


def test_twenty_copies_at_once_are_one_run(airflow: LocalAirflow) -> None:
    answers = post_all(airflow, [alert(1, "copied")] * 20)
    assert Counter(answer.status_code for answer in answers) == {202: 1, 200: 19}
    assert Counter(answer.json()["decision"] for answer in answers) == {"open": 1, "duplicate": 19}
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    (record,) = records_of(airflow, "copied")
    assert airflow.api.runs("incident_response").count(record.key) == 1
    assert airflow.api.wait_for_run("incident_response", record.key)["conf"]["datadog"]["id"] == "91"


def test_fifty_alerts_of_one_service_at_once_are_one_incident(airflow: LocalAirflow) -> None:
    answers = post_all(airflow, [alert(100 + number, "fifty") for number in range(50)])
    assert Counter(answer.json()["decision"] for answer in answers) == {"open": 1, "update": 49}
    (record,) = records_of(airflow, "fifty")
    assert (record.alert_count, record.firing_count, record.notifications) == (50, 50, 50)
    run_ids = {answer.json()["run_id"] for answer in answers} - {record.key}
    assert len(run_ids) == 1, "one update run reports all"
    assert run_ids <= set(airflow.api.runs("incident_update"))


def test_a_storm_loses_no_alert(airflow: LocalAirflow, routing_table: Path) -> None:
    routing_table.write_text(STORMY)
    services = [f"storm-{number}" for number in range(40)]
    alerts = [alert(1000 + number, services[number % 40]) for number in range(200)]
    try:
        answers = post_all(airflow, alerts, over_seconds=10)
    finally:
        routing_table.write_text(CALM)
    assert {answer.status_code for answer in answers} == {202}

    kept = [record for record in records(airflow) if any(name in services for name in record.services)]
    print(Counter(record.alert_count for record in kept))
    assert sum(record.alert_count for record in kept) == 200
    assert sum(record.notifications for record in kept) == 200
    for record in records(airflow):
        within = [r for r in records(airflow) if timedelta() <= r.opened_at - record.opened_at <= STORM_WINDOW]
        assert len(within) <= STORM_THRESHOLD
    assert set(airflow.api.runs("incident_response")) >= {record.key for record in kept}


def test_a_task_reads_the_registry_and_resolves_by_the_version_it_read(airflow: LocalAirflow) -> None:
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
    ("secret", "status", "said"),
    [(None, 401, "is missing"), ("", 401, "is missing"), ("wrong", 401, "is wrong"), (OLDER, 401, "is wrong")],
)
def test_without_the_secret_nothing_happens(airflow: LocalAirflow, secret: str, status: int, said: str) -> None:
    answer = post(airflow, alert(4, "unauthenticated"), secret=secret)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert records_of(airflow, "unauthenticated") == []


def test_while_secrets_rotate_both_are_valid(airflow: LocalAirflow) -> None:
    assert post(airflow, alert(5, "rotated"), secret=PREVIOUS).status_code == 202
    assert post(airflow, alert(5, "rotated"), secret=SECRET).status_code == 200


def test_the_corpus_of_formats_gets_its_decisions_from_a_real_airflow(airflow: LocalAirflow) -> None:
    """A selection: one sequence of Datadog's, one of another system, and a body that its text broke."""
    formats = {
        entry["format"]: entry for path in FORMATS.glob("*.yaml") for entry in yaml.safe_load(path.read_text())
    }
    for name in ("Datadog, flat keys", "Prometheus Alertmanager", "Datadog, JSON broken by the alert's text"):
        entry = formats[name]
        for body in entry["bodies"]:
            content = json.dumps(body["json"]) if "json" in body else body["raw"].encode()
            headers = {"Content-Type": entry.get("content_type", "application/json")}
            answer = post(airflow, content=content, headers=headers, path=entry["endpoint"])
            expected = body["is"]
            if "refused" in expected:
                assert answer.status_code == expected["refused"], (body["name"], answer.text)
            else:
                assert answer.json().get("decision") == expected["decision"], (body["name"], answer.text)


def test_an_incident_in_ones_own_words(airflow: LocalAirflow) -> None:
    sent = {"id": "CHG-7", "title": "Orders are late", "severity": "high", "services": ["generic"]}
    first, second = (post(airflow, sent, path="generic") for _ in range(2))
    assert (first.status_code, first.json()["decision"]) == (202, "open")
    assert second.json()["incident"] == first.json()["incident"] == "man.CHG-7"
    assert airflow.api.runs("incident_response").count("man.CHG-7") == 1
    assert airflow.api.run("incident_response", first.json()["run_id"])["conf"]["title"] == "Orders are late"


@pytest.mark.parametrize(
    ("request_", "status", "said"),
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
def test_a_bad_body_is_refused_in_words(
    airflow: LocalAirflow, request_: dict[str, Any], status: int, said: str
) -> None:
    answer = post(airflow, **request_)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text


def test_a_slow_body_is_given_up(airflow: LocalAirflow) -> None:
    host, port = airflow.url.removeprefix("http://").split(":")
    head = (
        f"POST /incidents/webhook/datadog HTTP/1.1\r\nHost: {host}\r\n{SECRET_HEADER}: {SECRET}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        began = time.monotonic()
        connection.sendall(head.encode())
        answer = connection.recv(4096).decode()
        assert answer.startswith("HTTP/1.1 503 ")
        assert time.monotonic() - began < 8


def test_characters_that_no_database_holds_lose_no_alert(airflow: LocalAirflow) -> None:
    odd = alert(6, "odd", title="[Triggered] \0 and \ud800")
    answer = post(airflow, content=json.dumps(odd), headers={"Content-Type": "application/json"})
    assert answer.status_code == 202, answer.text


def test_an_unknown_transition_is_an_alert_all_the_same(airflow: LocalAirflow) -> None:
    answer = post(airflow, alert(7, "unknown-transition", transition="Exploded"))
    assert (answer.status_code, answer.json()["decision"]) == (202, "open")


def test_a_recovery_of_nothing_is_noise(airflow: LocalAirflow) -> None:
    answer = post(airflow, alert(8, "never-fired", transition="Recovered"))
    assert (answer.status_code, answer.json()["decision"]) == (200, "ignore")


def test_every_decision_is_in_the_log_with_what_its_key_is_made_of(airflow: LocalAirflow) -> None:
    key = post(airflow, alert(9, "logged")).json()["incident"]
    log = (airflow.home.logs / "api-server.log").read_text()
    (line,) = [line for line in log.splitlines() if "incident_decision" in line and f'"incident": "{key}"' in line]
    entry = json.loads(line[line.index('{"event"') : line.rindex("}") + 1])
    assert entry["decision"] == "open"
    assert "monitor" in json.dumps(entry["inputs"])
    assert SECRET not in log
    assert PREVIOUS not in log


def test_the_openapi_document_is_kept_to(airflow: LocalAirflow, tmp_path: Path) -> None:
    checks = (
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
        "ignored_auth,unsupported_method"
    )
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{airflow.url}/incidents/openapi.json"]
    command += ["--header", f"{SECRET_HEADER}: {SECRET}", "--checks", checks, "--max-examples", "40"]
    command += ["--phases", "examples,coverage,fuzzing", "--request-timeout", "15", "--no-shrink"]
    (tmp_path / "schemathesis_hooks.py").write_text(textwrap.dedent(SCHEMATHESIS_HOOKS))
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=540, check=False
    )
    print(ran.stdout[-1500:])
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-1000:]


def test_a_paused_dag_is_refused_and_nothing_is_kept(airflow: LocalAirflow) -> None:
    set_paused(airflow, True)
    try:
        answer = post(airflow, alert(10, "paused"))
        assert answer.status_code == 503
        assert "incident_response is paused" in answer.json()["error"]
        assert records_of(airflow, "paused") == []
        health = httpx.get(f"{airflow.url}/incidents/health")
        assert health.status_code == 503
        assert "incident_response is paused" in health.text
    finally:
        set_paused(airflow, False)
    assert "incident_response is paused" in (airflow.home.logs / "api-server.log").read_text()
    assert post(airflow, alert(10, "paused")).status_code == 202


def test_a_broken_dag_is_refused(airflow: LocalAirflow, dags_folder: Path) -> None:
    file = dags_folder / "incident_response.py"
    whole = file.read_text()
    file.write_text("import nothing_of_this_name  # as a DAG of Airflow's would")
    try:
        wait_for(lambda: (airflow.api.dag("incident_response") or {})["has_import_errors"])
        answer = post(airflow, alert(11, "broken"))
        assert (answer.status_code, "import errors" in answer.json()["error"]) == (503, True)
    finally:
        file.write_text(whole)
    wait_for(lambda: not (airflow.api.dag("incident_response") or {})["has_import_errors"])
    assert post(airflow, alert(11, "broken")).status_code == 202


def test_a_missing_dag_is_refused(airflow: LocalAirflow, dags_folder: Path) -> None:
    """The last test here but that of the document: it deletes the DAG."""
    (dags_folder / "incident_response.py").unlink()
    path = "/api/v2/dags/incident_response"
    # Airflow answers 500 while its scheduler is at a run of the DAG.
    wait_for(
        lambda: airflow.api._send("DELETE", path).status_code in (httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND)
    )
    answer = post(airflow, alert(12, "missing"))
    assert (answer.status_code, "incident_response is missing" in answer.json()["error"]) == (503, True)
    assert records_of(airflow, "copied"), "the registry outlives the DAG, while another names its asset"


def set_paused(airflow: LocalAirflow, paused: bool) -> None:
    airflow.api._send("PATCH", "/api/v2/dags/incident_response", json={"is_paused": paused}).raise_for_status()


def wait_for(condition: Callable[[], Any]) -> None:
    wait_until(condition, what="the DAG to be parsed again", timeout=60, while_running=[])
