"""The directory of members at hand: fetched by its DAG, at Slack's pace, and found by those who look names up."""

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

from .conftest import Run  # isort: skip

FILE = "slack_directory_refresh.py"
MANY = 50_000


class Time:
    """Stands for the module ``time``: sleeping takes none, and the sandbox's clock goes by it too."""

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
def ours(monkeypatch: pytest.MonkeyPatch) -> Time:
    ours = Time()
    monkeypatch.setattr(directory_cache, "time", ours)
    return ours


@pytest.fixture
def slack(ours: Time) -> Iterator[SandboxServer]:
    """A workspace of 50,000 people that grants what Slack grants, and not one call more."""
    with SandboxServer(Workspace(clock=ours)) as server:
        server.workspace.add_people(crowd(MANY))
        server.workspace.settings.rate_limits = True
        yield server


def context() -> dict[str, Any]:
    class TaskInstance:
        id, task_id, try_number, max_tries = "1", "refresh", 1, 0

        def xcom_push(self, key: str, value: Any) -> None:
            """Keep nothing."""

        def xcom_pull(self, **_: Any) -> None:
            """Know nothing."""

    return {"ti": TaskInstance(), "dag_run": None, "params": {}}


def listed(control: SandboxClient) -> list[dict[str, Any]]:
    return control.calls("users.list")


def test_fifty_thousand_are_fetched_without_a_refusal(
    connect: Callable[..., Any], control: SandboxClient, ours: Time, own_directory: None
) -> None:
    connect()
    value = RefreshSlackDirectoryOperator(task_id="refresh").execute(context())
    there = len(control.state(everybody=True)["people"])
    assert (value["members"], value["team"]) == (there, "Acme Retail")
    assert there > MANY
    calls = listed(control)
    assert len(calls) == -(-there // 999)
    assert {call["outcome"] for call in calls} == {"ok"}
    assert 100 < ours.slept < 180
    # Nobody who looks a name up asks for the members again.
    found = ResolveSlackUsersOperator(task_id="who", users=["José García", "zofia.yilmaz.49999"]).execute(context())
    assert found["resolutions"][0]["outcome"] == "resolved"
    assert len(listed(control)) == len(calls)


def test_when_others_use_the_limit_up_it_waits_as_long_as_slack_says(
    connect: Callable[..., Any], control: SandboxClient, ours: Time, own_directory: None
) -> None:
    connect()
    control.add_fault(Fault(method="users.list", nth=5, times=3, status=429, headers={"retry-after": "30"}))
    value = RefreshSlackDirectoryOperator(task_id="refresh").execute(context())
    assert value["members"] > MANY
    assert ours.slept >= 90


def test_what_was_fetched_stays_when_slack_refuses_for_good(
    connect: Callable[..., Any], control: SandboxClient, slack: SandboxServer, own_directory: None, tmp_path: Path
) -> None:
    connect()
    RefreshSlackDirectoryOperator(task_id="refresh").execute(context())
    [file] = (tmp_path / "directory").iterdir()
    before = file.read_bytes()
    control.add_fault(Fault(method="users.list", nth=3, times=None, status=429, headers={"retry-after": "30"}))
    with pytest.raises(SlackUnavailableError, match="limited the rate"):
        RefreshSlackDirectoryOperator(task_id="refresh").execute(context())
    assert file.read_bytes() == before


def test_the_scope_that_an_app_lacks_to_list_members_is_named(
    connect: Callable[..., Any], control: SandboxClient, own_directory: None
) -> None:
    connect(token=control.add_token("less", scopes=["chat:write"]))
    with pytest.raises(AirflowFailException, match="users:read"):
        RefreshSlackDirectoryOperator(task_id="refresh").execute(context())


class TestTheDag:
    """In the workspace as it is planted: a single page."""

    @pytest.fixture
    def slack(self, running_slack: SandboxServer) -> SandboxServer:
        running_slack.workspace.reset()
        return running_slack

    def test_it_runs(
        self, run_dag: Callable[..., Run], connect: Callable[..., Any], control: SandboxClient, tmp_path: Path
    ) -> None:
        connect()
        run = run_dag(file=FILE)
        assert run.state == "success", run.log
        assert run.value("refresh_directory")["members"] == len(control.state(everybody=True)["people"])
        [file] = (tmp_path / "directory").iterdir()
        assert file.stat().st_mode & 0o077 == 0

    def test_without_a_connection_it_is_skipped(self, run_dag: Callable[..., Run], control: SandboxClient) -> None:
        run = run_dag(file=FILE)
        assert (run.state, run.states["refresh_directory"], control.calls()) == ("success", "skipped", [])
