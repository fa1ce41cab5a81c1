"""A Docker network without a route to the outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

LABEL = "airflow-incident-provider.demo"
"""The label of every network created here; it identifies leftovers."""


@dataclass(frozen=True)
class DemoNetwork:
    """An existing network.

    :param gateway: the host's address in it; containers reach services bound to it.
    :param subnet: the network in CIDR notation, for the routing table's ``allowed_networks``.
    """

    name: str
    gateway: str
    subnet: str


@contextmanager
def demo_network(name: str | None = None) -> Iterator[DemoNetwork]:
    """Create an internal network, and remove it on exit.

    :raises docker.errors.DockerException: no Docker Engine answers.
    """
    import docker

    client = docker.from_env()
    try:
        chosen = name or f"incident-demo-{uuid4().hex[:8]}"
        network = client.networks.create(chosen, driver="bridge", internal=True, labels={LABEL: "1"})
        try:
            network.reload()
            config = network.attrs["IPAM"]["Config"][0]
            yield DemoNetwork(name=chosen, gateway=config["Gateway"], subnet=config["Subnet"])
        finally:
            network.remove()
    finally:
        client.close()
