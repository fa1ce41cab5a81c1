"""
Take the pictures of the documentation: a real run, in a real browser and a real terminal.

Usage: python docs/take_pictures.py   (or: make pictures; needs Chromium, and Docker for the findings; writes
docs/pictures: PNG of pages, SVG of commands)
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from incident_sandbox.demo.airflow_home import airflow_command
from incident_sandbox.demo.alert import alert
from incident_sandbox.demo.environment import DemoEnvironment, demo_environment
from incident_sandbox.demo.local_airflow import LocalAirflow
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
DAG_ID = "incident_response"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
)
DESK, PHONE = (1480, 1000), (390, 844)
COLUMNS = 120
_FOLDER_SHOWN = "/home/me/airflow"
"""In place of the temporary folder, whose name is as long: tables keep their form."""
_FONT_FROM_ELSEWHERE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


@dataclass(frozen=True)
class Stage:
    """Where the pictures are taken: an incident that has run to its summary."""

    folder: Path
    environment: DemoEnvironment
    airflow: LocalAirflow
    run_id: str


def main() -> None:
    """Take every picture."""
    chromium = shutil.which("chromium") or sys.exit("Chromium is needed.")
    PICTURES.mkdir(exist_ok=True)
    with stage() as there, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        take_room(browser, there)
        take_airflow(browser, there)
        browser.close()
        take_command("watch", there, "watch", there.run_id)
        take_command("check", there, "check", "--only", "airflow,dag,pool,slack,docker,routing")


@contextmanager
def stage() -> Iterator[Stage]:
    """Run the demo's incident, and leave everything standing."""
    with (
        TemporaryDirectory() as folder,
        demo_environment(Path(folder), sandbox_port=0, progress=print) as there,
        LocalAirflow(
            Path(folder) / "airflow", ROOT / "dags", connections=there.connections, environment=there.environment
        ) as airflow,
    ):
        airflow.wait_for_dag(DAG_ID)
        airflow.warm_up()
        run_id = airflow.api.trigger(DAG_ID, {"datadog": alert()})["dag_run_id"]
        airflow.api.wait_for_run(DAG_ID, run_id)
        yield Stage(Path(folder), there, airflow, run_id)


def take_room(browser: Browser, there: Stage) -> None:
    """Picture the room with the thread open, at a desk and on a phone."""
    room = there.airflow.api.xcom(DAG_ID, there.run_id, "create_war_room")
    for name, size in (("room", DESK), ("room-phone", PHONE)):
        page = _page(browser, size)
        page.goto(f"{there.environment.sandbox.url}/#{room['channel_id']}/{room['brief_ts']}")
        page.get_by_text("Evidence").first.wait_for()
        _take(page, name)


def take_airflow(browser: Browser, there: Stage) -> None:
    """Picture Airflow's UI: the page of incidents, the DAG's graph, the trigger form."""
    page = _page(browser, (1380, 560))
    _sign_in(page, there.airflow)
    page.get_by_role("link", name="Incidents", exact=True).click()
    page.locator("tbody tr").first.wait_for()
    _take(page, "incidents")

    page.goto(f"{there.airflow.url}/dags/{DAG_ID}/runs/{there.run_id}")
    page.get_by_role("button", name="Graph").or_(page.get_by_label("Graph")).first.click()
    page.locator(".react-flow__node").nth(7).wait_for()
    page.wait_for_timeout(1500)  # the graph moves into its place, and says nowhere that it is there
    _take(page, "graph")

    page.set_viewport_size({"width": 1380, "height": 860})
    page.goto(f"{there.airflow.url}/dags/{DAG_ID}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog").filter(has_text=f"Trigger Dag - {DAG_ID}")
    form.get_by_role("button", name="More", exact=True).click()
    form.locator("#element_title").fill("Checkout is down")
    _take(page, "trigger")


def take_command(name: str, there: Stage, *arguments: str) -> None:
    """Picture what a command shows in a terminal."""
    from rich.console import Console
    from rich.text import Text

    shown = _in_a_terminal(*arguments, environment=there.airflow.environment)
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115 - no path
    console.print(Text.from_ansi(shown.replace(str(there.folder), _FOLDER_SHOWN)))
    drawn = console.export_svg(title=f"airflow incident {arguments[0]}")
    # A reader's browser is to load nothing: rich names a font on somebody's server.
    (PICTURES / f"{name}.svg").write_text(_FONT_FROM_ELSEWHERE.sub("", drawn), encoding="utf-8")
    print(f"{name}.svg")


def _in_a_terminal(*arguments: str, environment: dict[str, str]) -> str:
    """Return what a command writes when a person looks, with its colours."""
    controller, terminal = pty.openpty()
    size = {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    process = subprocess.Popen(  # noqa: S603 - our own command
        airflow_command("incident", *arguments), stdout=terminal, stdin=terminal, env={**environment, **size}
    )
    os.close(terminal)
    written = b""
    while True:
        try:
            chunk = os.read(controller, 65536)
        except OSError:  # how Linux tells that the terminal has no user any more
            break
        written += chunk
    process.wait()
    os.close(controller)
    return written.decode().replace("\r\n", "\n").strip()


def _page(browser: Browser, size: tuple[int, int]) -> Page:
    return browser.new_page(viewport={"width": size[0], "height": size[1]}, device_scale_factor=1.5)


def _sign_in(page: Page, airflow: LocalAirflow) -> None:
    user, password = airflow.credentials
    page.goto(airflow.url)
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.get_by_role("button", name=re.compile("sign in|log in", re.IGNORECASE)).click()
    page.wait_for_url(f"{airflow.url}/")


def _take(page: Page, name: str) -> None:
    page.screenshot(path=PICTURES / f"{name}.png")
    print(f"{name}.png")


if __name__ == "__main__":
    main()
