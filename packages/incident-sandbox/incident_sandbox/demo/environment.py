"""The demo's environment: a sandbox workspace, a half-broken service, and a routing table for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID, DEFAULT_SLACK_CONN_ID
from airflow_incident_provider.probes import catalogue
from incident_sandbox.datadog.playing import play_story
from incident_sandbox.demo.broken_service import BrokenService, Certificate
from incident_sandbox.demo.network import DemoNetwork, demo_network
from incident_sandbox.interactivity import SIGNING_SECRET
from incident_sandbox.server import SandboxServer

STORY = "bad_deploy"
"""The story behind the demo's alert."""

FINDABLE = ("alice.ng@acme.example", "José García", "@sre-oncall")
"""Responders who are resolved by e-mail, by display name and as a group."""

RESPONDERS = (*FINDABLE, "jon smiht", "dave@acme.example")
"""With one misspelled name, and one deactivated member."""


@dataclass(frozen=True)
class DemoEnvironment:
    """What the demo's Airflow connects to.

    :param network: the Docker network of the probes, or ``None`` without a Docker Engine.
    """

    sandbox: SandboxServer
    network: DemoNetwork | None
    target: str
    routing_table: Path

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        """The connections of Slack and Datadog: only their addresses differ from real ones."""
        datadog = self.sandbox.workspace.datadog
        access = {"api_key": datadog.api_key, "app_key": datadog.app_key, "api_host": self.sandbox.datadog_url}
        return {
            DEFAULT_SLACK_CONN_ID: {
                "conn_type": "slack",
                "password": self.sandbox.token,
                "extra": json.dumps({"base_url": self.sandbox.slack_base_url, "signing_secret": SIGNING_SECRET}),
            },
            DEFAULT_DATADOG_CONN_ID: {"conn_type": "datadog", "extra": json.dumps(access)},
        }

    def play(self, story: str = STORY) -> None:
        """Let the sandbox's Datadog tell a story whose alert is the demo's, 41 seconds ago."""
        play_story(self.sandbox.workspace, story)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the section ``[incident]``."""
        settings = {"ROUTING_TABLE": str(self.routing_table)}
        if self.network is not None:
            settings |= {"DOCKER_NETWORK": self.network.name, "DOCKER_DNS": self.network.gateway}
        return {f"AIRFLOW__INCIDENT__{name}": value for name, value in settings.items()}


@contextmanager
def demo_environment(
    home: Path, *, sandbox_port: int, progress: Callable[[str], None]
) -> Iterator[DemoEnvironment]:
    """Start the environment, and remove it on exit."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(SandboxServer(port=sandbox_port))
        progress(f"The sandbox Slack is at {sandbox.url} (nothing reaches the real Slack)")
        network = _network(stack, progress)
        target = "https://checkout.demo.test/healthz"
        if network is not None:
            service = stack.enter_context(BrokenService(network.gateway))
            target = service.url("/failing", certificate=Certificate.EXPIRING)
            progress(f"A half-broken service answers at {target}, on a separate Docker network")
        play_story(sandbox.workspace, STORY)
        table = home / "routing.json"
        table.write_text(json.dumps(_routing_table(target, network), indent=2), encoding="utf-8")
        yield DemoEnvironment(sandbox=sandbox, network=network, target=target, routing_table=table)


def _network(stack: ExitStack, progress: Callable[[str], None]) -> DemoNetwork | None:
    """Return a Docker network, or ``None`` without a Docker Engine: the room reports that."""
    from docker.errors import DockerException

    try:
        network = stack.enter_context(demo_network())
    except DockerException:
        progress("No Docker Engine answers: the room will list what was not checked")
        return None
    _pull_images(progress)
    return network


def _pull_images(progress: Callable[[str], None]) -> None:
    """Pull the probes' images in advance, so that the incident does not wait for them."""
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
                progress(f"{image} cannot be pulled: the room will list what was not checked")
    client.close()


def _routing_table(target: str, network: DemoNetwork | None) -> dict[str, Any]:
    """Return the routing table of the demo's alert (JSON is valid YAML)."""
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
