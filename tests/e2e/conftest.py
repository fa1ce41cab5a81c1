"""A running Airflow for the end-to-end tests of the DAG, with Slack users, a service and a routing table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from incident_sandbox import SandboxClient, SandboxServer
from incident_sandbox.demo.broken_service import BrokenService
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.demo.network import demo_network

from airflow_incident_provider.config import DEFAULT_WEBHOOK_CONN_ID
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER

from ..airflow_settings import LOW_IDLE_LOAD

DAGS = Path(__file__).resolve().parents[2] / "dags"
WEBHOOK_SECRET = "webhook-secret-0123456789"
WORKER_SECRET = "hunter2-of-the-worker-0123456789"


@dataclass(frozen=True)
class Deployment:
    """A running Airflow, its Slack, and the service that its probes check."""

    airflow: LocalAirflow
    slack: SandboxServer
    service: BrokenService
    project: Path

    @property
    def control(self) -> SandboxClient:
        return SandboxClient(self.slack.url)

    def start(self, conf: dict[str, Any], *, run_id: str | None = None) -> str:
        """Start a run with Airflow's REST API and return its ID."""
        return str(self.airflow.api.trigger("incident_response", conf, run_id=run_id)["dag_run_id"])

    def send_alert(self, incident: dict[str, Any]) -> dict[str, Any]:
        """Send an alert to the webhook and return its decision."""
        response = httpx.post(
            f"{self.airflow.url}/incidents/webhook/generic",
            json=incident,
            headers={SECRET_HEADER: WEBHOOK_SECRET},
            timeout=30,
        )
        decision: dict[str, Any] = response.raise_for_status().json()
        return decision

    def wait_for_run(self, run_id: str) -> str:
        """Wait for a run and return its state."""
        return str(self.airflow.api.wait_for_run("incident_response", run_id)["state"])

    def xcom(self, run_id: str, task_id: str, map_index: int = -1) -> Any:
        """Return the return value of a task."""
        return self.airflow.api.xcom("incident_response", run_id, task_id, map_index=map_index)


@pytest.fixture(scope="module")
def deployment(
    docker_engine: Any, tmp_path_factory: pytest.TempPathFactory, migrated_home: Callable[[Path], Path]
) -> Iterator[Deployment]:
    """A deployment with the example routing table, which allows the network of the service."""
    project = tmp_path_factory.mktemp("project")
    with SandboxServer() as slack, demo_network() as network, BrokenService(network.gateway) as service:
        table = yaml.safe_load(
            files("airflow_incident_provider.intake").joinpath("routing.example.yaml").read_text()
        )
        table["allowed_networks"] = [network.subnet]
        (project / "routing.json").write_text(json.dumps(table))
        connection = {
            "conn_type": "slack",
            "password": slack.token,
            "extra": json.dumps({"base_url": slack.slack_base_url}),
        }
        environment = {
            **LOW_IDLE_LOAD,
            "AIRFLOW__INCIDENT__ROUTING_TABLE": str(project / "routing.json"),
            "AIRFLOW__INCIDENT__DOCKER_NETWORK": network.name,
            "AIRFLOW__INCIDENT__DOCKER_DNS": network.gateway,
            "SECRET_OF_THE_WORKER": WORKER_SECRET,
        }
        connections = {
            "slack_api_default": connection,
            DEFAULT_WEBHOOK_CONN_ID: {"conn_type": "generic", "password": WEBHOOK_SECRET},
        }
        home = migrated_home(project / "airflow")
        with LocalAirflow(home, DAGS, connections=connections, environment=environment) as airflow:
            for dag_id in ("incident_response", "incident_update"):
                airflow.wait_for_dag(dag_id)
            airflow.warm_up()
            yield Deployment(airflow, slack, service, project)
