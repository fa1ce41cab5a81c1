"""``airflow incident ...`` against a whole Airflow: by its REST API as from a laptop, and with its database."""

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

from ..cli.terminal import Terminal  # isort: skip  # noqa: TID252 - tests are no installed package
from .conftest import House  # isort: skip

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def airflow_incident(*argv: str, environment: dict[str, str]) -> Ended:
    """Run a command in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "airflow", "incident", *argv],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def token(house: House) -> str:
    username, password = house.airflow.credentials
    login = httpx.post(f"{house.airflow.url}/auth/token", json={"username": username, "password": password})
    return str(login.json()["access_token"])


@pytest.fixture(scope="module")
def remotely(house: House, token: str) -> Callable[..., Ended]:
    """Run a command as from a laptop: with the address and a token, without the database."""

    def run(*argv: str, token: str = token) -> Ended:
        environment = {**os.environ, "AIRFLOW_CLI_TOKEN": token}
        return airflow_incident(*argv, "--api-url", house.airflow.url, environment=environment)

    return run


@pytest.fixture
def routed_drills(house: House) -> Iterator[None]:
    """Have the routing table name the rooms of drills."""
    table = house.project / "routing.json"
    before = table.read_text()
    content = json.loads(before)
    table.write_text(json.dumps({**content, "rules": [RULE, *content.get("rules", [])]}))
    yield
    table.write_text(before)


def test_from_a_laptop_to_the_room(
    remotely: Callable[..., Ended], house: House, token: str, tmp_path: Path, payload: Callable[[str], Any]
) -> None:
    alert = payload("01")
    alert["alert"]["cycle_key"] = "of-the-command-line"
    (tmp_path / "alert.json").write_text(json.dumps(alert))
    trigger = ("trigger", "--from-file", str(tmp_path / "alert.json"), "--users", "priya@acme.example")

    started = remotely(*trigger, "--watch")
    assert started.code == ExitCode.OK, started.out + started.err
    for shown in ("create_war_room", "final_summary", "critical: Checkout", "CRITICAL  Checkout", "Room  #"):
        assert shown in started.out
    run_id = next(run for run in house.airflow.api.runs("incident_response") if "of-the-command-line" in run)

    again = remotely(*trigger, "--output", "json")
    assert (again.code, json.loads(again.out)[0]["state"]) == (ExitCode.OK, "known already")

    listed = json.loads(remotely("list", "--limit", "5", "--output", "json").out)
    [row] = [row for row in listed if row["run_id"] == run_id]
    assert (row["severity"], row["title"]) == ("critical", "Checkout 5xx ratio above 2%")

    shown = json.loads(remotely("show", run_id, "--output", "json").out)
    assert shown["room"]["channel_id"] in {channel["id"] for channel in house.control.state()["channels"]}
    assert "U0PRIYAIYER" in {each["user"]["id"] for each in shown["room"]["invited"]}
    assert [entry["what"] for entry in shown["summary"]["timeline"]]
    assert shown["findings"]
    assert "Timeline (UTC)" in remotely("show", shown["incident"]["id"]).out
    assert token not in started.out + started.err


def test_a_token_that_airflow_refuses(remotely: Callable[..., Ended]) -> None:
    ended = remotely("list", token="a.wrong.token")
    assert ended.code == ExitCode.UNAVAILABLE
    assert "token" in ended.err
    assert "a.wrong.token" not in ended.err


def test_a_password_is_typed_and_not_an_argument(house: House) -> None:
    username, password = house.airflow.credentials
    with Terminal("list", "--api-url", house.airflow.url, "--username", username) as tty:
        tty.expect(f"Password of {username}:")
        tty.type(password)
        code, rest = tty.end()
    assert code == ExitCode.OK, rest
    assert password not in rest


def test_with_access_to_the_database(house: House) -> None:
    environment = house.airflow.environment
    what = ("--title", "With the database", "--severity", "low", "--dry-run")
    started = airflow_incident("trigger", *what, "--watch", "--output", "json", environment=environment)
    assert started.code == ExitCode.OK, started.out + started.err
    answer = json.loads(started.out)
    assert (answer["state"], answer["summary"]["mode"]) == ("success", "dry_run")
    watched = airflow_incident("watch", answer["run_id"], environment=environment)
    assert (watched.code, "dry-run" in watched.out) == (ExitCode.OK, True), watched.err
    checked = airflow_incident("check", "--only", "airflow,dag,pool,slack", "-o", "json", environment=environment)
    results = {line["check"]: line["result"] for line in json.loads(checked.out)}
    assert (results["database"], results["scheduler"], results["incident_response"]) == ("pass", "pass", "pass")
    exported = airflow_incident("export", environment=environment)
    assert json.loads(exported.out)["dag_id"] == "incident_response"


def texts(house: House, room: str) -> list[str]:
    return [message["text"] for message in house.control.channel(room)["messages"]]


def test_resolved_and_archived_from_a_laptop(remotely: Callable[..., Ended], house: House) -> None:
    answer = house.alert({"title": "The ledger does not balance", "severity": "high", "id": "LEDGER-1"})
    assert house.finish(answer["run_id"]) == "success"

    early = remotely("archive", "LEDGER-1", "--yes")
    assert (early.code, "is open. Resolve it first" in early.err) == (ExitCode.FAILED, True)

    resolved = remotely("resolve", answer["incident"], "--yes", "--output", "json")
    assert resolved.code == ExitCode.OK, resolved.err
    [row] = json.loads(resolved.out)
    assert (row["incident"], row["state"]) == (answer["incident"], "resolved")
    assert json.loads(remotely("show", "LEDGER-1", "-o", "json").out)["status"] == "resolved"
    again = remotely("resolve", "LEDGER-1", "--yes", "-o", "json")
    assert (again.code, json.loads(again.out)[0]["state"]) == (ExitCode.OK, "known already")

    archived = remotely("archive", "LEDGER-1", "--yes", "-o", "json")
    assert (archived.code, json.loads(archived.out)[0]["state"]) == (ExitCode.OK, "archived"), archived.err
    said, who = texts(house, row["room"]), house.airflow.credentials[0]
    assert [f"by {who}" in text for text in said if text.startswith(("Resolved at", "Archived at"))] == [True, True]
    assert house.control.channel(row["room"])["is_archived"]
    # Runs that close are no incidents of their own.
    listed = json.loads(remotely("list", "--output", "json").out)
    assert not [each for each in listed if each["run_id"].startswith(("resolve.", "archive."))]


def test_an_incident_of_a_person_is_closed_with_access_to_the_database(house: House) -> None:
    run_id = house.start({"title": "Said by a person", "id": "HAND-1"})
    assert house.finish(run_id) == "success"
    environment = house.airflow.environment
    with Terminal("resolve", "HAND-1", environment=environment, fresh=True) as tty:
        tty.expect("Resolve 'Said by a person' (#inc-")
        tty.type("y")
        code, rest = tty.end(seconds=150)
    assert (code, "Resolved: Said by a person" in rest) == (ExitCode.OK, True), rest
    shared = airflow_incident("postmortem", "HAND-1", "--share", environment=environment)
    assert (shared.code, shared.out.strip()) == (ExitCode.OK, "The draft is a canvas in the room."), shared.err
    archived = airflow_incident("archive", "HAND-1", "--yes", "--output", "json", environment=environment)
    assert archived.code == ExitCode.OK, archived.err
    [row] = json.loads(archived.out)
    channel = house.control.channel(row["room"])
    assert channel["is_archived"]
    assert channel["canvas"]["title"] == "Postmortem draft: Said by a person"
    assert "- Resolved: not recorded" not in channel["canvas"]["markdown"]
    assert len([text for text in texts(house, row["room"]) if " by " in text]) >= 2


@pytest.mark.usefixtures("routed_drills")
def test_a_drill_in_a_workspace_is_marked_and_scored(remotely: Callable[..., Ended], house: House) -> None:
    ended = remotely("drill", "--output", "json")
    scored = json.loads(ended.out)
    goals = {goal["goal"]: goal for goal in scored["goals"]}
    assert goals["a room"]["met"], ended.err
    assert goals["room marked as a drill"]["met"]
    assert ended.code == (ExitCode.OK if scored["met"] == scored["of"] else ExitCode.FAILED)
    [room] = [each for each in house.control.state()["channels"] if each["name"].startswith("drill-")]
    assert "DRILL" in house.control.channel(room["id"])["messages"][-1]["text"] or "drill" in room["name"]
