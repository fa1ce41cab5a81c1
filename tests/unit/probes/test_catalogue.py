"""Probe catalogue, the script of the built-in probes, and third-party probes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest

from airflow_incident_provider.models import Incident, ProbeRun, Route, Severity, Source, Target, Verdict
from airflow_incident_provider.probes import (
    BUILTIN_PROBES,
    CONTROL,
    ENTRY_POINT_GROUP,
    ContainerOutput,
    Probe,
    catalogue,
    get_probe,
    interpret,
    plan_probes,
)

PROBES = pytest.mark.parametrize("probe", BUILTIN_PROBES, ids=lambda probe: probe.name)
SCRIPT = files("airflow_incident_provider.probes").joinpath("probe.sh").read_text(encoding="utf-8")
CODE = "\n".join(line for line in SCRIPT.splitlines() if not line.lstrip().startswith("#"))

KAFKA = """
from airflow_incident_provider.models import Verdict
from airflow_incident_provider.probes import Assessment, Probe

PROBE = Probe(
    name="kafka",
    title="brokers",
    image="acme/kcat:1",
    select=lambda target: target if target.port else None,
    command=lambda run: ["kcat", "-L", "-b", str(run.target)],
    environment=lambda run, settings: {},
    assess=lambda run, output: Assessment(verdict=Verdict.OK, summary="3 brokers"),
)
NO_PROBE = object()
"""


def test_control_has_no_target_and_is_found_by_its_alias() -> None:
    assert get_probe(CONTROL).select is None
    assert get_probe("host_facts") is get_probe(CONTROL)


@PROBES
def test_image_is_pinned_to_a_version(probe: Probe) -> None:
    assert re.fullmatch(r"[a-z0-9./-]+:\d[\w.]*", probe.image)


def test_script_is_valid_posix_shell() -> None:
    shell = shutil.which("dash") or shutil.which("sh")
    assert shell
    result = subprocess.run([shell, "-n"], input=SCRIPT, text=True, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_script_does_not_evaluate_text() -> None:
    assert not re.search(r"\b(eval|source)\b|`|^\s*\. ", CODE, re.MULTILINE)


def test_script_contains_no_jinja_syntax() -> None:
    assert not re.search(r"\{\{|\{%|\{#", SCRIPT)


@PROBES
def test_command_fits_into_one_kernel_argument(probe: Probe) -> None:
    run = ProbeRun(probe=probe.name, target=Target(url="https://a.example.com/"))
    assert max(len(word.encode()) for word in probe.command(run)) < 64 * 1024


def test_unknown_probe_error_lists_known_probes() -> None:
    with pytest.raises(LookupError, match="control, grpc, http"):
        get_probe("nope")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that installs a distribution with these entry points."""

    def install(**objects: str) -> None:
        (tmp_path / "acme_probes.py").write_text(KAFKA, encoding="utf-8")
        info = tmp_path / "acme_probes-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-probes\nVersion: 1.0\n", encoding="utf-8")
        lines = [f"[{ENTRY_POINT_GROUP}]", *(f"{name} = acme_probes:{value}" for name, value in objects.items())]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        catalogue.cache_clear()

    yield install
    catalogue.cache_clear()
    sys.modules.pop("acme_probes", None)


def incident(*probes: str) -> Incident:
    at = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
    route = Route(probes=probes, targets=(Target(host="kafka.acme.example", port=9092),))
    return Incident(
        key="k",
        id="1",
        source=Source.MANUAL,
        title="t",
        severity=Severity.HIGH,
        occurred_at=at,
        received_at=at,
        route=route,
    )


def test_third_party_probe_is_planned_next_to_builtin_probe(install: Callable[..., None]) -> None:
    install(kafka="PROBE")
    assert [(run.probe, str(run.target)) for run in plan_probes(incident("tcp", "kafka"))] == [
        (CONTROL, "None"),
        ("tcp", "kafka.acme.example:9092"),
        ("kafka", "kafka.acme.example:9092"),
    ]


def test_third_party_probe_output_is_assessed_only_if_complete(install: Callable[..., None]) -> None:
    install(kafka="PROBE")
    run = plan_probes(incident("kafka"))[1]
    at = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
    assert interpret(run, ContainerOutput(started_at=at, exit_code=0)).summary == "3 brokers"
    assert interpret(run, ContainerOutput(started_at=at, timed_out=True)).verdict is Verdict.UNKNOWN


def test_invalid_entry_point_is_reported_and_other_probes_run(install: Callable[..., None]) -> None:
    install(kafka="NO_PROBE")
    control, broken, check = plan_probes(incident("kafka", "tcp"))
    assert (control.probe, check.probe, check.refused) == (CONTROL, "tcp", None)
    assert "does not name a Probe" in str(broken.refused)
    with pytest.raises(TypeError, match="kafka"):
        catalogue()


def test_duplicate_probe_name_is_an_error(install: Callable[..., None]) -> None:
    install(one="PROBE", two="PROBE")
    with pytest.raises(ValueError, match=r"'kafka' .* is taken"):
        catalogue()
