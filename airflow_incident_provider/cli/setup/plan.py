"""The changes a setup command would make: shown first, applied with ``--yes``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_incident_provider.cli.output import Column, is_document, print_rows, print_text


class Action(StrEnum):
    """What happens to an object; ``MANUAL`` needs a person."""

    CREATE = "create"
    UPDATE = "update"
    KEEP = "keep"
    MANUAL = "manual"


@dataclass(frozen=True)
class Item:
    """An object, what happens to it, and how.

    :param detail: the reason, or what a person has to do; never a secret.
    """

    what: str
    action: Action
    detail: str
    do: Callable[[], object] | None = field(default=None, repr=False)


def apply_and_print(items: Sequence[Item], args: Namespace) -> None:
    """Apply the changes if ``--yes`` is given, and print them."""
    if args.yes:
        for item in items:
            if item.do is not None:
                item.do()
    rows = [_row(item, done=args.yes) for item in items]
    print_rows(rows, (Column("what"), Column("action"), Column("detail", flexible=True)), args.output)
    if not is_document(args.output) and not args.yes and any(item.do is not None for item in items):
        print_text("Nothing was changed. Apply it with --yes.")


def _row(item: Item, *, done: bool) -> dict[str, object]:
    is_done = done and item.do is not None
    return {"what": item.what, "action": f"{item.action}{' (done)' if is_done else ''}", "detail": item.detail}
