"""``airflow incident watch``, ``list`` and ``show``: of runs that really ran, against the stand-in Slack."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from airflow_incident_provider.cli.run import ExitCode

from .conftest import Ended, forget_runs, run_dag  # isort: skip
from .terminal import Terminal  # isort: skip

Run = Callable[..., Ended]
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
def done(parsed_dags: None, slack_connection: dict[str, str]) -> Iterator[str]:
    """A run that is over, with a room in the stand-in Slack: the one run of its DAG, for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_SLACK_API_DEFAULT", json.dumps(slack_connection))
        patch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
        forget_runs()
        yield run_dag(CONF)


def test_watch_prints_each_step_and_the_summary(incident: Run, done: str) -> None:
    ended = incident("watch", done)
    assert ended.code == ExitCode.OK, ended.err
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
        assert expected in ended.out


def test_watch_json_output_is_one_document(incident: Run, done: str) -> None:
    ended = incident("watch", "latest", "--output", "json")
    assert (ended.json["run_id"], ended.json["state"]) == (done, "success")
    assert ended.json["summary"]["outcome"] == "degraded"
    assert "parse_incident_event" in ended.err


def test_watch_in_a_terminal_draws_a_table(done: str) -> None:
    with Terminal("watch", done) as tty:
        tty.expect("create_war_room")
        tty.expect("CRITICAL  Checkout is down")
        code, _ = tty.end()
    assert code == ExitCode.OK
    assert "\x1b[" in tty.raw


@pytest.mark.parametrize("named", ["OPS-1", "man.OPS-1", "#inc-", "latest"])
def test_run_is_found_by_id_key_channel_or_latest(incident: Run, done: str, named: str) -> None:
    if named == "#inc-":
        named = f"#{incident('show', done, '-o', 'json').json['room']['channel_name']}"
    assert incident("show", named, "--output", "json").json["run_id"] == done


def test_show_prints_the_whole_incident(incident: Run, done: str) -> None:
    ended = incident("show", "OPS-1")
    assert ended.code == ExitCode.OK
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
        assert expected in ended.out


def test_show_yaml_output_contains_the_models(incident: Run, done: str) -> None:
    shown = yaml.safe_load(incident("show", "OPS-1", "--output", "yaml").out)
    assert shown["incident"]["severity"] == "critical"
    assert shown["room"]["invited"][0]["user"]["display_name"] == "Dana"
    assert shown["findings"][0]["verdict"] == "unknown"


def test_show_includes_the_registry_record(incident: Run, done: str, forgetful: None) -> None:
    remember("man.OPS-1", {"status": "resolved", "as_of": 1, "resolved_at": "2026-11-23T10:00:00Z"})
    shown = incident("show", "OPS-1", "-o", "json").json
    assert (shown["status"], shown["record"]["status"]) == ("resolved", "resolved")
    assert incident("list", "-o", "json").json[0]["status"] == "resolved"
    shown = incident("show", "OPS-1").out
    # A person reported it: there is no alert.
    assert "reported by dag_test" in shown
    assert "firing" not in shown


def test_list_has_a_row_for_each_run(incident: Run, done: str) -> None:
    assert incident("trigger", "--title", "Waits", "--incident-id", "OPS-2").code == ExitCode.OK
    rows = incident("list", "--output", "json").json
    assert [row["run_id"] for row in rows] == [done, "man.OPS-2"]
    ended, waiting = rows
    assert (waiting["status"], waiting["outcome"], waiting["no_room"]) == ("open", "queued", "not opened yet")
    assert (ended["status"], ended["outcome"], ended["severity"], ended["invited"]) == (
        "open",
        "degraded",
        "critical",
        1,
    )
    assert incident("list", "--limit", "1", "-o", "json").json[0]["run_id"] == done
    assert "Checkout is down" in incident("list").out


@pytest.mark.parametrize(("status", "listed"), [("open", True), ("resolved", False)])
def test_open_incident_is_listed_without_its_run(
    incident: Run, done: str, forgetful: None, status: str, listed: bool
) -> None:
    """Its run is older than those that are read, or was deleted."""
    transition = {"status": status, "as_of": 1, **({"resolved_at": "2026-11-23T10:00:00Z"} if not listed else {})}
    remember("man.OLD", transition, run_id="man.OLD")
    rows = incident("list", "--output", "json").json
    assert ("man.OLD" in [row["key"] for row in rows]) == listed
    assert "man.OLD" not in [row["key"] for row in incident("list", "--dag-id", "other", "-o", "json").json]


def test_report_fits_80_columns_and_contains_numbers(incident: Run, done: str, forgetful: None) -> None:
    remember("man.OPS-1", {"status": "resolved", "as_of": 1, "resolved_at": "2026-11-23T10:00:00Z"})
    with Terminal("report", environment={"COLUMNS": "80"}) as tty:
        code, shown = tty.end()
    assert code == ExitCode.OK
    assert max(map(len, shown.splitlines())) <= 80
    rows = incident("report", "--output", "json").json["response_times"]
    [room] = [row for row in rows if (row["group"], row["time_to"]) == ("all", "room")]
    assert (room["incidents"], room["measured"]) == (1, 1)
    assert isinstance(room["median_s"], float)
    assert {len(line.split("\t")) for line in incident("report").out.splitlines()} == {6}


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Take what a test wrote into the registry out of it again."""
    from airflow.models.asset_state_store import AssetStateStoreModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    yield
    with create_session() as session:
        session.execute(delete(AssetStateStoreModel))


def remember(key: str, transition: dict[str, Any], **parts: Any) -> None:
    """Write a record and a transition into the registry, as the webhook and a task do."""
    from airflow.models.asset import AssetModel
    from airflow.state import AssetScope
    from airflow.state.metastore import MetastoreBackend
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_incident_provider.lifecycle.records import AlertState, IncidentRecord
    from airflow_incident_provider.registry.keys import REGISTRY, Kind
    from airflow_incident_provider.registry.records import StoredIncident, Transition

    moment = "2026-11-23T09:35:00Z"
    alert = AlertState(key=key, group=key, title="T", severity="critical", first_at=moment, last_at=moment)
    record = IncidentRecord(
        key=key, source="manual", opened_by=key, title="T", severity="critical",
        opened_at=moment, last_signal_at=moment, alerts={key: alert}, **parts,
    )  # fmt: skip
    stored = StoredIncident(version=1, record=record).to_json()
    with create_session() as session:
        asset_id = session.scalar(select(AssetModel.id).where(AssetModel.name == REGISTRY.name))
        if asset_id is None:
            asset = AssetModel(name=REGISTRY.name, uri=REGISTRY.uri)
            session.add(asset)
            session.flush()
            asset_id = asset.id
        for entry, value in (
            (Kind.RECORD.key(key), stored),
            (Kind.TRANSITION.key(key), Transition.model_validate(transition).model_dump(mode="json")),
        ):
            MetastoreBackend().set(AssetScope(asset_id=asset_id), entry, json.dumps(value), session=session)
