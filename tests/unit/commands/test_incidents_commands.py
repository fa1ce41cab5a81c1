"""``airflow incident watch``, ``list`` and ``show``: of runs that really ran, against the stand-in Slack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from airflow_incident_provider.commands.running import ExitCode

from .conftest import Ended
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


@pytest.fixture
def done(connect: Callable[..., Any], run_dag: Callable[[dict[str, Any]], str]) -> str:
    """A run that is over, with a room in the stand-in Slack."""
    connect()
    return run_dag(CONF)


def test_watch_tells_each_step_and_the_summary(incident: Run, done: str) -> None:
    ended = incident("watch", done)
    assert ended.code == ExitCode.OK, ended.err
    for told in (
        "parse_incident_event",
        "critical: Checkout is down",
        "Acme Retail",
        "1 of 2 found",
        "1 invited, 1 not",
        "unknown: ",
        "Summary after",
        "https://",
    ):
        assert told in ended.out


def test_watch_gives_programs_one_document(incident: Run, done: str) -> None:
    ended = incident("watch", "latest", "--output", "json")
    assert (ended.json["run_id"], ended.json["state"]) == (done, "success")
    assert ended.json["summary"]["outcome"] == "degraded"
    assert "parse_incident_event" in ended.err


def test_watch_in_a_terminal_draws_a_table(done: str) -> None:
    with Terminal("watch", done) as tty:
        tty.expect("create_war_room")
        tty.expect("Summary after")
        code, _ = tty.end()
    assert code == ExitCode.OK
    assert "\x1b[" in tty.raw


def test_a_run_that_failed_is_exit_code_1(
    incident: Run, connect: Callable[..., Any], run_dag: Callable[[dict[str, Any]], str]
) -> None:
    connect(token="xoxb-not-a-token")
    ended = incident("watch", run_dag(CONF))
    assert ended.code == ExitCode.NOT_WELL
    assert "Reinstall the Slack app" in ended.out


@pytest.mark.parametrize("named", ["OPS-1", "man.OPS-1", "#inc-", "latest"])
def test_a_run_is_found_by_what_people_call_it(incident: Run, done: str, named: str) -> None:
    if named == "#inc-":
        named = f"#{incident('show', done, '-o', 'json').json['room']['channel_name']}"
    assert incident("show", named, "--output", "json").json["run_id"] == done


@pytest.mark.parametrize("command", ["watch", "show"])
def test_a_run_that_there_is_not(incident: Run, deployed: Any, command: str) -> None:
    ended = incident(command, "no-such-run")
    assert ended.code == ExitCode.USAGE
    assert "airflow incident list" in ended.err


def test_a_run_that_does_not_end_in_time(incident: Run, deployed: Any) -> None:
    incident("trigger", "--title", "T", "--incident-id", "slow")
    ended = incident("watch", "man.slow", "--timeout", "0.1")
    assert ended.code == ExitCode.UNAVAILABLE
    assert "is not over after 0 s. It goes on; see it with: airflow incident watch man.slow" in ended.err


def test_show_tells_everything_in_words(incident: Run, done: str) -> None:
    ended = incident("show", "OPS-1")
    assert ended.code == ExitCode.OK
    for told in (
        "Checkout is down",
        "critical · degraded",
        "Where: checkout, prod",
        "Invited: Dana (email)",
        "Not invited: nobody at all",
        "UNKNOWN host_facts",
        "Timeline (UTC)",
        "https://wiki.acme.example/runbook",
    ):
        assert told in ended.out


def test_show_gives_the_models_as_yaml(incident: Run, done: str) -> None:
    shown = yaml.safe_load(incident("show", "OPS-1", "--output", "yaml").out)
    assert shown["incident"]["severity"] == "critical"
    assert shown["room"]["invited"][0]["user"]["display_name"] == "Dana"
    assert shown["findings"][0]["verdict"] == "unknown"


def test_list_has_a_row_for_each_run(incident: Run, done: str) -> None:
    incident("trigger", "--title", "Waits", "--incident-id", "OPS-2")
    rows = incident("list", "--output", "json").json
    assert [row["run_id"] for row in rows] == ["man.OPS-2", done]
    waiting, ended = rows
    assert (waiting["status"], waiting["title"]) == ("queued", None)
    assert (ended["status"], ended["severity"], ended["invited"]) == ("degraded", "critical", 1)
    assert incident("list", "--limit", "1", "-o", "json").json == [waiting]
    assert "Checkout is down" in incident("list").out


def test_list_of_nothing(incident: Run, deployed: Any) -> None:
    assert incident("list", "--output", "json").json == []
    ended = incident("list")
    assert (ended.code, ended.out) == (ExitCode.OK, "")
    assert "There are no incidents." in ended.err


def test_list_refuses_a_limit_of_nothing(incident: Run, deployed: Any) -> None:
    assert incident("list", "--limit", "0").code == ExitCode.USAGE


def test_show_knows_what_the_registry_remembers(incident: Run, done: str) -> None:
    remember("man.OPS-1", {"status": "resolved", "as_of": 1, "resolved_at": "2026-11-23T10:00:00Z"})
    shown = incident("show", "OPS-1", "-o", "json").json
    assert (shown["status"], shown["record"]["status"]) == ("resolved", "resolved")
    assert incident("list", "-o", "json").json[0]["status"] == "resolved"
    assert "Alerts: 1, 1 firing; told of 1 times" in incident("show", "OPS-1").out


def remember(key: str, transition: dict[str, Any]) -> None:
    """Write a record and a transition into the registry, as the webhook and a task do."""
    from airflow.models.asset import AssetModel
    from airflow.state import AssetScope
    from airflow.state.metastore import MetastoreBackend
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_incident_provider.lifecycle.records import AlertState, IncidentRecord
    from airflow_incident_provider.registry.asset import REGISTRY, Kind
    from airflow_incident_provider.registry.entries import StoredIncident, Transition

    moment = "2026-11-23T09:35:00Z"
    alert = AlertState(key=key, group=key, title="T", severity="critical", first_at=moment, last_at=moment)
    record = IncidentRecord(
        key=key, source="manual", opened_by=key, title="T", severity="critical",
        opened_at=moment, last_signal_at=moment, alerts={key: alert},
    )  # fmt: skip
    stored = StoredIncident(version=1, record=record).to_json()
    with create_session() as session:
        asset_id = session.scalar(select(AssetModel.id).where(AssetModel.name == REGISTRY.name))
        if asset_id is None:
            asset = AssetModel(name=REGISTRY.name, uri=REGISTRY.uri)
            session.add(asset)
            session.flush()
            asset_id = asset.id
        import json

        for entry, value in (
            (Kind.RECORD.key(key), stored),
            (Kind.TRANSITION.key(key), Transition.model_validate(transition).model_dump(mode="json")),
        ):
            MetastoreBackend().set(AssetScope(asset_id=asset_id), entry, json.dumps(value), session=session)
