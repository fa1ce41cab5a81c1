"""Run every command of the README and the documentation."""

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
from .clone import clone_for_dry_runs
from .conftest import GETTING_STARTED, SANDBOX_COMMAND, Steps
from .user_environment import UserEnvironment

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.usefixtures("getting_started")]

UNINSTALL = "docs/how-to/uninstall.md"
COMPOSE = re.compile(r"^docker compose ", re.MULTILINE)
SETTINGS = re.compile(r"^[A-Z_]+=", re.MULTILINE)

NOT_RUN: Mapping[str, str] = {
    r"^make (demo|test|check)$": "test_commands_of_a_clone.py runs it in a clone",
    r"^\.venv/bin/pytest ": "test_commands_of_a_clone.py collects the tests that it selects",
    r"^python -m benchmarks\.speed ": "takes 25 minutes on the whole machine; tests/unit/benchmarks tests it",
    r"^docker compose ": "TestCompose does a dry run; `make compose-test` runs the stack",
    r"^airflow incident socket ": "runs until it is ended: test_socket_mode_connects",
}
"""Patterns of blocks that are not run on their own, with the reason or the test that covers them."""

SERVES: Mapping[str, tuple[str, str]] = {
    "airflow incident sandbox": ("8765", "/"),
    "incident_docker_proxy": ("2375", "/_ping"),
}
"""Commands that start a server: its port, and a path that responds with success."""

SURROUNDING_COMMANDS: Mapping[str, tuple[str, str]] = {
    "airflow connections add slack_api_default": (
        "airflow connections delete slack_api_default",
        "airflow connections delete slack_api_default && airflow incident setup airflow --yes",
    ),
    # Otherwise the running scheduler may start tasks of the same run, as the page warns.
    "airflow dags test incident_response": (
        "airflow dags pause --yes incident_response",
        "airflow dags unpause --yes incident_response",
    ),
}
"""Commands to run before and after a block, because of the state of the environment."""


DAG_ID = re.compile(r"(?:DAG|incident_dag)\(\s*\"(\w+)\"")
ROOMS: Mapping[str, str] = {
    "orders_quality": r"orders-table-late|warehouse-\d+",
    "restart_checkout": "restart-checkout",
    "warehouse_incident": "the-warehouse-is-late",
    "payments_incident": "pay-.*the-warehouse-is-late",
}
"""Patterns of the names of the rooms that documented DAGs open."""
NO_ROOM: Mapping[str, str] = {
    "nightly_orders": "has no tasks; tests/dags/test_failure_notifier.py tests failing tasks",
    "warehouse_watch": "only runs a probe",
}


def not_run(block: Block) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, block.text, re.MULTILINE)), None)


def runnable_blocks() -> Iterator[Block]:
    """Yield each distinct block once, for the first page that contains it."""
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


def getting_started_blocks() -> list[str]:
    return [block.text for block in blocks("sh") if block.page == GETTING_STARTED and block.text != SANDBOX_COMMAND]


@pytest.mark.parametrize("text", getting_started_blocks(), ids=str.strip)
def test_getting_started_command_succeeds(getting_started: Steps, text: str) -> None:
    assert text in getting_started, "not reached: an earlier command failed"
    completed = getting_started[text]
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_getting_started_opens_room(user: UserEnvironment) -> None:
    [room] = [each for each in user.sandbox.state()["channels"] if "our-first-incident" in each["name"]]
    posted = " ".join(message["text"] for message in user.sandbox.channel(room["id"])["messages"])
    assert "Our first incident" in posted


class TestCompose:
    """Dry runs of the documented Docker Compose commands, in a clone."""

    @pytest.fixture(scope="class")
    def clone(self, user: UserEnvironment) -> Iterator[Path]:
        with clone_for_dry_runs(user) as folder:
            yield folder

    @pytest.mark.parametrize("block", [block for block in blocks("sh") if COMPOSE.search(block.text)], ids=str)
    def test_dry_run_succeeds(self, block: Block, user: UserEnvironment, clone: Path) -> None:
        env_file = clone / ".env"
        before = env_file.read_text()
        settings = [each.text for each in blocks("text") if each.page == block.page and SETTINGS.match(each.text)]
        env_file.write_text("".join([before, *settings]))
        try:
            completed = user.run(block.text, folder=clone)
        finally:
            env_file.write_text(before)
        assert completed.returncode == 0, completed.stdout[-4000:] + completed.stderr[-4000:]
        listing = ["docker", "ps", "-aq", "--filter", "label=com.docker.compose.project=incident-documented"]
        started = subprocess.run(listing, capture_output=True, check=True).stdout
        assert started == b"", "a dry run starts nothing"

    @pytest.mark.parametrize(
        "command",
        [
            "docker compose logs no-such-service",
            "docker compose --profile no-such up -d --no-such",
            "docker compose exec airflow-scheduler airflow incident no-such",
        ],
    )
    def test_invalid_command_fails(self, command: str, user: UserEnvironment, clone: Path) -> None:
        assert user.run(command, folder=clone).returncode != 0


