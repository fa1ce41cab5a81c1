"""The documentation as a reader's browser gets it: built without a warning, and complete without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from .blocks import ROOT

LOADS = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "object": "data"}
ELSEWHERE = re.compile(r"(https?:)?//")
FROM_CSS = re.compile(r"@import[^;]*|url\([^)]*\)")


class Loaded(HTMLParser):
    """What a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.drawings = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.drawings += tag == "svg" and given.get("role") == "img"
        if tag in LOADS and (address := given.get(LOADS[tag])) and given.get("rel") != "canonical":
            self.addresses.append(address)


def read(page: Path) -> Loaded:
    loaded = Loaded()
    loaded.feed(page.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as ``make docs`` builds it; the build uses an Airflow home of its own."""
    folder = tmp_path_factory.mktemp("site")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    sphinx = (sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html")
    done = subprocess.run(
        [*sphinx, "-d", str(folder / "doctrees"), str(ROOT / "docs"), str(folder / "html")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


def test_every_page_is_there(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs")).with_suffix(".html").exists(), page


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = [(page, address) for page in site.rglob("*.html") for address in read(page).addresses]
    assert [found for found in pages if ELSEWHERE.match(found[1])] == []
    for style in (*site.rglob("*.css"), *site.rglob("*.svg")):
        loaded = FROM_CSS.findall(style.read_text(encoding="utf-8"))
        assert [one for one in loaded if "//" in one and "data:" not in one and "w3.org" not in one] == [], style


def test_every_diagram_is_drawn_in_a_page(site: Path) -> None:
    drawn = sum(read(page).drawings for page in (site / "concepts").glob("*.html"))
    assert drawn == len(list((ROOT / "docs/diagrams").glob("*.mmd")))


def test_the_reference_has_what_the_code_has(site: Path) -> None:
    commands = (site / "reference/commands.html").read_text(encoding="utf-8")
    values = (site / "reference/models.html").read_text(encoding="utf-8")
    settings = (site / "reference/settings.html").read_text(encoding="utf-8")
    assert all(f"airflow incident {name}" in commands for name in ("check", "setup files", "drill"))
    assert all(f'id="{name}"' in values for name in ("incident", "incidentsummary", "verdict"))
    assert "AIRFLOW__INCIDENT__ROUTING_TABLE" in settings
