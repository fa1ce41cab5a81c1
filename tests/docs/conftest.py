"""An Airflow that is set up as the documentation says, with the sandbox in the place of Slack and Datadog."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.demo.broken_service import BrokenService
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.demo.network import demo_network

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a-secret-of-the-documentation-0123"


@dataclass(frozen=True)
class Reader:
    """Somebody who does what the pages say, in a folder of their own."""

    folder: Path
    environment: dict[str, str]

    def runs(self, script: str, *, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )


@pytest.fixture(scope="module")
def reader(docker_engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "dags", folder / "dags", ignore=shutil.ignore_patterns("examples", "__pycache__"))
    example = files("airflow_incident_provider.intake").joinpath("routing.example.yaml").read_text()
    # As a reader changes it: of this workspace's people two are called so, and `check` says it.
    example = example.replace("- Alice Ng", "- alice.ng@acme.example")
    # Nobody is invited by default in the example; `check` says so, and a reader names somebody.
    (folder / "routing.yaml").write_text(example.replace("responders: []", "responders: [dana@acme.example]", 1))
    shutil.copy(ROOT / "tests/payloads/01_metric_triggered.json", folder / "alert.json")
    # The service brings the network's name server, which the control probe looks for.
    with SandboxServer() as sandbox, demo_network() as network, BrokenService(network.gateway):
        _make_channel(sandbox, "triage")
        settings = {
            "AIRFLOW__INCIDENT__ROUTING_TABLE": str(folder / "routing.yaml"),
            "AIRFLOW__INCIDENT__DOCKER_NETWORK": network.name,
            "AIRFLOW__INCIDENT__DOCKER_DNS": network.gateway,
        }
        with LocalAirflow(
            folder / "airflow", folder / "dags", connections=_connections(sandbox), environment=settings
        ) as airflow:
            for dag_id in ("incident_response", "incident_update"):
                airflow.wait_for_dag(dag_id)
            airflow.warm_up()
            yield Reader(folder, {**airflow.environment, **_of_the_reader(airflow, sandbox)})


def _connections(sandbox: SandboxServer) -> dict[str, dict[str, Any]]:
    """In the environment, where they come before those that a page stores: nothing may reach the real ones."""
    keys = sandbox.workspace.datadog
    datadog = {"api_key": keys.api_key, "app_key": keys.app_key, "api_host": sandbox.datadog_url}
    return {
        "slack_api_default": {
            "conn_type": "slack",
            "password": sandbox.token,
            "extra": json.dumps({"base_url": sandbox.slack_base_url}),
        },
        "datadog_default": {"conn_type": "datadog", "extra": json.dumps(datadog)},
        "incident_webhook": {"conn_type": "http", "password": SECRET},
    }


def _of_the_reader(airflow: LocalAirflow, sandbox: SandboxServer) -> dict[str, str]:
    """The variables that the pages speak of."""
    username, password = airflow.credentials
    login = httpx.post(f"{airflow.url}/auth/token", json={"username": username, "password": password})
    token = str(login.json()["access_token"])
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "AIRFLOW": airflow.url,
        "TOKEN": token,
        "AIRFLOW_CLI_TOKEN": token,
        "SLACK_BOT_TOKEN": sandbox.token,
        "DD_API_KEY": sandbox.workspace.datadog.api_key,
        "DD_APP_KEY": sandbox.workspace.datadog.app_key,
        "INCIDENT_WEBHOOK_SECRET": SECRET,
    }


def _make_channel(sandbox: SandboxServer, name: str) -> None:
    answer = httpx.post(
        f"{sandbox.slack_base_url}conversations.create",
        headers={"Authorization": f"Bearer {sandbox.token}"},
        data={"name": name},
    )
    assert answer.json()["ok"], answer.text
