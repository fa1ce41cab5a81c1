"""``airflow incident setup files``: install the DAG files and a routing table."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

from airflow.configuration import conf

from airflow_incident_provider.cli.run import ExitCode, UsageError, command
from airflow_incident_provider.cli.setup.plan import Action, Item, apply_and_print
from airflow_incident_provider.config import settings

PACKAGE = "airflow_incident_provider"
EXAMPLE_TABLE = "routing.example.yaml"


@command
def setup_files(args: Namespace) -> ExitCode:
    """Show which files would be written, and write them with ``--yes``."""
    folder = Path(args.to or conf.get("core", "dags_folder"))
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder.", fix="Make it, or name another with --to.")
    items = [*_dag_items(folder, replace=args.replace), _routing_item()]
    apply_and_print(items, args)
    return ExitCode.FAILED if any(item.action is Action.MANUAL for item in items) else ExitCode.OK


def packaged_dags() -> AbstractContextManager[Path]:
    """Return the folder of the packaged DAG files as a context manager."""
    return as_file(_dag_files())


def _dag_files() -> Traversable:
    """Return the folder of the DAG files: in the installed package, or beside it in a checkout."""
    packaged = files(PACKAGE) / "dags"
    return packaged if packaged.is_dir() else Path(str(files(PACKAGE))).parent / "dags"


def edited_files(folder: Path) -> list[Path]:
    """Return the shipped DAG files in a folder that differ from those of this version."""
    return [
        path
        for file in _shipped()
        if (path := folder / file.name).is_file()
        and path.read_text(encoding="utf-8") != file.read_text(encoding="utf-8")
    ]


def _shipped() -> list[Traversable]:
    files = (file for file in _dag_files().iterdir() if file.name.endswith(".py") and file.name[0] != "_")
    return sorted(files, key=lambda file: file.name)


def _dag_items(folder: Path, *, replace: bool) -> Iterator[Item]:
    """Yield the change for each DAG file; a file that was edited is only replaced on request."""
    for file in _shipped():
        path, text = folder / file.name, file.read_text(encoding="utf-8")
        what = f"DAG file {file.name}"
        if not path.exists():
            yield Item(what, Action.CREATE, str(path), partial(path.write_text, text, encoding="utf-8"))
        elif path.read_text(encoding="utf-8") == text:
            yield Item(what, Action.KEEP, f"{path} is the one of this version")
        elif replace:
            yield Item(what, Action.UPDATE, str(path), partial(path.write_text, text, encoding="utf-8"))
        else:
            yield Item(what, Action.MANUAL, f"{path} differs: compare it, or overwrite it with --replace")


def _routing_item() -> Item:
    what, named = "routing table", settings().routing_table
    if named is None:
        return Item(what, Action.MANUAL, "name its file in [incident] routing_table, and run this again")
    path = Path(named)
    if path.exists():
        return Item(what, Action.KEEP, str(path))
    example = files(f"{PACKAGE}.intake").joinpath(EXAMPLE_TABLE).read_text(encoding="utf-8")
    return Item(what, Action.CREATE, f"{path}, the example: change it", partial(_write_new, path, example))


def _write_new(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
