"""The outside world of the demo: a workspace, a service that is half broken, and a routing table that knows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_incident_provider.probes import catalogue
from incident_sandbox.demo.network import DemoNetwork, demo_network
from incident_sandbox.demo.patient import Certificate, Patient
from incident_sandbox.server import SandboxServer

CONN_ID = "slack_api_default"

RESPONDERS = (
    "alice.ng@acme.example",
    "José García",
    "@sre-oncall",
    "jon smiht",
    "dave@acme.example",
)
"""Found by e-mail, by display name and as a group; one mistyped, and one who has left."""


@dataclass(frozen=True)
class Scene:
    """What the demo's Airflow is pointed at.

    :param network: the Docker network of the probes, or ``None`` without a Docker Engine.
    """

    sandbox: SandboxServer
    network: DemoNetwork | None
    target: str
    routing_table: Path

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        """The Slack connection: only its ``base_url`` tells the sandbox from Slack."""
        return {
            CONN_ID: {
                "conn_type": "slack",
                "password": self.sandbox.token,
                "extra": json.dumps({"base_url": self.sandbox.slack_base_url}),
            }
        }

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the section ``[incident]``."""
        settings = {"ROUTING_TABLE": str(self.routing_table)}
        if self.network is not None:
            settings |= {"DOCKER_NETWORK": self.network.name, "DOCKER_DNS": self.network.gateway}
        return {f"AIRFLOW__INCIDENT__{name}": value for name, value in settings.items()}


@contextmanager
def scene(home: Path, *, sandbox_port: int, progress: Callable[[str], None]) -> Iterator[Scene]:
    """Set the scene, and clear it away at the end."""
    with ExitStack() as standing:
        sandbox = standing.enter_context(SandboxServer(port=sandbox_port))
        progress(f"The stand-in Slack is at {sandbox.url} (nothing reaches the real one)")
        network = _network(standing, progress)
        target = "https://checkout.demo.test/healthz"
        if network is not None:
            patient = standing.enter_context(Patient(network.gateway))
            target = patient.url("/failing", certificate=Certificate.EXPIRING)
            progress(f"A service that is half broken answers at {target}, on a Docker network of its own")
        table = home / "routing.json"
        table.write_text(json.dumps(_routing_table(target, network), indent=2), encoding="utf-8")
        yield Scene(sandbox=sandbox, network=network, target=target, routing_table=table)


def _network(standing: ExitStack, progress: Callable[[str], None]) -> DemoNetwork | None:
    """Return a Docker network, or nothing where there is no engine: the room will say so."""
    from docker.errors import DockerException

    try:
        network = standing.enter_context(demo_network())
    except DockerException:
        progress("No Docker Engine answers: the room will say what could not be investigated")
        return None
    _pull_images(progress)
    return network


def _pull_images(progress: Callable[[str], None]) -> None:
    """Fetch the probes' images ahead, so that the incident does not wait for them."""
    import docker
    from docker.errors import DockerException, ImageNotFound

    client = docker.from_env()
    for image in sorted({probe.image for probe in catalogue()}):
        try:
            client.images.get(image)
        except ImageNotFound:
            progress(f"Pulling {image}")
            try:
                client.images.pull(image)
            except DockerException:
                progress(f"{image} could not be pulled: the room will say what could not be investigated")
    client.close()


def _routing_table(target: str, network: DemoNetwork | None) -> dict[str, Any]:
    """Return the routing table (YAML reads JSON) that sends the demo's alert to its people and its service."""
    return {
        "version": 1,
        "rules": [
            {
                "name": "checkout",
                "match": {"service": "checkout"},
                "responders": list(RESPONDERS),
                "targets": [target],
                "runbook": "https://wiki.acme.example/runbooks/checkout",
            }
        ],
        "allowed_networks": [network.subnet] if network is not None else [],
    }
