"""Events of a run in a running Airflow: in the log, in the pinned brief, and in Datadog."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient, SandboxServer
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.demo.processes import wait_until

from ..airflow_settings import LOW_IDLE_LOAD

pytestmark = pytest.mark.e2e

DAGS = Path(__file__).resolve().parents[2] / "dags"
INCIDENT = {"title": "Checkout is down", "severity": "critical", "services": ["checkout"], "id": "events-1"}
SECRET = "hunter2-in-an-error"
OTHER_DAGS = """
from airflow.sdk import dag, task


def failing(dag_id, tags):
    @dag(dag_id=dag_id, schedule=None, tags=tags)
    def failing_dag():
        @task
        def fails():
            raise ValueError("cannot connect with hunter2-in-an-error")

        fails()

    failing_dag()


failing("reported", ["incident"])
failing("not_reported", [])
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture(scope="module")
def airflow(
    sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory, migrated_home: Callable[[Path], Path]
) -> Iterator[LocalAirflow]:
    dags = tmp_path_factory.mktemp("dags")
    shutil.copy(DAGS / "incident_response.py", dags)
    (dags / "other_dags.py").write_text(textwrap.dedent(OTHER_DAGS))
    datadog = {"api_key": sandbox.workspace.datadog.api_key, "api_host": sandbox.datadog_url}
    connections: dict[str, dict[str, Any]] = {
        "slack_api_default": {
            "conn_type": "slack",
            "password": sandbox.token,
            "extra": json.dumps({"base_url": sandbox.slack_base_url}),
        },
        "datadog_default": {"conn_type": "datadog", "extra": json.dumps(datadog)},
    }
    # Probes are tested elsewhere.
    settings = {**LOW_IDLE_LOAD, "DOCKER_HOST": "tcp://127.0.0.1:9"}
    home = migrated_home(tmp_path_factory.mktemp("airflow"))
    with LocalAirflow(home, dags, connections=connections, environment=settings) as airflow:
        for dag_id in ("incident_response", "reported", "not_reported"):
            airflow.wait_for_dag(dag_id)
        airflow.warm_up()
        yield airflow


@pytest.fixture
def control(sandbox: SandboxServer) -> SandboxClient:
    sandbox.workspace.reset()
    return SandboxClient(sandbox.url)


def events_in(text: str) -> list[dict[str, Any]]:
    """Return the events in a log, in order."""
    found = re.findall(r'\{\\?"event\\?": \\?"(?:step|workflow)_.*?\}(?=[ "\n]|$)', text)
    return [json.loads(line.replace('\\"', '"')) for line in found]


def run_dag(airflow: LocalAirflow, dag_id: str, conf: dict[str, Any] | None = None) -> tuple[str, str]:
    """Run a DAG until the scheduler has reported its end; return the run's ID and state."""
    run_id = airflow.api.trigger(dag_id, conf)["dag_run_id"]
    state = airflow.api.wait_for_run(dag_id, run_id)["state"]
    if dag_id != "not_reported":
        wait_until(lambda: bool(run_events(airflow, run_id)), what="the end of the run to be reported", timeout=30)
    return run_id, state


def events_of(airflow: LocalAirflow, dag_id: str, run_id: str, task_id: str) -> list[dict[str, Any]]:
    """Return the events in a task's log. Wait for the last one: Airflow records the end before it is logged."""

    def events() -> list[dict[str, Any]]:
        return events_in(airflow.api.logs(dag_id, run_id, task_id))

    wait_until(lambda: len(events()) > 1, what=f"the end of {task_id} in its log", timeout=30)
    return events()


def run_events(airflow: LocalAirflow, run_id: str) -> list[dict[str, Any]]:
    events = events_in((airflow.home.logs / "scheduler.log").read_text())
    return [event for event in events if event["event"] == "workflow_complete" and event["run_id"] == run_id]


