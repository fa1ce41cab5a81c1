"""A user environment with the wheels and the Airflow of "Getting started", which the other pages use as well."""

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
from .user_environment import UserEnvironment, user_environment

GETTING_STARTED = "docs/getting-started.md"
ROUTING = "docs/how-to/routing.md"
SANDBOX_COMMAND = "airflow incident sandbox\n"
CONNECT_COMMAND = "airflow incident setup airflow --yes\n"
ALERT = "tests/payloads/01_metric_triggered.json"

Steps = dict[str, CompletedProcess[str]]
"""The results of a page's blocks, by their text."""


@pytest.fixture(scope="module")
def user(docker_engine: Any) -> Iterator[UserEnvironment]:
    """A user environment with Airflow, without this package, and with an empty Airflow home."""
    # The service includes the name server of the network, which the control probe checks.
    with demo_network() as network, BrokenService(network.gateway):
        settings = {
            "AIRFLOW__INCIDENT__DOCKER_NETWORK": network.name,
            "AIRFLOW__INCIDENT__DOCKER_DNS": network.gateway,
        }
        with TemporaryDirectory(prefix="user-") as folder, user_environment(Path(folder), settings) as environment:
            shutil.copy(ROOT / ALERT, environment.folder / "alert.json")
            table = next(block.text for block in blocks("yaml") if block.page == ROUTING)
            (environment.folder / "routing.yaml").write_text(table)
            yield environment


@pytest.fixture(scope="module")
def getting_started(user: UserEnvironment, request: pytest.FixtureRequest) -> Steps:
    """Return the results of the blocks of "Getting started", run in order up to the first failure."""
    results: Steps = {}
    started = time.monotonic()
    for block in blocks("sh"):
        if block.page != GETTING_STARTED:
            continue
        if block.text == SANDBOX_COMMAND:
            user.sandbox_url = user.serve(block, "8765", "/")
            continue
        if block.text == CONNECT_COMMAND:
            _set_credentials(user)
        completed = results[block.text] = user.run(block.text)
        if completed.returncode != 0:
            break
        if block.text.startswith("export AIRFLOW__"):
            # The page requires a restart at this point; the files are created afterwards.
            user.start_airflow()
        elif "Our first incident" in block.text:
            _print(
                request,
                f"{round(time.monotonic() - started)} s from `pip install` to the summary of the first room",
            )
    return results


def _set_credentials(user: UserEnvironment) -> None:
    """Set the variables that the page requires at this point, for the sandbox."""
    connections = httpx.get(f"{user.sandbox_url}/sandbox/connections").json()
    datadog = connections["datadog_default"]["extra"]
    user.environment |= {
        "SLACK_BOT_TOKEN": connections["slack_api_default"]["password"],
        "SLACK_BASE_URL": connections["slack_api_default"]["extra"]["base_url"],
        "DD_API_KEY": datadog["api_key"],
        "DD_APP_KEY": datadog["app_key"],
        "DATADOG_HOST": datadog["api_host"],
    }


def _print(request: pytest.FixtureRequest, text: str) -> None:
    """Print a measurement, which depends on the machine and is not asserted."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{text}")
