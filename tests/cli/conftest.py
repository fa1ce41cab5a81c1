"""Fixtures for command tests: run ``airflow incident`` in this process with the session's database."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..conftest import slack_connection_of
from ..dag_runs import DAGS, run_dag_file

DAG_ID = "incident_response"
SECRET = "a-secret-of-the-tests-0123456789"


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def delete_runs() -> None:
    """Delete the runs of the incident DAG and the incident records."""
    from airflow.models.asset_state_store import AssetStateStoreModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.dag_id == DAG_ID))
        session.execute(delete(AssetStateStoreModel))


def run_dag(conf: dict[str, Any]) -> str:
    """Run the incident DAG in this process and return the run ID."""
    with pytest.MonkeyPatch.context() as patch:
        # Skip the trigger form, which Airflow validates again for each task.
        patch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", "create_war_room")
        return str(run_dag_file(f"{DAG_ID}.py", conf).run_id)


@pytest.fixture
def incident(airflow_home: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., CommandResult]:
    """Return a function that runs ``airflow incident`` with the given arguments."""

    def run(*argv: str) -> CommandResult:
        from airflow.cli.cli_parser import get_parser

        capfd.readouterr()
        try:
            args = get_parser().parse_args(["incident", *argv])
            args.func(args)
        except SystemExit as exited:
            return CommandResult(int(exited.code or 0), *capfd.readouterr())
        raise AssertionError("the command did not exit")

    return run


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove tokens of the machine from the environment."""
    for name in (
        "AIRFLOW_CLI_TOKEN", "SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "SLACK_APP_TOKEN", "DD_API_KEY",
        "DD_APP_KEY", "INCIDENT_WEBHOOK_SECRET",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Point Docker's client at a socket that does not exist."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")


@pytest.fixture
def route_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[dict[str, Any] | str], None]:
    """Return a function that configures a routing table; text is written unchanged."""

    def write(table: dict[str, Any] | str) -> None:
        path = tmp_path / "routing.yaml"
        path.write_text(table if isinstance(table, str) else json.dumps({"version": 1, **table}), encoding="utf-8")
        monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(path))

    return write


@pytest.fixture
def connect_datadog(slack: Any, airflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that creates Airflow's Datadog connection, by default with valid keys."""

    def connect(**extra: str) -> None:
        keys = slack.workspace.datadog
        credentials = {"api_key": keys.api_key, "app_key": keys.app_key, "api_host": slack.datadog_url, **extra}
        connection = {"conn_type": "datadog", "extra": json.dumps(credentials)}
        monkeypatch.setenv("AIRFLOW_CONN_DATADOG_DEFAULT", json.dumps(connection))

    return connect


@pytest.fixture
def connect_webhook(airflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that creates the connection with the webhook secret."""

    def connect(secret: str = SECRET) -> None:
        connection = {"conn_type": "http", "password": secret}
        monkeypatch.setenv("AIRFLOW_CONN_INCIDENT_WEBHOOK", json.dumps(connection))

    return connect


@pytest.fixture(scope="module")
def parsed_dags(airflow_home: Path) -> None:
    """Store the repository's DAGs in the database like a DAG processor; other modules delete them."""
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        if session.get(DagBundleModel, "dags-folder") is None:
            session.add(DagBundleModel(name="dags-folder"))
    bag = DagBag(str(DAGS), bundle_path=DAGS, bundle_name="dags-folder")
    assert bag.import_errors == {}
    sync_bag_to_db(bag, "dags-folder", None)
    with create_session() as session:
        session.execute(update(DagModel).values(is_paused=False))


@pytest.fixture(scope="module")
def slack_connection(running_slack: Any) -> dict[str, str]:
    """Return the connection to a reset workspace, for module-scoped runs."""
    running_slack.workspace.reset()
    return slack_connection_of(running_slack)


@pytest.fixture
def deployed(parsed_dags: None) -> Iterator[Callable[..., None]]:
    """Provide the unpaused incident DAG without runs; call the result to change the state of the DAG."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    def change(**values: Any) -> None:
        with create_session() as session:
            session.execute(update(DagModel).where(DagModel.dag_id == DAG_ID).values(**values))

    delete_runs()
    change(is_paused=False, is_stale=False, has_import_errors=False)
    yield change
    change(is_paused=False, is_stale=False, has_import_errors=False)


@pytest.fixture
def unused_port() -> int:
    """Return a loopback port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def clean_registry() -> Iterator[None]:
    """Delete the registry entries after the test."""
    from airflow.models.asset_state_store import AssetStateStoreModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    yield
    with create_session() as session:
        session.execute(delete(AssetStateStoreModel))


def store_incident(key: str, transition: dict[str, Any], **parts: Any) -> None:
    """Store a record and a transition in the registry, like the webhook and a task."""
    from airflow.models.asset import AssetModel
    from airflow.state import AssetScope
    from airflow.state.metastore import MetastoreBackend
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_incident_provider.lifecycle.records import AlertState, IncidentRecord
    from airflow_incident_provider.registry.keys import REGISTRY, Kind
    from airflow_incident_provider.registry.records import StoredIncident, Transition

    timestamp = "2026-11-23T09:35:00Z"
    alert = AlertState(key=key, group=key, title="T", severity="critical", first_at=timestamp, last_at=timestamp)
    record = IncidentRecord(
        key=key, source="manual", opened_by=key, title="T", severity="critical",
        opened_at=timestamp, last_signal_at=timestamp, alerts={key: alert}, **parts,
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
