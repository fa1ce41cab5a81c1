"""Operators of ours in a DAG of another purpose."""

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
def engine_again(no_engine: None, monkeypatch: pytest.MonkeyPatch, docker_engine: Any) -> None:
    """Let the probes find the engine of this machine after all."""
    monkeypatch.delenv("DOCKER_HOST")


@pytest.mark.docker
@pytest.mark.usefixtures("engine_again")
def test_missing_data_calls_people_together(
    run_dag: Callable[..., Run],
    connect: Callable[..., Any],
    control: SandboxClient,
    rooms: Callable[[], list[str]],
    posted: Callable[[str], list[dict[str, Any]]],
) -> None:
    connect()
    run = run_dag({"orders": 12, "expected": 1000}, file=FILE)
    assert run.state == "success"
    finding = Finding.model_validate(run.value("check_orders"))
    assert (finding.verdict, finding.exit_code) == (Verdict.FAIL, 1)
    assert "12 of 1000 orders arrived" in finding.evidence
    [name] = rooms()
    assert re.fullmatch(r"data-\d{8}t\d{6}", name)
    room = WarRoom.model_validate(run.value("open_room"))
    assert {invitation.user.id for invitation in room.invited} == {"U0DANAREYES", "U0ZOEMS0001"}
    assert set(control.channel(name)["members"]) == {BOT, "U0DANAREYES", "U0ZOEMS0001"}
    brief, update = posted(name)
    assert "Orders are missing" in json.dumps(brief["blocks"])
    assert "12 of 1000 orders arrived" in json.dumps(update["blocks"])
    assert update["thread_ts"] == brief["ts"]


@pytest.mark.docker
@pytest.mark.usefixtures("engine_again")
def test_complete_data_leave_people_alone(
    run_dag: Callable[..., Run], connect: Callable[..., Any], rooms: Callable[[], list[str]]
) -> None:
    connect()
    run = run_dag({"orders": 1000, "expected": 1000}, file=FILE)
    assert (run.state, run.states["open_room"], rooms()) == ("success", "skipped", [])


def test_engine_that_is_gone_fails_where_that_was_asked_for(
    run_dag: Callable[..., Run], connect: Callable[..., Any], rooms: Callable[[], list[str]]
) -> None:
    connect()
    run = run_dag({"orders": 12}, file=FILE)
    assert (run.state, run.states["check_orders"], rooms()) == ("failed", "failed", [])
    assert "no Docker Engine answers" in run.log


@pytest.mark.docker
@pytest.mark.usefixtures("engine_again")
def test_without_slack_the_room_is_shown(run_dag: Callable[..., Run], control: SandboxClient) -> None:
    run = run_dag({"orders": 12}, file=FILE)
    assert (run.state, control.calls()) == ("success", [])
    assert "DRY-RUN: would create the public channel #data-2" in run.log
    assert "12 of 1000 orders arrived" in run.value("tell_people")["would_post"][0]
