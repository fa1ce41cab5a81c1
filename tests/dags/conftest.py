"""DAG runs in this process with ``dag.test()``, a sandbox and, by default, no Docker Engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import SandboxClient

from airflow_incident_provider.models import Finding, Incident, IncidentSummary, WarRoom

from ..dag_runs import run_dag_file

BOT = "U0WARROOM01"
WORST_FIRST = ("failed", "upstream_failed", "success", "skipped")


@dataclass(frozen=True)
class Run:
    """The result of a run: its state, the states and tries of its tasks, their XComs and the log."""

    run_id: str
    state: str
    states: dict[str, str]
    tries: dict[str, int]
    xcoms: dict[tuple[str, int, str], Any]
    log: str = field(repr=False)

    def xcom(self, task_id: str, map_index: int = -1) -> Any:
        """Return the return value of a task, or ``None``."""
        return self.xcoms.get((task_id, map_index, "return_value"))

    @property
    def incident(self) -> Incident:
        return Incident.model_validate(self.xcom("parse_incident_event"))

    @property
    def room(self) -> WarRoom:
        return WarRoom.model_validate(self.xcom("create_war_room"))

    @property
    def summary(self) -> IncidentSummary:
        return IncidentSummary.model_validate(self.xcom("final_summary"))

    @property
    def findings(self) -> list[Finding]:
        found = (
            value for (task, _, key), value in self.xcoms.items() if (task, key) == ("investigate", "return_value")
        )
        return [Finding.model_validate(value) for value in found]


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Point the Docker client to a missing socket: probes end as unknown immediately."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")


@pytest.fixture
def example_routing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the example routing table; its responders exist in the workspace."""
    table = files("airflow_incident_provider.intake").joinpath("routing.example.yaml")
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(table))


@pytest.fixture
def use_routing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[dict[str, Any]], None]:
    """Return a function that sets the routing table."""

    def write(table: dict[str, Any]) -> None:
        (tmp_path / "routing.yaml").write_text(json.dumps({"version": 1, **table}), encoding="utf-8")
        monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "routing.yaml"))

    return write


@pytest.fixture
def run_dag(airflow_home: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Run]]:
    """Return a function that runs a DAG of this repository to its end and returns the result."""

    def run(conf: dict[str, Any] | None = None, *, file: str = "incident_response.py", **options: Any) -> Run:
        capfd.readouterr()
        dag_run = run_dag_file(file, conf, **options)
        return _read_run(dag_run, "".join(capfd.readouterr()))

    return run


def _read_run(dag_run: Any, log: str) -> Run:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    instances = dag_run.get_task_instances()
    states: dict[str, str] = {}
    for state in reversed(WORST_FIRST):
        states |= {each.task_id: state for each in instances if each.state == state}
    with create_session() as session:
        rows = session.query(XComModel).filter(XComModel.run_id == dag_run.run_id).all()
        xcoms = {(row.task_id, row.map_index, row.key): XComModel.deserialize_value(row) for row in rows}
    tries = {each.task_id: each.try_number for each in instances}
    return Run(dag_run.run_id, str(dag_run.state), states, tries, xcoms, log)


@pytest.fixture
def posted_messages(control: SandboxClient) -> Callable[[str], list[dict[str, Any]]]:
    """Return a function that lists the messages of the app in a channel and its threads, in order."""

    def posted_messages(channel: str) -> list[dict[str, Any]]:
        top = control.channel(channel)["messages"]
        messages = [*top, *(reply for each in top for reply in each["replies"])]
        own = [each for each in messages if each["user"] == BOT and each.get("subtype") is None]
        return sorted(own, key=lambda each: each["ts"])

    return posted_messages


@pytest.fixture
def room_names(control: SandboxClient) -> Callable[[], list[str]]:
    """Return a function that lists the names of the channels that the app created."""
    return lambda: [each["name"] for each in control.state()["channels"] if each["creator"] == BOT]
