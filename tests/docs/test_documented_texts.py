"""The documentation besides commands: code, settings, tables, errors, diagrams, links."""

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
"""Languages that are not run: output, and the Dockerfile of an image that needs a registry."""
CODE = re.compile(r"`(\w+)`")
EXTRA = re.compile(r"""\bextra(?:_dejson)?(?:\.get\(|\[)["'](\w+)["']""")
COMMAND = re.compile(r"^\s*(\$|airflow |pip |docker |make |curl )", re.MULTILINE)


def test_every_block_language_is_known() -> None:
    unknown = [f"{block}: {block.language}" for block in blocks() if block.language not in CHECKED | SHOWN]
    assert unknown == []


def test_text_blocks_contain_no_commands() -> None:
    assert [str(block) for block in blocks("text") if COMMAND.search(block.text)] == []


def test_every_exception_matches_a_block() -> None:
    texts = [block.text for block in blocks("sh")]
    assert [one for one in NOT_RUN if not any(re.search(one, text, re.MULTILINE) for text in texts)] == []


def test_compose_commands_name_existing_services() -> None:
    """Compare the services and profiles of the commands with the Compose file."""
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
def test_python_block_runs(block: Block) -> None:
    exec(compile(block.text, str(block), "exec"), {"__name__": "documented"})


@pytest.mark.parametrize("block", list(blocks("ini")), ids=str)
def test_settings_exist(block: Block) -> None:
    from airflow.configuration import conf

    from airflow_incident_provider.get_provider_info import get_provider_info

    options = get_provider_info()["config"]["incident"]["options"]
    written = configparser.ConfigParser(interpolation=None)
    written.read_string(block.text)
    for section in written.sections():
        known = options if section == "incident" else conf.configuration_description[section]["options"]
        assert set(written[section]) <= set(known), f"{block}: [{section}]"


@pytest.mark.parametrize("block", list(blocks("yaml")), ids=str)
def test_yaml_block_is_valid(block: Block) -> None:
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
        assert "version" in content, "neither a routing table nor another known document"
        load_routing_table(block.text)


def test_every_connection_extra_is_documented() -> None:
    """The reference of connections also lists the extras that other pages show as JSON."""
    page = (ROOT / "docs/reference/connections.md").read_text(encoding="utf-8")
    documented = {
        name for row in re.findall(r"^\| extra (.*?) \|", page, re.MULTILINE) for name in CODE.findall(row)
    }
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "airflow_incident_provider").rglob("*.py"))
    assert {name for source in sources for name in EXTRA.findall(source)} <= documented
    for block in blocks("json"):
        assert json.loads(block.text).keys() <= documented, block


def test_documented_entry_point_matches_its_module() -> None:
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


def test_compose_variables_are_used_by_the_file() -> None:
    compose = (ROOT / "docker-compose.yaml").read_text() + (ROOT / ".env.example").read_text()
    for block in blocks("text"):
        for name in re.findall(r"^(\w+)=", block.text, re.MULTILINE):
            assert name in compose, f"{block}: {name}"


def test_monitor_example_mentions_the_webhook() -> None:
    from airflow_incident_provider.cli.setup.datadog import WEBHOOK_NAME

    [block] = [block for block in blocks("text") if "{{#is_alert}}" in block.text]
    assert f"@webhook-{WEBHOOK_NAME}" in block.text


def test_dockerfile_uses_the_tested_airflow_version() -> None:
    locked = re.findall(r"^apache-airflow==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    for block in blocks("dockerfile"):
        assert re.findall(r"^FROM apache/airflow:(\S+)$", block.text, re.MULTILINE) == locked, block


def test_commands_in_sentences_are_valid(airflow_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Required arguments may be missing in a sentence."""
    from airflow.cli.cli_parser import get_parser

    parser = get_parser()
    invalid = []
    for page, command in commands_in_sentences():
        with contextlib.suppress(SystemExit):
            parser.parse_args(shlex.split(command)[1:])
        error = capsys.readouterr().err
        if "error:" in error and "arguments are required" not in error:
            invalid.append(f"{page}: {command}")
    assert invalid == []


def commands_in_sentences() -> Iterator[tuple[str, str]]:
    """Yield each ``airflow incident`` command that is named in a sentence, with its page."""
    for path in PAGES:
        for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
            for child in token.children or ():
                text = " ".join(child.content.split())
                if child.type == "code_inline" and text.startswith("airflow incident ") and "..." not in text:
                    yield str(path.relative_to(ROOT)), text


def import_from_docs(folder: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of the documentation."""
    monkeypatch.syspath_prepend(str(ROOT / folder))
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def test_diagrams_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = import_from_docs("docs", "draw_diagrams", monkeypatch).DRAWN
    stored = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs/diagrams").glob("*.mmd")}
    assert stored == {name: draw() + "\n" for name, draw in drawn.items()}, "run: make diagrams"


def test_every_subpackage_is_in_the_diagram(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = import_from_docs("docs", "draw_diagrams", monkeypatch).LAYERS
    existing = {path.parent.name for path in (ROOT / "airflow_incident_provider").glob("*/__init__.py")}
    assert {name for names in layers.values() for name in names} == existing


def test_every_explained_error_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = import_from_docs("docs/extensions", "error_texts", monkeypatch)
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
    """Return the string constants of a module, including the parts of f-strings, joined by newlines."""
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


def test_internal_links_exist() -> None:
    """Sphinx checks the links of its own pages; this also checks the README and links to files."""
    broken = []
    for page, target in links():
        place = target.partition("#")[0]
        if not urlsplit(target).scheme and place and not (ROOT / page).parent.joinpath(place).exists():
            broken.append(f"{page}: {target}")
    assert broken == []


def test_external_links_are_well_formed() -> None:
    """Check the form only, without network access."""
    for page, target in links():
        parts = urlsplit(target)
        if parts.scheme:
            assert parts.scheme == "https", f"{page}: {target}"
            assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), f"{page}: {target}"
