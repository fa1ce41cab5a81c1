"""A whole Airflow for all end-to-end tests of the DAG, and a world for it: people, a service, a routing table."""

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

from ..whole_airflow import LOW_IDLE_LOAD  # noqa: TID252 - tests are no package  # isort: skip

DAGS = Path(__file__).resolve().parents[2] / "dags"
WEBHOOK_SECRET = "house-secret-0123456789"
SECRET_OF_THE_WORKER = "hunter2-of-the-worker-0123456789"


@dataclass(frozen=True)
class House:
    """An Airflow, the Slack that it talks to, and the service that its probes look at."""

    airflow: LocalAirflow
    slack: SandboxServer
    service: BrokenService
    project: Path

    @property
    def control(self) -> SandboxClient:
        return SandboxClient(self.slack.url)

    def start(self, conf: dict[str, Any], *, run_id: str | None = None) -> str:
        """Start a run by Airflow's REST API and return its id."""
        return str(self.airflow.api.trigger("incident_response", conf, run_id=run_id)["dag_run_id"])

    def alert(self, incident: dict[str, Any]) -> dict[str, Any]:
        """Tell the webhook of an incident and return its answer."""
        answer = httpx.post(
            f"{self.airflow.url}/incidents/webhook/generic",
            json=incident,
            headers={SECRET_HEADER: WEBHOOK_SECRET},
            timeout=30,
        )
        decided: dict[str, Any] = answer.raise_for_status().json()
        return decided

    def finish(self, run_id: str) -> str:
        """Wait for a run and return its state."""
        return str(self.airflow.api.wait_for_run("incident_response", run_id)["state"])

    def value(self, run_id: str, task_id: str, map_index: int = -1) -> Any:
        """Return what a task returned."""
        return self.airflow.api.xcom("incident_response", run_id, task_id, map_index=map_index)


@pytest.fixture(scope="module")
def house(
    docker_engine: Any, tmp_path_factory: pytest.TempPathFactory, migrated_home: Callable[[Path], Path]
) -> Iterator[House]:
    """The house, with a routing table like the example that ships, but for the service's network and no runbook."""
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
            "SECRET_OF_THE_WORKER": SECRET_OF_THE_WORKER,
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
            yield House(airflow, slack, service, project)
