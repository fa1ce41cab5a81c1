"""The page "Getting started", followed as it is printed, with an Airflow that runs before the files are there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from incident_sandbox import SandboxClient
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.demo.processes import choose_port

from .blocks import blocks

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

PAGE = "docs/getting-started.md"
PORT = "8765"
SECONDS_TO_A_ROOM = 180


@dataclass(frozen=True)
class Newcomer:
    """Somebody with a fresh Airflow, and the sandbox that the page starts."""

    home: Path
    environment: dict[str, str]
    sandbox_port: str

    def types(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run a block as it is printed, but for the port of the sandbox, which may be taken here."""
        script = text.replace(PORT, self.sandbox_port)
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )


def page_blocks() -> dict[str, str]:
    """Return the page's commands, by their first line."""
    return {block.text.splitlines()[0]: block.text for block in blocks("sh") if block.page == PAGE}


def exported(text: str, environment: dict[str, str]) -> dict[str, str]:
    """Return the variables that a block of exports sets."""
    found = re.findall(r'^export (\w+)="?([^"\n]+)"?$', text, re.MULTILINE)
    return {name: value.replace("$AIRFLOW_HOME", environment["AIRFLOW_HOME"]) for name, value in found}


@pytest.fixture(scope="module")
def newcomer(docker_engine: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    home = tmp_path_factory.mktemp("newcomer")
    [settings] = [text for first, text in page_blocks().items() if first.startswith("export ")]
    dags = home / "dags"
    dags.mkdir()
    variables = exported(settings, {"AIRFLOW_HOME": str(home / "airflow")})
    with LocalAirflow(home / "airflow", dags, environment=variables) as airflow:
        environment = {
            **airflow.environment,
            **variables,
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        port = str(choose_port(None))
        sandbox = subprocess.Popen(
            [sys.executable, "-m", "airflow", "incident", "sandbox", "--port", port], env=environment
        )
        try:
            yield Newcomer(home, environment, port)
        finally:
            sandbox.terminate()
            sandbox.wait(20)


def test_the_page_leads_to_a_room_in_three_minutes(newcomer: Newcomer) -> None:
    texts = page_blocks()
    began = time.monotonic()
    for start in (
        "airflow providers list",
        "airflow incident setup files",
        "airflow incident setup airflow --sandbox",
        "airflow incident trigger",
    ):
        text = next(text for first, text in texts.items() if first.startswith(start))
        done = newcomer.types(text)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    assert time.monotonic() - began < SECONDS_TO_A_ROOM
    client = SandboxClient(f"http://127.0.0.1:{newcomer.sandbox_port}")
    [room] = [channel for channel in client.state()["channels"] if "our-first-incident" in channel["name"]]
    messages = " ".join(message["text"] for message in client.channel(room["id"])["messages"])
    assert "Our first incident" in messages
    assert httpx.get(f"http://127.0.0.1:{newcomer.sandbox_port}/").status_code == httpx.codes.OK

    # What the page says of exit codes: only what this machine lacks fails the check.
    checked = newcomer.types("airflow incident check --output json")
    assert checked.returncode in (0, 1), checked.stderr
    # Everything that was set up is removed again, and nothing is left.
    [remove] = [block.text for block in blocks("sh") if block.text.strip() == "airflow incident setup remove --yes"]
    removed = newcomer.types(remove)
    assert removed.returncode == 0, removed.stdout + removed.stderr
    assert [path.name for path in (newcomer.home / "dags").glob("*.py")] == []
    listed = newcomer.types("airflow connections list --output json")
    assert listed.stdout.strip().startswith("[]") or "No data found" in listed.stdout
