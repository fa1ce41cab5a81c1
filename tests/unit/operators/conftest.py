"""An incident's life, from the first alert to the archived room, for the operators of ``incident_update``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import SandboxClient

from .lifecycle_harness import BROKEN, TABLE, Life, Monitor, Room


@pytest.fixture
def make_life(connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Life]:
    def make(table: str = TABLE, *, connected: bool = True) -> Life:
        if connected:
            connect()
        (tmp_path / "routing.yaml").write_text(table, encoding="utf-8")
        monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "routing.yaml"))
        return Life(table)

    return make


@pytest.fixture
def life(make_life: Callable[..., Life]) -> Life:
    return make_life()


@pytest.fixture
def monitor(life: Life, payload: Callable[[str], dict[str, Any]]) -> Monitor:
    return Monitor(life, payload("01"))


@pytest.fixture
def room(life: Life, monitor: Monitor, control: SandboxClient) -> Room:
    """The room of an incident that has just begun."""
    life.respond(monitor("Triggered"), BROKEN)
    return Room(control, life)
