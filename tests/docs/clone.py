"""Commands in a clone of the repository, and Docker Compose with ``--dry-run``.

Compose starts nothing, because the images need a registry. ``tests/compose`` runs the stack.
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
from .user_environment import UserEnvironment

LOCAL_COMPOSE = ROOT / ".tests" / "bin" / "docker-compose"
LOCAL_IMAGE = "alpine:3.23"

SHIM = """#!{python}
# `docker` for the documented commands: a dry run of Compose; commands in a service are run locally.
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
# A dry run has nothing to wait for.
dry_run = [argument for argument in arguments if argument != "--wait"]
os.execvp(program[0], [*program, "--dry-run", *dry_run])
"""


def run_in_clone(command: str, *, seconds: float = 570) -> subprocess.CompletedProcess[str]:
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
    """Return the command of Docker Compose. Skip the test if it is not installed and cannot be downloaded."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return [str(shutil.which("docker")), "compose"]
    if not LOCAL_COMPOSE.exists():
        downloaded = run_in_clone(f"make {LOCAL_COMPOSE.relative_to(ROOT)}")
        if downloaded.returncode != 0:
            pytest.skip(
                f"Docker Compose is not installed and cannot be downloaded: {downloaded.stderr.strip()[-300:]}"
            )
    return [str(LOCAL_COMPOSE)]


@contextmanager
def clone_for_dry_runs(user: UserEnvironment) -> Iterator[Path]:
    """Yield a clone of the repository whose services use a local image."""
    program = compose_program()
    upstream, clone = user.folder / "upstream", user.folder / "clone"
    upstream.mkdir()
    for name in ("docker-compose.yaml", "Dockerfile", ".env.example"):
        shutil.copy(ROOT / name, upstream)
    shutil.copytree(ROOT / "compose", upstream / "compose")
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]
    # Nothing is pulled or built, and a dry run waits for no other service.
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
    commands = user.folder / "commands"
    commands.mkdir()
    (commands / "docker").write_text(SHIM.format(python=sys.executable, program=program))
    (commands / "docker").chmod(0o755)
    before = dict(user.environment)
    user.environment |= {
        "PATH": f"{commands}:{user.environment['PATH']}",
        "COMPOSE_FILE": "docker-compose.yaml:local.yaml",
        "COMPOSE_PROJECT_NAME": "incident-documented",
    }
    completed = user.run("sh compose/make-env.sh", folder=clone)
    assert completed.returncode == 0, completed.stderr
    try:
        yield clone
    finally:
        user.environment = before
