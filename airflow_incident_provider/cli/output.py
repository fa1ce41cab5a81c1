"""Print results: tables that fit a terminal, tab-separated lines in a pipe, JSON and YAML for programs.

Text from an alert is cleaned before it is printed, so that it can steer neither the terminal nor rich's markup.
Colour follows ``NO_COLOR`` and ``FORCE_COLOR``, as rich does.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.text import one_line, paragraphs, without_invisible

if TYPE_CHECKING:
    from rich.console import Console

DOCUMENTS = ("json", "yaml")
"""The values of ``--output`` that are read by programs."""

NO_VALUE = "-"
"""What a table shows in place of a missing value."""

ELLIPSIS = "…"
GAP = "  "
NARROWEST = 8
"""Columns of a terminal that a shrunk table column keeps."""

SEVERITY_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}


@dataclass(frozen=True)
class Column:
    """A column of a table.

    :param name: the key of its value in each row, and its heading.
    :param flexible: whether it shrinks, with an ellipsis, when the terminal is too narrow.
    :param styles: rich styles by value.
    """

    name: str
    flexible: bool = False
    styles: Mapping[str, str] | None = None


def is_document(output: str) -> bool:
    """Return whether a program reads the output."""
    return output in DOCUMENTS


def print_document(document: Any, output: str) -> None:
    """Print one JSON document, as JSON or as YAML."""
    from airflow.cli.simple_table import AirflowConsole

    console = AirflowConsole()
    # YAML has no form for the enumerations that JSON writes as text.
    document = json.loads(json.dumps(document))
    (console.print_as_yaml if output == "yaml" else console.print_as_json)(document)


def print_rows(
    rows: Sequence[Mapping[str, object]], columns: Sequence[Column], output: str, *, empty: str = "Nothing found."
) -> None:
    """Print rows.

    :param output: ``table`` (tab-separated when standard output is no terminal), ``plain`` (always
        tab-separated), ``json`` or ``yaml``. JSON and YAML contain all keys of the rows and keep their types.
    :param empty: printed to standard error when there are no rows.
    """
    if is_document(output):
        print_document([dict(row) for row in rows], output)
        return
    if not rows:
        print(empty, file=sys.stderr)
        return
    if output == "plain" or not sys.stdout.isatty():
        print("\t".join(column.name for column in columns))
        for row in rows:
            print("\t".join(cell(row.get(column.name)).replace("\t", " ") for column in columns))
        return
    _print_table(rows, columns)


def _print_table(rows: Sequence[Mapping[str, object]], columns: Sequence[Column]) -> None:
    from rich.cells import cell_len
    from rich.text import Text

    cells = [[cell(row.get(column.name)) for column in columns] for row in rows]
    headings = [column.name.replace("_", " ").upper() for column in columns]
    widths = [max(cell_len(line[at]) for line in [headings, *cells]) for at in range(len(columns))]
    out = console()
    available = out.width - len(GAP) * (len(columns) - 1)
    _shrink(widths, [column.flexible for column in columns], available)
    if sum(widths) > available:
        _print_stacked(cells, columns)
        return
    heading = GAP.join(map(_fitted, headings, widths)).rstrip()
    out.print(Text(heading, style="bold"), soft_wrap=True)
    for line in cells:
        text = Text()
        for column, value, width in zip(columns, line, widths, strict=True):
            text.append(_fitted(value, width), style=(column.styles or {}).get(value, ""))
            text.append(GAP)
        text.rstrip()
        out.print(text, soft_wrap=True)


def _print_stacked(cells: Sequence[Sequence[str]], columns: Sequence[Column]) -> None:
    """Print rows for a terminal that no table fits: the short values in a line, each long one below it."""
    for values in cells:
        named = list(zip(columns, values, strict=True))
        print_lines([Line(" · ".join(value for column, value in named if not column.flexible), style="bold")])
        print_lines([Line(value, indent=2) for column, value in named if column.flexible])


def _shrink(widths: list[int], flexible: Sequence[bool], available: int) -> None:
    """Shrink the widest flexible columns until the line fits, or none can shrink any more."""
    while sum(widths) > available:
        widest = max((at for at in range(len(widths)) if flexible[at]), key=lambda at: widths[at], default=None)
        if widest is None or widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1


def _fitted(value: str, width: int) -> str:
    """Return a value in exactly this many columns, cut with an ellipsis if it is too long."""
    from rich.cells import cell_len, set_cell_size

    return set_cell_size(value, width - 1) + ELLIPSIS if cell_len(value) > width else set_cell_size(value, width)


def console() -> Console:
    """Return a console on standard output that leaves text alone: no markup, no emoji codes, no highlighting."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


def print_text(text: str) -> None:
    """Print text that may contain an alert's: without control characters."""
    print(paragraphs(text))


@dataclass(frozen=True)
class Line:
    """A line of a report for people.

    :param text: what it says; wrapped by words in a terminal, never within a word or URL.
    :param style: rich style of the whole line.
    :param indent: spaces before it, also before the lines that it continues on.
    :param hanging: further spaces before the lines that it continues on.
    :param wrap: whether it may be wrapped; a command to copy may not.
    """

    text: str
    style: str = ""
    indent: int = 0
    hanging: int = 0
    wrap: bool = True


def print_lines(lines: Sequence[Line]) -> None:
    """Print a report. In a pipe nothing is wrapped."""
    from rich.text import Text

    out = console()
    width = out.width if sys.stdout.isatty() else None
    for line in lines:
        for part in _wrapped(line, width):
            out.print(Text(part, style=line.style), soft_wrap=True)


def _wrapped(line: Line, width: int | None) -> list[str]:
    text, indent = without_invisible(" ".join(line.text.splitlines())), " " * line.indent
    if width is None or not line.wrap:
        return [f"{indent}{text}"]
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}{' ' * line.hanging}",
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``1 probe``, ``2 probes``."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def cell(value: object) -> str:
    """Return a value as one line of text."""
    if value is None or value in ("", [], ()):
        return NO_VALUE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(one_line(str(item)) for item in value)
    return one_line(str(value))
