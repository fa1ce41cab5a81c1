"""The cached member directory: fetched by its DAG within Slack's rate limits, and used to look up names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from incident_sandbox import Fault, SandboxClient, SandboxServer
from incident_sandbox.population import crowd
from incident_sandbox.workspace import Workspace

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.operators import RefreshSlackDirectoryOperator, ResolveSlackUsersOperator
from airflow_incident_provider.slack import directory_cache

from .conftest import Run

FILE = "slack_directory_refresh.py"
MEMBER_COUNT = 50_000


class FakeTime:
    """Replaces the module ``time`` and the clock of the sandbox; sleeping returns immediately."""

    def __init__(self) -> None:
        self.now = time.time()
        self.slept = 0.0

    def __call__(self) -> float:
        return self.now

    monotonic = __call__

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake_time = FakeTime()
    monkeypatch.setattr(directory_cache, "time", fake_time)
    return fake_time


@pytest.fixture
def slack(fake_time: FakeTime) -> Iterator[SandboxServer]:
    """A workspace with 50,000 members and Slack's rate limits."""
    with SandboxServer(Workspace(clock=fake_time)) as server:
        server.workspace.add_people(crowd(MEMBER_COUNT))
        server.workspace.settings.rate_limits = True
        yield server


def context() -> dict[str, Any]:
    class TaskInstance:
        id, task_id, try_number, max_tries = "1", "refresh", 1, 0

        def xcom_push(self, key: str, value: Any) -> None:
            """Store nothing."""

        def xcom_pull(self, **_: Any) -> None:
            """Return ``None``."""

    return {"ti": TaskInstance(), "dag_run": None, "params": {}}


def list_calls(control: SandboxClient) -> list[dict[str, Any]]:
    return control.calls("users.list")


def test_large_directory_is_fetched_within_rate_limits(
    connect: Callable[..., Any], control: SandboxClient, fake_time: FakeTime, directory_cache_folder: None
) -> None:
    connect()
    value = RefreshSlackDirectoryOperator(task_id="refresh").execute(context())
    member_count = len(control.state(everybody=True)["people"])
    assert (value["members"], value["team"]) == (member_count, "Acme Retail")
    assert member_count > MEMBER_COUNT
    calls = list_calls(control)
    assert len(calls) == -(-member_count // 999)
    assert {call["outcome"] for call in calls} == {"ok"}
    assert 100 < fake_time.slept < 180
    # Looking up a name uses the cached directory.
    found = ResolveSlackUsersOperator(task_id="resolve", users=["José García", "zofia.yilmaz.49999"]).execute(
        context()
    )
    assert found["resolutions"][0]["outcome"] == "resolved"
    assert len(list_calls(control)) == len(calls)


def test_rate_limited_refresh_waits_for_retry_after(
    connect: Callable[..., Any], control: SandboxClient, fake_time: FakeTime, directory_cache_folder: None
) -> None:
    connect()
    control.add_fault(Fault(method="users.list", nth=5, times=3, status=429, headers={"retry-after": "30"}))
    value = RefreshSlackDirectoryOperator(task_id="refresh").execute(context())
    assert value["members"] > MEMBER_COUNT
    assert fake_time.slept >= 90


def test_failed_refresh_keeps_cached_directory(
    connect: Callable[..., Any],
    control: SandboxClient,
    slack: SandboxServer,
    directory_cache_folder: None,
    tmp_path: Path,
) -> None:
    connect()
    RefreshSlackDirectoryOperator(task_id="refresh").execute(context())
    [file] = (tmp_path / "directory").iterdir()
    before = file.read_bytes()
    control.add_fault(Fault(method="users.list", nth=3, times=None, status=429, headers={"retry-after": "30"}))
    with pytest.raises(SlackUnavailableError, match="limited the rate"):
        RefreshSlackDirectoryOperator(task_id="refresh").execute(context())
    assert file.read_bytes() == before


def test_missing_scope_is_reported(
    connect: Callable[..., Any], control: SandboxClient, directory_cache_folder: None
) -> None:
    connect(token=control.add_token("less", scopes=["chat:write"]))
    with pytest.raises(AirflowFailException, match="users:read"):
        RefreshSlackDirectoryOperator(task_id="refresh").execute(context())


class TestDag:
    """The DAG with the default workspace, which has a single page of members."""

    @pytest.fixture
    def slack(self, running_slack: SandboxServer) -> SandboxServer:
        running_slack.workspace.reset()
        return running_slack

    def test_dag_stores_directory(
        self, run_dag: Callable[..., Run], connect: Callable[..., Any], control: SandboxClient, tmp_path: Path
    ) -> None:
        connect()
        run = run_dag(file=FILE)
        assert run.state == "success", run.log
        assert run.xcom("refresh_directory")["members"] == len(control.state(everybody=True)["people"])
        [file] = (tmp_path / "directory").iterdir()
        assert file.stat().st_mode & 0o077 == 0

    def test_without_connection_task_is_skipped(self, run_dag: Callable[..., Run], control: SandboxClient) -> None:
        run = run_dag(file=FILE)
        assert (run.state, run.states["refresh_directory"], control.calls()) == ("success", "skipped", [])
