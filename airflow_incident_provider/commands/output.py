"""How results are shown: as Airflow's own commands do, but that alert text steers neither terminal nor markup."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_incident_provider.text import one_line, paragraphs

NOTHING = "-"
"""What a table shows for a value that there is not."""


def print_rows(rows: Sequence[Mapping[str, object]], output: str, *, empty: str = "There are none.") -> None:
    """Print rows, each with the same columns.

    :param output: ``table`` and ``plain`` for people; ``json`` and ``yaml`` keep types, for programs.
    :param empty: what a person reads when there are no rows.
    """
    if output in ("json", "yaml"):
        print_document([dict(row) for row in rows], output)
        return
    if not rows:
        print(empty, file=sys.stderr)
        return
    from airflow.cli.simple_table import AirflowConsole
    from rich.markup import escape

    # Only a rich table reads markup.
    shown = escape if output == "table" else str
    AirflowConsole().print_as(
        data=[{name: shown(_cell(value)) for name, value in row.items()} for row in rows], output=output
    )


def print_document(document: Any, output: str) -> None:
    """Print one JSON document, as JSON or as YAML."""
    from airflow.cli.simple_table import AirflowConsole

    console = AirflowConsole()
    (console.print_as_yaml if output == "yaml" else console.print_as_json)(document)


def print_text(text: str) -> None:
    """Print text that may hold an alert's: without control characters."""
    print(paragraphs(text))


def _cell(value: object) -> str:
    if value is None or value in ("", [], ()):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(one_line(str(item)) for item in value)
    return one_line(str(value))
