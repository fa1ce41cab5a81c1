"""What the pages show and say besides commands: code, settings, tables, errors, diagrams, links."""

from __future__ import annotations

import ast
import configparser
import contextlib
import importlib
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from markdown_it import MarkdownIt

from .blocks import PAGES, ROOT, Block, blocks
from .test_documented_commands import NOT_RUN

CHECKED = {"sh", "python", "ini", "yaml", "json"}
SHOWN = {"text", "dockerfile"}
"""What is not run: output, and the recipe of an image that needs a registry."""
CODE = re.compile(r"`(\w+)`")
EXTRA = re.compile(r"""\bextra(?:_dejson)?(?:\.get\(|\[)["'](\w+)["']""")
COMMAND = re.compile(r"^\s*(\$|airflow |pip |docker |make |curl )", re.MULTILINE)


def test_every_block_is_run_or_listed() -> None:
    unknown = [f"{block}: {block.language}" for block in blocks() if block.language not in CHECKED | SHOWN]
    assert unknown == []


def test_no_command_hides_in_what_is_only_shown() -> None:
    assert [str(block) for block in blocks("text") if COMMAND.search(block.text)] == []


def test_what_is_listed_as_not_run_is_there() -> None:
    texts = [block.text for block in blocks("sh")]
    assert [one for one in NOT_RUN if not any(re.search(one, text, re.MULTILINE) for text in texts)] == []


def test_compose_commands_name_what_the_file_has() -> None:
    """They are not run here: at least services and profiles are held against the file."""
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]
    profiles = {name for service in services.values() for name in service.get("profiles", ())}
    commands = [
        line for block in blocks("sh") for line in block.text.splitlines() if line.startswith("docker compose")
    ]
    assert commands
    for line in commands:
        named = re.findall(r"(?:exec|logs|restart|--scale)\s+(?:-\S+\s+)*([\w-]+)", line)
        assert set(named) <= set(services), line
        assert set(re.findall(r"--profile '?([\w*-]+)", line)) <= profiles | {"*"}, line


@pytest.mark.parametrize("block", list(blocks("python")), ids=str)
def test_the_code_runs(block: Block) -> None:
    exec(compile(block.text, str(block), "exec"), {"__name__": "documented"})


@pytest.mark.parametrize("block", list(blocks("ini")), ids=str)
def test_the_settings_exist(block: Block) -> None:
    from airflow.configuration import conf

    from airflow_incident_provider.get_provider_info import get_provider_info

    ours = get_provider_info()["config"]["incident"]["options"]
    written = configparser.ConfigParser(interpolation=None)
    written.read_string(block.text)
    for section in written.sections():
        known = ours if section == "incident" else conf.configuration_description[section]["options"]
        assert set(written[section]) <= set(known), f"{block}: [{section}]"


@pytest.mark.parametrize("block", list(blocks("yaml")), ids=str)
def test_the_yaml_is_what_it_claims_to_be(block: Block) -> None:
    from airflow_incident_provider.cli.setup.slack import manifest
    from airflow_incident_provider.intake import load_routing_table

    content = yaml.safe_load(block.text)
    if "display_information" in content:
        assert content == manifest("War Room")
    elif "apiVersion" in content:
        for name, value in content["stringData"].items():
            assert name.startswith("AIRFLOW_CONN_")
            assert "conn_type" in json.loads(value)
    elif "extraEnv" in content:
        assert {each["envName"] for each in content["secret"]} >= {"AIRFLOW_CONN_SLACK_API_DEFAULT"}
        assert "AIRFLOW__INCIDENT__ROUTING_TABLE" in content["extraEnv"]
    elif "services" in content:
        services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
        assert content["services"].keys() <= services.keys()
    else:
        assert "version" in content, "neither a routing table nor anything else that is known here"
        load_routing_table(block.text)


def test_every_extra_that_is_read_is_documented() -> None:
    """In the reference of connections, which also has those that other pages show as JSON."""
    page = (ROOT / "docs/reference/connections.md").read_text(encoding="utf-8")
    documented = {
        name for row in re.findall(r"^\| extra (.*?) \|", page, re.MULTILINE) for name in CODE.findall(row)
    }
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "airflow_incident_provider").rglob("*.py"))
    assert {name for source in sources for name in EXTRA.findall(source)} <= documented
    for block in blocks("json"):
        assert json.loads(block.text).keys() <= documented, block


