"""The incidents page in a real browser: what it draws, and, in a real Airflow, for whom."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from fastapi import FastAPI, Response

if TYPE_CHECKING:
    from incident_sandbox.demo.local_airflow import LocalAirflow
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="document.title=1"> & <b>bold</b>'
PHONE_WIDTH = 390
ROOM = "https://acme.slack.com/archives/C1"


def entry(**fields: Any) -> dict[str, Any]:
    known = {
        "key": "dd.1.2",
        "title": "Checkout 5xx ratio above 2%",
        "severity": "critical",
        "state": "open",
        "is_open": True,
        "followed": True,
        "services": ["checkout"],
        "env": "prod",
        "opened_at": (datetime.now(UTC) - timedelta(minutes=12)).isoformat(),
        "dag_id": "incident_response",
        "run_id": "r1",
        "run_state": "success",
        "run_url": "/dags/incident_response/runs/r1",
        "room_name": "inc-1",
        "room_url": ROOM,
        "time_to_room_ms": 2100,
        "findings": {"fail": 1, "warn": 1, "ok": 3},
    }
    return {**known, **fields}


class Stand:
    """The page over HTTP with a list of our own in place of Airflow's."""

    def __init__(self) -> None:
        self.incidents: list[dict[str, Any]] = []
        self.dag_ids = ["incident_response"]
        self.status = 200
        self.url = ""

    def app(self) -> FastAPI:
        from airflow_incident_provider.plugins.incidents_page import routes

        app = FastAPI()
        app.get("/incidents/")(routes.page)
        app.get("/incidents/static/{name}")(routes.asset)

        @app.get("/incidents/api/incidents")
        def incidents(response: Response) -> dict[str, Any]:
            response.status_code = self.status
            read = [routes.Incident.model_validate(incident) for incident in self.incidents]
            listed = routes.Incidents(incidents=read, now=datetime.now(UTC), dag_ids=self.dag_ids)
            return listed.model_dump(mode="json") if self.status == 200 else {"error": "No."}

        return app


