"""Every probe of the catalogue is whole, and nothing in its script can be taken for something else."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.resources import files

import pytest

from airflow_incident_provider.probes import CONTROL, Probe, catalogue, command_for, get_probe, script_for

PROBES = pytest.mark.parametrize("probe", catalogue(), ids=lambda probe: probe.name)


def test_first_probes_are_there() -> None:
    assert [probe.name for probe in catalogue()] == ["dns", "host_facts", "http", "tcp", "tls"]
    assert get_probe(CONTROL).aim is None


def test_scripts_and_declarations_come_in_pairs() -> None:
    names = [entry.name for entry in files("airflow_incident_provider.probes.catalogue").iterdir()]
    scripts = {name.removesuffix(".sh") for name in names if name.endswith(".sh")}
    assert scripts == {probe.name for probe in catalogue()}


@PROBES
def test_image_names_a_version(probe: Probe) -> None:
    assert re.fullmatch(r"[a-z0-9./-]+:\d[\w.]*", probe.image)


@PROBES
def test_script_is_valid_posix_shell(probe: Probe) -> None:
    shell = shutil.which("dash") or shutil.which("sh")
    assert shell
    result = subprocess.run(
        [shell, "-n"], input=script_for(probe.name), text=True, capture_output=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


@PROBES
def test_script_evaluates_no_text(probe: Probe) -> None:
    code = "\n".join(line for line in script_for(probe.name).splitlines() if not line.lstrip().startswith("#"))
    assert not re.search(r"\b(eval|source)\b|`|^\s*\. ", code, re.MULTILINE)


@PROBES
def test_script_holds_nothing_that_jinja_reads(probe: Probe) -> None:
    assert not re.search(r"\{\{|\{%|\{#", " ".join(command_for(probe)))


@PROBES
def test_command_fits_in_one_argument_of_the_kernel(probe: Probe) -> None:
    assert max(len(word.encode()) for word in command_for(probe)) < 64 * 1024


def test_unknown_probe_names_the_known_ones() -> None:
    with pytest.raises(LookupError, match="dns, host_facts, http"):
        get_probe("nope")
