"""
The lifecycle of an incident, driven by webhook requests, and the resulting room as text.

The expected room is ``golden/room_life.txt``, with times, durations and IDs normalized. Run with
``UPDATE_GOLDENS=1`` to rewrite it, then review the difference.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from incident_sandbox import SandboxClient, SandboxServer
from incident_sandbox.demo.alert import alert
from incident_sandbox.demo.dns import NameServer
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.demo.network import DemoNetwork, demo_network
from incident_sandbox.demo.processes import wait_until
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from airflow_incident_provider.config import DEFAULT_WEBHOOK_CONN_ID
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.messages.blocks import Message, plain_text
from airflow_incident_provider.messages.mrkdwn import decode_mrkdwn
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER
from airflow_incident_provider.registry.transaction import opened

from ..airflow_settings import LOW_IDLE_LOAD

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden" / "room_life.txt"
SECRET = "life-secret-0123456789"
UPDATE, RESPONSE = "incident_update", "incident_response"
HOST = "checkout.demo.test"
ALICE, JOSE = "alice.ng@acme.example", "José García"


class Service:
    """The service that the probes check; it can fail and recover."""

    def __init__(self) -> None:
        self.status = 503

    @contextmanager
    def serve(self, address: str) -> Iterator[str]:
        """Serve on a free port of this address and yield the URL."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            server_version, sys_version = "checkout", ""

            def do_GET(self) -> None:
                self.send_response(service.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer((address, 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{HOST}:{server.server_port}/healthz"
        finally:
            server.shutdown()
            server.server_close()


def routing(url: str, network: DemoNetwork) -> dict[str, Any]:
    """Return the routing table. Its intervals are longer than the test until they are shortened."""
    return {
        "version": 1,
        "rules": [
            {"name": "checkout", "match": {"service": "checkout"}, "responders": [ALICE], "targets": [url]},
            {"name": "worst", "match": {"severity": "critical"}, "responders": [JOSE, "nobody@acme.example"]},
        ],
        "allowed_networks": [network.subnet],
        "lifecycle": dict.fromkeys(("update_interval", "quiet_period", "archive_delay", "reopen_window"), "1h"),
        "reminders": {"critical": {"commander": "1h"}},
    }


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def airflow(
    tmp_path: Path, service: Service, sandbox: SandboxServer, migrated_home: Callable[[Path], Path]
) -> Iterator[LocalAirflow]:
    table = tmp_path / "routing.json"
    connections = {
        DEFAULT_WEBHOOK_CONN_ID: {"conn_type": "generic", "password": SECRET},
        "slack_api_default": {
            "conn_type": "slack",
            "password": sandbox.token,
            "extra": json.dumps({"base_url": sandbox.slack_base_url}),
        },
    }
    with (
        demo_network() as network,
        NameServer(network.gateway, {HOST: (network.gateway,)}),
        service.serve(network.gateway) as url,
    ):
        table.write_text(json.dumps(routing(url, network)))
        environment = {
            **LOW_IDLE_LOAD,
            "AIRFLOW__INCIDENT__ROUTING_TABLE": str(table),
            "AIRFLOW__INCIDENT__DOCKER_NETWORK": network.name,
            "AIRFLOW__INCIDENT__DOCKER_DNS": network.gateway,
        }
        with LocalAirflow(
            migrated_home(tmp_path / "home"), ROOT / "dags", connections=connections, environment=environment
        ) as airflow:
            for dag_id in (RESPONSE, UPDATE):
                airflow.wait_for_dag(dag_id)
            airflow.warm_up()
            yield airflow


class Monitor:
    """Sends the notifications of one Datadog monitor and waits for the resulting runs."""

    def __init__(self, airflow: LocalAirflow) -> None:
        self._airflow = airflow
        self._first = alert()
        self._cycle = 0
        self.key = ""

    def notify(self, transition: str, priority: str = "P3") -> dict[str, Any]:
        """Send one notification and return the webhook's response."""
        self._cycle += transition == "Triggered"
        now = str(time.time_ns() // 1_000_000)
        payload = {**self._first, "id": f"{now}{self._cycle}", "date": now, "last_updated": now}
        payload["alert"] = {
            **self._first["alert"],
            "transition": transition,
            "priority": priority,
            "cycle_key": f"77165482340112300{self._cycle}",
            "title": f"[{priority}] [{transition} on {{env:prod,service:checkout}}] Checkout 5xx ratio above 2%",
        }
        response = httpx.post(
            f"{self._airflow.url}/incidents/webhook/datadog",
            json=payload,
            headers={SECRET_HEADER: SECRET},
            timeout=30,
        )
        assert response.status_code == 202, response.text
        decision: dict[str, Any] = response.json()
        self.key = self.key or decision["incident"]
        assert decision["incident"] == self.key
        return decision

    def wait_for(self, dag_id: str, run_id: str) -> None:
        run = self._airflow.api.wait_for_run(dag_id, run_id, timeout=180)
        states = {task["task_id"]: task["state"] for task in self._airflow.api.task_instances(dag_id, run_id)}
        assert run["state"] == "success", states
        assert not {"failed", "upstream_failed"} & set(states.values()), states

    @property
    def record(self) -> IncidentRecord:
        with registry_session(self._airflow) as session:
            return opened(session).incidents(archived=True)[self.key].record

    def wait_for_status(self, status: Status) -> None:
        wait_until(
            lambda: self.record.status is status, what=f"the incident to be {status}", timeout=180, while_running=[]
        )


@contextmanager
def registry_session(airflow: LocalAirflow) -> Iterator[Session]:
    engine = create_engine(airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    try:
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()


def shorten_intervals(airflow: LocalAirflow) -> None:
    """Have the incident resolved, and its room archived, within seconds after the next recovery."""
    table = Path(airflow.environment["AIRFLOW__INCIDENT__ROUTING_TABLE"])
    content = json.loads(table.read_text())
    content["lifecycle"] |= {"quiet_period": "10s", "archive_delay": "20s", "reopen_window": "20s"}
    table.write_text(json.dumps(content))


def test_lifecycle_from_alert_to_archived_room(
    airflow: LocalAirflow, sandbox: SandboxServer, service: Service
) -> None:
    monitor = Monitor(airflow)
    opened = monitor.notify("Triggered")
    assert opened["decision"] == "open"
    monitor.wait_for(RESPONSE, opened["run_id"])

    for _ in range(3):
        repeated = monitor.notify("Re-Triggered")
    raised = monitor.notify("Re-Triggered", "P1")
    assert repeated["run_id"] != raised["run_id"], "a higher severity does not wait for the update interval"
    monitor.wait_for(UPDATE, raised["run_id"])

    service.status = 200
    monitor.wait_for(UPDATE, monitor.notify("Recovered", "P1")["run_id"])
    service.status = 503
    reopened = monitor.notify("Triggered", "P1")
    assert reopened["decision"] == "reopen"
    monitor.wait_for(UPDATE, reopened["run_id"])

    service.status = 200
    shorten_intervals(airflow)
    monitor.wait_for(UPDATE, monitor.notify("Recovered", "P1")["run_id"])
    monitor.wait_for_status(Status.RESOLVED)
    monitor.wait_for_status(Status.ARCHIVED)

    for run_id in airflow.api.runs(UPDATE):
        if datetime.fromisoformat(airflow.api.run(UPDATE, run_id)["run_after"]) <= datetime.now(UTC):
            monitor.wait_for(UPDATE, run_id)
    control = SandboxClient(sandbox.url)
    room = airflow.api.xcom(RESPONSE, opened["run_id"], "create_war_room")
    channel = control.channel(room["channel_id"])
    assert channel["is_archived"]
    text = rendered(control, channel)
    if os.environ.get("UPDATE_GOLDENS"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


# --- the room as text --------------------------------------------------------------------------------

DURATION = r"(?:\d+(?:\.\d)? (?:ms|s|min|h|d)\b(?: \d+ (?:s|min|h)\b)?)"
NORMALIZED = (
    (r"Date: .* GMT", "Date: DATE"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\b\d\d:\d\d:\d\d\b", "HH:MM:SS"),
    (r"\b\d\d:\d\d\b", "HH:MM"),
    ("times, all at HH:MM UTC", "times since HH:MM, last HH:MM UTC"),
    (r"DATE HH:MM", "HH:MM"),
    (r"\(name [^()]*first byte \d+\)", "(TIMINGS)"),
    (DURATION, "N s"),
    (r"http://127\.0\.0\.1:\d+", "http://AIRFLOW"),
    (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", "ADDRESS"),
    (r"(demo\.test:|TARGET_PORT=)\d+", r"\1PORT"),
    (r"\b\d{4,5} open", "PORT open"),
    (r"inc-\d{8}-", "inc-YYYYMMDD-"),
    (r"C0SBX\d+", "CHANNEL"),
    (r"/p\d{16}", "/pTIMESTAMP"),
    (r"dd\.148275309\.[\w.~-]+", "KEY"),
    (r"from `[\w.-]+`", "from HOST"),
    # A slow machine causes this warning.
    (r"(?m)^.*\bour own (?:network|side)\b.*\n", ""),
    (r"\*\n• ", "* "),
)


def rendered(control: SandboxClient, channel: dict[str, Any]) -> str:
    """Return the room's messages in the order in which they were posted, in their last version.

    The calls that open a room are concurrent: before the first thread the brief is first and the rest is sorted.
    """
    names = {person["id"]: person["label"] for person in control.state(everybody=True)["people"]}
    replies = [reply for each in channel["messages"] for reply in each["replies"]]
    opened_by = min(reply["ts"] for reply in replies)
    blocks = [(each, _lines(each, names, channel["pins"])) for each in (*channel["messages"], *replies)]
    opening = sorted(
        (one for one in blocks if one[0]["ts"] < opened_by), key=lambda one: (_is_system(one[0]), one[1])
    )
    after = sorted((one for one in blocks if one[0]["ts"] >= opened_by), key=lambda one: one[0]["ts"])
    marks = ", ".join(sorted(mark["title"] for mark in channel["bookmarks"]))
    head = [f"#{channel['name']}", f"Topic: {channel['topic']}", f"Purpose: {channel['purpose']}"]
    text = "\n".join([*head, f"Bookmarks: {marks}", *(line for _, lines in (*opening, *after) for line in lines)])
    for pattern, replacement in NORMALIZED:
        text = re.sub(pattern, replacement, text)
    return f"{text}\n"


def _is_system(message: dict[str, Any]) -> bool:
    return bool(message.get("subtype"))


def _lines(message: dict[str, Any], names: dict[str, str], pins: list[str]) -> list[str]:
    indent = "    " if message.get("thread_ts", message["ts"]) != message["ts"] else ""
    if _is_system(message):
        return ["", f"{indent}— {decode_mrkdwn(message['text'], names)}"]
    marks = [word for word, holds in (("pinned", message["ts"] in pins), ("edited", message["edits"])) if holds]
    head = f"{names[message['user']]}{''.join(f' ({mark})' for mark in marks)}:"
    content = plain_text(Message(message["text"], tuple(message["blocks"]), names))
    return ["", *(f"{indent}{line}".rstrip() for line in (head, *content.splitlines()))]
