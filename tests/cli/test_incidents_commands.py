"""Test ``airflow incident watch``, ``list``, ``show`` and ``report`` for a finished run in the Slack sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import yaml

from airflow_incident_provider.cli.run import ExitCode

from .conftest import CommandResult, delete_runs, run_dag, store_incident
from .terminal import Terminal

Run = Callable[..., CommandResult]
CONF = {
    "title": "Checkout is down",
    "id": "OPS-1",
    "severity": "critical",
    "services": ["checkout"],
    "env": "prod",
    "users": ["dana@acme.example", "nobody at all"],
    "links": ["https://wiki.acme.example/runbook"],
}


@pytest.fixture(scope="module")
def finished_run(parsed_dags: None, slack_connection: dict[str, str]) -> Iterator[str]:
    """Run the incident DAG once for this module, with a room in the Slack sandbox."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_SLACK_API_DEFAULT", json.dumps(slack_connection))
        patch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
        delete_runs()
        yield run_dag(CONF)


def test_watch_prints_each_step_and_the_summary(incident: Run, finished_run: str) -> None:
    result = incident("watch", finished_run)
    assert result.code == ExitCode.OK, result.err
    for expected in (
        "parse_incident_event",
        "critical: Checkout is down",
        "Acme Retail",
        "1 of 2 found",
        "1 invited, 1 not",
        "unknown: ",
        "CRITICAL  Checkout is down",
        "https://",
    ):
        assert expected in result.out


def test_watch_json_output_is_one_document(incident: Run, finished_run: str) -> None:
    result = incident("watch", "latest", "--output", "json")
    assert (result.json["run_id"], result.json["state"]) == (finished_run, "success")
    assert result.json["summary"]["outcome"] == "degraded"
    assert "parse_incident_event" in result.err


def test_watch_in_a_terminal_draws_a_table(finished_run: str) -> None:
    with Terminal("watch", finished_run) as tty:
        tty.expect("create_war_room")
        tty.expect("CRITICAL  Checkout is down")
        code, _ = tty.end()
    assert code == ExitCode.OK
    assert "\x1b[" in tty.raw


@pytest.mark.parametrize("reference", ["OPS-1", "man.OPS-1", "#inc-", "latest"])
def test_run_is_found_by_id_key_channel_or_latest(incident: Run, finished_run: str, reference: str) -> None:
    if reference == "#inc-":
        reference = f"#{incident('show', finished_run, '-o', 'json').json['room']['channel_name']}"
    assert incident("show", reference, "--output", "json").json["run_id"] == finished_run


def test_show_prints_the_whole_incident(incident: Run, finished_run: str) -> None:
    result = incident("show", "OPS-1")
    assert result.code == ExitCode.OK
    for expected in (
        "Checkout is down",
        "open · began ",
        "run degraded",
        "Room  #inc-",
        "Where: checkout, prod",
        "Invited: Dana",
        "Not invited: nobody at all",
        "UNKNOWN our own side",
        "Timeline (UTC)",
        "https://wiki.acme.example/runbook",
    ):
        assert expected in result.out


def test_show_yaml_output_contains_the_models(incident: Run, finished_run: str) -> None:
    shown = yaml.safe_load(incident("show", "OPS-1", "--output", "yaml").out)
    assert shown["incident"]["severity"] == "critical"
    assert shown["room"]["invited"][0]["user"]["display_name"] == "Dana"
    assert shown["findings"][0]["verdict"] == "unknown"


def test_show_includes_the_registry_record(incident: Run, finished_run: str, clean_registry: None) -> None:
    store_incident("man.OPS-1", {"status": "resolved", "as_of": 1, "resolved_at": "2026-11-23T10:00:00Z"})
    shown = incident("show", "OPS-1", "-o", "json").json
    assert (shown["status"], shown["record"]["status"]) == ("resolved", "resolved")
    assert incident("list", "-o", "json").json[0]["status"] == "resolved"
    shown = incident("show", "OPS-1").out
    # A person reported the incident: it has no alert.
    assert "reported by dag_test" in shown
    assert "firing" not in shown


def test_list_has_a_row_for_each_run(incident: Run, finished_run: str) -> None:
    assert incident("trigger", "--title", "Waits", "--incident-id", "OPS-2").code == ExitCode.OK
    rows = incident("list", "--output", "json").json
    assert [row["run_id"] for row in rows] == [finished_run, "man.OPS-2"]
    finished, waiting = rows
    assert (waiting["status"], waiting["outcome"], waiting["no_room"]) == ("open", "queued", "not opened yet")
    assert (finished["status"], finished["outcome"], finished["severity"], finished["invited"]) == (
        "open",
        "degraded",
        "critical",
        1,
    )
    assert incident("list", "--limit", "1", "-o", "json").json[0]["run_id"] == finished_run
    assert "Checkout is down" in incident("list").out


@pytest.mark.parametrize(("status", "listed"), [("open", True), ("resolved", False)])
def test_open_incident_is_listed_without_its_run(
    incident: Run, finished_run: str, clean_registry: None, status: str, listed: bool
) -> None:
    """The run is older than the listed runs, or was deleted."""
    transition = {"status": status, "as_of": 1, **({"resolved_at": "2026-11-23T10:00:00Z"} if not listed else {})}
    store_incident("man.OLD", transition, run_id="man.OLD")
    rows = incident("list", "--output", "json").json
    assert ("man.OLD" in [row["key"] for row in rows]) == listed
    assert "man.OLD" not in [row["key"] for row in incident("list", "--dag-id", "other", "-o", "json").json]


def test_report_fits_80_columns_and_contains_numbers(
    incident: Run, finished_run: str, clean_registry: None
) -> None:
    store_incident("man.OPS-1", {"status": "resolved", "as_of": 1, "resolved_at": "2026-11-23T10:00:00Z"})
    with Terminal("report", environment={"COLUMNS": "80"}) as tty:
        code, shown = tty.end()
    assert code == ExitCode.OK
    assert max(map(len, shown.splitlines())) <= 80
    rows = incident("report", "--output", "json").json["response_times"]
    [room] = [row for row in rows if (row["group"], row["time_to"]) == ("all", "room")]
    assert (room["incidents"], room["measured"]) == (1, 1)
    assert isinstance(room["median_s"], float)
    assert {len(line.split("\t")) for line in incident("report").out.splitlines()} == {6}
