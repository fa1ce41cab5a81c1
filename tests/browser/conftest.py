"""Fixtures of the browser tests: Chromium, and a running Airflow with a sandbox."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..airflow_settings import LOW_IDLE_LOAD

if TYPE_CHECKING:
    from incident_sandbox.demo.environment import DemoEnvironment
    from incident_sandbox.demo.local_airflow import LocalAirflow
    from playwright.sync_api import Browser

# Disable Chromium's own network traffic: updates, experiments, synchronization.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium. Without Chromium the tests are skipped; in CI they fail.

    The scope is the module because Playwright keeps an event loop running in this thread, where no DAG can run.
    """
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium on this machine")
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def incident_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoEnvironment]:
    from incident_sandbox.demo.environment import demo_environment

    with demo_environment(tmp_path_factory.mktemp("environment"), sandbox_port=0, progress=print) as environment:
        yield environment


@pytest.fixture(scope="session")
def incident_airflow(
    incident_environment: DemoEnvironment,
    tmp_path_factory: pytest.TempPathFactory,
    migrated_home: Callable[[Path], Path],
) -> Iterator[LocalAirflow]:
    from incident_sandbox.demo.local_airflow import LocalAirflow

    dags = Path(__file__).resolve().parents[2] / "dags"
    with LocalAirflow(
        migrated_home(tmp_path_factory.mktemp("airflow")),
        dags,
        connections=incident_environment.connections,
        environment={**incident_environment.environment, **LOW_IDLE_LOAD},
    ) as airflow:
        airflow.wait_for_dag("incident_response")
        airflow.warm_up()
        yield airflow
