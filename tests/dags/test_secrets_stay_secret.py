"""No token in anything that a run leaves: XComs, logs, rendered fields, messages, containers, the database."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient, SandboxServer

from airflow_incident_provider.models import Verdict

from .conftest import Run  # isort: skip

OTHER_SECRET = "hunter2-of-the-worker-0123456789"
CONF = {
    "title": "Checkout is slow {{ conn.slack_api_default.password }}",
    "description": "{{ var.value.secret }} ${SECRET_OF_THE_WORKER} $SECRET_OF_THE_WORKER",
    "users": ["alice.ng@acme.example", "José García", "@sre-oncall"],
}


@pytest.fixture
def secrets(slack: SandboxServer, connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The token of the connection, and a variable of the worker's own environment."""
    connect()
    monkeypatch.setenv("SECRET_OF_THE_WORKER", OTHER_SECRET)
    return [slack.token, OTHER_SECRET]


@pytest.fixture
def started_containers(docker_engine: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Every container of ours that is started meanwhile, as the engine describes it."""
    import docker

    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("AIRFLOW__INCIDENT__DOCKER_NETWORK", "none")
    seen: list[dict[str, Any]] = []
    watching = docker.from_env()
    events = watching.events(
        decode=True, filters={"type": "container", "event": "start", "label": "airflow_incident_provider"}
    )

    def look(event: dict[str, Any]) -> None:
        seen.append(docker_engine.api.inspect_container(event["id"]))

    def watch() -> None:
        for event in events:
            look(event)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    yield seen
    events.close()
    watching.close()


def rendered_fields(run: Run) -> str:
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.utils.session import create_session

    with create_session() as session:
        rows = session.query(RenderedTaskInstanceFields).filter_by(run_id=run.run_id).all()
        assert rows
        return json.dumps([row.rendered_fields for row in rows], default=str)


def found_in(secrets: list[str], places: dict[str, str | bytes]) -> list[str]:
    """Return the places that hold a secret."""
    return [
        place
        for place, content in places.items()
        for secret in secrets
        if (secret.encode() if isinstance(content, bytes) else secret) in content  # type: ignore[operator]
    ]


def left_by(run: Run, slack: SandboxServer, control: SandboxClient, home: Path) -> dict[str, str | bytes]:
    return {
        "XComs": json.dumps(list(run.xcoms.values()), default=str),
        "logs": run.log,
        "rendered fields": rendered_fields(run),
        "the workspace": json.dumps(control.state(everybody=True)),
        "what Slack was sent": json.dumps(control.calls()),
        **{path.name: path.read_bytes() for path in home.glob("airflow.db*")},
    }


@pytest.mark.docker
def test_run_that_goes_well(
    *,
    run_dag: Callable[..., Run],
    slack: SandboxServer,
    control: SandboxClient,
    airflow_home: Path,
    secrets: list[str],
    started_containers: list[dict[str, Any]],
) -> None:
    run = run_dag(CONF)
    assert run.state == "success"
    assert Verdict.UNKNOWN not in {finding.verdict for finding in run.findings}
    assert run.room.channel_id
    assert started_containers
    places = left_by(run, slack, control, airflow_home) | {"containers": json.dumps(started_containers)}
    assert found_in(secrets, places) == []
    for container in started_containers:
        names = {variable.partition("=")[0] for variable in container["Config"]["Env"]}
        assert not any(name.startswith(("AIRFLOW", "SECRET", "SLACK", "DOCKER")) for name in names)


@pytest.mark.parametrize("code", ["invalid_auth", "missing_scope", "fatal_error"])
def test_run_that_fails(
    *,
    run_dag: Callable[..., Run],
    slack: SandboxServer,
    control: SandboxClient,
    airflow_home: Path,
    secrets: list[str],
    code: str,
) -> None:
    """An error is reported at length, with a stack trace, but without the secret."""
    control.add_fault(Fault(method="conversations.create", error=code, times=None))
    run = run_dag(CONF)
    assert run.state == "failed"
    assert code in run.log
    assert found_in(secrets, left_by(run, slack, control, airflow_home)) == []


def test_the_search_finds_what_is_there(slack: SandboxServer) -> None:
    """Or the tests above could not fail."""
    assert found_in([slack.token], {"a": f"x{slack.token}y", "b": slack.token.encode(), "c": "none"}) == ["a", "b"]
