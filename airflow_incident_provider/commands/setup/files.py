"""``airflow incident setup files``: the DAG files, and an example routing table; first told, then written."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from airflow.configuration import conf

from airflow_incident_provider.commands.output import print_rows, print_text
from airflow_incident_provider.commands.running import ExitCode, UsageError, command
from airflow_incident_provider.commands.setup.plan import Action, Item
from airflow_incident_provider.config import settings

PACKAGE = "airflow_incident_provider"
EXAMPLE_TABLE = "routing.example.yaml"


@command
def setup_files(args: Namespace) -> ExitCode:
    """Say which files are to be written, and write them if that is wanted; exit with 1 if a person has to."""
    folder = Path(args.to or conf.get("core", "dags_folder"))
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder.", fix="Make it, or name another with --to.")
    items = [*_dag_items(folder, replace=args.replace), _routing_item()]
    if args.yes:
        for item in items:
            item.carry_out()
    print_rows([item.row(done=args.yes) for item in items], args.output)
    if args.output in ("table", "plain") and not args.yes and any(item.do for item in items):
        print_text("Nothing was changed. Do it with --yes.")
    return ExitCode.NOT_WELL if any(item.action is Action.BY_HAND for item in items) else ExitCode.OK


def shipped_dags() -> Traversable:
    """Return the folder of the DAG files: in the package, or beside it in a checkout."""
    packaged = files(PACKAGE) / "dags"
    return packaged if packaged.is_dir() else Path(str(files(PACKAGE))).parent / "dags"


def _dag_items(folder: Path, *, replace: bool) -> Iterator[Item]:
    """Yield what is to become of each DAG file: one that was changed is only replaced if that is wanted."""
    shipped = (file for file in shipped_dags().iterdir() if file.name.endswith(".py") and file.name[0] != "_")
    for file in sorted(shipped, key=lambda file: file.name):
        path, text = folder / file.name, file.read_text(encoding="utf-8")
        what = f"DAG file {file.name}"
        if not path.exists():
            yield Item(what, Action.CREATE, str(path), partial(path.write_text, text, encoding="utf-8"))
        elif path.read_text(encoding="utf-8") == text:
            yield Item(what, Action.KEEP, f"{path} is that of this version")
        elif replace:
            yield Item(what, Action.UPDATE, str(path), partial(path.write_text, text, encoding="utf-8"))
        else:
            yield Item(what, Action.BY_HAND, f"{path} differs: compare them, or overwrite it with --replace")


def _routing_item() -> Item:
    what, named = "routing table", settings().routing_table
    if named is None:
        return Item(what, Action.BY_HAND, "name its file in [incident] routing_table, and run this again")
    path = Path(named)
    if path.exists():
        return Item(what, Action.KEEP, str(path))
    example = files(f"{PACKAGE}.intake").joinpath(EXAMPLE_TABLE).read_text(encoding="utf-8")
    return Item(what, Action.CREATE, f"{path}, the example: change it", partial(_write_new, path, example))


def _write_new(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
