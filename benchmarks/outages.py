"""
How long after an outage of Slack an incident's room is complete, for outages that begin at each step.

Starts one Airflow on this machine, with an incident DAG and a stand-in Slack for each beginning: from the first
call of a method on, every call fails until the outage ends. All incidents begin at once, so the outages take place
in parallel. A room is complete when it contains the same messages as that of a run without an outage, each once.

    python -m benchmarks.outages --kinds 503 hang --seconds 10 120 1800
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from incident_sandbox import Fault, SandboxClient, SandboxServer
from incident_sandbox.demo.local_airflow import LocalAirflow

from airflow_incident_provider.config import DEFAULT_WEBHOOK_CONN_ID
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER

SECRET = "a-secret-of-this-benchmark"
DAGS = Path(__file__).parents[1] / "dags"
BOT = "U0WARROOM01"
KINDS: dict[str, dict[str, Any]] = {
    "503": {"status": 503, "body": "<html>unavailable</html>"},
    "hang": {"delay_ms": 60_000, "drop": True},
    "rejected token": {"error": "invalid_auth"},
    "restricted creation": {"error": "restricted_action"},
}
ONLY = {"restricted creation": "conversations.create"}
"""The method that fails, where it is not every method."""

GIVE_UP_S = 600
DAG = """
from airflow_incident_provider.incident_dag import incident_dag

incident_dag(
    "{dag_id}",
    slack_conn_id="{dag_id}",
    routing={{"defaults": {{"responders": {responders}, "probes": ["control"]}}}},
)
"""


@dataclass
class Lane:
    """An incident DAG with a Slack of its own.

    :param dag_id: the DAG, and its Slack connection.
    :param method: the method at whose first call the outage begins.
    :param nth: the number of that call in a clean run.
    :param round: how often the lane was reset; part of its incidents' ids.
    """

    dag_id: str
    slack: SandboxServer
    method: str = ""
    nth: int = 1
    round: int = 0
    began: float | None = None
    ended: float | None = None
    room_after: float | None = None
    complete_after: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def control(self) -> SandboxClient:
        """A client of the lane's Slack."""
        return SandboxClient(self.slack.url)

    def contents(self) -> Counter[str]:
        """Return how many rooms the app created, and how many messages of each kind it posted."""
        found: Counter[str] = Counter()
        for channel in self.control.state()["channels"]:
            if channel["creator"] != BOT:
                continue
            found["channel"] += 1
            for message in self.control.channel(channel["id"])["messages"]:
                found.update(_kind(each) for each in (message, *message["replies"]) if _is_ours(each))
        return found


def _is_ours(message: dict[str, Any]) -> bool:
    return bool(message["user"] == BOT and message.get("subtype") is None)


def _kind(message: dict[str, Any]) -> str:
    payload = (message.get("metadata") or {}).get("event_payload", {})
    return str(payload.get("key", "message")).rpartition("/")[2]


@contextmanager
def airflow_with(
    lanes: Sequence[Lane],
    root: Path,
    extra_environment: Mapping[str, str] | None = None,
    responders: Sequence[str] = ("dana@acme.example",),
    *,
    updates: bool = True,
) -> Iterator[LocalAirflow]:
    """Start an Airflow with the DAGs of these lanes, each for the alerts of a service whose name begins like it.

    :param updates: whether it has the DAG that completes and updates rooms, too.
    """
    dags = root / "dags"
    dags.mkdir()
    if updates:
        shutil.copy(DAGS / "incident_update.py", dags)
    connections: dict[str, Any] = {DEFAULT_WEBHOOK_CONN_ID: {"conn_type": "generic", "password": SECRET}}
    for lane in lanes:
        (dags / f"{lane.dag_id}.py").write_text(DAG.format(dag_id=lane.dag_id, responders=list(responders)))
        extra = json.dumps({"base_url": lane.slack.slack_base_url})
        connections[lane.dag_id] = {"conn_type": "slack", "password": lane.slack.token, "extra": extra}
    rules = [
        {"name": lane.dag_id, "match": {"service": [lane.dag_id, f"{lane.dag_id}-*"]}, "dag": lane.dag_id}
        for lane in lanes
    ]
    (root / "routing.json").write_text(json.dumps({"version": 1, "rules": rules}))
    environment = {
        "AIRFLOW__INCIDENT__ROUTING_TABLE": str(root / "routing.json"),
        "AIRFLOW__INCIDENT__ROOM_DEADLINE_SECONDS": "0",
        "DOCKER_HOST": f"unix://{root}/no-engine.sock",
        **(extra_environment or {}),
    }
    with LocalAirflow(root / "airflow", dags, connections=connections, environment=environment) as airflow:
        for file in dags.glob("*.py"):
            airflow.wait_for_dag(file.stem)
        airflow.warm_up()
        yield airflow