def write_dags_of(page: str, user: UserEnvironment) -> None:
    """Write the DAGs of a page into the DAGs folder, one file for each."""
    for dag_id, block in documented_dags():
        if block.page == page:
            (user.dags_folder / f"{dag_id}.py").write_text(block.text)


@pytest.mark.parametrize("block", list(runnable_blocks()), ids=str)
def test_documented_block_succeeds(block: Block, user: UserEnvironment) -> None:
    server = next((place for command, place in SERVES.items() if command in block.text), None)
    if server is not None:
        user.serve(block, *server)
        return
    write_dags_of(block.page, user)
    before, after = next(
        (pair for start, pair in SURROUNDING_COMMANDS.items() if block.text.startswith(start)), ("", "")
    )
    for text in filter(None, (before, block.text, after)):
        completed = user.run(text)
        assert completed.returncode == 0, f"{block}\n{text}\n{completed.stdout}\n{completed.stderr}"


def test_socket_mode_connects(user: UserEnvironment) -> None:
    [block] = [block for block in blocks("sh") if block.text.startswith("airflow incident socket ")]
    user.environment |= {"SLACK_APP_TOKEN": APP_LEVEL_TOKEN, "SLACK_SIGNING_SECRET": SIGNING_SECRET}
    assert user.run("airflow incident setup airflow --yes").returncode == 0
    assert user.run_socket_mode(block) == 0
    assert user.run("airflow incident check --only slack").returncode == 0


def test_every_documented_dag_is_tested_or_listed() -> None:
    assert {dag_id for dag_id, _ in documented_dags()} == ROOMS.keys() | NO_ROOM.keys()


@pytest.mark.parametrize(("dag_id", "block"), [pair for pair in documented_dags() if pair[0] in ROOMS], ids=str)
def test_documented_dag_opens_room(dag_id: str, block: Block, user: UserEnvironment) -> None:
    file = user.dags_folder / f"{dag_id}.py"
    if not file.exists() or file.read_text() != block.text or user.airflow.dag(dag_id) is None:
        file.write_text(block.text)
        assert user.run("airflow dags reserialize").returncode == 0
    existing = {room["id"] for room in user.sandbox.state()["channels"]}
    user.airflow.unpause(dag_id)
    user.airflow.trigger(dag_id, conf={"title": "The warehouse is late"})

    def opened() -> bool:
        rooms = [room["name"] for room in user.sandbox.state()["channels"] if room["id"] not in existing]
        return any(re.search(ROOMS[dag_id], name) for name in rooms)

    wait_until(opened, what=f"the room of {dag_id}", timeout=120)


def test_uninstall_removes_everything(user: UserEnvironment, getting_started: Steps) -> None:
    before = installed_items(user)
    assert all(before[kind] for kind in ("files", "connections", "DAGs", "packages")), before
    for block in blocks("sh"):
        if block.page == UNINSTALL:
            completed = user.run(block.text)
            assert completed.returncode == 0, f"{block.text}\n{completed.stdout}\n{completed.stderr}"
    assert installed_items(user) == {kind: [] for kind in before}


def installed_items(user: UserEnvironment) -> dict[str, list[str]]:
    """Return the files, connections, pools, DAGs, webhooks and packages that belong to this package, by kind."""
    files = {path.name for path in (user.home / "dags").glob("*.py")} - {
        f"{name}.py" for name, _ in documented_dags()
    }
    return {
        "files": sorted(files | {path.name for path in user.home.glob("incident_*")}),
        "connections": sorted(user.list_column("connections", "conn_id")),
        "pools": sorted({*user.list_column("pools", "pool")} - {"default_pool"}),
        "DAGs": sorted({*DagId} & {*user.list_column("dags", "dag_id")}),
        "Datadog": user.datadog_webhooks(),
        "packages": re.findall(r"(?m)^\S*incident\S*", user.run("pip list").stdout),
    }
