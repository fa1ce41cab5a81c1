"""What the documentation tells a reader to run or to write: its fenced blocks."""

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
    """Every block of these languages, or every block at all; what Sphinx writes itself is none."""
    for path in PAGES:
        for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
            language = token.info.partition(" ")[0]
            if token.type == "fence" and token.map and not language.startswith("{"):
                text = token.content
                if language == "console":
                    language, text = "sh", _typed(text)
                block = Block(str(path.relative_to(ROOT)), token.map[0] + 1, language, text)
                if not languages or block.language in languages:
                    yield block


def _typed(session: str) -> str:
    """What a person types in a session that is shown with its prompts and answers."""
    return "".join(f"{line[2:]}\n" for line in session.splitlines() if line.startswith("$ "))
