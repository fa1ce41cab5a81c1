"""The operators in the example DAGs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox import SandboxClient

from airflow_incident_provider.models import Finding, Verdict, WarRoom

from .conftest import BOT, Run  # isort: skip

FILE = "examples/data_quality.py"


@pytest.fixture
def with_engine(no_engine: None, monkeypatch: pytest.MonkeyPatch, docker_engine: Any) -> None:
    """Use the engine of this machine."""
    monkeypatch.delenv("DOCKER_HOST")


@pytest.mark.docker
@pytest.mark.usefixtures("with_engine")
def test_missing_data_opens_room(
    run_dag: Callable[..., Run],
    connect: Callable[..., Any],
    control: SandboxClient,
    room_names: Callable[[], list[str]],
    posted_messages: Callable[[str], list[dict[str, Any]]],
) -> None:
    connect()
    run = run_dag({"orders": 12, "expected": 1000}, file=FILE)
    assert run.state == "success"
    finding = Finding.model_validate(run.xcom("check_orders"))
    assert (finding.verdict, finding.exit_code) == (Verdict.FAIL, 1)
    assert "12 of 1000 orders arrived" in finding.evidence
    [name] = room_names()
    assert re.fullmatch(r"data-\d{8}t\d{6}", name)
    room = WarRoom.model_validate(run.xcom("open_room"))
    assert {invitation.user.id for invitation in room.invited} == {"U0DANAREYES", "U0ZOEMS0001"}
    assert set(control.channel(name)["members"]) == {BOT, "U0DANAREYES", "U0ZOEMS0001"}
    brief, update = posted_messages(name)
    assert "Orders are missing" in json.dumps(brief["blocks"])
    assert "12 of 1000 orders arrived" in json.dumps(update["blocks"])
    assert update["thread_ts"] == brief["ts"]


@pytest.mark.docker
@pytest.mark.usefixtures("with_engine")
def test_complete_data_opens_no_room(
    run_dag: Callable[..., Run], connect: Callable[..., Any], room_names: Callable[[], list[str]]
) -> None:
    connect()
    run = run_dag({"orders": 1000, "expected": 1000}, file=FILE)
    assert (run.state, run.states["open_room"], room_names()) == ("success", "skipped", [])


def test_unavailable_engine_fails_the_check(
    run_dag: Callable[..., Run], connect: Callable[..., Any], room_names: Callable[[], list[str]]
) -> None:
    connect()
    run = run_dag({"orders": 12}, file=FILE)
    assert (run.state, run.states["check_orders"], room_names()) == ("failed", "failed", [])
    assert "no Docker Engine answers" in run.log


@pytest.mark.docker
@pytest.mark.usefixtures("with_engine")
def test_without_connection_room_is_logged_as_dry_run(run_dag: Callable[..., Run], control: SandboxClient) -> None:
    run = run_dag({"orders": 12}, file=FILE)
    assert (run.state, control.calls()) == ("success", [])
    assert "DRY-RUN: would create the public channel #data-2" in run.log
    assert "12 of 1000 orders arrived" in run.xcom("tell_people")["would_post"][0]
