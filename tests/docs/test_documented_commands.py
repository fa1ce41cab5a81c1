"""Every command in the README and in the documentation, run as a reader would run it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from incident_sandbox.demo.processes import wait_until
from incident_sandbox.interactivity import SIGNING_SECRET
from incident_sandbox.seed import APP_LEVEL_TOKEN

from airflow_incident_provider.config import DagId

from .blocks import Block, blocks
from .clone import planning_clone
from .conftest import GETTING_STARTED, SANDBOX_COMMAND, Steps
from .newcomer import Newcomer

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.usefixtures("first_hour")]

UNINSTALL = "docs/how-to/uninstall.md"
COMPOSE = re.compile(r"^docker compose ", re.MULTILINE)
SETTINGS = re.compile(r"^[A-Z_]+=", re.MULTILINE)

NOT_RUN: Mapping[str, str] = {
    r"^make (demo|test|check)$": "test_commands_of_a_clone.py runs it in a clone",
    r"^\.venv/bin/pytest ": "test_commands_of_a_clone.py collects the tests that it names",
    r"^python -m benchmarks\.speed ": "takes 25 minutes, and the whole machine; tests/unit/benchmarks tests it",
    r"^docker compose ": "TestCompose lets Compose plan it; `make compose-test` runs the stack",
    r"^airflow incident socket ": "it runs until it is ended: test_socket_mode_connects_as_the_page_says",
}
"""What is not run as a block by itself, by a pattern of its text, and what is done with it instead."""

SERVES: Mapping[str, tuple[str, str]] = {
    "airflow incident sandbox": ("8765", "/"),
    "incident_docker_proxy": ("2375", "/_ping"),
}
"""What runs until it is ended: its port, and where it answers meanwhile."""

ALTERNATIVES: Mapping[str, tuple[str, str]] = {
    "airflow connections add slack_api_default": (
        "airflow connections delete slack_api_default",
        "airflow connections delete slack_api_default && airflow incident setup airflow --yes",
    ),
    # The page warns that a scheduler may start tasks of the same run: this reader has one.
    "airflow dags test incident_response": (
        "airflow dags pause --yes incident_response",
        "airflow dags unpause --yes incident_response",
    ),
}
"""Blocks that need something before and after them, because of what this reader has done already."""


DAG_ID = re.compile(r"(?:DAG|incident_dag)\(\s*\"(\w+)\"")
ROOMS: Mapping[str, str] = {
    "orders_quality": r"orders-table-late|warehouse-\d+",
    "restart_checkout": "restart-checkout",
    "warehouse_incident": "the-warehouse-is-late",
    "payments_incident": "pay-.*the-warehouse-is-late",
}
"""The room that a documented DAG opens, as a pattern of its name."""
NO_ROOM: Mapping[str, str] = {
    "nightly_orders": "the reader writes its tasks; tests/dags/test_failure_notifier.py has some that fail",
    "warehouse_watch": "it only looks",
}


def not_run(block: Block) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, block.text, re.MULTILINE)), None)


def runnable() -> Iterator[Block]:
    """Each text once: what two pages say is run for the first."""
    seen = {block.text for block in blocks("sh") if block.page == GETTING_STARTED}
    for block in blocks("sh"):
        if block.page != UNINSTALL and not_run(block) is None and block.text not in seen:
            seen.add(block.text)
            yield block


def documented_dags() -> Iterator[tuple[str, Block]]:
    """Yield the ID of each DAG that a page defines, with the page's block."""
    for block in blocks("python"):
        for dag_id in DAG_ID.findall(block.text):
            yield dag_id, block


def getting_started() -> list[str]:
    return [block.text for block in blocks("sh") if block.page == GETTING_STARTED and block.text != SANDBOX_COMMAND]


@pytest.mark.parametrize("text", getting_started(), ids=str.strip)
def test_getting_started_works_command_by_command(first_hour: Steps, text: str) -> None:
    assert text in first_hour, "not reached: an earlier command failed"
    ended = first_hour[text]
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_getting_started_leads_to_a_room(person: Newcomer) -> None:
    [room] = [each for each in person.sandbox.state()["channels"] if "our-first-incident" in each["name"]]
    posted = " ".join(message["text"] for message in person.sandbox.channel(room["id"])["messages"])
    assert "Our first incident" in posted


