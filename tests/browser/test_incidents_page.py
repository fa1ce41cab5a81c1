"""The incidents page in a browser: its content and, in a running Airflow, its permissions."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from fastapi import FastAPI, Request, Response

if TYPE_CHECKING:
    from incident_sandbox.demo.local_airflow import LocalAirflow
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="document.title=1"> & <b>bold</b>'
PHONE_WIDTH = 390
ROOM = "https://acme.slack.com/archives/C1"


def entry(**fields: Any) -> dict[str, Any]:
    minutes_ago = (datetime.now(UTC) - timedelta(minutes=12)).isoformat()
    defaults = {
        "key": "dd.1.2",
        "title": "Checkout 5xx ratio above 2%",
        "severity": "critical",
        "state": "open",
        "is_open": True,
        "tracked": True,
        "services": ["checkout"],
        "teams": ["payments"],
        "env": "prod",
        "began_at": minutes_ago,
        "opened_at": minutes_ago,
        "updated_at": minutes_ago,
        "dag_id": "incident_response",
        "run_id": "r1",
        "run_state": "success",
        "run_url": "/dags/incident_response/runs/r1",
        "room_name": "inc-1",
        "room_url": ROOM,
        "findings": {"fail": 1, "warn": 1, "ok": 3},
    }
    return {**defaults, **fields}


def report(**fields: Any) -> dict[str, Any]:
    defaults = {
        "id": "r-1",
        "at": datetime.now(UTC).isoformat(),
        "source": "/incidents/webhook/datadog",
        "title": "Payments are slow",
        "reason": "severity: not a severity.",
    }
    return {**defaults, **fields}


class PageServer:
    """Serves the page with the incidents of the test instead of Airflow's."""

    def __init__(self) -> None:
        self.incidents: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.details: dict[str, dict[str, Any]] = {}
        self.times: list[dict[str, Any]] = []
        self.problems: dict[str, str] = {}
        self.dag_ids = ["incident_response"]
        self.status = 200
        self.url = ""

    def app(self) -> FastAPI:
        from airflow_incident_provider.plugins.incidents_page import routes
        from airflow_incident_provider.plugins.incidents_page.detail import IncidentDetail

        app = FastAPI()
        app.get("/incidents/")(routes.page)
        app.get("/incidents/static/{name}")(routes.asset)

        @app.get("/incidents/api/incidents")
        def incidents(response: Response) -> dict[str, Any]:
            response.status_code = self.status
            listed = routes.Incidents.model_validate(
                {
                    "incidents": self.incidents,
                    "reports": self.reports,
                    "response_times": self.times,
                    **self.problems,
                    "now": datetime.now(UTC),
                    "dag_ids": self.dag_ids,
                }
            )
            return listed.model_dump(mode="json") if self.status == 200 else {"error": "No."}

        @app.get("/incidents/api/incidents/{key}")
        def incident(key: str, response: Response) -> dict[str, Any]:
            found = next((one for one in self.incidents if one["key"] == key), None)
            if found is None:
                response.status_code = 404
                return {"error": "There is no such incident."}
            detail = {"incident": found, "now": datetime.now(UTC), **self.details.get(key, {})}
            return IncidentDetail.model_validate(detail).model_dump(mode="json")

        @app.post("/incidents/api/rejections/{report_id}/dismiss", status_code=204)
        def dismiss(report_id: str, request: Request) -> None:
            assert "x-requested-with" in request.headers
            self.reports = [one for one in self.reports if one["id"] != report_id]

        return app


