"""The built documentation: complete, without warnings and without external resources."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from .blocks import ROOT

RESOURCE_ATTRIBUTES = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "link": "href",
    "source": "src",
    "object": "data",
}
EXTERNAL = re.compile(r"(https?:)?//")
CSS_RESOURCES = re.compile(r"@import[^;]*|url\([^)]*\)")


class Resources(HTMLParser):
    """The resources that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.diagrams = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.diagrams += tag == "svg" and given.get("role") == "img"
        if (
            tag in RESOURCE_ATTRIBUTES
            and (address := given.get(RESOURCE_ATTRIBUTES[tag]))
            and given.get("rel") != "canonical"
        ):
            self.addresses.append(address)


def read(page: Path) -> Resources:
    resources = Resources()
    resources.feed(page.read_text(encoding="utf-8"))
    return resources


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as built by ``make docs``, with a separate Airflow home."""
    folder = tmp_path_factory.mktemp("site")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    sphinx = (sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html")
    completed = subprocess.run(
        [*sphinx, "-d", str(folder / "doctrees"), str(ROOT / "docs"), str(folder / "html")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return folder / "html"


def test_every_page_is_built(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs")).with_suffix(".html").exists(), page


def test_no_external_resource_is_loaded(site: Path) -> None:
    pages = [(page, address) for page in site.rglob("*.html") for address in read(page).addresses]
    assert [found for found in pages if EXTERNAL.match(found[1])] == []
    for style in (*site.rglob("*.css"), *site.rglob("*.svg")):
        resources = CSS_RESOURCES.findall(style.read_text(encoding="utf-8"))
        assert [one for one in resources if "//" in one and "data:" not in one and "w3.org" not in one] == [], style


def test_every_diagram_is_rendered(site: Path) -> None:
    drawn = sum(read(page).diagrams for page in (site / "concepts").glob("*.html"))
    assert drawn == len(list((ROOT / "docs/diagrams").glob("*.mmd")))


def test_reference_contains_commands_models_and_settings(site: Path) -> None:
    commands = (site / "reference/commands.html").read_text(encoding="utf-8")
    values = (site / "reference/models.html").read_text(encoding="utf-8")
    settings = (site / "reference/settings.html").read_text(encoding="utf-8")
    assert all(f"airflow incident {name}" in commands for name in ("check", "setup files", "drill"))
    assert all(f'id="{name}"' in values for name in ("incident", "incidentsummary", "verdict"))
    assert "AIRFLOW__INCIDENT__ROUTING_TABLE" in settings
