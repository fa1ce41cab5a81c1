"""Test ``airflow incident list`` and ``show``: order, filters, terminal and machine-readable output."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_incident_provider.cli.run import ExitCode
from airflow_incident_provider.cli.show import report
from airflow_incident_provider.cli.show import row as as_row
from airflow_incident_provider.cli.view import IncidentView
from airflow_incident_provider.intake import RoutingTable, read_incident
from airflow_incident_provider.lifecycle.decision import reported_record
from airflow_incident_provider.lifecycle.records import Status
from airflow_incident_provider.models import IncidentSummary, TimelineEntry
from airflow_incident_provider.registry.records import StoredIncident, Transition
from airflow_incident_provider.room.snapshot import IncidentSnapshot

from .conftest import CommandResult, delete_runs, run_dag
from .terminal import Terminal

Run = Callable[..., CommandResult]
LONG = "Login returns 500 for every customer of every region since the latest release of the gateway"
SCHEMA = {"severity", "title", "status", "began_at", "key", "run_url", "room_url", "no_room", "findings", "env"}


def incident_conf(name: str, severity: str, **fields: Any) -> dict[str, Any]:
    return {"title": name, "id": name, "severity": severity, **fields}


@pytest.fixture(scope="module")
def incidents(parsed_dags: None, slack_connection: dict[str, str]) -> Iterator[dict[str, str]]:
    """Run incidents with and without a room, a requested dry run, one without a connection, and a drill."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
        delete_runs()
        run_ids = {"no_connection": run_dag(incident_conf("No connection", "high"))}
        patch.setenv("AIRFLOW_CONN_SLACK_API_DEFAULT", json.dumps(slack_connection))
        run_ids["low"] = run_dag(incident_conf("Terraform drift", "low", teams=["platform"]))
        run_ids["critical"] = run_dag(incident_conf(LONG, "critical", services=["Auth-API"], env="prod"))
        run_ids["drill"] = run_dag(incident_conf("Nothing is wrong", "critical", tags=["drill:true"]))
        run_ids["dry"] = run_dag(incident_conf("Only tried", "critical", dry_run=True, users=["dana@acme.example"]))
        patch.setenv("AIRFLOW_CONN_SLACK_API_DEFAULT", json.dumps({**slack_connection, "password": "xoxb-wrong"}))
        run_ids["refused"] = run_dag(incident_conf("No room for this", "medium"))
        yield run_ids


def titles(result: CommandResult) -> list[str]:
    return [row["title"] for row in result.json]


def test_open_incidents_are_listed_first_by_severity(incident: Run, incidents: dict[str, str]) -> None:
    result = incident("list", "--output", "json")
    assert titles(result)[0] == LONG
    open_ones = [row["status"] in ("open", "recovered") and not row["drill"] for row in result.json]
    assert open_ones == sorted(open_ones, reverse=True)
    severities = [row["severity"] for row, is_open in zip(result.json, open_ones, strict=True) if is_open]
    assert severities == sorted(severities, key=["critical", "high", "medium", "low"].index)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--severity", "low"], {"Terraform drift"}),
        (["--severity", "P1", "--open"], {LONG}),
        (["--service", "auth-api"], {LONG}),
        (["--team", "PLATFORM"], {"Terraform drift"}),
        (["--since", "2999-01-01"], set()),
        (["--since", "1h", "--severity", "low,medium"], {"Terraform drift", "No room for this"}),
    ],
)
def test_filters(incident: Run, incidents: dict[str, str], options: list[str], expected: set[str]) -> None:
    assert set(titles(incident("list", "--output", "json", *options))) == expected


@pytest.mark.parametrize("options", [["--severity", "purple"], ["--since", "yesterday"], ["--limit", "0"]])
def test_invalid_filter_is_a_usage_error(incident: Run, incidents: dict[str, str], options: list[str]) -> None:
    assert incident("list", *options).code == ExitCode.USAGE


