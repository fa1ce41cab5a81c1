"""Every command in the README and in the documentation, run as a reader would run it."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Mapping

import httpx
import pytest
from incident_sandbox.demo.processes import choose_port

from .blocks import Block, blocks
from .conftest import Reader

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

NOT_RUN: Mapping[str, str] = {
    r"^pip install airflow-incident-provider$": "it is on no index yet; test_distributions installs the wheel",
    r"^make (demo|test|check)$": "`make test` is what runs this; the demo has tests of its own",
    r"^\.venv/bin/pytest ": "it is what runs this",
    r"^python -m benchmarks\.speed ": "takes 25 minutes, and the whole machine; tests/unit/benchmarks tests it",
    r"^docker compose ": "needs the images of a registry; `make compose-test` runs them on stand-ins",
    r"^pip install 'airflow-incident-provider\[celery\]'$": "`make compose-test` installs it into its image",
    r"^airflow incident drill --sandbox$": "starts an Airflow of its own; tests/e2e/test_commands.py runs it",
    r"^airflow incident socket ": "needs an app-level token; tests/unit/cli/test_socket_command.py runs it",
    r"^pip install 'airflow-incident-provider\[sandbox\]'$": "as for the provider itself",
    r"^airflow incident setup airflow --sandbox ": "test_getting_started runs it, with a sandbox at its address",
    r"^airflow incident setup airflow --slack-conn-id ": "tests/unit/cli/test_check.py pastes it for a team",
    r"^airflow incident setup remove --yes$": "tests/unit/cli/test_setup_commands.py runs it",
    r"^pip uninstall --yes airflow-incident-provider$": "would uninstall what is tested",
}
"""What is not run here, by a pattern of a block's text, and why."""

SERVES: Mapping[str, tuple[int, str]] = {
    "airflow incident sandbox": (8765, "/"),
    "incident_docker_proxy": (2375, "/_ping"),
}
"""What runs until it is ended: its port, in whose place a free one is used, and where it answers meanwhile."""

START_SECONDS = 60


def not_run(block: Block) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, block.text, re.MULTILINE)), None)


def runnable() -> Iterator[Block]:
    """Each text once: what two pages say is run for the first."""
    seen: set[str] = set()
    for block in blocks("sh"):
        if not_run(block) is None and block.text not in seen:
            seen.add(block.text)
            yield block


@pytest.mark.parametrize("block", list(runnable()), ids=str)
def test_it_does_what_the_page_says(block: Block, reader: Reader) -> None:
    served = next((place for command, place in SERVES.items() if command in block.text), None)
    if served is not None:
        assert_serves(block, reader, *served)
        return
    ended = reader.runs(block.text)
    assert ended.returncode == 0, f"{block}\n{block.text}\n{ended.stdout}\n{ended.stderr}"


def assert_serves(block: Block, reader: Reader, port: int, path: str) -> None:
    free = choose_port(None)
    # Where the page leaves the port to the default, it is named.
    named = block.text if str(port) in block.text else f"{block.text.rstrip()} --port {port}"
    command = f"exec {named.replace(str(port), str(free))}"
    process = subprocess.Popen(["bash", "-c", command], cwd=reader.folder, env=reader.environment)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, f"{block} ended by itself"
            assert time.monotonic() < deadline, f"{block} does not answer"
            try:
                assert httpx.get(f"http://127.0.0.1:{free}{path}", timeout=5).status_code == httpx.codes.OK
                return
            except httpx.TransportError:
                time.sleep(0.2)
    finally:
        process.terminate()
        process.wait(20)
