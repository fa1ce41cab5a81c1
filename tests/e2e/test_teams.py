"""
Several teams in one Airflow: a team's own incident DAG, a human approval, and a failure callback.

The only Slack connection is that of a team: every message must use it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from incident_sandbox import SandboxClient, SandboxServer
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.demo.processes import wait_until

from airflow_incident_provider.config import DEFAULT_WEBHOOK_CONN_ID
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER

from ..airflow_settings import LOW_IDLE_LOAD

pytestmark = pytest.mark.e2e

DAGS = Path(__file__).resolve().parents[2] / "dags"
SECRET = "teams-secret-0123456789"
BOT = "U0WARROOM01"
TABLE = {
    "version": 1,
    "rules": [{"name": "payments", "match": {"service": "pay"}, "dag": "payments_incident"}],
    "severity": {"rules": [{"name": "money", "match": {"service": "pay"}, "severity": "critical"}]},
}
PAYMENTS = """
from airflow_incident_provider.incident_dag import incident_dag

incident_dag(
    "payments_incident",
    slack_conn_id="slack_payments",
    routing={"defaults": {"responders": ["dana@acme.example"], "channel_prefix": "pay", "probes": ["dns"]}},
)
"""
NIGHTLY = """
from airflow.sdk import DAG, task

from airflow_incident_provider.notifications.war_room import WarRoomNotifier

notifier = WarRoomNotifier(members=["dana@acme.example"], slack_conn_id="slack_payments")
with DAG("nightly", schedule=None, on_failure_callback=notifier, default_args={"on_failure_callback": notifier}):

    @task
    def load():
        raise FileNotFoundError("orders.csv")

    load()