def test_an_entry_point_names_what_the_module_of_its_page_has() -> None:
    from airflow_incident_provider.probes import ENTRY_POINT_GROUP, Probe

    [block] = [block for block in blocks("text") if "entry-points" in block.text]
    [(name, target)] = tomllib.loads(block.text)["project"]["entry-points"][ENTRY_POINT_GROUP].items()
    attribute = target.partition(":")[2]
    [code] = [each.text for each in blocks("python") if each.page == block.page and f"\n{attribute} =" in each.text]
    namespace: dict[str, Any] = {"__name__": "acme_probes"}
    exec(compile(code, str(block), "exec"), namespace)
    probe = namespace[attribute]
    assert isinstance(probe, Probe)
    assert probe.name == name


def test_variables_of_compose_are_those_that_the_file_reads() -> None:
    compose = (ROOT / "docker-compose.yaml").read_text() + (ROOT / ".env.example").read_text()
    for block in blocks("text"):
        for name in re.findall(r"^(\w+)=", block.text, re.MULTILINE):
            assert name in compose, f"{block}: {name}"


def test_the_example_of_a_monitor_mentions_the_webhook() -> None:
    from airflow_incident_provider.cli.setup.datadog import WEBHOOK_NAME

    [block] = [block for block in blocks("text") if "{{#is_alert}}" in block.text]
    assert f"@webhook-{WEBHOOK_NAME}" in block.text


def test_the_image_is_of_the_airflow_that_is_tested() -> None:
    locked = re.findall(r"^apache-airflow==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    for block in blocks("dockerfile"):
        assert re.findall(r"^FROM apache/airflow:(\S+)$", block.text, re.MULTILINE) == locked, block


def test_commands_within_sentences_have_these_names_and_options(
    airflow_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence may leave out what a command requires."""
    from airflow.cli.cli_parser import get_parser

    parser = get_parser()
    wrong = []
    for page, command in commands_in_sentences():
        with contextlib.suppress(SystemExit):
            parser.parse_args(shlex.split(command)[1:])
        error = capsys.readouterr().err
        if "error:" in error and "arguments are required" not in error:
            wrong.append(f"{page}: {command}")
    assert wrong == []


def commands_in_sentences() -> Iterator[tuple[str, str]]:
    """Yield each command of ours that is named in a sentence, whole, with its page."""
    for path in PAGES:
        for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
            for child in token.children or ():
                text = " ".join(child.content.split())
                if child.type == "code_inline" and text.startswith("airflow incident ") and "..." not in text:
                    yield str(path.relative_to(ROOT)), text


def of_the_documentation(folder: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of the documentation's own."""
    monkeypatch.syspath_prepend(str(ROOT / folder))
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def test_no_diagram_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = of_the_documentation("docs", "draw_diagrams", monkeypatch).DRAWN
    kept = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs/diagrams").glob("*.mmd")}
    assert kept == {name: draw() + "\n" for name, draw in drawn.items()}, "run: make diagrams"


def test_every_sub_package_is_in_the_diagram(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = of_the_documentation("docs", "draw_diagrams", monkeypatch).LAYERS
    there = {path.parent.name for path in (ROOT / "airflow_incident_provider").glob("*/__init__.py")}
    assert {name for names in layers.values() for name in names} == there


def test_every_error_that_is_explained_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = of_the_documentation("docs/extensions", "error_texts", monkeypatch)
    known = {each.message for each in texts.error_texts()}
    source = "\n".join(_strings(path) for path in sorted((ROOT / "airflow_incident_provider").rglob("*.py")))
    page = (ROOT / "docs/how-to/troubleshooting.md").read_text(encoding="utf-8")
    explained = re.findall(r"^`([^`]+)`\n: ", page, re.MULTILINE)
    assert len(explained) > 10
    for text in explained:
        pieces = [piece.strip() for piece in text.split(texts.GAP) if len(piece.strip()) > 3]
        assert pieces, text
        assert text in known or all(piece in source for piece in pieces), text


def _strings(path: Path) -> str:
    """Every text of a module, those with gaps as their pieces, after one another."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def links() -> list[tuple[str, str]]:
    found = []
    for path in PAGES:
        for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
            for child in token.children or ():
                target = child.attrs.get("href") or child.attrs.get("src")
                if target:
                    found.append((str(path.relative_to(ROOT)), str(target)))
    return found


def test_links_within_the_repository_lead_somewhere() -> None:
    """Sphinx checks those of its pages, with their headings; this adds the README's, and that files exist."""
    broken = []
    for page, target in links():
        place = target.partition("#")[0]
        if not urlsplit(target).scheme and place and not (ROOT / page).parent.joinpath(place).exists():
            broken.append(f"{page}: {target}")
    assert broken == []


def test_links_to_elsewhere_are_well_formed() -> None:
    """Only their form: nothing is fetched, neither here nor in CI."""
    for page, target in links():
        parts = urlsplit(target)
        if parts.scheme:
            assert parts.scheme == "https", f"{page}: {target}"
            assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), f"{page}: {target}"