@pytest.fixture
def stand() -> Iterator[Stand]:
    import uvicorn

    stand = Stand()
    server = uvicorn.Server(uvicorn.Config(stand.app(), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    stand.url = f"http://127.0.0.1:{port}/incidents/"
    yield stand
    server.should_exit = True
    thread.join()


@pytest.fixture
def complaints() -> list[str]:
    """Everything that the browser complained of, and every request that left the server."""
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(10_000)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda r: None if "://127.0.0.1:" in r.url else complaints.append(r.url))
    yield page
    page.close()


def test_an_incident_at_a_glance(page: Page, stand: Stand, complaints: list[str]) -> None:
    known = "the service answers 503 while name, network and TLS work"
    stand.incidents = [entry(known=known, times=3, alerts=2, reopened=1, commander="Alice Ng", storm=True)]
    page.goto(stand.url)
    card = page.locator(".card")
    card.wait_for()

    assert card.locator("h3").inner_text() == "Checkout 5xx ratio above 2%"
    assert card.locator(".severity").inner_text() == "Critical"
    assert card.locator(".state").inner_text() == "open"
    assert card.locator(".known").text_content() == known
    assert card.locator(".chip").all_inner_texts() == ["1 failing", "1 warning", "3 fine", "storm"]
    told = "12 min ago · room after 2.1 s · 3 times · 2 alerts · opened again once · commander Alice Ng"
    assert told in card.locator(".facts").inner_text()
    room = card.get_by_role("link", name="#inc-1")
    assert (room.get_attribute("href"), room.get_attribute("target")) == (ROOM, "_blank")
    run = card.get_by_role("link", name="Airflow run").get_attribute("href")
    assert run is not None
    assert run.endswith("/dags/incident_response/runs/r1")
    assert complaints == []


def test_open_ones_come_before_those_that_are_over(page: Page, stand: Stand) -> None:
    over = {"is_open": False, "state": "resolved", "ended_at": datetime.now(UTC).isoformat()}
    stand.incidents = [entry(key="b", title="Over", **over), entry(key="a", title="Burning")]
    page.goto(stand.url)
    page.locator(".card").first.wait_for()

    assert page.locator("h2").all_inner_texts() == ["Open 1", "Recent 1"]
    assert page.locator("h3").all_inner_texts() == ["Burning", "Over"]
    assert "over since" in page.locator(".card.over").inner_text()


def test_hostile_text_and_addresses_do_nothing(page: Page, stand: Stand, complaints: list[str]) -> None:
    script = "javascript:document.title=1"
    stand.incidents = [
        entry(title=HOSTILE, services=[HOSTILE], env=HOSTILE, commander=HOSTILE, known=HOSTILE, room_url=script)
    ]
    page.goto(stand.url)
    card = page.locator(".card")
    card.wait_for()

    assert card.locator("h3").inner_text() == HOSTILE
    assert card.locator("img, b").count() == 0
    assert [link.inner_text() for link in card.locator("a").all()] == ["Airflow run"]
    assert page.title() == "Incidents"
    assert complaints == []


def test_what_changes_appears_and_what_does_not_stays(page: Page, stand: Stand) -> None:
    stand.incidents = [entry(run_state="running", findings={})]
    page.goto(stand.url)
    page.get_by_text("under way").wait_for()
    first = page.locator(".card").element_handle()
    page.get_by_role("link", name="#inc-1").focus()
    with page.expect_response(re.compile("api/incidents")):
        pass
    assert first.is_visible()
    assert page.evaluate("document.querySelector('#incidents').shadowRoot.activeElement.textContent") == "#inc-1"

    stand.incidents = [entry(), entry(key="new", title="Another one")]
    page.get_by_text("Another one").wait_for()
    assert page.get_by_text("under way").count() == 0


def test_a_server_that_is_away_leaves_the_list_and_says_so(page: Page, stand: Stand) -> None:
    stand.incidents = [entry()]
    page.goto(stand.url)
    page.locator(".card").wait_for()
    stand.status = 503
    page.get_by_text("Not up to date: the server answered 503").wait_for()

    assert page.locator(".card").count() == 1
    stand.status = 200
    page.get_by_text("updates itself").wait_for()


def test_an_empty_page_says_how_to_make_a_first_incident(page: Page, stand: Stand) -> None:
    page.goto(stand.url)
    page.get_by_role("heading", name="No incidents yet").wait_for()

    assert "airflow dags trigger incident_response --conf" in page.locator("pre").inner_text()
    assert page.get_by_role("link", name="incident_response").is_visible()


def test_without_a_dag_it_says_which_is_missing(page: Page, stand: Stand) -> None:
    stand.dag_ids = []
    page.goto(stand.url)
    page.get_by_role("heading", name="No incident DAG yet").wait_for()

    assert "dags/incident_response.py" in page.locator(".notice").inner_text()


def test_a_phone_shows_all_of_it_without_scrolling_sideways(page: Page, stand: Stand) -> None:
    stand.incidents = [entry(title="x" * 300, room_name="inc-" + "y" * 76, services=["z" * 100], known="w" * 200)]
    page.set_viewport_size({"width": PHONE_WIDTH, "height": 844})
    page.goto(stand.url)
    page.locator(".card").wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH


def sign_in(page: Page, airflow: LocalAirflow) -> None:
    user, password = airflow.credentials
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.get_by_role("button", name=re.compile("sign in|log in", re.IGNORECASE)).click()


def without_a_role(airflow: LocalAirflow) -> str:
    """Return a token of the administrator as it would be if the role were taken away."""
    user, password = airflow.credentials
    answer = httpx.post(
        f"{airflow.url}/auth/token", json={"username": user, "password": password}, trust_env=False, timeout=30
    )
    token = answer.json()["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    algorithm = jwt.get_unverified_header(token)["alg"]
    secret = airflow.environment["AIRFLOW__API_AUTH__JWT_SECRET"]
    return jwt.encode({**claims, "role": None}, secret, algorithm=algorithm)


@pytest.mark.e2e
def test_an_incident_is_found_through_airflow_s_menu(
    page: Page, incident_airflow: LocalAirflow, complaints: list[str]
) -> None:
    title = "Payments are <slow> & failing"
    conf = {"title": title, "severity": "high", "services": ["payments"], "id": "page-1"}
    page.goto(incident_airflow.url)
    sign_in(page, incident_airflow)
    # The first page of a fresh Airflow takes long to draw, and complains until somebody has signed in.
    page.get_by_role("link", name="Incidents").click(timeout=60_000)
    complaints.clear()
    page.get_by_role("heading", name="Incidents", exact=True).wait_for()
    run_id = incident_airflow.api.trigger("incident_response", conf)["dag_run_id"]
    card = page.locator(".card").filter(has=page.get_by_role("heading", name=title, exact=True))
    card.wait_for(timeout=60_000)
    incident_airflow.api.wait_for_run("incident_response", run_id)

    card.get_by_role("link", name=re.compile("^#inc-")).wait_for()
    assert "High" in card.inner_text()
    assert "room after" in card.inner_text()
    card.get_by_role("link", name="Airflow run").click()
    page.wait_for_url(re.compile(r"/dags/incident_response/runs/"))
    assert complaints == []


@pytest.mark.e2e
def test_whoever_is_not_signed_in_sees_nothing_until_they_are(page: Page, incident_airflow: LocalAirflow) -> None:
    page.goto(f"{incident_airflow.url}/incidents/")
    page.get_by_role("heading", name="You are not signed in").wait_for()
    assert page.locator(".card").count() == 0

    page.get_by_role("link", name="Sign in to Airflow").click()
    sign_in(page, incident_airflow)
    page.wait_for_url(f"{incident_airflow.url}/incidents/")
    page.get_by_text("updates itself").wait_for()


@pytest.mark.e2e
def test_whoever_has_no_right_sees_why(page: Page, incident_airflow: LocalAirflow) -> None:
    page.context.add_cookies(
        [{"name": "_token", "value": without_a_role(incident_airflow), "url": incident_airflow.url}]
    )
    page.goto(f"{incident_airflow.url}/incidents/")
    page.get_by_role("heading", name="You may not see incidents").wait_for()

    assert page.locator(".card").count() == 0
    assert "You may not read the runs" in page.locator(".notice").inner_text()


@pytest.mark.e2e
def test_the_json_has_airflow_s_own_authentication(incident_airflow: LocalAirflow) -> None:
    address = f"{incident_airflow.url}/incidents/api/incidents"
    user, password = incident_airflow.credentials
    with httpx.Client(trust_env=False, timeout=30) as client:
        login = client.post(f"{incident_airflow.url}/auth/token", json={"username": user, "password": password})
        tokens = {200: login.json()["access_token"], 403: without_a_role(incident_airflow)}
        answers = {
            status: client.get(address, headers={"Authorization": f"Bearer {token}"})
            for status, token in tokens.items()
        }
        nobody, forged = client.get(address), client.get(address, headers={"Authorization": "Bearer x.y.z"})

    assert {status: answer.status_code for status, answer in answers.items()} == {200: 200, 403: 403}
    assert (nobody.status_code, forged.status_code) == (401, 403)
    assert all("incidents" not in answer.json() for answer in (nobody, forged, answers[403]))
    assert "incident_response" in answers[200].json()["dag_ids"]
    assert answers[200].headers["cache-control"] == "no-store"
