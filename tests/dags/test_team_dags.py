"""The factory: a team's DAG is the DAG of this repository with the team's own choices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import SandboxClient

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.incident_dag import incident_dag

from ..dag_runs import DAGS  # noqa: TID252 - tests are no package  # isort: skip
from .conftest import Run  # isort: skip

TEAM_FILE = "examples/payments_team.py"
PLAIN = """
from airflow_incident_provider.incident_dag import incident_dag

incident_dag({dag_id!r}{more})
"""


def parsed(path: Path) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(path))
    assert bag.import_errors == {}
    [dag] = bag.dags.values()
    return dag


def serialized(dag: Any) -> dict[str, Any]:
    """Return a DAG as Airflow stores it, without what names it and where it comes from."""
    from airflow.serialization.serialized_objects import DagSerialization

    data: dict[str, Any] = json.loads(json.dumps(DagSerialization.to_dict(dag), default=str))["dag"]
    for name in ("dag_id", "doc_md", "fileloc", "relative_fileloc", "_processor_dags_folder"):
        data.pop(name, None)
    return data


@pytest.fixture
def made(tmp_path: Path, airflow_home: Path) -> Callable[..., Any]:
    """Return the DAG that a file with these arguments of the factory makes."""

    def made(dag_id: str = "incident_response", more: str = "") -> Any:
        path = tmp_path / "team.py"
        path.write_text(PLAIN.format(dag_id=dag_id, more=more), encoding="utf-8")
        return parsed(path)

    return made


def test_the_written_out_dag_and_the_factory_are_twins(made: Callable[..., Any]) -> None:
    assert serialized(made()) == serialized(parsed(DAGS / "incident_response.py"))


def test_a_team_chooses(made: Callable[..., Any]) -> None:
    dag = made(
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


def test_a_team_s_dag_is_where_the_team_wrote_it(made: Callable[..., Any], tmp_path: Path) -> None:
    assert made().fileloc == str(tmp_path / "team.py")


@pytest.mark.parametrize(
    ("routing", "message"),
    [
        ({"defaults": {"responder": ["dana@acme.example"]}}, "did you mean responders?"),
        ({"rules": [{"name": "r", "match": {}, "dag": "two words"}]}, "'two words' is not a DAG id"),
        ({"severity": {"rules": [{"name": "r", "match": {}, "severity": "bad"}]}}, "'bad' is not a severity"),
        ({"severity": {"rules": [{"name": "r", "mach": {}, "severity": "low"}]}}, "did you mean match?"),
    ],
)
def test_a_table_that_is_wrong_is_an_import_error(routing: dict[str, Any], message: str) -> None:
    with pytest.raises(RoutingTableError, match=message.replace("?", r"\?")):
        incident_dag("wrong", routing=routing)


def test_a_team_s_incident_goes_the_team_s_way(
    run_dag: Callable[..., Run],
    connect: Callable[..., Any],
    control: SandboxClient,
    rooms: Callable[[], list[str]],
    example_routing: None,
) -> None:
    connect()
    conf = {"title": "The ledger does not balance", "severity": "low", "services": ["ledger"], "id": "PAY-1"}
    run = run_dag(conf, file=TEAM_FILE)
    assert run.state == "success", run.log
    [name] = rooms()
    assert name.startswith("pay-")
    assert run.incident.severity == "critical"
    assert "critical by the routing table's rule 'money cannot'" in {flag.note for flag in run.incident.flags}
    assert run.incident.responders == ("dana@acme.example", "@platform-oncall")
    assert {each.user.id for each in run.room.invited} == {"U0DANAREYES", "U0ZOEMS0001"}
    assert {finding.probe for finding in run.findings} == {"control", "http"}
    assert run.summary.outcome == "degraded"
    # Updates go by it, which no file of the team's makes.
    assert run.value("setup_slack_integration")["conn_id"] == "slack_api_default"


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_a_custom_probe_is_posted_under_the_brief(
    run_dag: Callable[..., Run],
    connect: Callable[..., Any],
    rooms: Callable[[], list[str]],
    posted: Callable[[str], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DOCKER_HOST")
    connect()
    run = run_dag({"title": "Reports are old", "id": "DWH-1"}, file="examples/own_probe.py")
    assert run.state == "success", run.log
    assert run.value("replication_lag")["verdict"] == "fail"
    [name] = rooms()
    assert name.startswith("dwh-")
    blocks = [json.dumps(each["blocks"]) for each in posted(name)]
    assert sum("the replica is 97 s behind" in text for text in blocks) == 2, "once as found, once in the summary"
    assert run.value("final_summary")["findings"]["fail"] == 1
    assert {task for task, state in run.states.items() if state != "success"} == set()