def test_json_output_has_utc_times_keys_and_urls(incident: Run, incidents: dict[str, str]) -> None:
    rows = incident("list", "--output", "json").json
    for row in rows:
        assert row.keys() >= SCHEMA
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["began_at"])
    [critical] = [row for row in rows if row["title"] == LONG]
    assert critical["room_url"].startswith("https://")
    assert critical["no_room"] is None


def test_piped_output_is_tab_separated_and_not_truncated(incident: Run, incidents: dict[str, str]) -> None:
    lines = incident("list").out.splitlines()
    columns = lines[0].split("\t")
    assert {len(line.split("\t")) for line in lines} == {len(columns)}
    assert any(LONG in line for line in lines)
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_terminal_of_80_columns_shows_one_line_per_incident(
    incidents: dict[str, str], environment: dict[str, str]
) -> None:
    with Terminal("list", environment={"COLUMNS": "80", **environment}) as tty:
        code, output = tty.end()
    assert code == ExitCode.OK
    lines = output.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["SEVERITY", "AGE", "STATUS", "NAME", "TITLE", "ROOM"]
    [critical] = [line for line in lines if "Login returns" in line]
    assert "…" in critical
    assert "show one: airflow incident show" in output
    assert ("\x1b[31m" in tty.raw or "\x1b[1;31m" in tty.raw) == ("NO_COLOR" not in environment)


