"""Test ``airflow incident resolve`` and ``archive``."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_incident_provider.cli.run import ExitCode

from .conftest import CommandResult, run_dag, store_incident
from .terminal import Terminal

Run = Callable[..., CommandResult]
KEY = "man.OPS-9"
BOTH_COMMANDS = pytest.mark.parametrize("command", ["resolve", "archive"])


@pytest.fixture
def stored_incident(deployed: Any, clean_registry: None) -> Callable[[str], None]:
    """Return a function that stores an incident with the given status in the registry."""

    def stored_incident(status: str) -> None:
        at = {"resolved_at": "2026-11-23T10:00:00Z", "archived_at": "2026-11-23T11:00:00Z"}
        as_of = 0 if status == "open" else 1
        store_incident(KEY, {"status": status, "as_of": as_of, **at})

    return stored_incident


@pytest.fixture(autouse=True)
def no_update_runs(parsed_dags: None) -> Iterator[None]:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    def delete_update_runs() -> None:
        with create_session() as session:
            session.execute(delete(DagRun).where(DagRun.dag_id == "incident_update"))

    delete_update_runs()
    yield
    delete_update_runs()


def requested_runs() -> dict[str, Any]:
    """Return conf and user of each run of incident_update by run ID."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        runs = session.scalars(select(DagRun).where(DagRun.dag_id == "incident_update"))
        return {run.run_id: (run.conf, run.triggering_user_name) for run in runs}


def set_paused(paused: bool) -> None:
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.execute(update(DagModel).where(DagModel.dag_id == "incident_update").values(is_paused=paused))


@BOTH_COMMANDS
def test_confirmation_requires_a_terminal(
    incident: Run, stored_incident: Callable[[str], None], command: str
) -> None:
    stored_incident("resolved" if command == "archive" else "open")
    result = incident(command, KEY)
    assert result.code == ExitCode.USAGE
    assert "Use --yes." in result.err
    assert requested_runs() == {}


@BOTH_COMMANDS
def test_unknown_incident_is_a_usage_error(incident: Run, deployed: Any, command: str) -> None:
    result = incident(command, "no-such-incident", "--yes")
    assert result.code == ExitCode.USAGE
    assert "airflow incident list" in result.err


def test_run_without_a_parsed_incident_is_rejected(incident: Run, deployed: Any) -> None:
    incident("trigger", "--title", "T", "--incident-id", "waits")
    result = incident("resolve", "man.waits", "--yes")
    assert (result.code, "has not read an incident (yet)" in result.err) == (ExitCode.USAGE, True)


@pytest.mark.parametrize(
    ("command", "status"), [("resolve", "resolved"), ("resolve", "archived"), ("archive", "archived")]
)
def test_closed_incident_is_not_closed_again(
    incident: Run, stored_incident: Callable[[str], None], command: str, status: str
) -> None:
    stored_incident(status)
    result = incident(command, KEY, "--output", "json")
    assert (result.code, result.json[0]["state"]) == (ExitCode.OK, "known already")
    assert incident(command, KEY).out == f"Already {status}: T\n"
    assert requested_runs() == {}


def test_room_of_an_open_incident_is_not_archived(incident: Run, stored_incident: Callable[[str], None]) -> None:
    stored_incident("open")
    result = incident("archive", KEY, "--yes")
    assert result.code == ExitCode.FAILED
    assert "is open. Resolve it first" in result.err
    assert requested_runs() == {}


def test_wait_for_the_requested_run_times_out(incident: Run, stored_incident: Callable[[str], None]) -> None:
    stored_incident("open")
    result = incident("resolve", KEY, "--yes", "--timeout", "0.1")
    assert result.code == ExitCode.UNAVAILABLE
    assert "check that Airflow's scheduler is running" in result.err
    [(run_id, (conf, user))] = requested_runs().items()
    assert run_id.startswith(f"resolve.{KEY}.")
    by = conf["close_request"].pop("by")
    assert conf == {"incident_key": KEY, "close_request": {"closing": "resolve"}}
    # The local user, unless `--as` is given.
    assert by.endswith(f"@{socket.gethostname()}")
    assert user


def test_user_name_can_be_given(incident: Run, stored_incident: Callable[[str], None]) -> None:
    stored_incident("open")
    incident("resolve", KEY, "--yes", "--as", "dana@acme.example\x1b[2J", "--timeout", "0.1")
    [(conf, _)] = requested_runs().values()
    assert conf["close_request"]["by"] == "dana@acme.example[2J"


def test_paused_dag_is_reported(incident: Run, stored_incident: Callable[[str], None]) -> None:
    stored_incident("open")
    set_paused(True)
    try:
        result = incident("resolve", KEY, "--yes")
    finally:
        set_paused(False)
    assert result.code == ExitCode.UNAVAILABLE
    assert "The DAG incident_update is paused." in result.err


@BOTH_COMMANDS
def test_unreachable_airflow_is_reported(
    incident: Run, unused_port: int, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CLI_TOKEN", "a-token-of-the-tests")
    result = incident(command, "x", "--yes", "--api-url", f"http://127.0.0.1:{unused_port}")
    assert result.code == ExitCode.UNAVAILABLE
    assert "did not answer" in result.err
    assert "a-token-of-the-tests" not in result.err


def test_firing_alerts_are_shown_and_the_user_can_cancel(stored_incident: Callable[[str], None]) -> None:
    stored_incident("open")
    with Terminal("resolve", KEY) as tty:
        tty.expect("1 alert still firing.")
        tty.expect("Resolve 'T'? [y/N]")
        tty.type("n")
        code, rest = tty.end()
    assert (code, "Nothing was done." in rest) == (ExitCode.INTERRUPTED, True), rest
    assert requested_runs() == {}


def test_incident_started_by_a_person_is_found_by_its_id(
    incident: Run, connect: Callable[..., Any], deployed: Any, no_engine: None
) -> None:
    connect()
    run_id = run_dag({"title": "Said by a person", "id": "OPS-10"})
    result = incident("resolve", "OPS-10", "--yes", "--timeout", "0.1")
    assert result.code == ExitCode.UNAVAILABLE
    # The start also requested a run for the first reminder.
    [conf] = [conf for conf, _ in requested_runs().values() if "close_request" in conf]
    request = conf.pop("close_request")
    assert conf == {"incident_key": "man.OPS-10"}
    assert request["closing"] == "resolve"
    assert request.get("run_id", run_id) == run_id
    assert json.dumps(conf)
