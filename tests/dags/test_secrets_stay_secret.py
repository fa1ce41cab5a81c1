"""No secret in XComs, logs, rendered fields, messages, containers and the database of a run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient, SandboxServer

from airflow_incident_provider.models import Verdict

from .conftest import Run

OTHER_SECRET = "hunter2-of-the-worker-0123456789"
CONF = {
    "title": "Checkout is slow {{ conn.slack_api_default.password }}",
    "description": "{{ var.value.secret }} ${SECRET_OF_THE_WORKER} $SECRET_OF_THE_WORKER",
    "users": ["alice.ng@acme.example", "José García", "@sre-oncall"],
}


@pytest.fixture
def secrets(slack: SandboxServer, connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The token of the connection, and an environment variable of the worker."""
    connect()
    monkeypatch.setenv("SECRET_OF_THE_WORKER", OTHER_SECRET)
    return [slack.token, OTHER_SECRET]


@pytest.fixture
def started_containers(docker_engine: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The inspected probe containers that are started during the test."""
    import docker

    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("AIRFLOW__INCIDENT__DOCKER_NETWORK", "none")
    seen: list[dict[str, Any]] = []
    watching = docker.from_env()
    events = watching.events(
        decode=True, filters={"type": "container", "event": "start", "label": "airflow_incident_provider"}
    )

    def inspect(event: dict[str, Any]) -> None:
        seen.append(docker_engine.api.inspect_container(event["id"]))

    def watch() -> None:
        for event in events:
            inspect(event)

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
    """Return the places that contain a secret."""
    return [
        place
        for place, content in places.items()
        for secret in secrets
        if (secret.encode() if isinstance(content, bytes) else secret) in content  # type: ignore[operator]
    ]


def places_of(run: Run, slack: SandboxServer, control: SandboxClient, home: Path) -> dict[str, str | bytes]:
    return {
        "XComs": json.dumps(list(run.xcoms.values()), default=str),
        "logs": run.log,
        "rendered fields": rendered_fields(run),
        "the workspace": json.dumps(control.state(everybody=True)),
        "what Slack was sent": json.dumps(control.calls()),
        **{path.name: path.read_bytes() for path in home.glob("airflow.db*")},
    }


@pytest.mark.docker
def test_successful_run_exposes_no_secret(
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
    places = places_of(run, slack, control, airflow_home) | {"containers": json.dumps(started_containers)}
    assert found_in(secrets, places) == []
    for container in started_containers:
        names = {variable.partition("=")[0] for variable in container["Config"]["Env"]}
        assert not any(name.startswith(("AIRFLOW", "SECRET", "SLACK", "DOCKER")) for name in names)


@pytest.mark.parametrize("code", ["invalid_auth", "missing_scope", "fatal_error"])
def test_failed_run_exposes_no_secret(
    *,
    run_dag: Callable[..., Run],
    slack: SandboxServer,
    control: SandboxClient,
    airflow_home: Path,
    secrets: list[str],
    code: str,
) -> None:
    """The log contains the error with a stack trace."""
    control.add_fault(Fault(method="conversations.create", error=code, times=None))
    run = run_dag(CONF)
    assert run.state == "failed"
    assert code in run.log
    assert found_in(secrets, places_of(run, slack, control, airflow_home)) == []


def test_search_finds_secrets(slack: SandboxServer) -> None:
    """Otherwise the tests above could not fail."""
    assert found_in([slack.token], {"a": f"x{slack.token}y", "b": slack.token.encode(), "c": "none"}) == ["a", "b"]
