"""Discovery of the package by Airflow and pip: importable names, imports without side effects, and the wheel."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[2]

IMPORT_ALL = """
import pkgutil, sys
from importlib import import_module

BLOCKED = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}

def refuse(event, arguments):
    if event in BLOCKED:
        raise AssertionError(f"{event} {arguments}")

import airflow.sdk
import airflow.plugins_manager
sys.addaudithook(refuse)
import airflow_incident_provider

for found in pkgutil.walk_packages(airflow_incident_provider.__path__, "airflow_incident_provider."):
    if not found.name.endswith("__main__"):
        import_module(found.name)
print("no network")
"""

PARSE_DAG_FILE = """
import json, sys
from importlib.util import module_from_spec, spec_from_file_location

import airflow.providers.docker.operators.docker
import airflow.providers.standard.triggers.temporal
import pydantic
from airflow.sdk import DAG

DAG("any", schedule="@daily")
before = set(sys.modules)
spec = spec_from_file_location("a_dag", sys.argv[1])
spec.loader.exec_module(module_from_spec(spec))
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)))
"""


def python(code: str, *arguments: str) -> str:
    completed = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout.splitlines()[-1]


def dotted_names(value: Any) -> Iterator[str]:
    """Yield each dotted name of this package in the provider info."""
    if isinstance(value, str) and value.startswith("airflow_incident_provider."):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from dotted_names(each)
    elif isinstance(value, list):
        for each in value:
            yield from dotted_names(each)


@pytest.mark.parametrize("name", sorted(set(dotted_names(get_provider_info()))))
def test_dotted_name_is_importable(name: str) -> None:
    """Airflow silently ignores names that cannot be imported, but still lists the provider."""
    try:
        import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute)


@pytest.mark.parametrize("group", ["apache_airflow_provider", "airflow.plugins"])
def test_entry_points_load(group: str) -> None:
    own = [each for each in entry_points(group=group) if each.value.startswith("airflow_incident_provider.")]
    assert own
    assert all(each.load() for each in own)


def test_provider_info_matches_schema() -> None:
    from airflow.providers_manager import ProvidersManager

    assert "airflow-incident-provider" in ProvidersManager().providers
    schema = Path(import_module("airflow").__path__[0]) / "provider_info.schema.json"
    import jsonschema

    jsonschema.validate(get_provider_info(), json.loads(schema.read_text(encoding="utf-8")))


def test_imports_do_not_access_the_network() -> None:
    assert python(IMPORT_ALL) == "no network"


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "dags").glob("*.py")))
def test_parsing_a_dag_file_imports_no_heavy_library(file: str) -> None:
    """The clients of Slack and Datadog and the drawing library would slow down parsing."""
    imported = set(json.loads(python(PARSE_DAG_FILE, str(ROOT / "dags" / file))))
    assert imported <= {"airflow", "airflow_incident_provider", "slugify", "text_unidecode"}


def test_domain_imports_no_airflow() -> None:
    """Intake, people, messages, probes and models work without Airflow."""
    package = ROOT / "airflow_incident_provider"
    for part in ("intake", "people", "messages", "probes", "models", "exceptions.py"):
        files = [package / part] if part.endswith(".py") else (package / part).rglob("*.py")
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not any(name.partition(".")[0] == "airflow" for name in names), file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel like ``make build``, with the installed build backend if there is one."""
    folder = tmp_path_factory.mktemp("wheel")
    installed = ["--no-isolation"] if find_spec("hatchling") else []
    command = [sys.executable, "-m", "build", "--wheel", *installed, "--outdir", str(folder)]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    [path] = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.parametrize(
    "part",
    [
        "py.typed",
        "cli/recorded_alert.json",
        "cli/setup/routing.minimal.yaml",
        "intake/routing.example.yaml",
        "intake/datadog/template.json.txt",
        "plugins/incidents_page/static/index.html",
        "plugins/incidents_page/static/page.js",
        "plugins/incidents_page/static/page.css",
        "probes/probe.sh",
    ],
)
def test_wheel_contains_file(wheel: zipfile.ZipFile, part: str) -> None:
    assert f"airflow_incident_provider/{part}" in wheel.namelist()


def test_wheel_contains_only_the_package(wheel: zipfile.ZipFile) -> None:
    """An ``airflow/`` folder would be installed into Airflow itself."""
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"airflow_incident_provider"}
    tracked = subprocess.run(
        ["git", "ls-files", "airflow_incident_provider"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    assert {name for name in tracked if (ROOT / name).exists()} <= set(wheel.namelist())
