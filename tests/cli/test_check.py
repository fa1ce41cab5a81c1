"""Test ``airflow incident check``: a valid installation passes, and the fix of each failed line works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox.demo.processes import wait_until

from airflow_incident_provider.cli.run import ExitCode
from airflow_incident_provider.plugins.webhook.authentication import REREAD_SECONDS

from .broken_installations import CASES
from .conftest import DAGS, CommandResult
from .installation import FERNET_KEY, Installation, ParsedDags, record_import_errors
from .terminal import Terminal

Run = Callable[..., CommandResult]
SHIPPED = ("incident_response", "incident_update", "slack_directory_refresh")


@pytest.fixture(scope="module")
def webhook_server(airflow_home: Path) -> Iterator[str]:
    """Serve the webhook like the API server, and yield its URL."""
    import uvicorn
    from fastapi import FastAPI

    from airflow_incident_provider.plugins.api.plugin import URL_PREFIX, IncidentsApp

    app = FastAPI()
    app.mount(URL_PREFIX, IncidentsApp())
    app.get("/execution/health")(lambda: {"status": "healthy"})
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.05)
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def home(airflow_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Create a home with the shipped DAG files; other DAGs of the session are stale meanwhile."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session
    from sqlalchemy import select, update

    folder = tmp_path_factory.mktemp("home")
    (folder / "dags").mkdir()
    install_shipped(folder)
    with create_session() as session:
        if session.get(DagBundleModel, "dags-folder") is None:
            session.add(DagBundleModel(name="dags-folder"))
        others = list(session.scalars(select(DagModel.dag_id).where(~DagModel.is_stale)))
        session.execute(update(DagModel).values(is_stale=True))
    yield folder
    with create_session() as session:
        session.execute(update(DagModel).values(is_stale=True))
        session.execute(update(DagModel).where(DagModel.dag_id.in_(others)).values(is_stale=False, is_paused=False))


@pytest.fixture(scope="module")
def parsed() -> ParsedDags:
    return ParsedDags()


def install_shipped(folder: Path) -> None:
    for name in SHIPPED:
        (folder / "dags" / f"{name}.py").write_bytes((DAGS / f"{name}.py").read_bytes())


@pytest.fixture
def installation(  # noqa: PLR0917 - the parts of the installation
    home: Path,
    parsed: ParsedDags,
    slack: Any,
    control: Any,
    monkeypatch: pytest.MonkeyPatch,
    unused_port: int,
    webhook_server: str,
) -> Iterator[Installation]:
    new_installation = Installation(
        home=home,
        slack=slack,
        control=control,
        parsed=parsed,
        patch=monkeypatch,
        unused_port=unused_port,
        run_airflow=run_airflow,
    )
    new_installation.set("core", dags_folder=str(home / "dags"), fernet_key=FERNET_KEY, executor="LocalExecutor")
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(home / "dags"))
    new_installation.set("core", min_serialized_dag_update_interval="0")
    new_installation.set("core", execution_api_server_url=f"{webhook_server}/execution/")
    new_installation.set("incident", routing_table=str(new_installation.table))
    new_installation.set("api", base_url=webhook_server)
    new_installation.set("scheduler", scheduler_idle_sleep_time="0.05")
    new_installation.connect_slack()
    new_installation.connect_datadog()
    new_installation.connect_webhook()
    new_installation.create_datadog_webhook()
    new_installation.route()
    control.add_channel("triage", members=["U0WARROOM01"])
    new_installation.heartbeat("SchedulerJob", "DagProcessorJob", "TriggererJob")
    install_shipped(home)
    if not parsed.only_shipped:
        new_installation.parse()
        parsed.only_shipped = True
    for dag_id in SHIPPED:
        new_installation.change_dag(dag_id, is_stale=False, is_paused=False, has_import_errors=False)
    yield new_installation
    clean_up(home)
    for network in new_installation.networks:
        subprocess.run(["docker", "network", "rm", network], capture_output=True, check=True)


def clean_up(home: Path) -> None:
    """Delete DAG files, DAGs, pools, connections and import errors that a test added."""
    from airflow.models.connection import Connection
    from airflow.models.dag import DagModel
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import delete, update

    for path in (home / "dags").iterdir():
        if path.is_file():
            path.unlink()
    record_import_errors({})
    with create_session() as session:
        session.execute(delete(Connection))
        session.execute(delete(Pool).where(Pool.pool != "default_pool"))
        session.execute(update(DagModel).where(DagModel.dag_id.not_in(SHIPPED)).values(is_stale=True))


def run_airflow(*argv: str) -> int:
    """Run an Airflow command in this process and return its exit code."""
    from airflow.cli.cli_parser import get_parser

    try:
        args = get_parser().parse_args(argv)
        args.func(args)
    except SystemExit as exited:
        return int(exited.code or 0)
    return 0


def check_lines(incident: Run, area: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    result = incident("check", "--only", area, "--output", "json", *options)
    return result.code, result.json


def test_enough_broken_installations_are_covered() -> None:
    assert len(CASES) >= 120


def is_ok(lines: list[dict[str, Any]], check: str) -> bool:
    return not any(each["check"] == check and each["result"] in ("warn", "fail") for each in lines)


@pytest.mark.docker
@pytest.mark.parametrize("what", CASES)
def test_expected_line_fails_and_its_fix_works(incident: Run, installation: Installation, what: str) -> None:
    case = CASES[what]
    case.break_installation(installation)
    code, lines = check_lines(incident, case.area, *installation.arguments)
    [line] = [each for each in lines if each["check"] == case.check and each["result"] == case.result]
    assert case.fix in line["fix"], line
    assert (line["command"] is not None) or not case.command, line
    others = {each["check"] for each in lines if each["result"] == "fail" and each is not line}
    assert others <= case.related, [each for each in lines if each["result"] == "fail"]
    assert code == (ExitCode.FAILED if "fail" in {each["result"] for each in lines} else ExitCode.OK)
    if what == "SQLite":
        return  # The tests have no other database.
    case.repair(installation)
    if case.command:
        installation.paste(line["command"])
    # The API server rereads an invalid connection after REREAD_SECONDS.
    wait_until(
        lambda: is_ok(check_lines(incident, case.area, *installation.arguments)[1], case.check),
        what=f"{case.check} to be repaired",
        timeout=60 * REREAD_SECONDS,
    )


@pytest.mark.docker
def test_valid_installation_passes(incident: Run, installation: Installation) -> None:
    result = incident("check", "--write", "--output", "json")
    failing = [line for line in result.json if line["result"] in ("warn", "fail")]
    # The tests use SQLite and a loopback address, which are unsuitable for production.
    assert [(line["check"], line["result"]) for line in failing] == [("database", "warn"), ("base URL", "warn")], (
        failing
    )
    assert result.code == ExitCode.OK
    lines = {(line["area"], line["check"]): line for line in result.json}
    assert {area for area, _ in lines} == {
        "airflow", "dag", "pool", "slack", "clock", "datadog", "webhook", "docker", "routing"
    }  # fmt: skip
    assert lines["docker", "image curlimages/curl:8.22.0"]["found"].startswith("sha256:")
    [room] = [
        channel for channel in installation.control.state()["channels"] if channel["name"].startswith("inc-check-")
    ]
    assert room["is_archived"]


def test_datadog_is_optional(incident: Run, installation: Installation) -> None:
    installation.unset("AIRFLOW_CONN_DATADOG_DEFAULT")
    code, lines = check_lines(incident, "datadog")
    assert code == ExitCode.OK
    assert {line["result"] for line in lines} == {"skip"}


def test_every_connection_of_a_team_is_checked(incident: Run, installation: Installation) -> None:
    installation.add_dag("logistics_incident", slack_conn_id="slack_logistics", slack_pool="logistics_slack")
    _, slack = check_lines(incident, "slack")
    _, pools = check_lines(incident, "pool")
    failing = {line["check"]: line["found"] for line in [*slack, *pools] if line["result"] == "fail"}
    assert set(failing) == {"token (slack_logistics)", "logistics_slack"}
    assert "every run of logistics_incident would be a dry run" in failing["token (slack_logistics)"]
    planned = {item["what"]: item for item in incident("setup", "airflow", "--output", "json").json}
    assert planned["connection slack_logistics"]["action"] == "manual"
    assert "--slack-conn-id slack_logistics --yes" in planned["connection slack_logistics"]["detail"]


def test_single_dag_can_be_checked(incident: Run, installation: Installation) -> None:
    installation.add_dag("logistics_incident", slack_conn_id="slack_logistics")
    _, lines = check_lines(incident, "slack", "--dag-id", "incident_response")
    assert "fail" not in {line["result"] for line in lines}


@contextmanager
def fixed_response_server(status: int, body: bytes) -> Iterator[str]:
    """Run a server that returns the same response to every request, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"<!doctype html><title>Airflow</title>", "answered by something else (200)"),
        (404, b'{"detail": "Not Found"}', "answered by something else (404)"),
        (
            503,
            json.dumps({"ok": False, "checks": [{"name": "registry", "ok": False, "problem": "gone"}]}).encode(),
            "registry: gone",
        ),
    ],
)
def test_other_server_at_the_webhook_url_is_detected(
    incident: Run, installation: Installation, status: int, body: bytes, expected: str
) -> None:
    with fixed_response_server(status, body) as url:
        installation.set("api", base_url=url)
        code, lines = check_lines(incident, "webhook")
    [line] = [line for line in lines if line["check"] == "reachable"]
    assert (line["result"], code) == ("fail", ExitCode.FAILED)
    assert expected in line["found"]


