"""The incident that every contender handles: the same alert, people, service, probes and Slack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from incident_sandbox.demo.alert import alert
from incident_sandbox.demo.broken_service import BrokenService, Certificate
from incident_sandbox.demo.network import DemoNetwork, demo_network
from incident_sandbox.server import SandboxServer

from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID
from airflow_incident_provider.intake import read_incident
from airflow_incident_provider.intake.routing_table import load_routing_table
from airflow_incident_provider.messages.channel import bookmarks
from airflow_incident_provider.probes import ProbeSettings, get_probe, plan_probes

CONN_ID = "slack_api_default"
AIRFLOW_RUN = "http://127.0.0.1/dags/incident_response/runs/one"
RUNBOOK = "https://wiki.acme.example/runbooks/checkout"
PEOPLE = ("alice.ng@acme.example", "jose.garcia@acme.example", "priya@acme.example", "sam.wong@acme.example")
"""Four members of the sandbox's workspace, named as the cheapest look-up wants them: by e-mail."""

PRIORITIES = ("P1", "P2", "P3", "P4")
"""Datadog's names for critical, high, medium and low."""


@dataclass(frozen=True)
class Scenario:
    """
    A workspace, a service that is half broken, and where both are.

    :param job_file: the input of the stock DAG and the script: people, address of Slack, containers to run.
    :param asks_datadog: whether there is a connection for evidence.
    """

    sandbox: SandboxServer
    network: DemoNetwork
    routing_table: Path
    job_file: Path
    asks_datadog: bool = False

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        """The Slack connection, whose ``base_url`` leads to the sandbox; and that of Datadog, if it is asked."""
        extra = json.dumps({"base_url": self.sandbox.slack_base_url})
        slack = {"conn_type": "slack", "password": self.sandbox.token, "extra": extra}
        if not self.asks_datadog:
            return {CONN_ID: slack}
        datadog = self.sandbox.workspace.datadog
        access = {"api_key": datadog.api_key, "app_key": datadog.app_key, "api_host": self.sandbox.datadog_url}
        return {CONN_ID: slack, DEFAULT_DATADOG_CONN_ID: {"conn_type": "datadog", "extra": json.dumps(access)}}

    @property
    def environment(self) -> dict[str, str]:
        """The settings of both DAGs."""
        return {
            "AIRFLOW__INCIDENT__ROUTING_TABLE": str(self.routing_table),
            "AIRFLOW__INCIDENT__DOCKER_NETWORK": self.network.name,
            "AIRFLOW__INCIDENT__DOCKER_DNS": self.network.gateway,
            "SPEED_JOB": str(self.job_file),
        }


@contextmanager
def scenario(home: Path, *, latency_ms: int) -> Iterator[Scenario]:
    """
    Set up the outside world, and clear it away at the end.

    :param home: an existing folder for the files.
    :param latency_ms: what every call to Slack takes at least.
    """
    with ExitStack() as resources:
        sandbox = resources.enter_context(SandboxServer())
        sandbox.workspace.settings.latency_ms = latency_ms
        network = resources.enter_context(demo_network())
        service = resources.enter_context(BrokenService(network.gateway))
        target = service.url("/failing", certificate=Certificate.EXPIRING)
        table = {
            "version": 1,
            "rules": [
                {
                    "name": "checkout",
                    "match": {"service": "checkout"},
                    "responders": list(PEOPLE),
                    "targets": [target],
                    "runbook": RUNBOOK,
                }
            ],
            "allowed_networks": [network.subnet],
        }
        routing_table = home / "routing.json"
        routing_table.write_text(json.dumps(table), encoding="utf-8")
        job_file = home / "job.json"
        job_file.write_text(json.dumps(_job(sandbox, network, routing_table)), encoding="utf-8")
        yield Scenario(sandbox=sandbox, network=network, routing_table=routing_table, job_file=job_file)


_monitors = count(148275309)


def payload(*, priority: str = "P1") -> dict[str, Any]:
    """Return a fresh alert, each of a monitor of its own: its channel has a name that nobody has taken."""
    fresh = alert()
    fresh["alert"]["id"] = str(next(_monitors))
    fresh["alert"]["priority"] = priority
    return fresh


def key_of(fresh: dict[str, Any]) -> str:
    """Return the key of the incident that an alert opens."""
    return f"dd.{fresh['alert']['id']}.{fresh['alert']['cycle_key']}"


def _job(sandbox: SandboxServer, network: DemoNetwork, routing_table: Path) -> dict[str, Any]:
    """Return the same work in plain terms, for contenders that know nothing of this package."""
    routing = load_routing_table(routing_table.read_text(encoding="utf-8"))
    incident = read_incident({"datadog": payload()}, received_at=datetime.now(UTC), routing=routing)
    return {
        "slack_url": sandbox.slack_base_url,
        "slack_token": sandbox.token,
        "people": list(PEOPLE),
        "bookmarks": [[link.label, link.url] for link in bookmarks(incident, AIRFLOW_RUN)],
        "network": network.name,
        "dns": network.gateway,
        "containers": [
            {
                "name": f"{run.probe}_{index}",
                "image": get_probe(run.probe).image,
                "entrypoint": get_probe(run.probe).command(run),
                "environment": get_probe(run.probe).environment(run, ProbeSettings()),
                "network": network.name,
            }
            for index, run in enumerate(plan_probes(incident))
        ],
    }
