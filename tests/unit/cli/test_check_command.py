"""``airflow incident check``: a good set-up passes; of a broken one the right line fails, with the right fix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider.cli.run import ExitCode
from airflow_incident_provider.cli.setup.datadog import WEBHOOK_NAME, webhook_settings

from .broken_sites import BROKEN, FOLLOWING, SiteUnderTest  # isort: skip
from .conftest import Ended  # isort: skip

Run = Callable[..., Ended]
TABLE: dict[str, Any] = {
    "rules": [{"name": "all", "match": {"severity": "low"}, "responders": ["dana@acme.example", "@sre-oncall"]}],
    "triage": {"channel": "#triage"},
}


@pytest.fixture
def site(  # noqa: PLR0917 - each is a part of the set-up
    slack: Any,
    control: Any,
    connect: Any,
    connect_datadog: Any,
    connect_webhook: Any,
    route_by: Any,
    deployed: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    deserted_port: int,
    webhook_server: str,
    beating: None,
) -> SiteUnderTest:
    made = SiteUnderTest(
        slack=slack,
        control=control,
        connect=connect,
        connect_datadog=connect_datadog,
        connect_webhook=connect_webhook,
        route_by=route_by,
        dag=deployed,
        patch=monkeypatch,
        tmp_path=tmp_path,
        deserted_port=deserted_port,
    )
    connect()
    connect_datadog()
    connect_webhook()
    route_by(TABLE)
    control.add_channel("triage", members=["U0WARROOM01"])
    slack.workspace.datadog.webhooks[WEBHOOK_NAME] = webhook_settings(WEBHOOK_NAME, "https://airflow.acme.example")
    made.set("api", base_url=webhook_server)
    made.set("core", fernet_key="a-key-for-the-tests")
    made.set("scheduler", scheduler_idle_sleep_time="0.05")
    return made


@pytest.fixture
def beating(airflow_home: Path) -> Iterator[None]:
    """Scheduler and DAG processor, as their heartbeats show them."""
    from airflow.jobs.job import Job
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        for kind in ("SchedulerJob", "DagProcessorJob"):
            job = Job(state="running")
            job.job_type, job.latest_heartbeat = kind, datetime.now(UTC)
            session.add(job)
    yield
    with create_session() as session:
        session.execute(delete(Job))


@pytest.fixture(scope="module")
def webhook_server(parsed_dags: None) -> Iterator[str]:
    """The webhook as the API server serves it."""
    import uvicorn
    from fastapi import FastAPI

    from airflow_incident_provider.plugins.api.plugin import URL_PREFIX, IncidentsApp

    app = FastAPI()
    app.mount(URL_PREFIX, IncidentsApp())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.05)
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that answers everything alike."""

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


@pytest.mark.docker
def test_a_good_set_up_passes(incident: Run, site: SiteUnderTest) -> None:
    ended = incident("check", "--write", "--output", "json")
    told = {(line["area"], line["check"]): line for line in ended.json}
    bad = [line for line in ended.json if line["result"] not in ("pass",)]
    # The tests' database is SQLite, and their API server has a loopback address: neither is for production.
    assert [(line["check"], line["result"]) for line in bad] == [("database", "warn"), ("base URL", "warn")], bad
    assert ended.code == ExitCode.OK
    assert {area for area, _ in told} == {
        "airflow", "dag", "pool", "slack", "clock", "datadog", "webhook", "docker", "routing"
    }  # fmt: skip
    assert "our own network is fine" in told["docker", "hardened container"]["found"]
    assert told["docker", "image alpine:3.23"]["found"].startswith("sha256:")
    [made] = [channel for channel in site.control.state()["channels"] if channel["name"].startswith("inc-check-")]
    assert made["is_archived"]


@pytest.fixture
def no_import_errors(airflow_home: Path) -> Iterator[None]:
    yield
    from airflow.models.errors import ParseImportError
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(ParseImportError))


@pytest.mark.parametrize("what", BROKEN)
def test_of_a_broken_set_up_the_right_line_tells_the_fix(
    incident: Run, site: SiteUnderTest, no_import_errors: None, what: str
) -> None:
    break_it, area, check, result, fix = BROKEN[what]
    break_it(site)
    ended = incident("check", "--only", area, "--output", "json", *site.arguments)
    lines = ended.json
    [line] = [line for line in lines if line["check"] == check]
    assert (line["result"], fix in line["fix"]) == (result, True), line
    # Nothing else of the area is called wrong: what cannot be checked for it is skipped.
    others = {each["check"]: each["result"] for each in lines if each is not line and each["result"] == "fail"}
    assert others.keys() <= FOLLOWING.get(what, set()), others
    assert ended.code == (ExitCode.FAILED if "fail" in {each["result"] for each in lines} else ExitCode.OK)


@pytest.mark.parametrize(
    ("status", "body", "found"),
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
def test_what_answers_in_the_webhooks_place(
    incident: Run, site: SiteUnderTest, status: int, body: bytes, found: str
) -> None:
    with answering(status, body) as url:
        site.set("api", base_url=url)
        ended = incident("check", "--only", "webhook", "-o", "json")
    [line] = [line for line in ended.json if line["check"] == "reachable"]
    assert (line["result"], ended.code) == ("fail", ExitCode.FAILED)
    assert found in line["found"]


@pytest.mark.docker
@pytest.mark.parametrize(
    ("network", "check", "fix"),
    [
        ("no-such-network", "network", "docker network create no-such-network"),
        ("none", "hardened container", "[incident] docker_network"),
    ],
)
def test_networks_in_which_probes_see_nothing(
    incident: Run, site: SiteUnderTest, network: str, check: str, fix: str
) -> None:
    site.set("incident", docker_network=network)
    ended = incident("check", "--only", "docker", "-o", "json")
    [line] = [line for line in ended.json if line["check"] == check]
    assert (line["result"], ended.code) == ("fail", ExitCode.FAILED)
    assert fix in line["fix"]


def test_no_secret_is_in_a_report(incident: Run, site: SiteUnderTest, no_engine: None) -> None:
    ended = incident("check", "--output", "yaml")
    keys = site.slack.workspace.datadog
    for secret in (site.slack.token, keys.api_key, keys.app_key, os.environ["AIRFLOW_CONN_INCIDENT_WEBHOOK"][-40:]):
        assert secret not in ended.out + ended.err


def test_a_table_counts_at_its_end(incident: Run, site: SiteUnderTest) -> None:
    ended = incident("check", "--only", "clock,pool")
    assert ended.out.strip().endswith("2 pass")


@pytest.mark.parametrize("areas", ["", "slack,moon", ","])
def test_areas_that_there_are_not(incident: Run, site: SiteUnderTest, areas: str) -> None:
    ended = incident("check", "--only", areas)
    assert ended.code == ExitCode.USAGE
    assert "There are airflow, dag" in ended.err


def test_before_anything_is_set_up(tmp_path: Path) -> None:
    """The database of this home was never migrated: all else is checked as far as it can be."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow.db'}",
        "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "airflow", "incident", "check", "--output", "json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == ExitCode.FAILED, ended.stderr
    told = {line["check"]: (line["result"], line["fix"]) for line in json.loads(ended.stdout)}
    assert told["database"] == ("fail", "Run: airflow db migrate")
    assert told["DAG"][0] == told["pools"][0] == told["scopes"][0] == "skip"
    assert told["version"][0] == "pass"
    assert "Traceback" not in ended.stderr
