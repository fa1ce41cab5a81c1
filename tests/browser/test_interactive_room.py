"""The interactive room in a browser: on the sandbox's page by keyboard, and on the incidents page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from incident_sandbox.demo.environment import DemoEnvironment
    from incident_sandbox.demo.local_airflow import LocalAirflow
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.e2e]

TITLE = "Checkout shows an error page"
TIMEOUT_MS = 90_000


@pytest.fixture(scope="module")
def room(incident_airflow: LocalAirflow, incident_environment: DemoEnvironment) -> dict[str, Any]:
    """The room of an incident after its summary, with the app connected for interactions."""
    incident_airflow.wait_for_dag("incident_update")
    incident_environment.sandbox.connect_app(incident_airflow.url)
    incident_environment.sandbox.workspace.interactivity.response_seconds = 60
    run = incident_airflow.api.trigger(
        "incident_response", {"title": TITLE, "severity": "high", "users": ["alice.ng@acme.example"]}
    )
    incident_airflow.api.wait_for_run("incident_response", run["dag_run_id"])
    war_room: dict[str, Any] = incident_airflow.api.xcom("incident_response", run["dag_run_id"], "create_war_room")
    incident = incident_airflow.api.xcom("incident_response", run["dag_run_id"], "parse_incident_event")
    return {**war_room, "key": incident["key"]}


@pytest.fixture
def slack(browser: Browser, incident_environment: DemoEnvironment, room: dict[str, Any]) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{incident_environment.sandbox.url}/#{room['channel_id']}")
    page.get_by_label("Act as").select_option(label="Alice Ng")
    yield page
    page.close()


def test_lead_severity_and_update_by_keyboard(slack: Page) -> None:
    slack.get_by_role("button", name="I'll lead").focus()
    slack.keyboard.press("Enter")
    slack.locator(".message", has_text="Lead").get_by_text("@Alice Ng").first.wait_for()

    slack.get_by_label("More actions").first.select_option(label="Change severity")
    dialog = slack.get_by_role("dialog")
    dialog.get_by_label("Severity").select_option(label="Critical")
    dialog.get_by_role("button", name="Save").focus()
    slack.keyboard.press("Enter")
    dialog.wait_for(state="hidden")
    slack.get_by_text(re.compile(f"CRITICAL: {TITLE}")).first.wait_for()

    slack.get_by_role("button", name="Update", exact=True).focus()
    slack.keyboard.press("Enter")
    dialog.get_by_label("What is new?").fill("We roll back")
    dialog.get_by_role("button", name="Post").focus()
    slack.keyboard.press("Enter")
    dialog.wait_for(state="hidden")
    slack.get_by_text("We roll back").first.wait_for()


def test_slash_command_shows_ephemeral_reply(slack: Page) -> None:
    slack.get_by_label("Command").fill("/incident help")
    slack.keyboard.press("Enter")
    slack.get_by_text("Only visible to you").first.wait_for()
    slack.get_by_text("/incident severity critical|high|medium|low").first.wait_for()


def test_actions_on_the_incidents_page(
    browser: Browser, incident_airflow: LocalAirflow, room: dict[str, Any], slack: Page
) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(TIMEOUT_MS)
    user, password = incident_airflow.credentials
    page.goto(incident_airflow.url)
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.get_by_role("button", name=re.compile("sign in|log in", re.IGNORECASE)).click()
    page.wait_for_url(f"{incident_airflow.url}/")
    page.goto(f"{incident_airflow.url}/incidents/?incident={room['key']}")
    page.get_by_label("Action", exact=True).select_option("severity")
    page.get_by_label("Details").fill("low")
    page.get_by_role("button", name="Act", exact=True).click()
    page.get_by_role("status").get_by_text("→ low").wait_for()
    slack.get_by_text(re.compile(f"LOW: {TITLE}")).first.wait_for()
    page.get_by_label("Action", exact=True).select_option("resolve")
    page.get_by_role("button", name="Act", exact=True).click()
    slack.get_by_text(re.compile("^Resolved at")).first.wait_for()
    page.close()
