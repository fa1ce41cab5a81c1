"""
How a probe is started: its script, its command and its environment.

The script is the shared functions, then the probe's own file. Text from an alert never becomes part of it: it
arrives in environment variables, which the script quotes.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from airflow_incident_provider.models import ProbeRun
from airflow_incident_provider.probes.catalogue import get_probe
from airflow_incident_provider.probes.declaration import Probe
from airflow_incident_provider.probes.output import MAX_OUTPUT_BYTES

_PACKAGE = "airflow_incident_provider.probes"
_SHARED = ("facts", "addresses", "connections")
_GRACE_S = 2
_BLOCK_BYTES = 512
_MAX_ERROR_BYTES = 2_048

# The first shell is process 1 of the container, which signals from inside cannot end: it must outlive the
# script, not be it. The output goes to a file because a pipe would wait for what the script left running; the
# file size limit keeps that file within the cap. When process 1 exits, the kernel ends all the rest.
_SUPERVISOR = f"""\
ulimit -f {MAX_OUTPUT_BYTES // _BLOCK_BYTES}
timeout -k {_GRACE_S} "$1" /bin/sh -c "$2" >/tmp/output 2>/tmp/errors
code=$?
head -c {MAX_OUTPUT_BYTES} /tmp/output
head -c {_MAX_ERROR_BYTES} /tmp/errors | sed 's/^/| /'
exit "$code"
"""


@cache
def script_for(probe: str) -> str:
    """Return the whole shell script of the probe of this name."""
    ranges = _read("shell/address_ranges.txt")
    parts = [_read(f"shell/{name}.sh") for name in _SHARED]
    return "\n".join([f"ADDRESS_RANGES='\n{ranges}'\n", *parts, _read(f"catalogue/{probe}.sh")])


def command_for(probe: Probe | str) -> list[str]:
    """Return the entry point that runs a probe, to be used with no further arguments.

    The image has to have busybox, as both images of the catalogue do, and ``/tmp`` has to be writable. The
    script is ended after the probe's own time limit, its output is capped, and its exit code kept.
    """
    declared = get_probe(probe) if isinstance(probe, str) else probe
    return supervised(script_for(declared.name), timeout_s=declared.timeout_s)


def supervised(script: str, *, timeout_s: int) -> list[str]:
    """Return the entry point that runs a shell script within bounds of time and output."""
    return ["/bin/sh", "-c", _SUPERVISOR, "supervisor", str(timeout_s), script]


def environment_for(run: ProbeRun) -> dict[str, str]:
    """Return what the container is told: the target, and the networks that it may reach into."""
    networks = " ".join(run.allowed_networks)
    return {"ALLOWED_NETWORKS": networks, **get_probe(run.probe).environment(run)}


def _read(path: str) -> str:
    return files(_PACKAGE).joinpath(path).read_text(encoding="utf-8")
