"""
How long a room takes while one Slack method that is not essential fails, for every such method and kind of failure.

Starts one Airflow on this machine, with a stand-in Slack, and reports one incident after the other to its webhook.
The time is from that request until Slack has the brief; the people are those in the room when the run ends. Nothing
completes rooms later, so that each incident has the machine alone.

    python -m benchmarks.failing_methods --methods users.list pins.add
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from incident_sandbox import Fault, SandboxServer
from incident_sandbox.demo.local_airflow import LocalAirflow

from benchmarks.outages import BOT, SECRET, Lane, airflow_with

from airflow_incident_provider.cli.airflow_api import AirflowApiError  # isort: skip
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER  # isort: skip

RESPONDERS = ("alice.ng@acme.example", "U0JOSEGARC1", "@sre-oncall", "Zoë")
"""An e-mail address, an id, a user group and a name: each is found by another method."""

LOOKUPS = ("users.lookupByEmail", "users.info", "users.list", "usergroups.list")
METHODS = (
    *LOOKUPS,
    "conversations.invite",
    "conversations.members",
    "conversations.setTopic",
    "conversations.setPurpose",
    "conversations.info",
    "pins.add",
    "bookmarks.add",
    "bookmarks.list",
    "chat.getPermalink",
    "chat.update",
)
ANSWERS: dict[str, dict[str, Any]] = {
    "404": {"status": 404, "body": "not found"},
    "500": {"status": 500},
    "429, an hour": {"error": "ratelimited", "headers": {"Retry-After": "3600"}},
    "HTML": {"status": 200, "body": "<html>gateway</html>"},
    "unknown error": {"error": "a_code_nobody_documented"},
}
FAULTS = {**ANSWERS, "no answer": {"delay_ms": 60_000, "drop": True}}
RUN_S = 60


@dataclass(frozen=True)
class Opened:
    """A room: the seconds until its brief was there, and how many people were in it at the end of the run."""

    seconds: float | None
    people: int

    def __str__(self) -> str:
        """Return both, as a cell of the table."""
        return "never" if self.seconds is None else f"{self.seconds:.1f}, {self.people}"


class Incidents:
    """Reports incidents, one after the other."""

    def __init__(self, airflow: LocalAirflow, lane: Lane, directory: Path) -> None:
        self._airflow = airflow
        self._lane = lane
        self._directory = directory
        self._reported = 0

    def open(self, fault: Fault | None) -> Opened:
        """Report an incident while the fault lasts, and wait until its run has done what it can.

        No member is known before.
        """
        shutil.rmtree(self._directory, ignore_errors=True)
        self._reported += 1
        name = f"case-{self._reported}-of-all"
        control = self._lane.control
        if fault is not None:
            control.add_fault(fault)
        began = time.time()
        response = httpx.post(
            f"{self._airflow.url}/incidents/webhook/generic",
            json={"title": name, "services": [f"{self._lane.dag_id}-{name}"], "severity": "high", "id": name},
            headers={SECRET_HEADER: SECRET},
            timeout=30,
        )
        run_id = response.raise_for_status().json()["run_id"]
        # A step that Slack asks to wait for an hour is retried after minutes, long after the room is open.
        with suppress(AirflowApiError):
            self._airflow.api.wait_for_run(self._lane.dag_id, run_id, timeout=RUN_S)
        opened = self._opened(name, began)
        control.clear_faults()
        return opened

    def _opened(self, name: str, began: float) -> Opened:
        """Return the room, whose first message of the app is the brief.

        :param began: when the incident was reported, in seconds since the epoch, as Slack's timestamps are.
        """
        channels = self._lane.control.state()["channels"]
        channel_id = next((each["id"] for each in channels if name in each["name"]), None)
        if channel_id is None:
            return Opened(None, 0)
        room = self._lane.control.channel(channel_id)
        own = (message for message in room["messages"] if message["user"] == BOT and message.get("subtype") is None)
        posted_at = min((float(message["ts"]) for message in own), default=None)
        return Opened(None if posted_at is None else posted_at - began, len(set(room["members"]) - {BOT}))


def print_row(method: str, rooms: Sequence[Opened]) -> None:
    """Print the results of one method."""
    print(f"  {method:24}" + "".join(f"{room!s:>16}" for room in rooms), flush=True)


def main() -> None:
    """Open a room for each method and fault, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    methods = parser.parse_args().methods
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        lane = Lane("methods", stack.enter_context(SandboxServer()))
        directory = Path(folder, "directory")
        environment = {"AIRFLOW__INCIDENT__DIRECTORY_FOLDER": str(directory)}
        airflow = stack.enter_context(airflow_with([lane], Path(folder), environment, RESPONDERS, updates=False))
        incidents = Incidents(airflow, lane, directory)
        incidents.open(None)
        print(f"seconds to the room, and people in it; load before: {os.getloadavg()[0]:.1f}")
        print_row("without a fault", [incidents.open(None) for _ in range(3)])
        print(f"  {'':24}" + "".join(f"{name:>16}" for name in FAULTS))
        for method in methods:
            faults = (Fault(method=method, times=None, **fault) for fault in FAULTS.values())
            print_row(method, [incidents.open(fault) for fault in faults])


if __name__ == "__main__":
    main()
