"""Test errors of ``airflow incident watch``, ``list`` and ``show``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_incident_provider.cli.run import ExitCode

from .conftest import CommandResult, run_dag

Run = Callable[..., CommandResult]


def test_failed_run_exits_with_code_1(
    incident: Run, connect: Callable[..., Any], deployed: Any, no_engine: None
) -> None:
    connect(token="xoxb-not-a-token")
    result = incident("watch", run_dag({"title": "T"}))
    assert result.code == ExitCode.FAILED
    assert "Reinstall the Slack app" in result.out


@pytest.mark.parametrize("command", ["watch", "show"])
def test_unknown_run_is_a_usage_error(incident: Run, deployed: Any, command: str) -> None:
    result = incident(command, "no-such-run")
    assert result.code == ExitCode.USAGE
    assert "airflow incident list" in result.err


@pytest.mark.parametrize("command", ["watch", "show"])
def test_latest_without_runs_is_a_usage_error(incident: Run, deployed: Any, command: str) -> None:
    result = incident(command, "latest")
    assert result.code == ExitCode.USAGE
    assert "yet. Start one: airflow incident trigger" in result.err


def test_watch_times_out(incident: Run, deployed: Any) -> None:
    incident("trigger", "--title", "T", "--incident-id", "slow")
    result = incident("watch", "man.slow", "--timeout", "0.1")
    assert result.code == ExitCode.UNAVAILABLE
    assert "is not finished after 0 s. It keeps running; see it with: airflow incident watch man.slow" in result.err


def test_list_without_incidents(incident: Run, deployed: Any) -> None:
    assert incident("list", "--output", "json").json == []
    result = incident("list")
    assert (result.code, result.out) == (ExitCode.OK, "")
    assert "No incidents." in result.err


def test_list_rejects_a_limit_of_zero(incident: Run, deployed: Any) -> None:
    assert incident("list", "--limit", "0").code == ExitCode.USAGE