def test_report_contains_no_secret(incident: Run, installation: Installation, no_engine: None) -> None:
    result = incident("check", "--output", "yaml")
    keys = installation.slack.workspace.datadog
    webhook = json.loads(os.environ["AIRFLOW_CONN_INCIDENT_WEBHOOK"])["password"]
    for secret in (installation.slack.token, keys.api_key, keys.app_key, webhook):
        assert secret not in result.out + result.err


def test_report_ends_with_counts(incident: Run, installation: Installation) -> None:
    assert incident("check", "--only", "clock,pool").out.strip().endswith("2 pass")


def test_words_and_commands_are_not_broken_at_80_columns(installation: Installation) -> None:
    installation.add_dag("logistics_incident", slack_conn_id="slack_logistics")
    environment = {"COLUMNS": "80"}
    with Terminal("check", "--only", "slack,dag,pool,routing", environment=environment) as tty:
        code, output = tty.end()
    assert code == ExitCode.FAILED
    assert "          airflow incident setup airflow --slack-conn-id slack_logistics --yes\n" in output
    assert max(len(line) for line in output.splitlines() if "airflow incident" not in line) <= 80


@pytest.mark.parametrize("areas", ["", "slack,moon", ","])
def test_unknown_area_is_a_usage_error(incident: Run, installation: Installation, areas: str) -> None:
    result = incident("check", "--only", areas)
    assert result.code == ExitCode.USAGE
    assert "The areas are airflow, dag" in result.err


