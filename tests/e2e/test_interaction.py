"""The interactive room: buttons, forms and /incident commands, from the sandbox through Airflow to the room."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.demo.airflow_home import airflow_command
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.demo.processes import wait_until
from incident_sandbox.interactivity import SIGNING_SECRET
from incident_sandbox.seed import APP_LEVEL_TOKEN

from airflow_incident_provider.cli.airflow_api import AirflowApi
from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, DEFAULT_WEBHOOK_CONN_ID
from airflow_incident_provider.plugins.slack_requests.receiver import NOT_CONFIRMED
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER

from ..airflow_settings import LOW_IDLE_LOAD

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
SECRET = "interaction-secret-0123456789"
ALICE, DANA, PRIYA = "U0ALICENG01", "U0DANAREYES", "U0PRIYAIYER"
ROUTING = {
    "version": 1,
    "defaults": {"responders": ["alice.ng@acme.example", "dana@acme.example"], "probes": ["control"]},
    "reminders": {"critical": {"commander": "5s"}, "high": {}},
}


@dataclass
class Deployment:
    """A running Airflow and its Slack."""

    airflow: LocalAirflow
    slack: SandboxServer

    def report(self, title: str, severity: str = "high", users: Sequence[str] = ()) -> str:
        """Report an incident to the webhook, wait for its run, and return its key."""
        response = httpx.post(
            f"{self.airflow.url}/incidents/webhook/generic",
            json={"title": title, "severity": severity, "id": title, "users": list(users)},
            headers={SECRET_HEADER: SECRET},
            timeout=30,
        )
        key = str(response.raise_for_status().json()["incident"])
        self.airflow.api.wait_for_run("incident_response", key)
        return key

    def room(self, title: str) -> dict[str, Any]:
        """Return the room whose brief has this title."""
        for summary in self.slack_get("/sandbox/overview")["channels"]:
            if summary["name"].startswith("inc-") and not summary["is_archived"]:
                channel: dict[str, Any] = self.slack_get(f"/sandbox/channels/{summary['id']}")
                if any(title in json.dumps(message.get("blocks")) for message in channel["messages"]):
                    return channel
        raise AssertionError(f"no room for {title}")

    def brief(self, title: str) -> dict[str, Any]:
        channel = self.room(title)
        return next(m for m in channel["messages"] if m["ts"] in channel["pins"])

    def slack_get(self, path: str) -> Any:
        return httpx.get(f"{self.slack.url}{path}", timeout=60).json()

    def slack_post(self, path: str, body: dict[str, Any]) -> Any:
        response = httpx.post(f"{self.slack.url}{path}", json=body, timeout=60)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def press(
        self, title: str, action: str, *, user: str = ALICE, option: str | None = None, ts: str | None = None
    ) -> None:
        """Use a button or menu of a message, by default of the brief."""
        channel = self.room(title)
        action_request = {
            "user_id": user,
            "channel_id": channel["id"],
            "ts": ts or self.brief(title)["ts"],
            "action_id": action,
            "option": option,
        }
        # On a slow machine Slack may time out, but the action still takes effect.
        assert self.slack_post("/sandbox/actions", action_request)["delivery"] in ("ok", "operation_timeout")

    def command(self, title: str, text: str, *, user: str = ALICE) -> str:
        """Send a slash command and return the ephemeral reply."""
        channel = self.room(title)
        command_request = {"user_id": user, "channel_id": channel["id"], "command": "/incident", "text": text}
        before = len(channel["ephemerals"])
        for _ in range(5):
            self.slack_post("/sandbox/commands", command_request)
            replies = self.room(title)["ephemerals"][before:]
            if replies and replies[-1]["text"] != NOT_CONFIRMED:
                break
        return str(replies[-1]["text"])

    def submit(self, user: str, values: dict[str, str]) -> dict[str, str]:
        """Submit the form that is open for a user and return its errors."""

        def opened() -> Any:
            views = self.slack_get(f"/sandbox/views?user_id={user}")
            return views[-1] if views else None

        wait_until(lambda: opened() is not None, timeout=60, what="a form")
        submitted = self.slack_post(f"/sandbox/views/{opened()['id']}/submit", {"user_id": user, "values": values})
        return dict(submitted["errors"])

    def wait_for_texts(self, title: str, *texts: str) -> None:
        """Wait until the room or its threads contain every text."""

        def found() -> bool:
            room = json.dumps(self.room(title), ensure_ascii=False)
            return all(text in room for text in texts)

        wait_until(found, timeout=60, what=f"{texts} in the room")


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, migrated_home: Callable[[Path], Path]
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("interaction")
    (folder / "routing.json").write_text(json.dumps(ROUTING))
    with SandboxServer() as slack:
        extra = {
            "base_url": slack.slack_base_url,
            "signing_secret": SIGNING_SECRET,
            "app_token": APP_LEVEL_TOKEN,
        }
        connections = {
            DEFAULT_WEBHOOK_CONN_ID: {"conn_type": "generic", "password": SECRET},
            DEFAULT_SLACK_CONN_ID: {"conn_type": "slack", "password": slack.token, "extra": json.dumps(extra)},
        }
        environment = {
            **LOW_IDLE_LOAD,
            "AIRFLOW__INCIDENT__ROUTING_TABLE": str(folder / "routing.json"),
            "DOCKER_HOST": f"unix://{folder}/no-engine.sock",
        }
        with LocalAirflow(
            migrated_home(folder / "home"), ROOT / "dags", connections=connections, environment=environment
        ) as airflow:
            for dag_id in ("incident_response", "incident_update"):
                airflow.wait_for_dag(dag_id)
            airflow.warm_up()
            slack.connect_app(airflow.url)
            slack.workspace.interactivity.response_seconds = 60
            yield Deployment(airflow, slack)


def test_lead_severity_update_resolve_and_reopen(deployment: Deployment) -> None:
    title = "Search returns nothing"
    deployment.report(title)
    deployment.press(title, "incident.lead")
    deployment.wait_for_texts(title, f"*Lead* <@{ALICE}>")

    deployment.press(title, "incident.menu", option="severity")
    assert deployment.submit(ALICE, {"value": "critical"}) == {}
    deployment.wait_for_texts(title, "Severity high → critical", "CRITICAL: Search returns nothing")

    deployment.press(title, "incident.update")
    assert deployment.submit(ALICE, {"value": "We roll back <!channel>", "next": "15"}) == {}
    deployment.wait_for_texts(title, "We roll back &lt;!channel&gt;", "next update by")

    deployment.press(title, "incident.resolve")
    assert deployment.submit(ALICE, {}) == {}
    deployment.wait_for_texts(title, "Resolved at", f"by <@{ALICE}>", "incident.reopen")
    deployment.press(title, "incident.reopen")
    deployment.wait_for_texts(title, "Reopened")


def test_slash_commands(deployment: Deployment) -> None:
    title = "Login fails"
    deployment.report(title)
    assert "/incident lead" in deployment.command(title, "help")
    deployment.command(title, f"lead <@{DANA}|dana.reyes>")
    deployment.wait_for_texts(title, f"*Lead* <@{DANA}>")
    assert "is no command" in deployment.command(title, "explode")
    deployment.command(title, "item Alert on failed logins")
    deployment.wait_for_texts(title, "Alert on failed logins")
    deployment.command(title, "invite @sre-oncall")
    wait_until(lambda: PRIYA in deployment.room(title)["members"], timeout=60, what="the invited group")


def test_suggested_user_is_invited_with_button(deployment: Deployment) -> None:
    title = "Labels are missing"
    deployment.report(title, users=["Chris"])
    button = re.search(r"incident\.invite\.(U\w+)", json.dumps(deployment.brief(title)["blocks"]))
    assert button is not None, "two users have this name: both are suggested"
    deployment.press(title, button.group())
    wait_until(lambda: button.group(1) in deployment.room(title)["members"], timeout=60, what="the suggested user")
    wait_until(
        lambda: button.group() not in json.dumps(deployment.brief(title)["blocks"]),
        timeout=60,
        what="the new brief",
    )


def test_finding_feedback_is_counted_by_probe(deployment: Deployment) -> None:
    title = "Images are broken"
    deployment.report(title)
    [findings] = [
        reply
        for message in deployment.room(title)["messages"]
        for reply in message["replies"]
        if "incident.useful" in json.dumps(reply["blocks"])
    ]
    deployment.press(title, "incident.useful", ts=findings["ts"])
    deployment.press(title, "incident.not_useful", ts=findings["ts"], user=DANA)
    feedback = json.loads(airflow_incident(deployment, "report", "--output", "json"))["feedback"]
    assert list(feedback.values()) == [{"useful": 1, "not_useful": 1}], feedback


def test_action_of_non_member_is_rejected(deployment: Deployment) -> None:
    title = "Carts are empty"
    deployment.report(title)
    assert "Only members" in deployment.command(title, "lead", user=PRIYA)
    assert "*Lead* nobody yet" in json.dumps(deployment.brief(title)["blocks"])


def test_concurrent_clicks_post_one_change(deployment: Deployment) -> None:
    title = "Mail is late"
    deployment.report(title)
    with ThreadPoolExecutor(3) as clicks:
        # Concurrently: the button disappears after the first click.
        for click in [clicks.submit(deployment.press, title, "incident.lead") for _ in range(3)]:
            click.result()
    deployment.wait_for_texts(title, f"Commander: none → <@{ALICE}>")
    posted = [reply for message in deployment.room(title)["messages"] for reply in message["replies"]]
    assert sum("Commander: none" in json.dumps(reply["blocks"]) for reply in posted) == 1


def test_reminder_is_posted_without_commander(deployment: Deployment) -> None:
    title = "Payments are declined"
    deployment.report(title, severity="critical")
    deployment.wait_for_texts(title, "Nobody leads this critical incident", "Who takes command?")
    deployment.press(title, "incident.lead")
    deployment.wait_for_texts(title, f"*Lead* <@{ALICE}>")


def test_manual_incident_has_reminder_and_commander(deployment: Deployment) -> None:
    title = "Refunds hang"
    conf = {"title": title, "severity": "critical"}
    deployment.airflow.api.trigger("incident_response", conf, run_id="manual__refunds")
    deployment.airflow.api.wait_for_run("incident_response", "manual__refunds")
    deployment.wait_for_texts(title, "Nobody leads this critical incident")
    assert "is now incident commander" in deployment.command(title, "lead")


def airflow_incident(deployment: Deployment, *arguments: str) -> str:
    """Run a command in the environment of Airflow and return its output."""
    completed = subprocess.run(
        airflow_command("incident", *arguments),
        env=deployment.airflow.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def test_command_line_acts_drafts_and_reports(deployment: Deployment) -> None:
    title = "Exports fail"
    key = deployment.report(title)
    assert "is now incident commander" in airflow_incident(deployment, "lead", key, "--as", "Robin Kay")
    deployment.wait_for_texts(title, "*Lead* Robin Kay")
    user, password = deployment.airflow.credentials
    api = AirflowApi(deployment.airflow.url, username=user, password=password)
    assert api.act(key, "severity low")["outcome"] == "applied"
    deployment.wait_for_texts(title, "Severity high → low")
    draft = airflow_incident(deployment, "postmortem", key)
    assert "# Postmortem draft: Exports fail" in draft
    assert "Robin Kay took or handed over command" in draft
    assert "The draft is a canvas" in airflow_incident(deployment, "postmortem", key, "--share")
    assert "Robin Kay took or handed over command" in deployment.room(title)["canvas"]["markdown"]
    times = json.loads(airflow_incident(deployment, "report", "--output", "json"))
    assert times["response_times"][0]["group"] == "all"


def test_socket_mode_handles_interactions(deployment: Deployment, tmp_path: Path) -> None:
    title = "Wish lists are empty"
    deployment.report(title)
    # Slack cannot reach the API server.
    deployment.slack.connect_app("http://127.0.0.1:1")
    ready = tmp_path / "ready"
    process = subprocess.Popen(
        airflow_command("incident", "socket", "--ready-file", str(ready)),
        env=deployment.airflow.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(ready.exists, timeout=60, what="a connection to Slack")
        deployment.press(title, "incident.lead")
        deployment.wait_for_texts(title, f"*Lead* <@{ALICE}>")
        assert "critical" in deployment.command(title, "severity critical")
        deployment.wait_for_texts(title, "Severity high → critical")
        deployment.slack_post("/sandbox/sockets/drop", {})
        wait_until(lambda: bool(deployment.slack.workspace.sockets.open), timeout=60, what="another connection")
        assert "Only members" in deployment.command(title, "resolve", user=PRIYA)
        process.terminate()
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        deployment.slack.connect_app(deployment.airflow.url)
    assert (process.returncode, ready.exists()) == (0, False), output
    assert APP_LEVEL_TOKEN not in output


def test_unsigned_request_is_rejected(deployment: Deployment) -> None:
    response = httpx.post(f"{deployment.airflow.url}/incidents/slack/actions", data={"payload": "{}"})
    assert response.status_code == 401
