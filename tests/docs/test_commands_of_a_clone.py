"""Documented commands in a clone of the repository: make, tests, benchmarks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from markdown_it import MarkdownIt

from .blocks import PAGES, blocks
from .clone import run_in_clone

REPLACEMENTS = {
    # Runs until Ctrl-C; the README documents this form, which ends.
    "make demo": "make demo ONCE=1",
    # Runs this test.
    "make test": "make --dry-run test",
    ".venv/bin/pytest -q tests/unit/intake": ".venv/bin/pytest -q tests/unit/intake --collect-only",
    # Takes 25 minutes on the whole machine; tests/unit/benchmarks tests it.
    "python -m benchmarks.speed --page docs/performance.md": "python -m benchmarks.speed --help",
}
"""Commands that are run instead of documented lines that cannot be run here."""


def lines_for_a_clone() -> Iterator[str]:
    """Yield each documented line that is run in a clone, except those of Compose."""
    for block in blocks("sh"):
        for line in block.text.splitlines():
            if line.startswith(("make ", ".venv/", "python -m benchmarks")):
                yield line


def make_commands_in_sentences() -> set[str]:
    """Return the make commands that are named in sentences."""
    found = set()
    for path in PAGES:
        for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
            commands = (child.content for child in token.children or () if child.type == "code_inline")
            found |= {" ".join(command.split()) for command in commands if command.startswith("make ")}
    return found


@pytest.mark.e2e
@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize("line", list(dict.fromkeys(lines_for_a_clone())))
def test_documented_line_succeeds_in_clone(line: str) -> None:
    completed = run_in_clone(REPLACEMENTS.get(line, line))
    assert completed.returncode == 0, completed.stdout[-4000:] + completed.stderr[-4000:]


@pytest.mark.parametrize("command", sorted(make_commands_in_sentences()))
def test_make_target_in_sentence_exists(command: str) -> None:
    completed = run_in_clone(command.replace("make ", "make --dry-run ", 1))
    assert completed.returncode == 0, completed.stderr
