"""Commands that a reader runs in a clone of the repository: make, tests, benchmarks, Docker Compose.

Compose plans what it would do and starts nothing: the images need a registry. ``tests/compose`` runs the stack.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from .blocks import PAGES, ROOT, Block, blocks
from .conftest import Steps
from .newcomer import Newcomer

INSTEAD = {
    # It runs until Ctrl-C; the README names this form for whoever wants it to end.
    "make demo": "make demo ONCE=1",
    # It is what runs this.
    "make test": "make --dry-run test",
    ".venv/bin/pytest -q tests/unit/intake": ".venv/bin/pytest -q tests/unit/intake --collect-only",
    # It takes 25 minutes, and the whole machine; tests/unit/benchmarks tests it.
    "python -m benchmarks.speed --page docs/performance.md": "python -m benchmarks.speed --help",
}
"""What is run in place of a documented line that cannot be run here."""

LOCAL_COMPOSE = ROOT / ".tests" / "bin" / "docker-compose"
LOCAL_IMAGE = "alpine:3.23"
COMPOSE = re.compile(r"^docker compose ", re.MULTILINE)
SETTINGS = re.compile(r"^[A-Z_]+=", re.MULTILINE)


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


def lines_for_a_clone() -> Iterator[str]:
    """Yield each documented line that belongs into a clone, but those of Compose."""
    for block in blocks("sh"):
        for line in block.text.splitlines():
            if line.startswith(("make ", ".venv/", "python -m benchmarks")):
                yield line


def make_commands_in_sentences() -> set[str]:
    """Return each command of make that a sentence names, without options that a shell would complete."""
    found = set()
    for path in PAGES:
        for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
            codes = (child.content for child in token.children or () if child.type == "code_inline")
            found |= {" ".join(code.split()) for code in codes if code.startswith("make ")}
    return found


@pytest.mark.e2e
@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize("line", list(dict.fromkeys(lines_for_a_clone())))
def test_a_line_for_a_clone_works(line: str) -> None:
    done = run_in_the_clone(INSTEAD.get(line, line))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.mark.parametrize("command", sorted(make_commands_in_sentences()))
def test_a_target_that_a_sentence_names_exists(command: str) -> None:
    done = run_in_the_clone(command.replace("make ", "make --dry-run ", 1))
    assert done.returncode == 0, done.stderr


# --- Docker Compose ---------------------------------------------------------------------------------------

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


@pytest.fixture(scope="module")
def compose_clone(person: Newcomer, first_hour: Steps) -> Iterator[Path]:
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
    yield clone
    person.environment = before


def compose_blocks() -> list[Block]:
    return [block for block in blocks("sh") if COMPOSE.search(block.text)]


@pytest.mark.e2e
@pytest.mark.docker
@pytest.mark.parametrize("block", compose_blocks(), ids=str)
def test_compose_plans_what_a_page_says(block: Block, person: Newcomer, compose_clone: Path) -> None:
    env_file = compose_clone / ".env"
    before = env_file.read_text()
    settings = [each.text for each in blocks("text") if each.page == block.page and SETTINGS.match(each.text)]
    env_file.write_text("".join([before, *settings]))
    try:
        ended = person.runs(block.text, folder=compose_clone)
    finally:
        env_file.write_text(before)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    assert (
        subprocess.run(
            ["docker", "ps", "-aq", "--filter", "label=com.docker.compose.project=incident-documented"],
            capture_output=True,
            check=True,
        ).stdout
        == b""
    ), "a plan starts nothing"


@pytest.mark.e2e
@pytest.mark.docker
@pytest.mark.parametrize(
    "command",
    [
        "docker compose logs no-such-service",
        "docker compose --profile no-such up -d --no-such",
        "docker compose exec airflow-scheduler airflow incident no-such",
    ],
)
def test_a_wrong_compose_command_fails(command: str, person: Newcomer, compose_clone: Path) -> None:
    assert person.runs(command, folder=compose_clone).returncode != 0
