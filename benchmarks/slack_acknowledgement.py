"""
How fast Slack's requests are acknowledged: in peace, during fifty incidents, and while the database is blocked.

Starts an Airflow with PostgreSQL and two API server workers on this machine, and a stand-in Slack that takes 100 ms
for every call. The requests are signed commands of people in the incidents' rooms; every fourth starts a run.
Afterwards the records are counted: what was confirmed must be there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import httpx
import psutil
from incident_sandbox import SandboxServer
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.interactivity import SIGNING_SECRET, sign
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, DEFAULT_WEBHOOK_CONN_ID, DagId
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER
from airflow_incident_provider.registry.transaction import opened

ROOT = Path(__file__).parents[1]
SECRET = "a-secret-of-this-benchmark"
SLACK_MS = 100
PEOPLE = {"U0ALICENG01": "alice.ng@acme.example", "U0DANAREYES": "dana@acme.example"}
ROUTING = {
    "version": 1,
    "defaults": {"responders": list(PEOPLE.values()), "probes": ["control"]},
    "storm": {"threshold": None},
}
ROOM_SECONDS = 400
DONE = ("The update is posted.", "No reminders for")


@dataclass(frozen=True)
class Sent:
    """A command and its response: seconds until it came, and the reply that the person sees."""

    seconds: float
    status: int
    reply: str

    @property
    def confirmed(self) -> bool:
        """Whether the reply says that it was done."""
        return self.status == httpx.codes.OK and self.reply.startswith(DONE)


class Site:
    """An Airflow, the Slack that it calls, and people who send commands."""

    def __init__(self, airflow: LocalAirflow, slack: SandboxServer) -> None:
        self._airflow, self._slack = airflow, slack
        self._engine = create_engine(airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
        self._number = 0

    def report(self, title: str) -> str:
        """Report an incident to the webhook and return its key."""
        body = {"title": title, "severity": "high", "id": title}
        answer = httpx.post(
            f"{self._airflow.url}/incidents/webhook/generic", json=body, headers={SECRET_HEADER: SECRET}, timeout=60
        )
        return str(answer.raise_for_status().json()["incident"])

    def room(self, key: str) -> str:
        """Wait for an incident's room and return its id."""
        deadline = time.monotonic() + ROOM_SECONDS
        while time.monotonic() < deadline:
            with Session(self._engine) as session:
                stored = opened(session).load([key])
            if key in stored and stored[key].record.room.channel_id:
                return str(stored[key].record.room.channel_id)
            time.sleep(0.5)
        raise TimeoutError(f"{key} has no room")

    def command(self, channel_id: str, user_id: str) -> Sent:
        """Send ``/incident snooze``, or an update each fourth time, and return the acknowledgement."""
        self._number += 1
        fields = {
            "command": "/incident",
            "text": "snooze 30" if self._number % 4 else f"update We are at step {self._number}",
            "user_id": user_id,
            "user_name": PEOPLE[user_id],
            "channel_id": channel_id,
            "team_id": self._slack.workspace.team_id,
            "api_app_id": "A0WARROOM1",
            "trigger_id": f"{time.time_ns()}.{self._number}",
        }
        body = urlencode(fields).encode()
        began = time.perf_counter()
        answer = httpx.post(
            f"{self._airflow.url}/incidents/slack/commands",
            content=body,
            headers=sign(SIGNING_SECRET, body),
            timeout=30,
        )
        seconds = time.perf_counter() - began
        reply = answer.json().get("text", "") if answer.content else ""
        return Sent(seconds, answer.status_code, str(reply))

    def applied(self, keys: Sequence[str]) -> int:
        """Return how many actions the records hold."""
        with Session(self._engine) as session:
            coordinations = [one.record.coordination for one in opened(session).load(list(keys)).values()]
        return sum(len(one.actions) + one.dropped_actions for one in coordinations)

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Stop every process of the database meanwhile, so that it answers nothing and accepts no connection."""
        with self._engine.connect() as connection:
            folder = str(connection.execute(text("SHOW data_directory")).scalar_one())
        postmaster = psutil.Process(int(Path(folder, "postmaster.pid").read_text().split()[0]))
        stopped = [postmaster, *postmaster.children(recursive=True)]
        for process in stopped:
            process.suspend()
        try:
            yield
        finally:
            for process in stopped:
                process.resume()


def row(name: str, sent: Sequence[Sent], wanted: str) -> str:
    """Return a row of the table."""
    times = sorted(one.seconds for one in sent)
    p95 = times[min(len(times) - 1, int(len(times) * 0.95))]
    figures = f"{statistics.median(times):.2f} | {p95:.2f} ({wanted}) | {times[-1]:.2f} | {len(sent)}"
    return f"| {name} | {figures} | {sum(one.confirmed for one in sent)} |"


def replies(sent: Sequence[Sent]) -> str:
    """Return how often each reply came."""
    return ", ".join(f"{n} x {what}" for what, n in Counter(f"{one.status} {one.reply}" for one in sent).items())


def one_by_one(site: Site, rooms: Sequence[str], count: int) -> list[Sent]:
    """Send commands one after the other, of two people in turn."""
    users = list(PEOPLE)
    return [site.command(rooms[n % len(rooms)], users[n // len(rooms) % len(users)]) for n in range(count)]


def during(site: Site, incidents: int, rooms: Sequence[str]) -> list[Sent]:
    """Report incidents at once, and send commands until all of them have a room."""
    sent: list[Sent] = []
    with ThreadPoolExecutor(10) as threads:
        reported = [threads.submit(site.report, f"Burst {n}") for n in range(incidents)]
        opened_rooms = [threads.submit(_room_of, site, asked) for asked in reported]
        while not all(room.done() for room in opened_rooms) or len(sent) < incidents:
            sent.append(site.command(rooms[len(sent) % len(rooms)], next(iter(PEOPLE))))
    return sent


def _room_of(site: Site, reported: Future[str]) -> str:
    return site.room(reported.result())


def while_blocked(site: Site, rooms: Sequence[str], seconds: float) -> list[Sent]:
    """Send commands at once while the database is blocked."""
    with ThreadPoolExecutor(4) as threads:
        with site.blocked():
            sent = [threads.submit(site.command, room, next(iter(PEOPLE))) for room in rooms[:4]]
            time.sleep(seconds)
        return [one.result() for one in sent]


def measure(site: Site, incidents: int) -> None:
    """Measure the three situations and print the table."""
    keys = [site.report(f"Service {n} is slow") for n in range(4)]
    rooms = [site.room(key) for key in keys]
    one_by_one(site, rooms, 8)
    before = site.applied(keys)
    print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {datetime.now(UTC):%Y-%m-%d}\n")
    print("| seconds until a command is acknowledged | median | p95 | most | n | confirmed |")
    print("| --- | --: | --: | --: | --: | --: |")
    calm = one_by_one(site, rooms, 60)
    print(row(f"{SLACK_MS} ms a Slack call", calm, "0.5 wanted"), flush=True)
    blocked = while_blocked(site, rooms, 5)
    print(row("with the database blocked for 5 s", blocked, "3 wanted"), flush=True)
    busy = during(site, incidents, rooms)
    print(row(f"during {incidents} incidents", busy, "3 wanted"), flush=True)
    confirmed, applied = sum(one.confirmed for one in (*calm, *busy, *blocked)), site.applied(keys) - before
    print(f"\n{confirmed} actions were confirmed, {applied} are recorded; load {os.getloadavg()[0]:.1f}.")
    for name, sent in (("calm", calm), ("blocked", blocked), ("busy", busy)):
        print(f"{name}: {replies(sent)}")


def main() -> None:
    """Start Airflow and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--incidents", type=int, default=50, help="incidents at once in the second situation")
    incidents = parser.parse_args().incidents
    with tempfile.TemporaryDirectory() as folder, SandboxServer() as slack:
        slack.workspace.settings.latency_ms = SLACK_MS
        Path(folder, "routing.json").write_text(json.dumps(ROUTING))
        extra = {"base_url": slack.slack_base_url, "signing_secret": SIGNING_SECRET}
        connections = {
            DEFAULT_WEBHOOK_CONN_ID: {"conn_type": "generic", "password": SECRET},
            DEFAULT_SLACK_CONN_ID: {"conn_type": "slack", "password": slack.token, "extra": json.dumps(extra)},
        }
        environment = {
            "AIRFLOW__INCIDENT__ROUTING_TABLE": str(Path(folder, "routing.json")),
            "DOCKER_HOST": f"unix://{folder}/no-engine.sock",
        }
        with LocalAirflow(
            Path(folder, "airflow"),
            ROOT / "dags",
            connections=connections,
            environment=environment,
            api_workers=2,
            progress=print,
        ) as airflow:
            for dag_id in (DagId.INCIDENT_RESPONSE, DagId.INCIDENT_UPDATE):
                airflow.wait_for_dag(dag_id)
            airflow.warm_up()
            measure(Site(airflow, slack), incidents)


if __name__ == "__main__":
    main()
