"""A running Airflow for the fault suite, whose processes can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from incident_sandbox import SandboxClient, SandboxServer
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.demo.processes import wait_until
from incident_sandbox.demo.session_guard import living_members

from ..airflow_settings import LOW_IDLE_LOAD
from ..dags.conftest import Run
from .scenarios import DANA, Outcome, rooms_in

DAGS = Path(__file__).resolve().parents[2] / "dags"
DAG_ID = "incident_response"
RUN_SECONDS = 240.0
WORKER_SECRET = "hunter2-of-the-worker-0123456789"
STEPS = ("parse_incident_event", "create_war_room", "final_summary")
KILL_SETTINGS = {
    # Detect killed processes within seconds; with the defaults it takes minutes.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "12",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "4",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "6",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
}
_TASK_PROCESS = re.compile(r"airflow worker -- ([0-9a-f-]{36})")


@dataclass(frozen=True)
class Deployment:
    """A running Airflow and its Slack."""

    airflow: LocalAirflow
    slack: SandboxServer

    @property
    def control(self) -> SandboxClient:
        return SandboxClient(self.slack.url)

    def start(self, **fields: Any) -> str:
        """Start a run for an incident with these fields and return the run's ID."""
        conf = {
            "id": "4711",
            "title": "Checkout answers 503",
            "severity": "critical",
            "started_at": "2026-11-23T09:35:00Z",
            "users": ["alice.ng@acme.example", DANA],
            "links": ["https://dd.example.com/dash/1"],
            **fields,
        }
        return str(self.airflow.api.trigger(DAG_ID, conf)["dag_run_id"])

    def wait_for_run(self, run_id: str) -> Outcome:
        """Wait for the end of a run and of its calls to Slack, and return its outcome."""
        self.airflow.api.wait_for_run(DAG_ID, run_id, timeout=RUN_SECONDS)
        wait_until(lambda: not self.connected_processes(), what="the last call to Slack", timeout=30)
        calls = Counter(call["method"] for call in self.control.calls())
        return Outcome(tuple(rooms_in(self.control, [run_id])), self.read_run(run_id), calls)

    def read_run(self, run_id: str) -> Run:
        """Return the states, tries and XComs of a run."""
        instances = self.airflow.api.task_instances(DAG_ID, run_id)
        return Run(
            run_id=run_id,
            state=str(self.airflow.api.run(DAG_ID, run_id)["state"]),
            states={each["task_id"]: str(each["state"]) for each in instances},
            tries={each["task_id"]: each["try_number"] for each in instances},
            xcoms={
                (step, -1, "return_value"): self.airflow.api.xcom(DAG_ID, run_id, step)
                for step in STEPS
                if any(each["task_id"] == step and each["state"] == "success" for each in instances)
            },
            log="",
        )

    def airflow_secrets(self) -> dict[str, str]:
        """Return the secrets of this Airflow, by name."""
        names = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY")
        return {name: self.airflow.environment[name] for name in names}

    def connected_processes(self) -> set[int]:
        """Return the other processes that have a connection to Slack."""
        port = int(self.slack.url.rpartition(":")[2])
        return {
            found.pid
            for found in psutil.net_connections(kind="tcp")
            if found.raddr and found.raddr.port == port and found.pid not in (None, os.getpid())
        }

    def task_processes(self) -> dict[str, psutil.Process]:
        """Return the processes that run a task, by the ID of the task instance."""
        found: dict[str, psutil.Process] = {}
        with contextlib.suppress(psutil.Error):
            for process in living_members([self.airflow.scheduler.pid or -1]):
                if match := _TASK_PROCESS.match(" ".join(process.cmdline())):
                    found[match.group(1)] = process
        return found


@contextlib.contextmanager
def start_deployment(folder: Path, home: Path, **environment: str) -> Iterator[Deployment]:
    """Start an Airflow whose runs use one container without a network."""
    (folder / "routing.json").write_text(json.dumps({"version": 1, "defaults": {"probes": ["control"]}}))
    with SandboxServer() as slack:
        connection: dict[str, Any] = {
            "conn_type": "slack",
            "password": slack.token,
            "extra": json.dumps({"base_url": slack.slack_base_url}),
        }
        settings = {
            **KILL_SETTINGS,
            "AIRFLOW__INCIDENT__ROUTING_TABLE": str(folder / "routing.json"),
            "AIRFLOW__INCIDENT__DOCKER_NETWORK": "none",
            "SECRET_OF_THE_WORKER": WORKER_SECRET,
            # A room that is opened by a retry after a kill would be reported as late.
            "AIRFLOW__INCIDENT__ROOM_DEADLINE_SECONDS": "0",
            **LOW_IDLE_LOAD,
            **environment,
        }
        with LocalAirflow(
            home, DAGS, connections={"slack_api_default": connection}, environment=settings
        ) as airflow:
            airflow.wait_for_dag(DAG_ID)
            airflow.warm_up()
            yield Deployment(airflow, slack)