def test_narrow_terminal_shows_values_without_truncation(incident: Run, incidents: dict[str, str]) -> None:
    [began_at] = [row["began_at"] for row in incident("list", "-o", "json").json if row["title"] == LONG]
    # The list truncates the start to seconds: the incident may be almost one second younger.
    began, before = datetime.fromisoformat(began_at), datetime.now(UTC) - timedelta(seconds=1)
    with Terminal("list", environment={"COLUMNS": "30"}) as tty:
        code, output = tty.end()
    assert code == ExitCode.OK
    ages = range((before - began) // timedelta(minutes=1), (datetime.now(UTC) - began) // timedelta(minutes=1) + 1)
    assert any(f"critical · {age} min · open" in output for age in ages)
    assert " ".join(LONG.split()) in " ".join(output.split())
    assert max(len(line) for line in output.splitlines() if "#" not in line) <= 30


@pytest.mark.parametrize("command", ["list", "show", "watch", "check --only clock,pool"])
def test_ascii_encoding_is_supported(
    incident: Run, incidents: dict[str, str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, *options = command.split()
    arguments = [*options] if options else [] if name == "list" else [incidents["critical"]]
    for name_of_stream, descriptor in {"stdout": 1, "stderr": 2}.items():
        monkeypatch.setattr(sys, name_of_stream, os.fdopen(os.dup(descriptor), "w", encoding="ascii"))
    result = incident(name, *arguments)
    assert result.code == ExitCode.OK or name == "check", result.err
    assert "Traceback" not in result.err
    assert result.out
    assert result.out.isascii()


def test_drill_is_marked_and_not_counted_as_open(incident: Run, incidents: dict[str, str]) -> None:
    [row] = [row for row in incident("list", "-o", "json").json if row["title"] == "Nothing is wrong"]
    assert (row["drill"], row["status"]) == (True, "open")
    assert "Nothing is wrong" not in titles(incident("list", "--open", "-o", "json"))
    assert incident("show", incidents["drill"]).out.splitlines()[1].startswith("drill · open")
    with Terminal("list") as tty:
        _, output = tty.end()
    [line] = [line for line in output.splitlines() if "Nothing is wrong" in line]
    assert line.split()[3] == "drill"


def test_name_in_the_terminal_is_accepted_by_show(incident: Run, incidents: dict[str, str]) -> None:
    with Terminal("list", environment={"COLUMNS": "500"}) as tty:
        _, output = tty.end()
    heading, *lines = output.splitlines()
    at, end = heading.index("NAME"), heading.index("TITLE")
    names = [line[at:end].strip() for line in lines if "TITLE" not in line and "show one" not in line]
    assert len(names) == len(incidents)
    for name in names:
        assert incident("show", name).code == ExitCode.OK, name


@pytest.mark.parametrize(("reporter", "firing"), [("dana@acme.example", (0, 0)), (None, (1, 1))])
def test_incident_reported_by_a_person_has_no_alert(reporter: str | None, firing: tuple[int, int]) -> None:
    conf = {"title": "T", "severity": "high"}
    read = read_incident(conf, received_at=datetime.now(UTC), routing=RoutingTable())
    reported = read.model_copy(update={"reporter": reporter})
    record = reported_record(conf, reported, RoutingTable(), dag_id="incident_response", run_id="r")
    snapshot = IncidentSnapshot(incident=reported, stored=StoredIncident(record=record))
    view = IncidentView(**vars(snapshot))
    assert view.firing == firing
    headline = [line.text for line in report(view)][1]
    assert ("alert" in headline, f"reported by {reporter}" in headline) == (reporter is None, reporter is not None)


@pytest.mark.parametrize(
    ("by", "expected"), [("dana@acme.example", "by dana@acme.example"), (None, "2026-11-28T14:12:31Z")]
)
def test_show_names_the_person_who_resolved_the_incident(by: str | None, expected: str) -> None:
    conf, at = {"title": "T", "severity": "high"}, datetime(2026, 11, 28, 14, 12, 31, tzinfo=UTC)
    read = read_incident(conf, received_at=at, routing=RoutingTable())
    record = reported_record(conf, read, RoutingTable(), dag_id="incident_response", run_id="r")
    stored = StoredIncident(version=1, record=record).with_reports(
        None, Transition(status=Status.RESOLVED, as_of=1, resolved_at=at, by=by)
    )
    entry = TimelineEntry(at=at, what="summary")
    summary = IncidentSummary(
        key=read.key, title="T", severity=read.severity, outcome="complete", mode="live", timeline=(entry,)
    )
    view = IncidentView(incident=read, stored=stored, summary=summary)
    lines = [line.text for line in report(view)]
    assert "resolved" in lines[1]
    assert expected in lines[1]
    assert f"14:12:31  resolved{f' by {by}' if by else ''}" in lines
    assert (as_row(view, at)["ended_at"], as_row(view, at)["resolved_by"]) == ("2026-11-28T14:12:31Z", by)


def test_show_begins_with_the_reason_for_a_missing_room(incident: Run, incidents: dict[str, str]) -> None:
    result = incident("show", incidents["refused"])
    first = result.out.splitlines()[:4]
    assert first[0] == "MEDIUM  No room for this"
    assert first[2].startswith("No room: ")
    assert "invalid_auth" in first[2] or "token" in first[2]
    assert first[3].strip().startswith("Fix: ")


def test_unrequested_dry_run_fails(incident: Run, incidents: dict[str, str]) -> None:
    watched = incident("watch", incidents["no_connection"])
    assert watched.code == ExitCode.FAILED
    assert "No room: There is no Airflow connection 'slack_api_default'" in watched.out
    assert "there is no room" in watched.out


def test_requested_dry_run_succeeds_and_lists_invitations(incident: Run, incidents: dict[str, str]) -> None:
    watched = incident("watch", incidents["dry"])
    assert watched.code == ExitCode.OK
    assert "1 of 1 found" in watched.out
    assert "\nWould be invited: Dana" in watched.out
    assert "\nInvited" not in watched.out
    [row] = [row for row in incident("list", "-o", "json").json if row["title"] == "Only tried"]
    assert row["status"] == "dry run"
    assert "Only tried" not in titles(incident("list", "--open", "-o", "json"))


def test_output_contains_no_slack_markup(incident: Run, incidents: dict[str, str]) -> None:
    for command in ("show", "watch"):
        output = incident(command, incidents["critical"]).out
        assert not re.search(r"\*[A-Z][^*\n]*\*|<https?:|`", output), output


def test_listed_records_are_accepted_by_explain(incident: Run, incidents: dict[str, str], tmp_path: Any) -> None:
    (tmp_path / "records.json").write_text(incident("list", "--records").out)
    (tmp_path / "alert.json").write_text(json.dumps({"title": "T"}))
    result = incident("explain", str(tmp_path / "alert.json"), "--records", str(tmp_path / "records.json"))
    assert result.code == ExitCode.OK, result.err
