"""The changes a setup command would make: shown first, applied with ``--yes``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from airflow_incident_provider.cli.output import Line, counted, is_document, print_document, print_lines
from airflow_incident_provider.cli.run import ExitCode


class Action(StrEnum):
    """What happens to an object; ``MANUAL`` needs a person, ``OPTIONAL`` may stay as it is."""

    CREATE = "create"
    UPDATE = "update"
    REMOVE = "remove"
    KEEP = "keep"
    OPTIONAL = "optional"
    MANUAL = "manual"


_STYLES = {
    Action.CREATE: "green",
    Action.UPDATE: "yellow",
    Action.REMOVE: "red",
    Action.KEEP: "dim",
    Action.OPTIONAL: "dim",
    Action.MANUAL: "bold red",
}


@dataclass(frozen=True)
class Item:
    """An object, what happens to it, and how.

    :param detail: the reason, or what a person has to do; never a secret.
    :param do: applies the change.
    """

    what: str
    action: Action
    detail: str
    do: Callable[[], object] | None = field(default=None, repr=False)


def apply_and_print(items: Sequence[Item], args: Namespace, *, then: Sequence[str] = ()) -> ExitCode:
    """Apply the changes if ``--yes`` is given, and print them.

    :param then: what to do after the changes were applied, for people.
    :returns: ``FAILED`` if changes were applied and something is left for a person.
    """
    if args.yes:
        items = [_applied(item) for item in items]
    changes = any(item.do is not None for item in items)
    left = sum(item.action is Action.MANUAL for item in items)
    if is_document(args.output):
        print_document([_row(item, done=args.yes) for item in items], args.output)
    else:
        for item in items:
            suffix = " (done)" if args.yes and item.do is not None else ""
            text = f"{item.action}  {item.what}: {item.detail}{suffix}"
            print_lines([Line(text, style=_STYLES[item.action], hanging=4)])
        if changes and not args.yes:
            print_lines([Line("Nothing was changed. Apply it with --yes.")])
        if args.yes and left:
            print_lines([Line(f"Left to do by hand: {counted(left, 'line')} above, marked {Action.MANUAL}.")])
        if args.yes and changes:
            print_lines([Line(text) for text in then])
    return ExitCode.FAILED if args.yes and left else ExitCode.OK


def _applied(item: Item) -> Item:
    """Apply a change; one that the file system refuses is left to a person, and the others are not lost with it."""
    if item.do is None:
        return item
    try:
        item.do()
    except OSError as error:
        return replace(item, action=Action.MANUAL, detail=f"{item.detail}: {error.strerror or error}", do=None)
    return item


def _row(item: Item, *, done: bool) -> dict[str, object]:
    done = done and item.do is not None
    return {"what": item.what, "action": item.action.value, "done": done, "detail": item.detail}
