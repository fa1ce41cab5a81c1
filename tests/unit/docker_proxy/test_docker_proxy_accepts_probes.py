"""Check that the proxy accepts the container of every built-in probe."""

from __future__ import annotations

from typing import Any

import pytest
from docker import APIClient
from incident_docker_proxy.container_spec import checked_container
from incident_docker_proxy.settings import Settings

from airflow_incident_provider.containers import ContainerSpec, LockedDownContainer
from airflow_incident_provider.models import ProbeRun, Target
from airflow_incident_provider.probes import BUILTIN_PROBES, Probe, ProbeSettings


class RecordingEngine(APIClient):
    """Docker's client that records the create body instead of sending it."""

    def __init__(self) -> None:
        super().__init__(base_url="unix:///nowhere/docker.sock", version="1.41")
        self.body: dict[str, Any] = {}

    def create_container_from_config(self, config: dict[str, Any], *_: Any, **__: Any) -> dict[str, str]:
        self.body = dict(config)
        return {"Id": "0123456789ab"}

    def start(self, container: str, *_: Any, **__: Any) -> None:
        assert container == "0123456789ab"


@pytest.mark.parametrize("probe", BUILTIN_PROBES, ids=lambda probe: probe.name)
def test_probe_container_is_accepted(probe: Probe) -> None:
    target = Target(url="https://checkout.example.com/healthz") if probe.select else None
    run = ProbeRun(probe=probe.name, target=target)
    settings = ProbeSettings(ca_pem="-----BEGIN CERTIFICATE-----\n" + "A" * 30_000, client_pem="B" * 6_000)
    engine = RecordingEngine()
    spec = ContainerSpec(
        image=probe.image,
        owner="a/b/c/-1",
        entrypoint=probe.command(run),
        environment=probe.environment(run, settings),
    )
    LockedDownContainer(engine, spec, host="here")._start()
    accepted = checked_container(engine.body, Settings(images=(probe.image,)))
    assert accepted["Entrypoint"] == list(probe.command(run))
