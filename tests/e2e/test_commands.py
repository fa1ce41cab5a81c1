"""``airflow incident ...`` against a running Airflow: with its REST API, and with its database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_incident_provider.cli.drill import RULE
from airflow_incident_provider.cli.run import ExitCode

from ..cli.terminal import Terminal
from .conftest import Deployment

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


@dataclass(frozen=True)
class Completed:
    code: int
    out: str
    err: str


def airflow_incident(*argv: str, environment: dict[str, str]) -> Completed:
    """Run a command in a subprocess."""
    completed = subprocess.run(
        [sys.executable, "-m", "airflow", "incident", *argv],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Completed(completed.returncode, completed.stdout, completed.stderr)


@pytest.fixture(scope="module")
def token(deployment: Deployment) -> str:
    username, password = deployment.airflow.credentials
    login = httpx.post(f"{deployment.airflow.url}/auth/token", json={"username": username, "password": password})
    return str(login.json()["access_token"])


@pytest.fixture(scope="module")
def run_remote(deployment: Deployment, token: str) -> Callable[..., Completed]:
    """Run a command with the URL and a token, without the database."""

    def run(*argv: str, token: str = token) -> Completed:
        environment = {**os.environ, "AIRFLOW_CLI_TOKEN": token}
        return airflow_incident(*argv, "--api-url", deployment.airflow.url, environment=environment)

    return run


@pytest.fixture
def routed_drills(deployment: Deployment) -> Iterator[None]:
    """Add the rule for drills to the routing table."""
    table = deployment.project / "routing.json"
    before = table.read_text()
    content = json.loads(before)
    table.write_text(json.dumps({**content, "rules": [RULE, *content.get("rules", [])]}))
    yield
    table.write_text(before)


def test_remote_trigger_opens_room(
    run_remote: Callable[..., Completed],
    deployment: Deployment,
    token: str,
    tmp_path: Path,
    payload: Callable[[str], Any],
) -> None:
    alert = payload("01")
    alert["alert"]["cycle_key"] = "from-the-command-line"
    (tmp_path / "alert.json").write_text(json.dumps(alert))
    trigger = ("trigger", "--from-file", str(tmp_path / "alert.json"), "--users", "priya@acme.example")

    started = run_remote(*trigger, "--watch")
    assert started.code == ExitCode.OK, started.out + started.err
    for text in ("create_war_room", "final_summary", "critical: Checkout", "CRITICAL  Checkout", "Room  #"):
        assert text in started.out
    run_id = next(run for run in deployment.airflow.api.runs("incident_response") if "from-the-command-line" in run)

    again = run_remote(*trigger, "--output", "json")
    assert (again.code, json.loads(again.out)[0]["state"]) == (ExitCode.OK, "known already")

    listed = json.loads(run_remote("list", "--limit", "5", "--output", "json").out)
    [row] = [row for row in listed if row["run_id"] == run_id]
    assert (row["severity"], row["title"]) == ("critical", "Checkout 5xx ratio above 2%")

    shown = json.loads(run_remote("show", run_id, "--output", "json").out)
    assert shown["room"]["channel_id"] in {channel["id"] for channel in deployment.control.state()["channels"]}
    assert "U0PRIYAIYER" in {each["user"]["id"] for each in shown["room"]["invited"]}
    assert [entry["what"] for entry in shown["summary"]["timeline"]]
    assert shown["findings"]
    assert "Timeline (UTC)" in run_remote("show", shown["incident"]["id"]).out
    assert token not in started.out + started.err


def test_rejected_token_is_reported_and_not_printed(run_remote: Callable[..., Completed]) -> None:
    completed = run_remote("list", token="a.wrong.token")
    assert completed.code == ExitCode.UNAVAILABLE
    assert "token" in completed.err
    assert "a.wrong.token" not in completed.err


def test_password_is_prompted_for_and_not_echoed(deployment: Deployment) -> None:
    username, password = deployment.airflow.credentials
    with Terminal("list", "--api-url", deployment.airflow.url, "--username", username) as tty:
        tty.expect(f"Password of {username}:")
        tty.type(password)
        code, rest = tty.end()
    assert code == ExitCode.OK, rest
    assert password not in rest


def test_commands_with_database_access(deployment: Deployment) -> None:
    environment = deployment.airflow.environment
    arguments = ("--title", "With the database", "--severity", "low", "--dry-run")
    started = airflow_incident("trigger", *arguments, "--watch", "--output", "json", environment=environment)
    assert started.code == ExitCode.OK, started.out + started.err
    response = json.loads(started.out)
    assert (response["state"], response["summary"]["mode"]) == ("success", "dry_run")
    watched = airflow_incident("watch", response["run_id"], environment=environment)
    assert (watched.code, "dry-run" in watched.out) == (ExitCode.OK, True), watched.err
    checked = airflow_incident("check", "--only", "airflow,dag,pool,slack", "-o", "json", environment=environment)
    results = {line["check"]: line["result"] for line in json.loads(checked.out)}
    assert (results["database"], results["scheduler"], results["incident_response"]) == ("pass", "pass", "pass")
    exported = airflow_incident("export", environment=environment)
    assert json.loads(exported.out)["dag_id"] == "incident_response"


def texts(deployment: Deployment, room: str) -> list[str]:
    return [message["text"] for message in deployment.control.channel(room)["messages"]]


def test_remote_resolve_and_archive(run_remote: Callable[..., Completed], deployment: Deployment) -> None:
    response = deployment.send_alert({"title": "The ledger does not balance", "severity": "high", "id": "LEDGER-1"})
    assert deployment.wait_for_run(response["run_id"]) == "success"

    early = run_remote("archive", "LEDGER-1", "--yes")
    assert (early.code, "is open. Resolve it first" in early.err) == (ExitCode.FAILED, True)

    resolved = run_remote("resolve", response["incident"], "--yes", "--output", "json")
    assert resolved.code == ExitCode.OK, resolved.err
    [row] = json.loads(resolved.out)
    assert (row["incident"], row["state"]) == (response["incident"], "resolved")
    assert json.loads(run_remote("show", "LEDGER-1", "-o", "json").out)["status"] == "resolved"
    again = run_remote("resolve", "LEDGER-1", "--yes", "-o", "json")
    assert (again.code, json.loads(again.out)[0]["state"]) == (ExitCode.OK, "known already")

    archived = run_remote("archive", "LEDGER-1", "--yes", "-o", "json")
    assert (archived.code, json.loads(archived.out)[0]["state"]) == (ExitCode.OK, "archived"), archived.err
    messages, user = texts(deployment, row["room"]), deployment.airflow.credentials[0]
    assert [f"by {user}" in text for text in messages if text.startswith(("Resolved at", "Archived at"))] == [
        True,
        True,
    ]
    assert deployment.control.channel(row["room"])["is_archived"]
    # Closing runs are not listed as incidents.
    listed = json.loads(run_remote("list", "--output", "json").out)
    assert not [each for each in listed if each["run_id"].startswith(("resolve.", "archive."))]


def test_manual_incident_is_closed_with_database_access(deployment: Deployment) -> None:
    run_id = deployment.start({"title": "Reported by a person", "id": "MANUAL-1"})
    assert deployment.wait_for_run(run_id) == "success"
    environment = deployment.airflow.environment
    with Terminal("resolve", "MANUAL-1", environment=environment, fresh=True) as tty:
        tty.expect("Resolve 'Reported by a person' (#inc-")
        tty.type("y")
        code, rest = tty.end(seconds=150)
    assert (code, "Resolved: Reported by a person" in rest) == (ExitCode.OK, True), rest
    shared = airflow_incident("postmortem", "MANUAL-1", "--share", environment=environment)
    assert (shared.code, shared.out.strip()) == (ExitCode.OK, "The draft is a canvas in the room."), shared.err
    archived = airflow_incident("archive", "MANUAL-1", "--yes", "--output", "json", environment=environment)
    assert archived.code == ExitCode.OK, archived.err
    [row] = json.loads(archived.out)
    channel = deployment.control.channel(row["room"])
    assert channel["is_archived"]
    assert channel["canvas"]["title"] == "Postmortem draft: Reported by a person"
    assert "- Resolved: not recorded" not in channel["canvas"]["markdown"]
    assert len([text for text in texts(deployment, row["room"]) if " by " in text]) >= 2


@pytest.mark.usefixtures("routed_drills")
def test_drill_is_marked_and_scored(run_remote: Callable[..., Completed], deployment: Deployment) -> None:
    completed = run_remote("drill", "--output", "json")
    scored = json.loads(completed.out)
    goals = {goal["goal"]: goal for goal in scored["goals"]}
    assert goals["a room"]["met"], completed.err
    assert goals["room marked as a drill"]["met"]
    assert completed.code == (ExitCode.OK if scored["met"] == scored["of"] else ExitCode.FAILED)
    [room] = [each for each in deployment.control.state()["channels"] if each["name"].startswith("drill-")]
    assert "DRILL" in deployment.control.channel(room["id"])["messages"][-1]["text"]