def report(airflow: LocalAirflow, lane: Lane, number: int, *, severity: str = "high") -> None:
    """Report an incident to the webhook; again, if it has been reported in this round of the lane."""
    response = httpx.post(
        f"{airflow.url}/incidents/webhook/generic",
        json={
            "title": "Checkout is down",
            "services": [lane.dag_id],
            "severity": severity,
            "id": f"{lane.dag_id}-{lane.round}-{number}",
        },
        headers={SECRET_HEADER: SECRET},
        timeout=30,
    )
    response.raise_for_status()


def clean_contents(airflow: LocalAirflow, lane: Lane) -> Counter[str]:
    """Return the contents of a room without any outage."""
    report(airflow, lane, 0)
    before, seen = Counter[str](), lane.contents()
    while not seen["channel"] or seen != before:
        time.sleep(15)
        before, seen = seen, lane.contents()
    return seen


def first_calls(lane: Lane) -> dict[str, int]:
    """Return the number of the first call of each method."""
    found: dict[str, int] = {}
    for number, call in enumerate(lane.control.calls(), start=1):
        found.setdefault(call["method"], number)
    return found


def play(airflow: LocalAirflow, lanes: Sequence[Lane], wanted: Counter[str], kind: str, seconds: float) -> None:
    """Play one outage in all lanes, until each room is complete."""
    method = ONLY.get(kind, "*")
    for lane in lanes:
        lane.control.reset()
        lane.began = lane.ended = lane.room_after = lane.complete_after = None
        lane.problems = []
        nth = lane.nth if method == "*" else 1
        lane.control.add_fault(Fault(method=method, nth=nth, times=None, **KINDS[kind]))
        report(airflow, lane, time.time_ns())
    waiting = list(lanes)
    while waiting:
        waiting = [lane for lane in waiting if not _advance(lane, wanted, seconds)]
        time.sleep(0.2)


def _advance(lane: Lane, wanted: Counter[str], seconds: float) -> bool:
    """Note the beginning of an outage, end it, and look at the room; return whether this lane is done."""
    if lane.began is None:
        if any(each["consumed"] for each in lane.control.faults()):
            lane.began = time.monotonic()
        return False
    if lane.ended is None:
        if time.monotonic() - lane.began >= seconds:
            lane.control.clear_faults()
            lane.ended = time.monotonic()
        return False
    return _look(lane, wanted, time.monotonic() - lane.ended)


def _look(lane: Lane, wanted: Counter[str], since_end: float) -> bool:
    seen = lane.contents()
    if seen["channel"] and lane.room_after is None:
        lane.room_after = since_end
    missing = wanted - seen
    if missing and since_end < GIVE_UP_S:
        return False
    if missing:
        lane.problems.append(f"missing: {dict(missing)}")
    else:
        lane.complete_after = since_end
    more = {name: count for name, count in seen.items() if count > wanted[name] > 0}
    if more:
        lane.problems.append(f"more than once: {more}")
    return True


def print_table(lanes: Sequence[Lane], kind: str, seconds: float) -> None:
    """Print the results of one outage."""
    print(f"\n{kind} for {seconds:.0f} s; seconds after its end until")
    print(f"  {'outage begins at':26} {'the room exists':>16} {'it is complete':>16}")
    for lane in lanes:
        times = f"{_seconds(lane.room_after):>16} {_seconds(lane.complete_after):>16}"
        print(f"  {f'{lane.method} ({lane.nth})':26} {times} {'; '.join(lane.problems)}", flush=True)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"


def main() -> None:
    """Play the outages and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seconds", nargs="+", type=float, default=[10.0, 120.0])
    parser.add_argument("--starts", type=int, default=7, help="how many methods an outage begins at")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        clean, *lanes = [
            Lane(f"lane_{number}", stack.enter_context(SandboxServer())) for number in range(options.starts + 1)
        ]
        airflow = stack.enter_context(airflow_with([clean, *lanes], Path(folder)))
        wanted = clean_contents(airflow, clean)
        print("a room without an outage:", dict(wanted))
        for lane, (method, nth) in zip(lanes, first_calls(clean).items(), strict=False):
            lane.method, lane.nth = method, nth
            print(f"  {lane.dag_id}: {lane.method}, call {lane.nth}", flush=True)
        lanes = [lane for lane in lanes if lane.method]
        for seconds in options.seconds:
            for kind in options.kinds:
                play(airflow, lanes, wanted, kind, seconds)
                print_table(lanes, kind, seconds)


if __name__ == "__main__":
    main()