def test_each_step_is_reported_to_log_and_datadog(
    airflow: LocalAirflow, sandbox: SandboxServer, control: SandboxClient
) -> None:
    run_id, state = run_dag(airflow, "incident_response", INCIDENT)
    key = airflow.api.xcom("incident_response", run_id, "parse_incident_event")["key"]

    assert state == "success"
    for task_id in ("setup_slack_integration", "create_war_room", "final_summary"):
        started, ended = events_of(airflow, "incident_response", run_id, task_id)
        assert (started["event"], ended["event"]) == ("step_running", "step_complete")
        assert {started["key"], ended["key"]} == {key}
        assert (ended["step"], ended["state"]) == (task_id, "success")
        assert ended["duration_ms"] > 0
    _, parsed = events_in(airflow.api.logs("incident_response", run_id, "parse_incident_event"))
    assert parsed["key"] == key
    [_, probe] = events_in(airflow.api.logs("incident_response", run_id, "investigate", map_index=0))
    assert probe["map_index"] == 0

    [workflow] = run_events(airflow, run_id)
    room = airflow.api.xcom("incident_response", run_id, "final_summary")
    assert (workflow["key"], workflow["state"], workflow["severity"]) == (key, "success", "critical")
    assert workflow["time_to_room_ms"] == room["time_to_room_ms"]
    assert workflow["duration_ms"] > workflow["time_to_room_ms"]

    datadog = sandbox.workspace.datadog
    wait_until(
        lambda: any("the run is complete" in entry["title"] for entry in datadog.events.values()),
        what="the end to reach Datadog",
        timeout=30,
    )
    titles = {entry["title"] for entry in datadog.events.values()}
    assert f"Incident {key}: create_war_room is running" in titles
    assert f"Incident {key}: create_war_room is complete" in titles
    assert {entry["aggregation_key"] for entry in datadog.events.values() if key in entry["title"]} == {key}
    metrics = {series["metric"] for series in datadog.series}
    assert {"incident.step.duration", "incident.time_to_room", "incident.workflow.duration"} <= metrics


def test_brief_shows_open_steps(airflow: LocalAirflow, control: SandboxClient) -> None:
    run_dag(airflow, "incident_response", {**INCIDENT, "id": "events-2", "hosts": ["db.example"]})
    wait_until(lambda: steps(control)[-1] == "", what="a brief without open steps", timeout=30)
    seen = steps(control)

    assert any("room running" in line for line in seen)
    assert any("checks running" in line for line in seen)
    assert len(seen) < 12


def steps(control: SandboxClient) -> list[str]:
    """Return the line of open steps, or an empty string, of each version of the brief."""
    calls = [call for call in control.calls() if call["method"] in ("chat.postMessage", "chat.update")]
    briefs = [text for call in calls if "updates itself" in (text := json.dumps(call["args"], ensure_ascii=False))]
    lines = (re.search(r"⏳[^\\\n\"]*", brief) for brief in briefs)
    return [line.group() if line else "" for line in lines]


def test_failed_step_is_reported_without_error_message(airflow: LocalAirflow, sandbox: SandboxServer) -> None:
    run_id, state = run_dag(airflow, "reported")
    _, failed = events_of(airflow, "reported", run_id, "fails")

    assert state == "failed"
    assert (failed["event"], failed["state"], failed["error"]) == ("step_failed", "failed", "ValueError")
    assert "key" not in failed
    assert run_events(airflow, run_id)[0]["state"] == "failed"
    assert "incident.step.failed" in {series["metric"] for series in sandbox.workspace.datadog.series}
    assert SECRET not in json.dumps(list(sandbox.workspace.datadog.events.values()))


def test_dag_without_tag_is_not_reported(airflow: LocalAirflow) -> None:
    run_id, _ = run_dag(airflow, "not_reported")

    assert events_in(airflow.api.logs("not_reported", run_id, "fails")) == []


def test_failed_reporting_does_not_fail_the_run(airflow: LocalAirflow, control: SandboxClient) -> None:
    control.add_fault(Fault(method="datadog.series", status=500, body="<html>down</html>", times=None))
    # The first update is from the room, the second from the summary, the third reports the end of the run.
    control.add_fault(Fault(method="chat.update", nth=3, times=3, error="ratelimited"))
    started = time.monotonic()
    run_id, state = run_dag(airflow, "incident_response", {**INCIDENT, "id": "events-3"})

    assert state == "success"
    assert time.monotonic() - started < 60

    def log_contains(*texts: str) -> bool:
        log = airflow.api.logs("incident_response", run_id, "final_summary")
        return all(text in log for text in texts)

    # A task's process reports its end after Airflow has recorded it.
    wait_until(
        lambda: log_contains("Events were not sent to Datadog", "The brief was not refreshed"),
        what="the log to have both warnings",
        timeout=30,
    )
    problems = airflow.api.xcom("incident_response", run_id, "final_summary")["problems"]
    assert {problem["step"] for problem in problems} == {"investigate"}
