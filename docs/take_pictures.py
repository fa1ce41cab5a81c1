"""Take the pictures of the documentation: a real run, in a real browser.

Usage: python docs/take_pictures.py   (writes docs/pictures/*.png; needs Chromium, and Docker for the findings)
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from airflow_incident_provider.demo.alert import alert
from airflow_incident_provider.demo.local_airflow import LocalAirflow
from airflow_incident_provider.demo.scene import scene

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
DAG_ID = "incident_response"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
)


def main() -> None:
    """Run one incident and picture its room, with the thread open, and as a phone shows it."""
    chromium = shutil.which("chromium") or sys.exit("Chromium is needed.")
    PICTURES.mkdir(exist_ok=True)
    with (
        TemporaryDirectory() as folder,
        scene(Path(folder), sandbox_port=0, progress=print) as there,
        LocalAirflow(
            Path(folder) / "airflow", ROOT / "dags", connections=there.connections, environment=there.environment
        ) as airflow,
        sync_playwright() as playwright,
    ):
        airflow.wait_for_dag(DAG_ID)
        airflow.warm_up()
        run_id = airflow.api.trigger(DAG_ID, {"datadog": alert()})["dag_run_id"]
        airflow.api.wait_for_run(DAG_ID, run_id)
        room = airflow.api.xcom(DAG_ID, run_id, "create_war_room")
        address = f"{there.sandbox.url}/#{room['channel_id']}/{room['brief_ts']}"
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        for name, width, height in (("room", 1480, 1000), ("room-phone", 390, 844)):
            page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=1.5)
            page.goto(address)
            page.get_by_text("Investigation:").first.wait_for()
            page.screenshot(path=PICTURES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