@pytest.fixture
def page_server() -> Iterator[PageServer]:
    import uvicorn

    page_server = PageServer()
    server = uvicorn.Server(uvicorn.Config(page_server.app(), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    page_server.url = f"http://127.0.0.1:{port}/incidents/"
    yield page_server
    server.should_exit = True
    thread.join()


@pytest.fixture
def browser_errors() -> list[str]:
    """Collects the errors of the browser and the requests to other servers."""
    return []


@pytest.fixture
def page(browser: Browser, browser_errors: list[str]) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(10_000)
    page.on("console", lambda message: browser_errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: browser_errors.append(str(error)))
    page.on("request", lambda r: None if "://127.0.0.1:" in r.url else browser_errors.append(r.url))
    yield page
    page.close()


def rows(page: Page) -> Locator:
    return page.locator("tbody tr")


def focused_text(page: Page) -> Any:
    return page.evaluate("document.querySelector('#incidents').shadowRoot.activeElement?.textContent")


def test_row_shows_incident(page: Page, page_server: PageServer, browser_errors: list[str]) -> None:
    page_server.incidents = [entry(reopened=1, lead="Alice Ng", storm=True, outcome="degraded")]
    page.goto(page_server.url)
    row = page.get_by_role("row").filter(has_text="Checkout 5xx")
    row.wait_for()

    assert row.locator("th").inner_text() == "Checkout 5xx ratio above 2%storm"
    assert row.locator(".severity").inner_text() == "● Critical"
    assert row.locator(".status").inner_text() == "open (reopened)some steps failed"
    assert row.locator(".verdict").all_text_contents() == ["✖ 1 failing", "▲ 1 warning", "✓ 3 passing"]
    assert (row.locator(".service").inner_text(), row.locator(".lead").inner_text()) == (
        "checkout · prod",
        "Alice Ng",
    )
    room = row.get_by_role("link", name="Open the room of Checkout 5xx ratio above 2%")
    assert (room.get_attribute("href"), room.get_attribute("target")) == (ROOM, "_blank")
    assert page.locator(".counts").inner_text().startswith("1 open\n● 1 critical")
    assert page.title() == "(1) Incidents"
    assert browser_errors == []


@pytest.mark.parametrize(
    ("problems", "line"),
    [
        (
            {"update_problem": "incident_update <b>is paused</b>."},
            "Updates and recoveries wait: incident_update <b>is",
        ),
        ({"routing_problem": "it is invalid."}, "Routing table: it is invalid."),
        (
            {"routing_problem": "it is invalid.", "update_problem": "it is paused."},
            "Routing table: it is invalid. Updates and recoveries wait: it is paused.",
        ),
    ],
    ids=["updates", "routing", "both"],
)
def test_installation_problem_is_shown_until_solved(
    page: Page, page_server: PageServer, browser_errors: list[str], problems: dict[str, str], line: str
) -> None:
    page_server.incidents, page_server.problems = [entry()], problems
    page.goto(page_server.url)
    page.get_by_text(line).wait_for()

    page_server.problems = {}
    page.reload()
    rows(page).wait_for()
    assert not page.get_by_text(line).is_visible()
    assert browser_errors == []


def test_table_and_filters_are_accessible(page: Page, page_server: PageServer) -> None:
    page_server.incidents = [entry()]
    page.goto(page_server.url)
    rows(page).wait_for()

    table = page.get_by_role("table", name="Incidents, worst first")
    assert table.get_by_role("columnheader").count() == 9
    assert table.get_by_role("rowheader", name="Checkout 5xx ratio above 2%").is_visible()
    assert page.get_by_role("group", name="Status").get_by_role("button", pressed=True).inner_text() == "Open 1"
    for name in ("Severity", "Service", "Team", "Updated"):
        assert page.get_by_role("combobox", name=name).is_visible()


def test_response_time_chart_has_text_alternative(
    page: Page, page_server: PageServer, browser_errors: list[str]
) -> None:
    page_server.incidents = [entry()]
    page_server.times = [
        {"milestone": "room", "count": 9, "missing": 0, "median_s": 2.1, "p90_s": 30},
        {"milestone": "resolution", "count": 4, "missing": 5, "median_s": 1800, "p90_s": 7200},
        {"milestone": "command", "count": 0, "missing": 9, "median_s": None, "p90_s": None},
    ]
    page.goto(page_server.url)
    rows(page).wait_for()

    chart = page.get_by_role("img", name="Room: median 2 s, p90 30 s (n 9)")
    assert "Command: not recorded" in str(chart.get_attribute("aria-label"))
    widths = [float(str(bar.get_attribute("width"))) for bar in chart.locator("rect").all()]
    assert len(widths) == 2, "a milestone without data has no bar"
    assert 1 <= widths[0] < widths[1] <= 250
    assert browser_errors == []


def test_chart_is_hidden_without_response_times(page: Page, page_server: PageServer) -> None:
    page_server.incidents = [entry()]
    page.goto(page_server.url)
    rows(page).wait_for()
    assert not page.get_by_role("heading", name="Response times").is_visible()


def test_incident_without_findings_is_not_checked(page: Page, page_server: PageServer) -> None:
    page_server.incidents = [entry(findings={})]
    page.goto(page_server.url)
    rows(page).wait_for()

    assert rows(page).locator(".checks").inner_text() == "not checked"


def test_row_height_fits_twenty_rows_on_a_screen(page: Page, page_server: PageServer) -> None:
    page_server.incidents = [entry(key=f"k{n}", title=f"Incident {n}") for n in range(20)]
    page.goto(page_server.url)
    rows(page).nth(19).wait_for()

    assert rows(page).first.bounding_box()["height"] <= 44  # type: ignore[index]


def test_incidents_that_need_attention_are_first(page: Page, page_server: PageServer) -> None:
    attention = [{"reason": "no_room", "text": "no room: Slack answered 503"}]
    page_server.incidents = [
        entry(key="a", title="Slack is down", room_url=None, room_name=None, attention=attention)
    ]
    page_server.incidents.append(entry(key="b", title="Burning"))
    page.goto(page_server.url)
    item = page.locator(".attention li")
    item.wait_for()

    assert page.get_by_role("heading", name="Needs attention").is_visible()
    assert "no room: Slack answered 503" in item.inner_text()
    assert rows(page).locator("th a").all_inner_texts() == ["Slack is down", "Burning"]


def test_rejected_report_shows_reason_and_is_dismissed(page: Page, page_server: PageServer) -> None:
    page_server.reports = [report()]
    page.goto(page_server.url)
    item = page.locator(".attention li")
    item.wait_for()

    assert "Payments are slow" in item.inner_text()
    assert "severity: not a severity." in item.inner_text()
    page.get_by_role("button", name="Dismiss Payments are slow").click()
    item.wait_for(state="detached")
    assert page_server.reports == []


def test_filters_are_stored_in_the_url(page: Page, page_server: PageServer) -> None:
    over = {"is_open": False, "state": "resolved", "ended_at": datetime.now(UTC).isoformat()}
    page_server.incidents = [
        entry(key="a", title="Burning"),
        entry(key="b", title="Slow search", severity="low", services=["search"], teams=["search"]),
        entry(key="c", title="Over", **over),
        entry(key="d", title="Exercise", drill=True),
    ]
    page.goto(page_server.url)
    rows(page).first.wait_for()
    assert rows(page).locator("th a").all_inner_texts() == ["Burning", "Slow search"]

    page.get_by_role("combobox", name="Service").select_option("search")
    assert rows(page).locator("th a").all_inner_texts() == ["Slow search"]
    assert "service=search" in page.url
    page.reload()
    rows(page).first.wait_for()
    assert rows(page).locator("th a").all_inner_texts() == ["Slow search"]

    page.get_by_role("combobox", name="Service").select_option("")
    for view, titles in (("Resolved 1", ["Over"]), ("Drills and dry runs 1", ["Exercise"])):
        page.get_by_role("button", name=view).click()
        assert rows(page).locator("th a").all_inner_texts() == titles
    page.get_by_role("button", name="All 4").click()
    page.get_by_role("searchbox", name="Search incidents").fill("BURN")
    assert rows(page).locator("th a").all_inner_texts() == ["Burning"]
    page.get_by_role("searchbox", name="Search incidents").fill("nothing like it")
    page.get_by_text("No incident matches the filters.").wait_for()


def test_hostile_text_and_urls_are_escaped(page: Page, page_server: PageServer, browser_errors: list[str]) -> None:
    script = "javascript:document.title=1"
    attention = [{"reason": "nobody", "text": HOSTILE}]
    hostile = {"title": HOSTILE, "services": [HOSTILE], "env": HOSTILE, "lead": HOSTILE, "teams": [HOSTILE]}
    page_server.incidents = [entry(**hostile, room_url=script, attention=attention)]
    page_server.reports = [report(title=HOSTILE, reason=HOSTILE, source=HOSTILE, url=script)]
    finding = {"probe": HOSTILE, "target": HOSTILE, "verdict": "fail", "summary": HOSTILE, "evidence": HOSTILE}
    finding |= {"at": datetime.now(UTC).isoformat(), "duration_ms": 1}
    page_server.details["dd.1.2"] = {"findings": [finding], "known": [HOSTILE], "unknown": [HOSTILE]}
    page.goto(page_server.url)
    rows(page).wait_for()

    assert rows(page).locator("th a").inner_text() == HOSTILE
    assert page.locator("img, b").count() == 0
    assert page.locator("a[href^=javascript]").count() == 0
    rows(page).locator("th a").click()
    page.locator("details").wait_for()
    assert page.locator("img, b").count() == 0
    assert page.locator("a[href^=javascript]").count() == 0
    assert page.evaluate("document.title").endswith("Incidents")
    assert browser_errors == []


def test_update_keeps_focus_and_scroll_position(page: Page, page_server: PageServer) -> None:
    page_server.incidents = [entry(key=f"k{n}", title=f"Incident {n}") for n in range(60)]
    page.goto(page_server.url)
    link = page.get_by_role("link", name="Incident 40", exact=True)
    # Wait for the style sheet, which changes the height of the rows.
    page.wait_for_load_state("networkidle")
    link.focus()
    row = rows(page).nth(3).element_handle()
    before = link.bounding_box()

    page_server.incidents[3] = entry(key="k3", title="Incident 3", run_state="running", findings={})
    page_server.incidents.insert(50, page_server.incidents.pop(10))
    page.get_by_text("run in progress").wait_for()
    assert row.is_visible()
    assert (
        page.evaluate("document.querySelector('#incidents').shadowRoot.activeElement.textContent") == "Incident 40"
    )
    assert link.bounding_box() == pytest.approx(before, abs=2)


def test_moved_row_keeps_focus(page: Page, page_server: PageServer) -> None:
    page_server.incidents = [entry(key=f"k{n}", title=f"Incident {n}") for n in range(5)]
    page.goto(page_server.url)
    page.get_by_role("link", name="Incident 4", exact=True).focus()
    page_server.incidents.insert(0, page_server.incidents.pop())
    page.locator("tbody tr:first-child th", has_text="Incident 4").wait_for()

    assert (
        page.evaluate("document.querySelector('#incidents').shadowRoot.activeElement.textContent") == "Incident 4"
    )


def test_only_new_incidents_are_announced(page: Page, page_server: PageServer) -> None:
    page_server.incidents = [entry()]
    page.goto(page_server.url)
    rows(page).wait_for()
    status = page.get_by_role("status")
    assert status.text_content() == ""

    page_server.incidents = [entry(run_state="running"), entry(key="new", title="Login returns 500")]
    page.get_by_role("link", name="Login returns 500", exact=True).wait_for()
    assert status.text_content() == "1 new: critical Login returns 500"
    assert page.title() == "(2) Incidents"


def test_server_error_keeps_list_and_shows_its_age(page: Page, page_server: PageServer) -> None:
    page_server.incidents = [entry()]
    page.goto(page_server.url)
    rows(page).wait_for()
    page_server.status = 503
    page.get_by_text("the server answered 503. Retrying.").wait_for()

    assert rows(page).count() == 1
    assert re.match(r"as of .* UTC, \d+ s old", page.locator(".as-of.stale").inner_text())
    page_server.status = 200
    page.locator(".as-of.stale").wait_for(state="detached")


def test_incident_detail_page(page: Page, page_server: PageServer, browser_errors: list[str]) -> None:
    at = datetime(2026, 11, 23, 9, 35, tzinfo=UTC).isoformat()
    page_server.incidents = [entry()]
    page_server.details["dd.1.2"] = {
        "known": ["checkout answers 503"],
        "unknown": ["recent deploys"],
        "findings": [
            {
                **{"probe": "http", "target": "https://checkout/", "verdict": "fail", "summary": "HTTP 503"},
                **{"at": at, "duration_ms": 212, "command": ["curl", "-sv", "https://a/?x=1&y=2"]},
                "evidence": "HTTP/2 503\n",
            }
        ],
        "timeline": [{"at": at, "what": "alert"}, {"at": at, "what": "resolved", "by": "Dana"}],
        "invited": [{"name": "Alice Ng", "group": "@payments-oncall"}],
        "missing": [{"query": "jon smiht", "reason": "no exact match", "suggestion": "Jon Smith"}],
        "updates": [{"at": at, "by": "Dana", "text": "Rolling back"}],
    }
    page.goto(f"{page_server.url}?view=all")
    page.get_by_role("link", name="Checkout 5xx ratio above 2%", exact=True).click()
    page.get_by_role("heading", name="Timeline").wait_for()

    assert "incident=dd.1.2" in page.url
    text = page.locator(".incident").inner_text()
    for shown in (
        "checkout answers 503",
        "recent deploys",
        "HTTP 503",
        "(by Dana)",
        "Alice Ng (@payments-oncall)",
    ):
        assert shown in text
    assert "Did you mean Jon Smith?" in text
    assert "Rolling back" in text
    page.get_by_text("Evidence of http").click()
    assert page.locator("pre").inner_text() == "$ curl -sv 'https://a/?x=1&y=2'\nHTTP/2 503\n"
    with page.expect_response(re.compile("api/incidents/dd.1.2")):
        pass
    assert page.locator("details[open]").count() == 1
    assert page.title() == "Checkout 5xx ratio above 2% · Incidents"

    page.go_back()
    rows(page).wait_for()
    assert page.url.endswith("?view=all")
    page.goto(f"{page_server.url}?incident=unknown")
    page.get_by_role("heading", name="No such incident").wait_for()
    assert [one for one in browser_errors if "404" not in one] == []


def test_incident_is_opened_by_keyboard(page: Page, page_server: PageServer) -> None:
    page_server.incidents = [entry()]
    page.goto(page_server.url)
    page.get_by_role("link", name="Checkout 5xx ratio above 2%", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="All incidents").wait_for()
    page.get_by_role("link", name="All incidents").focus()
    page.keyboard.press("Enter")
    rows(page).wait_for()


def test_empty_page_explains_how_to_report(page: Page, page_server: PageServer) -> None:
    page.goto(page_server.url)
    page.get_by_text("No incidents yet.").wait_for()

    assert page.get_by_role("link", name="trigger form").is_visible()
    assert "airflow incident trigger --title" in page.locator(".none code").inner_text()


def test_missing_dag_is_explained(page: Page, page_server: PageServer) -> None:
    page_server.dag_ids = []
    page.goto(page_server.url)
    page.get_by_text("No incident DAG.").wait_for()

    assert "airflow incident setup files --yes" in page.locator(".list > section .none").inner_text()


@pytest.mark.parametrize("query", ["", "?incident=dd.1.2"])
def test_phone_layout_does_not_scroll_horizontally(page: Page, page_server: PageServer, query: str) -> None:
    long = {"title": "x" * 300, "room_name": "inc-" + "y" * 76, "services": ["z" * 100], "lead": "w" * 200}
    page_server.incidents = [entry(**long, attention=[{"reason": "nobody", "text": "v" * 200}])]
    page_server.reports = [report(title="t" * 200, reason="r" * 300)]
    page.set_viewport_size({"width": PHONE_WIDTH, "height": 844})
    page.goto(f"{page_server.url}{query}")
    page.get_by_text("x" * 300).first.wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH


def sign_in(page: Page, airflow: LocalAirflow) -> None:
    user, password = airflow.credentials
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.get_by_role("button", name=re.compile("sign in|log in", re.IGNORECASE)).click()


def token_without_role(airflow: LocalAirflow) -> str:
    """Return a token of the administrator without the role."""
    user, password = airflow.credentials
    response = httpx.post(
        f"{airflow.url}/auth/token", json={"username": user, "password": password}, trust_env=False, timeout=30
    )
    token = response.json()["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    algorithm = jwt.get_unverified_header(token)["alg"]
    secret = airflow.environment["AIRFLOW__API_AUTH__JWT_SECRET"]
    return jwt.encode({**claims, "role": None}, secret, algorithm=algorithm)


@pytest.mark.e2e
def test_incident_is_reached_from_airflow_menu(
    page: Page, incident_airflow: LocalAirflow, browser_errors: list[str]
) -> None:
    title = "Payments are <slow> & failing"
    conf = {"title": title, "severity": "high", "services": ["payments"], "id": "page-1"}
    page.goto(incident_airflow.url)
    sign_in(page, incident_airflow)
    # The first page of a new Airflow is slow, and logs errors before the login.
    page.get_by_role("link", name="Incidents").click(timeout=60_000)
    browser_errors.clear()
    page.get_by_role("heading", name="Incidents", exact=True).wait_for()
    run_id = incident_airflow.api.trigger("incident_response", conf)["dag_run_id"]
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=title, exact=True))
    row.wait_for(timeout=60_000)
    incident_airflow.api.wait_for_run("incident_response", run_id)

    row.get_by_role("link", name=f"Open the room of {title}").wait_for()
    assert "High" in row.inner_text()
    row.get_by_role("link", name=title, exact=True).click()
    page.get_by_role("heading", name="Timeline").wait_for()
    assert "incident=man.page-1" in page.url
    page.get_by_role("link", name=f"Airflow run of {title}").click()
    page.wait_for_url(re.compile(r"/dags/incident_response/runs/"))
    assert browser_errors == []


@pytest.mark.e2e
def test_page_requires_login(page: Page, incident_airflow: LocalAirflow) -> None:
    page.goto(f"{incident_airflow.url}/incidents/")
    page.get_by_role("heading", name="You are not signed in").wait_for()
    assert page.locator("tbody tr").count() == 0

    page.get_by_role("link", name="Sign in to Airflow").click()
    sign_in(page, incident_airflow)
    page.wait_for_url(f"{incident_airflow.url}/incidents/")
    page.get_by_text("as of").wait_for()


@pytest.mark.e2e
def test_page_requires_permission(page: Page, incident_airflow: LocalAirflow) -> None:
    page.context.add_cookies(
        [{"name": "_token", "value": token_without_role(incident_airflow), "url": incident_airflow.url}]
    )
    page.goto(f"{incident_airflow.url}/incidents/")
    page.get_by_role("heading", name="No permission").wait_for()

    assert page.locator("tbody tr").count() == 0
    assert "You may not read the runs" in page.locator(".notice").inner_text()


@pytest.mark.e2e
def test_api_requires_authentication_and_permission(incident_airflow: LocalAirflow) -> None:
    url = f"{incident_airflow.url}/incidents/api/incidents"
    user, password = incident_airflow.credentials
    with httpx.Client(trust_env=False, timeout=30) as client:
        login = client.post(f"{incident_airflow.url}/auth/token", json={"username": user, "password": password})
        tokens = {200: login.json()["access_token"], 403: token_without_role(incident_airflow)}
        responses = {
            status: client.get(url, headers={"Authorization": f"Bearer {token}"})
            for status, token in tokens.items()
        }
        anonymous, forged = client.get(url), client.get(url, headers={"Authorization": "Bearer x.y.z"})

    assert {status: response.status_code for status, response in responses.items()} == {200: 200, 403: 403}
    assert (anonymous.status_code, forged.status_code) == (401, 403)
    assert all("incidents" not in response.json() for response in (anonymous, forged, responses[403]))
    assert "incident_response" in responses[200].json()["dag_ids"]
    assert responses[200].headers["cache-control"] == "no-store"


@pytest.mark.e2e
def test_dismissing_requires_header_and_permission(incident_airflow: LocalAirflow) -> None:
    url = f"{incident_airflow.url}/incidents/api/rejections/r1/dismiss"
    user, password = incident_airflow.credentials
    with httpx.Client(trust_env=False, timeout=30) as client:
        login = client.post(f"{incident_airflow.url}/auth/token", json={"username": user, "password": password})
        token = {"Authorization": f"Bearer {login.json()['access_token']}"}
        statuses = [
            client.post(url, headers=headers).status_code
            for headers in (
                {"X-Requested-With": "1"},
                {**token},
                {"X-Requested-With": "1", "Authorization": f"Bearer {token_without_role(incident_airflow)}"},
                {**token, "X-Requested-With": "1"},
            )
        ]

    assert statuses == [401, 403, 403, 204]
