"""The sdist and the wheel of this checkout, and the wheel in a clean environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider import __version__

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = {"incident_api", "incident_events", "incident_preload", "incidents_page"}
SERIALIZED = """
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
json.dump({name: len(DagSerialization.to_dict(dag)["dag"]["tasks"]) for name, dag in bag.dags.items()}, sys.stdout)
"""


def run(*command: str | Path, **options: Any) -> str:
    completed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def tracked(*paths: str) -> set[str]:
    """Return the files that git tracks. Skip the test in an unpacked sdist."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = run("git", "ls-files", *paths, cwd=ROOT).split("\n")
    return {name for name in names if name and (ROOT / name).exists()}


@dataclass(frozen=True)
class Distributions:
    sdist: Path
    wheel: Path
    """Built from the sdist."""


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Distributions(sdist, wheel)


def contents(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.CRC for info in archive.infolist()}


def test_metadata_is_accepted_by_twine(distributions: Distributions) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", distributions.sdist, distributions.wheel)


def test_description_has_no_relative_links(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(name).decode()
    description = metadata.partition("\n\n")[2]
    assert description.startswith("# airflow-incident-provider")
    assert "Getting started" in description
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", description) == []


def test_sdist_is_complete(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in tracked() if not name.startswith(".ci/")} <= names


def test_sdist_and_checkout_build_the_same_wheel(distributions: Distributions, tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT)
    [direct] = tmp_path.glob("*.whl")
    assert contents(direct) == contents(distributions.wheel)


def test_image_copies_all_sources_of_the_wheel(distributions: Distributions, tmp_path: Path) -> None:
    copied = [
        word.rstrip("/")
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY") and line.partition("/tmp/package")[1]
        for word in line.split()[2:-1]
    ]
    in_context = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert set(copied) <= set(in_context)
    source = tmp_path / "package"
    for path in (path for pattern in copied for path in ROOT.glob(pattern)):
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, target)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source)
    [wheel] = tmp_path.glob("*.whl")
    assert contents(wheel) == contents(distributions.wheel)


def test_wheel_contains_only_the_provider(distributions: Distributions) -> None:
    top_level = {name.partition("/")[0] for name in contents(distributions.wheel)}
    assert top_level == {"airflow_incident_provider", f"airflow_incident_provider-{__version__}.dist-info"}


@pytest.mark.parametrize("package", ["incident-sandbox", "incident-docker-proxy"])
def test_package_is_a_separate_distribution(package: str, tmp_path: Path) -> None:
    source = ROOT / "packages" / package
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, source)
    [wheel] = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "twine", "check", "--strict", *tmp_path.iterdir())
    tracked_files = {name.removeprefix(f"packages/{package}/") for name in tracked(f"packages/{package}")}
    module = package.replace("-", "_")
    assert {name for name in tracked_files if name.startswith(f"{module}/")} <= set(contents(wheel))


def test_wheel_contains_every_dag_file(distributions: Distributions) -> None:
    shipped = {name for name in contents(distributions.wheel) if name.startswith("airflow_incident_provider/dags/")}
    assert shipped == {f"airflow_incident_provider/{path}" for path in tracked("dags/*.py") if path.count("/") == 1}


@pytest.fixture(scope="module")
def clean_environment(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The ``bin`` folder of an environment with only the wheel and its locked dependencies."""
    environment = tmp_path_factory.mktemp("clean")
    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "-q", "--clear", "--python", sys.executable, environment)
    install = (
        *(*uv, "pip", "install", "-q", "--python", environment / "bin" / "python"),
        *("-c", ROOT / "constraints.txt", distributions.wheel),
    )
    completed = subprocess.run(list(map(str, install)), capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        reason = f"the dependencies cannot be installed: {completed.stderr.strip()[-500:]}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    yield environment / "bin"
    shutil.rmtree(environment, ignore_errors=True)


@pytest.fixture(scope="module")
def run_installed(
    clean_environment: Path, airflow_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., str]:
    """Run a command of the clean environment, with a separate Airflow home."""
    home = tmp_path_factory.mktemp("home")
    (home / "dags").mkdir()
    shutil.copy(airflow_home / "airflow.db", home / "airflow.db")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    environment = {
        **inherited,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__INCIDENT__ROUTING_TABLE": str(home / "routing.yaml"),
        "DOCKER_HOST": f"unix://{home}/no-engine.sock",
    }

    def run_command(name: str, *arguments: str) -> str:
        return run(clean_environment / name, *arguments, env=environment, cwd=home)

    return run_command


def test_airflow_lists_the_provider(run_installed: Callable[..., str]) -> None:
    providers = json.loads(run_installed("airflow", "providers", "list", "--output", "json"))
    [provider] = [each for each in providers if each["package_name"] == "airflow-incident-provider"]
    assert provider["version"] == __version__


def test_commands_are_listed(run_installed: Callable[..., str]) -> None:
    output = run_installed("airflow", "incident", "--help")
    assert all(name in output for name in ("trigger", "check", "setup", "watch"))


def test_plugins_load(run_installed: Callable[..., str]) -> None:
    loaded = {plugin["name"] for plugin in json.loads(run_installed("airflow", "plugins", "--output", "json"))}
    assert loaded >= PLUGINS


def test_dag_files_parse_and_serialize(run_installed: Callable[..., str], tmp_path: Path) -> None:
    run_installed("airflow", "incident", "setup", "files", "--to", str(tmp_path), "--yes")
    task_counts = json.loads(run_installed("python", "-c", SERIALIZED, str(tmp_path)).splitlines()[-1])
    assert task_counts["incident_response"] == 9
    assert task_counts["incident_update"] > 1


def test_incident_runs_to_its_summary(run_installed: Callable[..., str], tmp_path: Path) -> None:
    """A dry run without a Docker Engine, the sandbox, extras and test tools."""
    run_installed("airflow", "incident", "setup", "files", "--yes")
    conf = {"title": "Checkout is down", "severity": "critical", "targets": ["https://checkout.example.com/"]}
    output = run_installed("airflow", "dags", "test", "incident_response", "--conf", json.dumps(conf))
    assert "DRY-RUN: would post to" in output
    assert "First look" in output