"""


@dataclass(frozen=True)
class Deployment:
    airflow: LocalAirflow
    control: SandboxClient

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        return self.airflow.api.xcom(dag_id, run_id, task_id)

    def rooms(self, prefix: str) -> list[dict[str, Any]]:
        found = self.control.state()["channels"]
        return [self.control.channel(each["id"]) for each in found if each["name"].startswith(prefix)]

    def scheduler_saw_end_of(self, task_id: str, run_id: str) -> bool:
        """Return whether the scheduler has noticed the end of a task's process.

        If the task is answered before that, which no person is fast enough to do, Airflow 3.3 fails it when it
        continues: "finished with state success, but the state attribute is queued".
        """
        log = (self.airflow.home.logs / "scheduler.log").read_text()
        ends = (line for line in log.splitlines() if "Received executor event with state success" in line)
        return any(f"task_id='{task_id}', run_id='{run_id}'" in line for line in ends)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, what=what, timeout=120, while_running=[])


def replies(room: dict[str, Any]) -> list[str]:
    return [json.dumps(reply["blocks"]) for message in room["messages"] for reply in message["replies"]]


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, migrated_home: Callable[[Path], Path]
) -> Iterator[Deployment]:
    project = tmp_path_factory.mktemp("teams")
    dags = project / "dags"
    dags.mkdir()
    for file in ("incident_response.py", "incident_update.py"):
        shutil.copy(DAGS / file, dags)
    (dags / "payments.py").write_text(PAYMENTS)
    (dags / "nightly.py").write_text(NIGHTLY)
    example = (DAGS / "examples/approved_remediation.py").read_text()
    # The example uses the default connection, which does not exist here.
    adapted = example.replace(
        "CreateWarRoomOperator(\n", 'CreateWarRoomOperator(\n        slack_conn_id="slack_payments",\n'
    )
    adapted = adapted.replace(
        "PostThreadUpdateOperator(\n", 'PostThreadUpdateOperator(\n        slack_conn_id="slack_payments",\n'
    )
    (dags / "approved_remediation.py").write_text(adapted)
    (project / "routing.json").write_text(json.dumps(TABLE))
    with SandboxServer() as slack:
        connections = {
            "slack_payments": {
                "conn_type": "slack",
                "password": slack.token,
                "extra": json.dumps({"base_url": slack.slack_base_url}),
            },
            DEFAULT_WEBHOOK_CONN_ID: {"conn_type": "generic", "password": SECRET},
        }
        environment = {
            **LOW_IDLE_LOAD,
            "AIRFLOW__INCIDENT__ROUTING_TABLE": str(project / "routing.json"),
            "DOCKER_HOST": f"unix://{project}/no-engine.sock",
        }
        home = migrated_home(project / "airflow")
        with LocalAirflow(home, dags, connections=connections, environment=environment) as airflow:
            for dag_id in ("payments_incident", "incident_update", "nightly", "approved_remediation"):
                airflow.wait_for_dag(dag_id)
            airflow.warm_up()
            yield Deployment(airflow, SandboxClient(slack.url))


def test_alert_is_handled_by_team_dag(deployment: Deployment) -> None:
    api, headers = deployment.airflow.api, {SECRET_HEADER: SECRET}
    health = httpx.get(f"{deployment.airflow.url}/incidents/health", timeout=30).json()
    assert {check["name"] for check in health["checks"] if check["ok"]} >= {"DAG payments_incident"}
    sent = {"title": "Payments hang", "services": ["pay"], "severity": "medium", "id": "PAY-7"}
    answer = httpx.post(
        f"{deployment.airflow.url}/incidents/webhook/generic", json=sent, headers=headers, timeout=30
    ).json()
    assert answer["decision"] == "open", answer
    assert api.wait_for_run("payments_incident", answer["run_id"])["state"] == "success"
    incident = deployment.xcom("payments_incident", answer["run_id"], "parse_incident_event")
    assert (incident["key"], incident["severity"]) == (answer["incident"], "critical")
    [room] = deployment.rooms("pay-")
    assert set(room["members"]) == {BOT, "U0DANAREYES"}

    again = httpx.post(
        f"{deployment.airflow.url}/incidents/webhook/generic", json=sent, headers=headers, timeout=30
    )
    assert again.json()["decision"] == "duplicate"

    # The DAG of all teams posts later changes, with the team's connection.
    close_request = {"incident_key": answer["incident"], "close_request": {"closing": "resolve"}}
    run_id = api.trigger("incident_update", close_request)["dag_run_id"]
    assert api.wait_for_run("incident_update", run_id)["state"] == "success"
    [room] = deployment.rooms("pay-")
    user = deployment.airflow.credentials[0]
    assert [m for m in room["messages"] if m["text"].startswith("Resolved at") and f"by {user}" in m["text"]]
    assert " · resolved · " in room["topic"]


@pytest.mark.parametrize(
    ("option", "expected", "restarted"),
    [("Approve", "Approved by", "success"), ("Reject", "Not approved: nothing was changed.", "skipped")],
)
def test_human_approval_is_posted_in_room(
    deployment: Deployment, option: str, expected: str, restarted: str
) -> None:
    api, dag_id = deployment.airflow.api, "approved_remediation"
    run_id = api.trigger(dag_id, {"service": f"checkout-{option.lower()}"})["dag_run_id"]

    def states() -> dict[str, str]:
        return {task["task_id"]: task["state"] for task in api.task_instances(dag_id, run_id)}

    deployment.wait_until(lambda: states()["may_we_restart"] == "awaiting_input", "Airflow to ask")
    [room] = deployment.rooms(f"restart-checkout-{option.lower()}")
    [question] = replies(room)
    assert f"Restart checkout-{option.lower()}?" in question
    deployment.wait_until(
        lambda: deployment.scheduler_saw_end_of("may_we_restart", run_id),
        "the scheduler to notice the waiting task",
    )
    api.answer(dag_id, run_id, "may_we_restart", option)
    assert api.wait_for_run(dag_id, run_id)["state"] == "success"
    assert states()["restart"] == restarted, api.logs(dag_id, run_id, "may_we_restart")
    [room] = deployment.rooms(f"restart-checkout-{option.lower()}")
    answer = replies(room)[-1]
    assert expected in answer
    if option == "Approve":
        assert f"{expected} {deployment.airflow.credentials[0]}: checkout-approve was restarted." in answer


def test_failure_callbacks_of_task_and_dag_share_one_room(deployment: Deployment) -> None:
    api = deployment.airflow.api
    run_id = api.trigger("nightly")["dag_run_id"]
    assert api.wait_for_run("nightly", run_id)["state"] == "failed"

    def posted() -> list[str]:
        rooms = deployment.rooms("dag-nightly-")
        return sorted(reply for room in rooms for reply in replies(room))

    deployment.wait_until(lambda: len(posted()) == 2, "both callbacks to have posted")
    [room] = deployment.rooms("dag-nightly-")
    assert set(room["members"]) == {BOT, "U0DANAREYES"}
    task_failure, run_failure = sorted(posted(), key=lambda text: "The run failed" in text)
    assert "FileNotFoundError" in task_failure
    assert "|Log>" in task_failure
    assert "The run failed" in run_failure
