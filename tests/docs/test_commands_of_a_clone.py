"""Commands that a reader runs in a clone of the repository: make, tests, benchmarks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from markdown_it import MarkdownIt

from .blocks import PAGES, blocks
from .clone import run_in_the_clone

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
