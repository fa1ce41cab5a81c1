"""The interactive room: buttons, forms and /incident, from the sandbox through Airflow back into the room."""

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

from ..whole_airflow import LOW_IDLE_LOAD  # noqa: TID252 - tests are no package  # isort: skip

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
class Site:
    """An Airflow and the Slack that it talks to."""

    airflow: LocalAirflow
    slack: SandboxServer

    def report(self, title: str, severity: str = "high", users: Sequence[str] = ()) -> str:
        answer = httpx.post(
            f"{self.airflow.url}/incidents/webhook/generic",
            json={"title": title, "severity": severity, "id": title, "users": list(users)},
            headers={SECRET_HEADER: SECRET},
            timeout=30,
        )
        key = str(answer.raise_for_status().json()["incident"])
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
        """Use a button or menu of a message; of the brief by default."""
        channel = self.room(title)
        used = {
            "user_id": user,
            "channel_id": channel["id"],
            "ts": ts or self.brief(title)["ts"],
            "action_id": action,
            "option": option,
        }
        # On a busy machine Slack may stop waiting; the action takes effect all the same.
        assert self.slack_post("/sandbox/actions", used)["delivery"] in ("ok", "operation_timeout")

    def command(self, title: str, text: str, *, user: str = ALICE) -> str:
        """Send a slash command and return the reply that only this person sees."""
        channel = self.room(title)
        typed = {"user_id": user, "channel_id": channel["id"], "command": "/incident", "text": text}
        before = len(channel["ephemerals"])
        for _ in range(5):
            self.slack_post("/sandbox/commands", typed)
            replies = self.room(title)["ephemerals"][before:]
            if replies and replies[-1]["text"] != NOT_CONFIRMED:
                break
        return str(replies[-1]["text"])

    def submit(self, user: str, values: dict[str, str]) -> dict[str, str]:
        """Fill in the form that is open for a person; return its errors."""

        def opened() -> Any:
            views = self.slack_get(f"/sandbox/views?user_id={user}")
            return views[-1] if views else None

        wait_until(lambda: opened() is not None, timeout=60, what="a form")
        submitted = self.slack_post(f"/sandbox/views/{opened()['id']}/submit", {"user_id": user, "values": values})
        return dict(submitted["errors"])

    def eventually_says(self, title: str, *texts: str) -> None:
        """Wait until the room, its threads included, holds every text."""

        def says() -> bool:
            room = json.dumps(self.room(title), ensure_ascii=False)
            return all(text in room for text in texts)

        wait_until(says, timeout=60, what=f"{texts} in the room")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, migrated_home: Callable[[Path], Path]) -> Iterator[Site]:
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
            yield Site(airflow, slack)


def test_take_command_change_severity_post_an_update_and_resolve(site: Site) -> None:
    title = "Search returns nothing"
    site.report(title)
    site.press(title, "incident.lead")
    site.eventually_says(title, f"*Lead* <@{ALICE}>")

    site.press(title, "incident.menu", option="severity")
    assert site.submit(ALICE, {"value": "critical"}) == {}
    site.eventually_says(title, "Severity high → critical", "CRITICAL: Search returns nothing")

    site.press(title, "incident.update")
    assert site.submit(ALICE, {"value": "We roll back <!channel>", "next": "15"}) == {}
    site.eventually_says(title, "We roll back &lt;!channel&gt;", "next update by")

    site.press(title, "incident.resolve")
    assert site.submit(ALICE, {}) == {}
    site.eventually_says(title, "Resolved at", f"by <@{ALICE}>", "incident.reopen")
    site.press(title, "incident.reopen")
    site.eventually_says(title, "Reopened")


def test_commands_reply_and_hand_over(site: Site) -> None:
    title = "Login fails"
    site.report(title)
    assert "/incident lead" in site.command(title, "help")
    site.command(title, f"lead <@{DANA}|dana.reyes>")
    site.eventually_says(title, f"*Lead* <@{DANA}>")
    assert "is no command" in site.command(title, "explode")
    site.command(title, "item Alert on failed logins")
    site.eventually_says(title, "Alert on failed logins")
    site.command(title, "invite @sre-oncall")
    wait_until(lambda: PRIYA in site.room(title)["members"], timeout=60, what="the invited group")


def test_a_suggested_person_is_invited_with_a_button(site: Site) -> None:
    title = "Labels are missing"
    site.report(title, users=["Chris"])
    button = re.search(r"incident\.invite\.(U\w+)", json.dumps(site.brief(title)["blocks"]))
    assert button is not None, "two people have this name: both are suggested"
    site.press(title, button.group())
    wait_until(lambda: button.group(1) in site.room(title)["members"], timeout=60, what="the suggested person")
    wait_until(
        lambda: button.group() not in json.dumps(site.brief(title)["blocks"]), timeout=60, what="the new brief"
    )


