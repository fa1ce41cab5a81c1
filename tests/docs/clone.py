"""A clone of the repository: commands in it, and a Docker Compose that only plans.

Compose plans what it would do and starts nothing: the images need a registry. ``tests/compose`` runs the stack.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from .blocks import ROOT
from .newcomer import Newcomer

LOCAL_COMPOSE = ROOT / ".tests" / "bin" / "docker-compose"
LOCAL_IMAGE = "alpine:3.23"

SHIM = """#!{python}
# `docker` for a reader of the pages: Compose plans, and what would run in a service runs here.
import os, subprocess, sys

program = {program}
name, *arguments = sys.argv[1:]
assert name == "compose", sys.argv
command = next((word for word in ("exec", "logs") if word in arguments), None)
if command is not None:
    service, *inner = arguments[arguments.index(command) + 1 :]
    listed = subprocess.run([*program, "--profile", "*", "config", "--services"], capture_output=True, text=True)
    if service not in listed.stdout.split():
        sys.exit(f"no such service: {{service}}: {{listed.stderr}}")
    sys.exit(subprocess.run(inner).returncode if inner else 0)
# A plan has nothing to wait for.
planned = [argument for argument in arguments if argument != "--wait"]
os.execvp(program[0], [*program, "--dry-run", *planned])
"""


def run_in_the_clone(command: str, *, seconds: float = 570) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MAKE"))}
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return subprocess.run(
        ["bash", "-euc", command],
        cwd=ROOT,
        env={**environment, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def compose_program() -> list[str]:
    """Return the command of Docker Compose; skip where there is none and none can be fetched."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return [str(shutil.which("docker")), "compose"]
    if not LOCAL_COMPOSE.exists():
        fetched = run_in_the_clone(f"make {LOCAL_COMPOSE.relative_to(ROOT)}")
        if fetched.returncode != 0:
            pytest.skip(f"there is no Docker Compose, and it cannot be fetched: {fetched.stderr.strip()[-300:]}")
    return [str(LOCAL_COMPOSE)]


@contextmanager
def planning_clone(person: Newcomer) -> Iterator[Path]:
    """A clone as a reader has it, whose services have an image that is on this engine."""
    program = compose_program()
    upstream, clone = person.folder / "upstream", person.folder / "clone"
    upstream.mkdir()
    for name in ("docker-compose.yaml", "Dockerfile", ".env.example"):
        shutil.copy(ROOT / name, upstream)
    shutil.copytree(ROOT / "compose", upstream / "compose")
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]
    # Nothing is pulled or built, and a plan waits for no other service.
    local = f"{{image: '{LOCAL_IMAGE}', pull_policy: never, build: !reset null, depends_on: !reset null}}"
    overrides = [f"  {name}: {local}" for name in services]
    (upstream / "local.yaml").write_text("\n".join(["services:", *overrides, ""]))
    identity = "-c user.name=reader -c user.email=reader@acme.example"
    for command in (
        "git init -q -b main .",
        "git add -A",
        f"git {identity} commit -q -m clone",
        f"git clone -q . {clone}",
    ):
        subprocess.run(command.split(), cwd=upstream, check=True)
    commands = person.folder / "commands"
    commands.mkdir()
    (commands / "docker").write_text(SHIM.format(python=sys.executable, program=program))
    (commands / "docker").chmod(0o755)
    before = dict(person.environment)
    person.environment |= {
        "PATH": f"{commands}:{person.environment['PATH']}",
        "COMPOSE_FILE": "docker-compose.yaml:local.yaml",
        "COMPOSE_PROJECT_NAME": "incident-documented",
    }
    written = person.runs("sh compose/make-env.sh", folder=clone)
    assert written.returncode == 0, written.stderr
    try:
        yield clone
    finally:
        person.environment = before
