"""A Docker network from which no packet leaves the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

LABEL = "airflow-incident-provider.demo"
"""The label of every network made here, by which one that was left behind is found."""


@dataclass(frozen=True)
class DemoNetwork:
    """A network that exists.

    :param gateway: the machine's own address in it; a service bound to it is reached from the containers.
    :param subnet: the network's addresses, as the routing table's ``allowed_networks`` wants them.
    """

    name: str
    gateway: str
    subnet: str


@contextmanager
def demo_network(name: str | None = None) -> Iterator[DemoNetwork]:
    """Make a network with no way out, and remove it at the end.

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
