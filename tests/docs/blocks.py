"""The fenced blocks of the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(path for name in ("README.md", "CONTRIBUTING.md") if (path := ROOT / name).exists()),
    *sorted((ROOT / "docs").rglob("*.md")),
]


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> Iterator[Block]:
    """Yield the blocks of these languages, or all blocks. Sphinx directives are skipped."""
    for path in PAGES:
        for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
            language = token.info.partition(" ")[0]
            if token.type == "fence" and token.map and not language.startswith("{"):
                text = token.content
                if language == "console":
                    language, text = "sh", _commands(text)
                block = Block(str(path.relative_to(ROOT)), token.map[0] + 1, language, text)
                if not languages or block.language in languages:
                    yield block


def _commands(session: str) -> str:
    """Return the commands of a console session, without prompts and output."""
    return "".join(f"{line[2:]}\n" for line in session.splitlines() if line.startswith("$ "))
