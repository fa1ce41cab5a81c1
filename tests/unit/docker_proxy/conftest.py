"""Fixtures for proxy tests: a policy and an allowed create body."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from incident_docker_proxy.policy import Policy
from incident_docker_proxy.settings import MIB, Settings

BODY: dict[str, Any] = {
    "Image": "alpine:3.23",
    "User": "65534:65534",
    "Entrypoint": ["/bin/sh", "-c"],
    "Cmd": ["echo $TARGET_HOST"],
    "Env": ["TARGET_HOST=checkout.example.com", "EMPTY="],
    "Labels": {"airflow_incident_provider": "investigation", "airflow_incident_provider.key": "dd.1"},
    "StopTimeout": 2,
    "Tty": False,
    "AttachStdout": True,
    "AttachStderr": True,
    "AttachStdin": False,
    "OpenStdin": False,
    "Volumes": None,
    "HostConfig": {
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "Memory": 64 * MIB,
        "MemorySwap": 64 * MIB,
        "PidsLimit": 64,
        "NanoCpus": 500_000_000,
        "Init": True,
        "Tmpfs": {"/tmp": "rw,noexec,nosuid,size=8m"},
        "NetworkMode": "bridge",
        "Dns": ["127.0.0.1"],
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        "Mounts": [],
    },
}


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings(images=("alpine:3.*", "registry.example/probes/*"), networks=("bridge", "demo"))


@pytest.fixture(scope="session")
def policy(settings: Settings) -> Policy:
    return Policy(settings)


@pytest.fixture(scope="session")
def new_body() -> Callable[[], dict[str, Any]]:
    """Return a function that copies a body that the policy allows."""
    return lambda: copy.deepcopy(BODY)
