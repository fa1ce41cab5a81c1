"""Known tokens, a whole run in a real Airflow, and then a search of every place that it may have left them in."""

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

from .real_airflow import DAG_ID, WORKER_SECRET, RealAirflow  # isort: skip

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.whole_suite]

LABEL = "airflow_incident_provider"
BAIT = "{{ conn.slack_api_default.password }} ${SECRET_OF_THE_WORKER} {{ var.value.get('x') }}"


@pytest.fixture
def started_containers(docker_engine: Any) -> Iterator[list[dict[str, Any]]]:
    """Every container of ours that is started meanwhile, as the engine describes it."""
    seen: list[dict[str, Any]] = []
    events = docker_engine.events(decode=True, filters={"type": "container", "event": "start", "label": LABEL})
    watcher = threading.Thread(target=lambda: seen.extend(inspected(docker_engine, events)), daemon=True)
    watcher.start()
    yield seen
    events.close()


def inspected(engine: Any, events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the containers of these events, but for those that are gone already: others' on this engine."""
    from docker.errors import NotFound

    for event in events:
        with contextlib.suppress(NotFound):
            yield engine.api.inspect_container(event["id"])


def database(real: RealAirflow) -> Iterator[tuple[str, str]]:
    """Yield every column of every table as text, as a dump would have it."""
    engine = sa.create_engine(real.airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.connect() as connection:
        tables = connection.execute(
            sa.text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        ).scalars()
        for table in list(tables):
            rows = connection.execute(sa.text(f'SELECT t::text FROM "{table}" t')).scalars()
            yield f"table {table}", "\n".join(rows)
    engine.dispose()


def files(real: RealAirflow) -> Iterator[tuple[str, str]]:
    """Yield every file below Airflow's home, but for its own secrets and the database, which is searched apart."""
    home = real.airflow.home.path
    for path in home.rglob("*"):
        below = path.relative_to(home)
        if path.is_file() and below.parts[0] not in ("postgres", "secrets.json"):
            yield f"file {below}", path.read_bytes().decode(errors="replace")


def api(real: RealAirflow, run_id: str) -> Iterator[tuple[str, str]]:
    """Yield what Airflow's API, and so its UI, tells: runs, rendered fields, XComs, logs, connections' pages."""
    client = real.airflow.api
    yield "run", json.dumps(client.run(DAG_ID, run_id))
    for task in client.task_instances(DAG_ID, run_id):
        name, index = task["task_id"], task["map_index"]
        yield f"rendered fields of {name}", json.dumps(task)
        for attempt in range(1, task["try_number"] + 1):
            yield (
                f"log of {name}",
                client.logs(DAG_ID, run_id, name, try_number=attempt, map_index=index),
            )
    with httpx.Client(base_url=real.airflow.url, timeout=30) as browser:
        for page in ("/", f"/dags/{DAG_ID}", f"/dags/{DAG_ID}/runs/{run_id}", "/incidents/", "/connections"):
            yield f"page {page}", browser.get(page, follow_redirects=True).text


def environments(containers: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for container in containers:
        yield f"container {container['Name']}", json.dumps(container)


@pytest.mark.parametrize("goes", ["well", "wrong"])
def test_secrets_are_in_none_of_them(
    real: RealAirflow, started_containers: list[dict[str, Any]], counted: Callable[[str], None], goes: str
) -> None:
    real.slack.workspace.reset()
    if goes == "wrong":
        real.control.add_fault(Fault(method="conversations.create", error="invalid_auth", times=None))
    run_id = real.start(title=f"Checkout {BAIT}", description=BAIT, users=[BAIT, "alice.ng@acme.example"], id=goes)
    seen = real.finish(run_id)
    assert seen.run.state == ("success" if goes == "well" else "failed")
    assert started_containers
    places = [
        *database(real),
        *files(real),
        *api(real, run_id),
        *environments(started_containers),
        ("the workspace", json.dumps(real.control.state(everybody=True))),
        ("what Slack was sent", json.dumps(real.control.calls())),
    ]
    secrets = {"token": real.slack.token, "worker's variable": WORKER_SECRET, **real.own_secrets()}
    found = [(place, name) for place, text in places for name, secret in secrets.items() if secret in text]
    size = sum(len(text) for _, text in places)
    tables = sum(place.startswith("table") for place, _ in places)
    counted(
        f"secret search, run that goes {goes}: {len(secrets)} secrets in {len(places)} places "
        f"({tables} tables, {len(started_containers)} containers, {size / 1e6:.1f} MB): {len(found)} found"
    )
    assert found == []


def test_search_can_find(real: RealAirflow) -> None:
    """Or the test above could not fail: what the incident is called is found in database, files and XComs."""
    places = [*database(real), *files(real)]
    hits = {place for place, text in places if "Checkout {{ conn.slack_api_default" in text}
    assert any(place.startswith("table xcom") for place in hits), hits
    assert any(place.startswith("file") for place in hits), hits
    assert Path(real.airflow.home.path).exists()
