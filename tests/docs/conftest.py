"""A person who has followed "Getting started" from the wheels, and follows the other pages in the same Airflow."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from incident_sandbox.demo.broken_service import BrokenService
from incident_sandbox.demo.network import demo_network

from .blocks import ROOT, blocks
from .newcomer import Newcomer, newcomer

GETTING_STARTED = "docs/getting-started.md"
ROUTING = "docs/how-to/routing.md"
SANDBOX_COMMAND = "airflow incident sandbox\n"
CONNECT_COMMAND = "airflow incident setup airflow --yes\n"
ALERT = "tests/payloads/01_metric_triggered.json"

Steps = dict[str, CompletedProcess[str]]
"""The results of a page's blocks, by their text."""


@pytest.fixture(scope="module")
def person(docker_engine: Any) -> Iterator[Newcomer]:
    """Somebody with an environment that has Airflow; nothing of ours is installed, and Airflow's home is empty."""
    # The service brings the network's name server, which the control probe looks for.
    with demo_network() as network, BrokenService(network.gateway):
        machine = {
            "AIRFLOW__INCIDENT__DOCKER_NETWORK": network.name,
            "AIRFLOW__INCIDENT__DOCKER_DNS": network.gateway,
        }
        with TemporaryDirectory(prefix="newcomer-") as folder, newcomer(Path(folder), machine) as somebody:
            shutil.copy(ROOT / ALERT, somebody.folder / "alert.json")
            table = next(block.text for block in blocks("yaml") if block.page == ROUTING)
            (somebody.folder / "routing.yaml").write_text(table)
            yield somebody


@pytest.fixture(scope="module")
def first_hour(person: Newcomer, request: pytest.FixtureRequest) -> Steps:
    """The results of "Getting started": each block run as it is printed, in the page's order, up to a failure."""
    done: Steps = {}
    began = time.monotonic()
    for block in blocks("sh"):
        if block.page != GETTING_STARTED:
            continue
        if block.text == SANDBOX_COMMAND:
            person.sandbox_url = person.serves(block, "8765", "/")
            continue
        if block.text == CONNECT_COMMAND:
            _gets_accounts(person)
        ended = done[block.text] = person.runs(block.text)
        if ended.returncode != 0:
            break
        if block.text.startswith("export AIRFLOW__"):
            # The page asks for a restart here; the files come only after it.
            person.starts_airflow()
        elif "Our first incident" in block.text:
            _show(
                request, f"{round(time.monotonic() - began)} s from `pip install` to the summary of the first room"
            )
    return done


def _gets_accounts(person: Newcomer) -> None:
    """Set the variables that the page asks for at this point; they lead to the sandbox."""
    connections = httpx.get(f"{person.sandbox_url}/sandbox/connections").json()
    datadog = connections["datadog_default"]["extra"]
    person.environment |= {
        "SLACK_BOT_TOKEN": connections["slack_api_default"]["password"],
        "SLACK_BASE_URL": connections["slack_api_default"]["extra"]["base_url"],
        "DD_API_KEY": datadog["api_key"],
        "DD_APP_KEY": datadog["app_key"],
        "DATADOG_HOST": datadog["api_host"],
    }


def _show(request: pytest.FixtureRequest, text: str) -> None:
    """Print a figure into the log of the tests: it depends on the machine, so no test asserts it."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{text}")
