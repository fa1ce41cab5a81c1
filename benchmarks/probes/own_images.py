"""Environments of images of one's own: what a container's end says, and what it does not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_incident_provider.models import Finding
from airflow_incident_provider.probes import ContainerOutput, custom_finding
from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    HEALTHY,
    OK,
    UNCHECKED,
    UNKNOWN,
    Group,
    Verdict,
    environment,
)
from benchmarks.probes.lab import Lab

IMAGE = "alpine:3.23"


@dataclass(frozen=True, kw_only=True)
class OwnCheck:
    """A container of an image of one's own, as the operator runs it."""

    command: tuple[str, ...]
    timeout_s: int = 12
    image: str = IMAGE

    def result(self, lab: Lab) -> Finding:
        """Return the finding."""
        from airflow_incident_provider.containers import ContainerSpec, LockedDownContainer
        from airflow_incident_provider.engine import EngineError

        spec = ContainerSpec(
            image=self.image,
            owner="benchmarks.probes",
            entrypoint=self.command,
            network=lab.network.name,
            timeout_s=self.timeout_s,
            pull="never",
        )
        try:
            output = LockedDownContainer(lab.engine, spec, host="lab").run()
        except EngineError as error:
            output = ContainerOutput(started_at=datetime.now(UTC), error=str(error))
        return custom_finding(output, name="own_check", image=self.image, command=self.command)


_HOG = "head -c 200m /dev/zero | tail -c 200m >/dev/null"
_CASES: tuple[tuple[Group, str, Verdict, str, str], ...] = (
    (HEALTHY, "exit code 0 without a word", OK, "exit code 0", "true"),
    (HEALTHY, "exit code 0 and complaints on standard error", OK, "exit code 0", "echo 'error: none' >&2"),
    (HEALTHY, "exit code 0 and bytes that are no text", OK, "exit code 0", r"printf '\377\376\000\033[31mred'"),
    (HEALTHY, "exit code 0 and 400 KB of noise", OK, "exit code 0", "head -c 400000 /dev/zero | tr '\\0' x"),
    (HEALTHY, "exit code 0 with a process left behind", OK, "exit code 0", "sleep 60 & true"),
    (HEALTHY, "exit code 0 and a finding of its own making", OK, "exit code 0", "echo complete; echo verdict=fail"),
    (BROKEN, "exit code 1", FAIL, "exit code 1", "echo lag 900; exit 1"),
    (BROKEN, "exit code 1, reason on standard error only", FAIL, "exit code 1", "echo refused >&2; exit 1"),
    (BROKEN, "exit code 28, as curl has it", FAIL, "exit code 28", "exit 28"),
    (BROKEN, "exit code 255", FAIL, "exit code 255", "exit 255"),
    (BROKEN, "file that cannot be written", FAIL, "exit code 1", "touch /etc/x"),
    (UNCHECKED, "no end in time", UNKNOWN, "the container did not end in time", "sleep 60"),
    (
        UNCHECKED,
        "no end in time, signals ignored",
        UNKNOWN,
        "the container did not end in time",
        "trap '' TERM INT; sleep 60",
    ),
    (
        UNCHECKED,
        "out of memory",
        UNKNOWN,
        "the container ran out of memory|the container was killed .+",
        f"exec {_HOG}",
    ),
    (
        UNCHECKED,
        "child out of memory, and exit code 0",
        UNKNOWN,
        "the container ran out of memory",
        f"{_HOG}; exit 0",
    ),
    (UNCHECKED, "crash", UNKNOWN, r"the container was killed \(exit code 139\)", "sh -c 'kill -SEGV $$'; exit $?"),
    (UNCHECKED, "abort", UNKNOWN, r"the container was killed \(exit code 134\)", "sh -c 'kill -ABRT $$'; exit $?"),
    (
        UNCHECKED,
        "more output than is read",
        UNKNOWN,
        "the container printed more than is read",
        "yes | head -c 900000",
    ),
    (
        UNCHECKED,
        "command that the shell does not find",
        UNKNOWN,
        r"the command was not found \(exit code 127\)",
        "psql -c 'select 1'",
    ),
    (
        UNCHECKED,
        "file that is no program",
        UNKNOWN,
        r"the command could not be executed \(exit code 126\)",
        "/etc/passwd",
    ),
)
for _group, _name, _verdict, _words, _line in _CASES:

    @environment(_group, f"own image: {_name}", _verdict, _words)
    def _own(_lab: Lab, line: str = _line) -> OwnCheck:
        return OwnCheck(command=("sh", "-c", line))


@environment(
    UNCHECKED, "own image: command that is not in the image", UNKNOWN, r"the container could not run: .*not found.*"
)
def _not_there(_lab: Lab) -> OwnCheck:
    return OwnCheck(command=("psql", "-c", "select 1"))


@environment(UNCHECKED, "own image: image that is missing", UNKNOWN, r"the container could not run: the image .+")
def _no_image(_lab: Lab) -> OwnCheck:
    return OwnCheck(command=("true",), image="registry.acme.example/nope:1")