def test_findings_are_rated_and_counted_by_check(site: Site) -> None:
    title = "Images are broken"
    site.report(title)
    [findings] = [
        reply
        for message in site.room(title)["messages"]
        for reply in message["replies"]
        if "incident.useful" in json.dumps(reply["blocks"])
    ]
    site.press(title, "incident.useful", ts=findings["ts"])
    site.press(title, "incident.not_useful", ts=findings["ts"], user=DANA)
    feedback = json.loads(airflow_incident(site, "report", "--output", "json"))["feedback"]
    assert list(feedback.values()) == [{"useful": 1, "not_useful": 1}], feedback


def test_a_stranger_is_refused(site: Site) -> None:
    title = "Carts are empty"
    site.report(title)
    assert "Only members" in site.command(title, "lead", user=PRIYA)
    assert "*Lead* nobody yet" in json.dumps(site.brief(title)["blocks"])


def test_double_clicks_post_one_change(site: Site) -> None:
    title = "Mail is late"
    site.report(title)
    with ThreadPoolExecutor(3) as clicks:
        # All at once: the button disappears with the first of them.
        for click in [clicks.submit(site.press, title, "incident.lead") for _ in range(3)]:
            click.result()
    site.eventually_says(title, f"Commander: none → <@{ALICE}>")
    posted = [reply for message in site.room(title)["messages"] for reply in message["replies"]]
    assert sum("Commander: none" in json.dumps(reply["blocks"]) for reply in posted) == 1


def test_reminders_come_until_somebody_leads(site: Site) -> None:
    title = "Payments are declined"
    site.report(title, severity="critical")
    site.eventually_says(title, "Nobody leads this critical incident", "Who takes command?")
    site.press(title, "incident.lead")
    site.eventually_says(title, f"*Lead* <@{ALICE}>")


def test_an_incident_that_nobody_alerted_on_is_reminded_of_and_commanded_too(site: Site) -> None:
    title = "Refunds hang"
    conf = {"title": title, "severity": "critical"}
    site.airflow.api.trigger("incident_response", conf, run_id="manual__refunds")
    site.airflow.api.wait_for_run("incident_response", "manual__refunds")
    site.eventually_says(title, "Nobody leads this critical incident")
    assert "is now incident commander" in site.command(title, "lead")


def airflow_incident(site: Site, *words: str) -> str:
    """Run a command on this machine's Airflow and return what it prints."""
    done = subprocess.run(
        airflow_command("incident", *words),
        env=site.airflow.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_command_line_acts_drafts_and_reports(site: Site) -> None:
    title = "Exports fail"
    key = site.report(title)
    assert "is now incident commander" in airflow_incident(site, "lead", key, "--as", "Robin Kay")
    site.eventually_says(title, "*Lead* Robin Kay")
    user, password = site.airflow.credentials
    api = AirflowApi(site.airflow.url, username=user, password=password)
    assert api.act(key, "severity low")["outcome"] == "applied"
    site.eventually_says(title, "Severity high → low")
    draft = airflow_incident(site, "postmortem", key)
    assert "# Postmortem draft: Exports fail" in draft
    assert "Robin Kay took or handed over command" in draft
    assert "The draft is a canvas" in airflow_incident(site, "postmortem", key, "--share")
    assert "Robin Kay took or handed over command" in site.room(title)["canvas"]["markdown"]
    times = json.loads(airflow_incident(site, "report", "--output", "json"))
    assert times["response_times"][0]["group"] == "all"


def test_without_a_public_address_interactions_arrive_over_a_websocket(site: Site, tmp_path: Path) -> None:
    title = "Wish lists are empty"
    site.report(title)
    # Slack could not reach the API server.
    site.slack.connect_app("http://127.0.0.1:1")
    ready = tmp_path / "ready"
    process = subprocess.Popen(
        airflow_command("incident", "socket", "--ready-file", str(ready)),
        env=site.airflow.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(ready.exists, timeout=60, what="a connection to Slack")
        site.press(title, "incident.lead")
        site.eventually_says(title, f"*Lead* <@{ALICE}>")
        assert "critical" in site.command(title, "severity critical")
        site.eventually_says(title, "Severity high → critical")
        site.slack_post("/sandbox/sockets/drop", {})
        wait_until(lambda: bool(site.slack.workspace.sockets.open), timeout=60, what="another connection")
        assert "Only members" in site.command(title, "resolve", user=PRIYA)
        process.terminate()
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        site.slack.connect_app(site.airflow.url)
    assert (process.returncode, ready.exists()) == (0, False), printed
    assert APP_LEVEL_TOKEN not in printed


def test_a_request_that_slack_did_not_sign_does_nothing(site: Site) -> None:
    response = httpx.post(f"{site.airflow.url}/incidents/slack/actions", data={"payload": "{}"})
    assert response.status_code == 401