class TestCompose:
    """Docker Compose plans what the pages say, in a clone as a reader has it."""

    @pytest.fixture(scope="class")
    def clone(self, person: Newcomer) -> Iterator[Path]:
        with planning_clone(person) as folder:
            yield folder

    @pytest.mark.parametrize("block", [block for block in blocks("sh") if COMPOSE.search(block.text)], ids=str)
    def test_it_plans_what_a_page_says(self, block: Block, person: Newcomer, clone: Path) -> None:
        env_file = clone / ".env"
        before = env_file.read_text()
        settings = [each.text for each in blocks("text") if each.page == block.page and SETTINGS.match(each.text)]
        env_file.write_text("".join([before, *settings]))
        try:
            ended = person.runs(block.text, folder=clone)
        finally:
            env_file.write_text(before)
        assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
        listing = ["docker", "ps", "-aq", "--filter", "label=com.docker.compose.project=incident-documented"]
        started = subprocess.run(listing, capture_output=True, check=True).stdout
        assert started == b"", "a plan starts nothing"

    @pytest.mark.parametrize(
        "command",
        [
            "docker compose logs no-such-service",
            "docker compose --profile no-such up -d --no-such",
            "docker compose exec airflow-scheduler airflow incident no-such",
        ],
    )
    def test_a_wrong_command_fails(self, command: str, person: Newcomer, clone: Path) -> None:
        assert person.runs(command, folder=clone).returncode != 0


def write_dags_of(page: str, person: Newcomer) -> None:
    """Write the DAGs of a page into the DAGs folder, each into a file of its own."""
    for dag_id, block in documented_dags():
        if block.page == page:
            (person.dags_folder / f"{dag_id}.py").write_text(block.text)


@pytest.mark.parametrize("block", list(runnable()), ids=str)
def test_it_does_what_the_page_says(block: Block, person: Newcomer) -> None:
    served = next((place for command, place in SERVES.items() if command in block.text), None)
    if served is not None:
        person.serves(block, *served)
        return
    write_dags_of(block.page, person)
    before, after = next((pair for start, pair in ALTERNATIVES.items() if block.text.startswith(start)), ("", ""))
    for text in filter(None, (before, block.text, after)):
        ended = person.runs(text)
        assert ended.returncode == 0, f"{block}\n{text}\n{ended.stdout}\n{ended.stderr}"


def test_socket_mode_connects_as_the_page_says(person: Newcomer) -> None:
    [block] = [block for block in blocks("sh") if block.text.startswith("airflow incident socket ")]
    person.environment |= {"SLACK_APP_TOKEN": APP_LEVEL_TOKEN, "SLACK_SIGNING_SECRET": SIGNING_SECRET}
    assert person.runs("airflow incident setup airflow --yes").returncode == 0
    assert person.connects(block) == 0
    assert person.runs("airflow incident check --only slack").returncode == 0


def test_every_documented_dag_is_run_or_listed() -> None:
    assert {dag_id for dag_id, _ in documented_dags()} == ROOMS.keys() | NO_ROOM.keys()


@pytest.mark.parametrize(("dag_id", "block"), [pair for pair in documented_dags() if pair[0] in ROOMS], ids=str)
def test_a_documented_dag_opens_its_room(dag_id: str, block: Block, person: Newcomer) -> None:
    file = person.dags_folder / f"{dag_id}.py"
    if not file.exists() or file.read_text() != block.text or person.airflow.dag(dag_id) is None:
        file.write_text(block.text)
        assert person.runs("airflow dags reserialize").returncode == 0
    known = {room["id"] for room in person.sandbox.state()["channels"]}
    person.airflow.unpause(dag_id)
    person.airflow.trigger(dag_id, conf={"title": "The warehouse is late"})

    def opened() -> bool:
        rooms = [room["name"] for room in person.sandbox.state()["channels"] if room["id"] not in known]
        return any(re.search(ROOMS[dag_id], name) for name in rooms)

    wait_until(opened, what=f"the room of {dag_id}", timeout=120)


def test_what_remains_after_uninstalling(person: Newcomer, first_hour: Steps) -> None:
    used = what_is_there(person)
    assert all(used[kind] for kind in ("files", "connections", "DAGs", "packages")), used
    for block in blocks("sh"):
        if block.page == UNINSTALL:
            ended = person.runs(block.text)
            assert ended.returncode == 0, f"{block.text}\n{ended.stdout}\n{ended.stderr}"
    assert what_is_there(person) == {kind: [] for kind in used}


def what_is_there(person: Newcomer) -> dict[str, list[str]]:
    """Return what the package brought to this machine, to Airflow and to Datadog, by kind."""
    own = {path.name for path in (person.home / "dags").glob("*.py")} - {
        f"{name}.py" for name, _ in documented_dags()
    }
    return {
        "files": sorted(own | {path.name for path in person.home.glob("incident_*")}),
        "connections": sorted(person.lists("connections", "conn_id")),
        "pools": sorted({*person.lists("pools", "pool")} - {"default_pool"}),
        "DAGs": sorted({*DagId} & {*person.lists("dags", "dag_id")}),
        "Datadog": person.datadog_webhooks(),
        "packages": re.findall(r"(?m)^\S*incident\S*", person.runs("pip list").stdout),
    }
