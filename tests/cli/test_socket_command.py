"""Test ``airflow incident socket``: exit codes, and no secrets in the output."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox.demo.airflow_home import airflow_command
from incident_sandbox.demo.processes import wait_until
from incident_sandbox.interactivity import SIGNING_SECRET
from incident_sandbox.seed import APP_LEVEL_TOKEN

from airflow_incident_provider.cli.run import ExitCode
from airflow_incident_provider.cli.socket_mode import StoredSlackConnection, default_api_server

from .conftest import CommandResult

Run = Callable[..., CommandResult]
CONNECTION = "AIRFLOW_CONN_SLACK_API_DEFAULT"
COMPLETE = {"app_token": APP_LEVEL_TOKEN, "signing_secret": SIGNING_SECRET}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({}, "The connection slack_api_default has no app-level token."),
        ({"app_token": "xoxb-of-the-bot"}, "it does not begin with xapp-"),
        ({"app_token": APP_LEVEL_TOKEN}, "has no signing secret"),
        ({**COMPLETE, "app_token": "xapp-revoked"}, "Slack refused apps.connections.open: invalid_auth."),
        ({**COMPLETE, "app_id": "A0OTHER"}, "The app-level token is of the app A0WARROOM1"),
    ],
    ids=["no token", "wrong token type", "no signing secret", "refused", "another app"],
)
def test_missing_or_refused_credentials_end_the_command(
    incident: Run, connect: Callable[..., Any], extra: dict[str, str], message: str
) -> None:
    connect(**extra)
    result = incident("socket", "--api-url", "http://127.0.0.1:1")
    assert result.code == ExitCode.UNAVAILABLE
    assert message in result.err
    assert not any(secret in result.out + result.err for secret in extra.values() if secret != "A0OTHER")


def test_missing_connection_ends_the_command(incident: Run) -> None:
    result = incident("socket", "--conn-id", "slack_other")
    assert (result.code, "The Airflow connection slack_other does not exist." in result.err) == (3, True)


@pytest.mark.parametrize("option", [("--api-url", "airflow:8080"), ("--ready-file", "/no/such/folder/ready")])
def test_invalid_arguments_are_rejected(
    incident: Run, connect: Callable[..., Any], option: tuple[str, str]
) -> None:
    connect(**COMPLETE)
    result = incident("socket", *option)
    assert (result.code, option[0] in result.err) == (ExitCode.USAGE, True)


@pytest.mark.parametrize(
    ("execution_api", "base_url", "expected"),
    [
        ("http://airflow-api-server:8080/execution/", "https://airflow.example", "http://airflow-api-server:8080"),
        ("http://airflow:8080/prefix/execution", "", "http://airflow:8080/prefix"),
        ("", "https://airflow.example/prefix/", "https://airflow.example/prefix"),
        ("", "", "http://localhost:8080"),
    ],
)
def test_default_api_server_is_that_of_the_tasks(
    monkeypatch: pytest.MonkeyPatch, execution_api: str, base_url: str, expected: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", execution_api)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    assert default_api_server() == expected


def test_credentials_survive_a_database_outage(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(**COMPLETE)
    stored = StoredSlackConnection("slack_api_default")
    assert stored.signing_secret() == SIGNING_SECRET
    connect(**{**COMPLETE, "signing_secret": "rotated"})
    assert stored.signing_secret() == "rotated"
    monkeypatch.delenv(CONNECTION)
    assert stored.signing_secret() == "rotated"


def test_sigterm_ends_the_command_cleanly(slack: Any, connect: Callable[..., Any], tmp_path: Path) -> None:
    connect(**COMPLETE)
    ready = tmp_path / "ready"
    ready.touch()
    process = subprocess.Popen(
        airflow_command(
            "incident", "socket", "--api-url", "http://127.0.0.1:1", "--ready-file", str(ready), "--verbose"
        ),
        env={**os.environ, "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        sockets = slack.workspace.sockets
        wait_until(lambda: bool(sockets.open) and ready.exists(), timeout=60, what="a connection")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == ExitCode.OK, output
    assert not ready.exists()
    assert "Connected to Slack as the app A0WARROOM1." in output
    assert "Z Disconnected." in output
    for secret in (APP_LEVEL_TOKEN, SIGNING_SECRET, slack.token, "ticket="):
        assert [line for line in output.splitlines() if secret in line] == []