def test_unmigrated_database_does_not_prevent_other_checks(tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")},
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow.db'}",
        "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
    }
    result = subprocess.run(
        [sys.executable, "-m", "airflow", "incident", "check", "--output", "json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == ExitCode.FAILED, result.stderr
    lines = {line["check"]: (line["result"], line["command"]) for line in json.loads(result.stdout)}
    assert lines["database"] == ("fail", "airflow db migrate")
    assert lines["DAGs"][0] == lines["pools"][0] == "skip"
    assert lines["version"][0] == "pass"
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("state", [{"is_paused": True}, {"is_stale": True, "has_import_errors": True}])
def test_waiting_run_is_created_for_a_dag_that_is_not_ready(
    installation: Installation, state: dict[str, bool]
) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    from airflow_incident_provider.lifecycle.records import RunRequest
    from airflow_incident_provider.registry.runs import DagNotReadyError, Runs

    installation.change_dag("incident_update", **state)
    conf = {"incident_key": "man.x"}
    waiting, refused = (
        RunRequest(
            dag_id="incident_update", run_id=f"upd.man.{len(state)}.{may_wait}", conf=conf, may_wait=may_wait
        )
        for may_wait in (True, False)
    )
    with create_session() as session:
        assert Runs().start(session, waiting)
        with pytest.raises(DagNotReadyError):
            Runs().start(session, refused)
        run = session.query(DagRun).filter_by(run_id=waiting.run_id).one()
        assert (run.state, run.conf) == ("queued", conf)
        session.delete(run)
    installation.change_dag("incident_update", is_paused=False, is_stale=False, has_import_errors=False)
