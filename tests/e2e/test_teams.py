"""
Several teams in one whole Airflow: an alert goes its team's way, a person approves, a failing DAG calls people.

Teams have a Slack connection of their own, and there is no other: every later message must use theirs.
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

from ..whole_airflow import LOW_IDLE_LOAD  # noqa: TID252 - tests are no package  # isort: skip

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
class Teams:
    airflow: LocalAirflow
    control: SandboxClient

    def value(self, dag_id: str, run_id: str, task_id: str) -> Any:
        return self.airflow.api.xcom(dag_id, run_id, task_id)

    def rooms(self, prefix: str) -> list[dict[str, Any]]:
        found = self.control.state()["channels"]
        return [self.control.channel(each["id"]) for each in found if each["name"].startswith(prefix)]

    def saw_end_of(self, task_id: str, run_id: str) -> bool:
        """Return whether the scheduler has seen a task's process end.

        No person answers sooner. Airflow 3.3 takes an answer that does come before for the end of the task that
        goes on with it, and fails that: "finished with state success, but the state attribute is queued".
        """
        log = (self.airflow.home.logs / "scheduler.log").read_text()
        ends = (line for line in log.splitlines() if "Received executor event with state success" in line)
        return any(f"task_id='{task_id}', run_id='{run_id}'" in line for line in ends)

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        wait_until(holds, what=what, timeout=120, while_running=[])


def replies(room: dict[str, Any]) -> list[str]:
    return [json.dumps(reply["blocks"]) for message in room["messages"] for reply in message["replies"]]


@pytest.fixture(scope="module")
def teams(tmp_path_factory: pytest.TempPathFactory, migrated_home: Callable[[Path], Path]) -> Iterator[Teams]:
    project = tmp_path_factory.mktemp("teams")
    dags = project / "dags"
    dags.mkdir()
    for file in ("incident_response.py", "incident_update.py"):
        shutil.copy(DAGS / file, dags)
    (dags / "payments.py").write_text(PAYMENTS)
    (dags / "nightly.py").write_text(NIGHTLY)
    example = (DAGS / "examples/approved_remediation.py").read_text()
    # The example is written for the default connection, which this Airflow does not have.
    own = example.replace(
        "CreateWarRoomOperator(\n", 'CreateWarRoomOperator(\n        slack_conn_id="slack_payments",\n'
    )
    own = own.replace(
        "PostThreadUpdateOperator(\n", 'PostThreadUpdateOperator(\n        slack_conn_id="slack_payments",\n'
    )
    (dags / "approved_remediation.py").write_text(own)
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
            yield Teams(airflow, SandboxClient(slack.url))


def test_an_alert_goes_the_way_of_its_team_to_the_end(teams: Teams) -> None:
    api, headers = teams.airflow.api, {SECRET_HEADER: SECRET}
    health = httpx.get(f"{teams.airflow.url}/incidents/health", timeout=30).json()
    assert {check["name"] for check in health["checks"] if check["ok"]} >= {"DAG payments_incident"}
    sent = {"title": "Payments hang", "services": ["pay"], "severity": "medium", "id": "PAY-7"}
    answer = httpx.post(
        f"{teams.airflow.url}/incidents/webhook/generic", json=sent, headers=headers, timeout=30
    ).json()
    assert answer["decision"] == "open", answer
    assert api.wait_for_run("payments_incident", answer["run_id"])["state"] == "success"
    incident = teams.value("payments_incident", answer["run_id"], "parse_incident_event")
    assert (incident["key"], incident["severity"]) == (answer["incident"], "critical")
    [room] = teams.rooms("pay-")
    assert set(room["members"]) == {BOT, "U0DANAREYES"}

    again = httpx.post(f"{teams.airflow.url}/incidents/webhook/generic", json=sent, headers=headers, timeout=30)
    assert again.json()["decision"] == "duplicate"

    # Later changes are posted by the DAG for all teams, over the team's own connection.
    asked = {"incident_key": answer["incident"], "close_request": {"closing": "resolve"}}
    run_id = api.trigger("incident_update", asked)["dag_run_id"]
    assert api.wait_for_run("incident_update", run_id)["state"] == "success"
    [room] = teams.rooms("pay-")
    who = teams.airflow.credentials[0]
    assert [m for m in room["messages"] if m["text"].startswith("Resolved at") and f"by {who}" in m["text"]]
    assert " · resolved · " in room["topic"]


@pytest.mark.parametrize(
    ("option", "said", "restarted"),
    [("Approve", "Approved by", "success"), ("Reject", "Not approved: nothing was changed.", "skipped")],
)
def test_a_person_answers_and_the_room_gets_the_answer(
    teams: Teams, option: str, said: str, restarted: str
) -> None:
    api, dag_id = teams.airflow.api, "approved_remediation"
    run_id = api.trigger(dag_id, {"service": f"checkout-{option.lower()}"})["dag_run_id"]

    def states() -> dict[str, str]:
        return {task["task_id"]: task["state"] for task in api.task_instances(dag_id, run_id)}

    teams.wait_until(lambda: states()["may_we_restart"] == "awaiting_input", "Airflow to ask")
    [room] = teams.rooms(f"restart-checkout-{option.lower()}")
    [question] = replies(room)
    assert f"Restart checkout-{option.lower()}?" in question
    teams.wait_until(lambda: teams.saw_end_of("may_we_restart", run_id), "the scheduler to see that the task waits")
    api.answer(dag_id, run_id, "may_we_restart", option)
    assert api.wait_for_run(dag_id, run_id)["state"] == "success"
    assert states()["restart"] == restarted, api.logs(dag_id, run_id, "may_we_restart")
    [room] = teams.rooms(f"restart-checkout-{option.lower()}")
    answer = replies(room)[-1]
    assert said in answer
    if option == "Approve":
        assert f"{said} {teams.airflow.credentials[0]}: checkout-approve was restarted." in answer


def test_a_dag_that_fails_calls_people_from_the_task_and_from_the_dag_processor(teams: Teams) -> None:
    api = teams.airflow.api
    run_id = api.trigger("nightly")["dag_run_id"]
    assert api.wait_for_run("nightly", run_id)["state"] == "failed"

    def posted() -> list[str]:
        rooms = teams.rooms("dag-nightly-")
        return sorted(reply for room in rooms for reply in replies(room))

    teams.wait_until(lambda: len(posted()) == 2, "both callbacks to have posted")
    [room] = teams.rooms("dag-nightly-")
    assert set(room["members"]) == {BOT, "U0DANAREYES"}
    of_task, of_run = sorted(posted(), key=lambda text: "The run failed" in text)
    assert "FileNotFoundError" in of_task
    assert "|Log>" in of_task
    assert "The run failed" in of_run
