"""Search for secrets in all places where a run in a running Airflow may have left them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from incident_sandbox import Fault

from .deployment import DAG_ID, WORKER_SECRET, Deployment

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.whole_suite]

LABEL = "airflow_incident_provider"
BAIT = "{{ conn.slack_api_default.password }} ${SECRET_OF_THE_WORKER} {{ var.value.get('x') }}"


@pytest.fixture
def started_containers(docker_engine: Any) -> Iterator[list[dict[str, Any]]]:
    """The inspected probe containers that are started during the test."""
    containers: list[dict[str, Any]] = []
    events = docker_engine.events(decode=True, filters={"type": "container", "event": "start", "label": LABEL})
    watcher = threading.Thread(target=lambda: containers.extend(inspected(docker_engine, events)), daemon=True)
    watcher.start()
    yield containers
    events.close()


def inspected(engine: Any, events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the inspected containers of these events, except for those that were removed."""
    from docker.errors import NotFound

    for event in events:
        with contextlib.suppress(NotFound):
            yield engine.api.inspect_container(event["id"])


def database(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Yield the rows of every table as text."""
    engine = sa.create_engine(deployment.airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.connect() as connection:
        tables = connection.execute(
            sa.text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        ).scalars()
        for table in list(tables):
            rows = connection.execute(sa.text(f'SELECT t::text FROM "{table}" t')).scalars()
            yield f"table {table}", "\n".join(rows)
    engine.dispose()


def files(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Yield every file in Airflow's home, except for its secrets and the database, which is searched separately."""
    home = deployment.airflow.home.path
    for path in home.rglob("*"):
        below = path.relative_to(home)
        if path.is_file() and below.parts[0] not in ("postgres", "secrets.json"):
            yield f"file {below}", path.read_bytes().decode(errors="replace")


def api(deployment: Deployment, run_id: str) -> Iterator[tuple[str, str]]:
    """Yield the responses of Airflow's API and UI: run, rendered fields, logs and pages."""
    client = deployment.airflow.api
    yield "run", json.dumps(client.run(DAG_ID, run_id))
    for task in client.task_instances(DAG_ID, run_id):
        name, index = task["task_id"], task["map_index"]
        yield f"rendered fields of {name}", json.dumps(task)
        for attempt in range(1, task["try_number"] + 1):
            yield (
                f"log of {name}",
                client.logs(DAG_ID, run_id, name, try_number=attempt, map_index=index),
            )
    with httpx.Client(base_url=deployment.airflow.url, timeout=30) as browser:
        for page in ("/", f"/dags/{DAG_ID}", f"/dags/{DAG_ID}/runs/{run_id}", "/incidents/", "/connections"):
            yield f"page {page}", browser.get(page, follow_redirects=True).text


def container_configurations(containers: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for container in containers:
        yield f"container {container['Name']}", json.dumps(container)


@pytest.mark.parametrize("state", ["success", "failed"])
def test_run_exposes_no_secret(
    deployment: Deployment, started_containers: list[dict[str, Any]], report: Callable[[str], None], state: str
) -> None:
    deployment.slack.workspace.reset()
    if state == "failed":
        deployment.control.add_fault(Fault(method="conversations.create", error="invalid_auth", times=None))
    run_id = deployment.start(
        title=f"Checkout {BAIT}", description=BAIT, users=[BAIT, "alice.ng@acme.example"], id=state
    )
    actual = deployment.wait_for_run(run_id)
    assert actual.run.state == state
    assert started_containers
    places = [
        *database(deployment),
        *files(deployment),
        *api(deployment, run_id),
        *container_configurations(started_containers),
        ("the workspace", json.dumps(deployment.control.state(everybody=True))),
        ("what Slack was sent", json.dumps(deployment.control.calls())),
    ]
    secrets = {"token": deployment.slack.token, "worker's variable": WORKER_SECRET, **deployment.airflow_secrets()}
    found = [(place, name) for place, text in places for name, secret in secrets.items() if secret in text]
    size = sum(len(text) for _, text in places)
    tables = sum(place.startswith("table") for place, _ in places)
    report(
        f"secret search, state of the run {state}: {len(secrets)} secrets in {len(places)} places "
        f"({tables} tables, {len(started_containers)} containers, {size / 1e6:.1f} MB): {len(found)} found"
    )
    assert found == []


def test_search_finds_known_text(deployment: Deployment) -> None:
    """Otherwise the test above could not fail: the title of the incident is found in the database and in files."""
    places = [*database(deployment), *files(deployment)]
    places_with_title = {place for place, text in places if "Checkout {{ conn.slack_api_default" in text}
    assert any(place.startswith("table xcom") for place in places_with_title), places_with_title
    assert any(place.startswith("file") for place in places_with_title), places_with_title
    assert Path(deployment.airflow.home.path).exists()
