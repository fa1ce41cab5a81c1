"""The factory of incident DAGs for teams, compared with the DAG of this repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import SandboxClient

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.incident_dag import incident_dag

from ..dag_runs import DAGS
from .conftest import Run

TEAM_FILE = "examples/payments_team.py"
DAG_FILE = """
from airflow_incident_provider.incident_dag import incident_dag

incident_dag({dag_id!r}{more})
"""


def parse_dag(path: Path) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(path))
    assert bag.import_errors == {}
    [dag] = bag.dags.values()
    return dag


def serialize_dag(dag: Any) -> dict[str, Any]:
    """Return a serialized DAG without its ID, documentation and location."""
    from airflow.serialization.serialized_objects import DagSerialization

    data: dict[str, Any] = json.loads(json.dumps(DagSerialization.to_dict(dag), default=str))["dag"]
    for name in ("dag_id", "doc_md", "fileloc", "relative_fileloc", "_processor_dags_folder"):
        data.pop(name, None)
    return data


@pytest.fixture
def create_dag(tmp_path: Path, airflow_home: Path) -> Callable[..., Any]:
    """Return a function that creates a DAG with these arguments of the factory."""

    def create_dag(dag_id: str = "incident_response", more: str = "") -> Any:
        path = tmp_path / "team.py"
        path.write_text(DAG_FILE.format(dag_id=dag_id, more=more), encoding="utf-8")
        return parse_dag(path)

    return create_dag


def test_factory_creates_the_dag_of_the_repository(create_dag: Callable[..., Any]) -> None:
    assert serialize_dag(create_dag()) == serialize_dag(parse_dag(DAGS / "incident_response.py"))


def test_factory_arguments(create_dag: Callable[..., Any]) -> None:
    dag = create_dag(
        "payments",
        ", owner='pay', slack_conn_id='slack_pay', slack_pool='pay_slack', tags=['money'],"
        " routing='/etc/pay.yaml', default_args={'retries': 7}, max_active_runs=5",
    )
    assert (dag.dag_id, dag.tags, dag.max_active_runs) == ("payments", {"incident", "money"}, 5)
    assert {task.owner for task in dag.tasks} == {"pay"}
    assert dag.get_task("parse_incident_event").routing_table == "/etc/pay.yaml"
    assert dag.get_task("plan_investigation").retries == 7
    to_slack = [task for task in dag.tasks if hasattr(task, "slack_conn_id")]
    assert {(task.slack_conn_id, task.pool) for task in to_slack} == {("slack_pay", "pay_slack")}
    assert len(to_slack) == 5


def test_fileloc_is_the_file_of_the_team(create_dag: Callable[..., Any], tmp_path: Path) -> None:
    assert create_dag().fileloc == str(tmp_path / "team.py")


@pytest.mark.parametrize(
    ("routing", "message"),
    [
        ({"defaults": {"responder": ["dana@acme.example"]}}, "did you mean responders?"),
        ({"rules": [{"name": "r", "match": {}, "dag": "two words"}]}, "'two words' is not a DAG id"),
        ({"severity": {"rules": [{"name": "r", "match": {}, "severity": "bad"}]}}, "'bad' is not a severity"),
        ({"severity": {"rules": [{"name": "r", "mach": {}, "severity": "low"}]}}, "did you mean match?"),
    ],
)
def test_invalid_routing_table_is_an_error(routing: dict[str, Any], message: str) -> None:
    with pytest.raises(RoutingTableError, match=message.replace("?", r"\?")):
        incident_dag("wrong", routing=routing)


def test_team_dag_uses_routing_of_the_team(
    run_dag: Callable[..., Run],
    connect: Callable[..., Any],
    control: SandboxClient,
    room_names: Callable[[], list[str]],
    example_routing: None,
) -> None:
    connect()
    conf = {"title": "The ledger does not balance", "severity": "low", "services": ["ledger"], "id": "PAY-1"}
    run = run_dag(conf, file=TEAM_FILE)
    assert run.state == "success", run.log
    [name] = room_names()
    assert name.startswith("pay-")
    assert run.incident.severity == "critical"
    assert "critical by the routing table's rule 'money cannot'" in {flag.note for flag in run.incident.flags}
    assert run.incident.responders == ("dana@acme.example", "@platform-oncall")
    assert {each.user.id for each in run.room.invited} == {"U0DANAREYES", "U0ZOEMS0001"}
    assert {finding.probe for finding in run.findings} == {"control", "http"}
    assert run.summary.outcome == "degraded"
    # Updates use this connection.
    assert run.xcom("setup_slack_integration")["conn_id"] == "slack_api_default"


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_finding_of_custom_probe_is_posted(
    run_dag: Callable[..., Run],
    connect: Callable[..., Any],
    room_names: Callable[[], list[str]],
    posted_messages: Callable[[str], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DOCKER_HOST")
    connect()
    run = run_dag({"title": "Reports are old", "id": "DWH-1"}, file="examples/own_probe.py")
    assert run.state == "success", run.log
    assert run.xcom("replication_lag")["verdict"] == "fail"
    [name] = room_names()
    assert name.startswith("dwh-")
    blocks = [json.dumps(each["blocks"]) for each in posted_messages(name)]
    assert sum("the replica is 97 s behind" in text for text in blocks) == 2, (
        "once as a finding, once in the summary"
    )
    assert run.xcom("final_summary")["findings"]["fail"] == 1
    assert {task for task, state in run.states.items() if state != "success"} == set()
