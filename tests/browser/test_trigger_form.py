"""Airflow's trigger form of the incident DAG."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from incident_sandbox.demo.environment import DemoEnvironment
    from incident_sandbox.demo.local_airflow import LocalAirflow
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.e2e]

DAG_ID = "incident_response"


@pytest.fixture
def page(browser: Browser, incident_airflow: LocalAirflow) -> Page:
    """Airflow's UI after the login."""
    page = browser.new_page(viewport={"width": 1280, "height": 1200})
    user, password = incident_airflow.credentials
    page.goto(incident_airflow.url)
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.get_by_role("button", name=re.compile("sign in|log in", re.IGNORECASE)).click()
    page.wait_for_url(f"{incident_airflow.url}/")
    return page


@pytest.fixture
def form(page: Page, incident_airflow: LocalAirflow) -> Locator:
    """The open trigger form."""
    page.goto(f"{incident_airflow.url}/dags/{DAG_ID}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog").filter(has_text=f"Trigger Dag - {DAG_ID}")
    form.wait_for()
    return form


def open_section(form: Locator, title: str) -> None:
    form.get_by_role("button", name=title, exact=True).click()


def test_fields_have_titles_help_and_choices(form: Locator) -> None:
    form.get_by_text("What people see, in a few words.").wait_for()
    for title in ("Title", "Severity", "People", "Description"):
        assert form.get_by_text(title, exact=True).first.is_visible(), title
    choices = form.locator("#list_element_severity option, #list_severity option").all()
    assert [choice.get_attribute("value") for choice in choices] == ["critical", "high", "medium", "low"]
    open_section(form, "More")
    form.get_by_text("Reports with the same ID share one room.").wait_for()
    for title in ("Started", "Services", "Targets", "Private room"):
        assert form.get_by_text(title, exact=True).first.is_visible(), title


def test_submitted_form_opens_room(
    page: Page, form: Locator, incident_airflow: LocalAirflow, incident_environment: DemoEnvironment
) -> None:
    form.locator("#element_title").fill("Payments are <slow> & failing")
    form.locator("#element_severity").fill("P1")
    form.locator("#element_users").fill("dana@acme.example\nJosé García")
    form.get_by_test_id("trigger-dag-submit").click()
    page.wait_for_url(re.compile(rf"/dags/{DAG_ID}/runs/"))

    [run_id] = re.findall(r"/runs/([^/?]+)", page.url)
    run = incident_airflow.api.wait_for_run(DAG_ID, run_id)
    room: dict[str, Any] = incident_airflow.api.xcom(DAG_ID, run_id, "create_war_room")

    assert run["state"] == "success"
    assert re.fullmatch(r"inc-\d{8}-payments-are-slow-failing-\d{6}", room["channel_name"])
    assert {invitation["user"]["real_name"] for invitation in room["invited"]} == {"Dana Reyes", "José García"}
    page.goto(f"{incident_environment.sandbox.url}/#{room['channel_id']}")
    brief = page.locator(".message", has_text="updates itself")
    brief.get_by_text("Payments are <slow> & failing").first.wait_for()
    assert "CRITICAL" in brief.inner_text()
    assert page.get_by_text("sandbox", exact=False).first.is_visible()


def test_invalid_fields_are_ignored_and_flagged(page: Page, form: Locator, incident_airflow: LocalAirflow) -> None:
    form.locator("#element_title").fill("Payments are slow")
    form.locator("#element_severity").fill("purple")
    open_section(form, "More")
    form.locator("#element_targets").fill("not a url !!\nftp://x/y")
    form.get_by_test_id("trigger-dag-submit").click()
    page.wait_for_url(re.compile(rf"/dags/{DAG_ID}/runs/"))

    [run_id] = re.findall(r"/runs/([^/?]+)", page.url)
    assert incident_airflow.api.wait_for_run(DAG_ID, run_id)["state"] == "success"
    incident: dict[str, Any] = incident_airflow.api.xcom(DAG_ID, run_id, "parse_incident_event")
    assert incident["severity"] == "high"
    assert [flag["value"] for flag in incident["flags"] if flag["note"].startswith("left out")] == [
        "purple",
        "not a url !!",
        "ftp://x/y",
    ]
