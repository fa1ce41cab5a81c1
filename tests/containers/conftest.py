"""Locked-down containers on a real engine, and a service for their probes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from incident_sandbox.demo.broken_service import DOMAIN, BrokenService
from incident_sandbox.demo.network import DemoNetwork, demo_network

from airflow_incident_provider.models import Finding, ProbeRun
from airflow_incident_provider.probes import (
    ContainerOutput,
    ProbeSettings,
    get_probe,
    interpret,
)

# Names and their addresses; each name has at least one address that must not be contacted.
HOSTILE_NAMES = {
    f"metadata.{DOMAIN}": ("169.254.169.254",),
    f"aliyun.{DOMAIN}": ("100.100.100.200",),
    f"loopback.{DOMAIN}": ("127.0.0.1",),
    f"zero.{DOMAIN}": ("0.0.0.0",),
    f"private.{DOMAIN}": ("192.168.250.1",),
    f"multicast.{DOMAIN}": ("224.0.0.1",),
    f"broadcast.{DOMAIN}": ("255.255.255.255",),
    f"metadata6.{DOMAIN}": ("fd00:ec2::254",),
    f"loopback6.{DOMAIN}": ("::1",),
    f"mapped.{DOMAIN}": ("::ffff:169.254.169.254",),
    f"nat64.{DOMAIN}": ("64:ff9b::a9fe:a9fe",),
    f"sixtofour.{DOMAIN}": ("2002:a9fe:a9fe::1",),
    f"teredo.{DOMAIN}": ("2001:0:a9fe:a9fe::1",),
    f"linklocal6.{DOMAIN}": ("fe80::1",),
}


@pytest.fixture(scope="session")
def network(docker_engine: Any) -> Iterator[DemoNetwork]:
    with demo_network() as network:
        yield network


@pytest.fixture(scope="session")
def service(network: DemoNetwork) -> Iterator[BrokenService]:
    mixed = {f"mixed.{DOMAIN}": (network.gateway, "169.254.169.254")}
    with BrokenService(network.gateway, records=HOSTILE_NAMES | mixed) as broken_service:
        yield broken_service


@dataclass(frozen=True)
class Sandbox:
    """Runs commands and probes in hardened containers."""

    engine: Any
    network: DemoNetwork

    def run(self, image: str, entrypoint: list[str], environment: dict[str, str], **more: Any) -> ContainerOutput:
        options: dict[str, Any] = {"network": self.network.name, "dns": [self.network.gateway]} | more
        started_at, clock = datetime.now(UTC), time.monotonic()
        container = self.engine.containers.create(
            image,
            entrypoint=entrypoint,
            environment=environment,
            user="65534:65534",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=64,
            mem_limit="64m",
            tmpfs={"/tmp": "size=1m,mode=1777"},
            labels={"airflow-incident-provider.test": "1"},
            **options,
        )
        try:
            container.start()
            exit_code = container.wait(timeout=60)["StatusCode"]
            stdout = container.logs(stdout=True, stderr=True)
            container.reload()
            oom_killed = container.attrs["State"]["OOMKilled"]
        finally:
            container.remove(force=True)
        return ContainerOutput(
            started_at=started_at,
            duration_ms=round((time.monotonic() - clock) * 1000),
            stdout=stdout,
            exit_code=exit_code,
            oom_killed=oom_killed,
        )

    def probe(self, run: ProbeRun, **options: Any) -> Finding:
        probe = get_probe(run.probe)
        environment = dict(probe.environment(run, ProbeSettings()))
        return interpret(run, self.run(probe.image, list(probe.command(run)), environment, **options))


@pytest.fixture(scope="session")
def sandbox(docker_engine: Any, network: DemoNetwork) -> Sandbox:
    return Sandbox(docker_engine, network)


@pytest.fixture
def run_probe(sandbox: Sandbox, service: BrokenService) -> Callable[..., Finding]:
    """Run one probe against the service, whose network is allowed."""

    def run(probe: str, target: Any = None, **options: Any) -> Finding:
        allowed = options.pop("allowed_networks", (sandbox.network.subnet,))
        return sandbox.probe(ProbeRun(probe=probe, target=target, allowed_networks=allowed), **options)

    return run
