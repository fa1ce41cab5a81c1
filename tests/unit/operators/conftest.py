"""Fixtures for the operators of ``incident_update``: an incident from its first alert to its archived room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import SandboxClient

from .lifecycle_harness import BROKEN, TABLE, LifecycleHarness, Monitor, Room


@pytest.fixture
def make_harness(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., LifecycleHarness]:
    def create(table: str = TABLE, *, connected: bool = True) -> LifecycleHarness:
        if connected:
            connect()
        (tmp_path / "routing.yaml").write_text(table, encoding="utf-8")
        monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "routing.yaml"))
        return LifecycleHarness(table)

    return create


@pytest.fixture
def harness(make_harness: Callable[..., LifecycleHarness]) -> LifecycleHarness:
    return make_harness()


@pytest.fixture
def monitor(harness: LifecycleHarness, payload: Callable[[str], dict[str, Any]]) -> Monitor:
    return Monitor(harness, payload("01"))


@pytest.fixture
def room(harness: LifecycleHarness, monitor: Monitor, control: SandboxClient) -> Room:
    """Return the room of a newly opened incident."""
    harness.run_response(monitor("Triggered"), BROKEN)
    return Room(control, harness)
