"""``airflow incident setup files``: install the DAG files and a routing table, or remove them."""

from __future__ import annotations

import difflib
import json
import re
import shutil
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

from airflow.configuration import conf

from airflow_incident_provider.cli.arguments import listed
from airflow_incident_provider.cli.output import Line, print_lines
from airflow_incident_provider.cli.run import ExitCode, UsageError, command
from airflow_incident_provider.cli.setup.plan import Action, Item, apply_and_print
from airflow_incident_provider.config import settings

PACKAGE = "airflow_incident_provider"
MINIMAL_TABLE = "routing.minimal.yaml"
NO_RESPONDERS = "responders: []"
_RESPONDERS = re.compile(r"^  responders: \[.*\]$", re.MULTILINE)

_THEN = (
    "Next: airflow incident setup airflow --yes",
    "It parses the new DAG files, which Airflow otherwise does only every few minutes, and unpauses the DAGs.",
)


@command
def setup_files(args: Namespace) -> ExitCode:
    """Show which files would be written or removed, and do it with ``--yes``."""
    folder = Path(args.to or conf.get("core", "dags_folder")).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder.", fix="Name another with --to.")
    if args.diff:
        print_lines([Line(text, wrap=False) for text in _differences(folder).splitlines()])
        return ExitCode.OK
    if args.remove:
        return apply_and_print([*removal_items(folder, replace=args.replace)], args)
    items = [*_dag_items(folder, replace=args.replace), *_routing_items(listed(args.responders))]
    if not folder.exists():
        items.insert(0, Item("DAGs folder", Action.CREATE, str(folder), partial(folder.mkdir, parents=True)))
    return apply_and_print(items, args, then=_THEN)


def packaged_dags() -> AbstractContextManager[Path]:
    """Return the folder of the packaged DAG files as a context manager."""
    return as_file(_dag_files())


def edited_files(folder: Path) -> list[Path]:
    """Return the shipped DAG files in a folder that differ from those of this version."""
    return [path for path, text in _installed(folder) if not _holds(path, text)]


def removal_items(folder: Path, *, replace: bool) -> Iterator[Item]:
    """Yield the removal of each installed file; one that was edited is only removed on request."""
    for path, text in _installed(folder):
        is_ours = _holds(path, text)
        yield _removal(f"DAG file {path.name}", path, is_ours or replace)
        if (backup := _backup(path)).exists():
            yield _removal("earlier DAG file", backup, replace)
    table = settings().routing_table
    if table is not None and (path := Path(table)).exists():
        example = _example_path(path)
        # Setup installed it with the responders that were given.
        text = _RESPONDERS.sub(f"  {NO_RESPONDERS}", _readable(path))
        yield _removal("routing table", path, replace or text == _text(MINIMAL_TABLE))
        if example.exists():
            is_ours = _holds(example, _example())
            yield _removal("example of a routing table", example, is_ours or replace)
    for what, kept in (
        ("cached Slack directory", settings().directory_folder),
        ("copies of routing tables", settings().state_folder),
    ):
        if kept.is_dir():
            yield Item(what, Action.REMOVE, str(kept), partial(shutil.rmtree, kept))


def _holds(path: Path, text: str) -> bool:
    """Return whether a file holds this text; it may be in any encoding."""
    return path.read_bytes() == text.encode()


def _readable(path: Path) -> str:
    """Return the text of a file that somebody may have written in another encoding than UTF-8."""
    return path.read_text(encoding="utf-8", errors="replace")


def _backup(path: Path) -> Path:
    """Return where the old content of a replaced DAG file is kept; Airflow does not parse it."""
    return path.with_suffix(".py.bak")


def _removal(what: str, path: Path, allowed: bool) -> Item:
    if allowed:
        return Item(what, Action.REMOVE, str(path), path.unlink)
    return Item(what, Action.MANUAL, f"{path} was edited: delete it, or use --replace")


def _dag_files() -> Traversable:
    """Return the folder of the DAG files: in the installed package, or beside it in a checkout."""
    packaged = files(PACKAGE) / "dags"
    return packaged if packaged.is_dir() else Path(str(files(PACKAGE))).parent / "dags"


def _shipped() -> list[tuple[str, str]]:
    """Return the name and text of each shipped DAG file."""
    shipped = (file for file in _dag_files().iterdir() if file.name.endswith(".py") and file.name[0] != "_")
    return sorted((file.name, file.read_text(encoding="utf-8")) for file in shipped)


def _installed(folder: Path) -> list[tuple[Path, str]]:
    """Return the shipped DAG files that are in a folder, each with the text of this version."""
    return [(path, text) for name, text in _shipped() if (path := folder / name).is_file()]


def _dag_items(folder: Path, *, replace: bool) -> Iterator[Item]:
    """Yield the change for each DAG file; one that was edited is only replaced on request, with a copy kept."""
    for name, text in _shipped():
        path, what = folder / name, f"DAG file {name}"
        if not path.exists():
            yield Item(what, Action.CREATE, str(path), partial(path.write_text, text, encoding="utf-8"))
        elif _holds(path, text):
            yield Item(what, Action.KEEP, f"{path} is the one of this version")
        elif replace:
            backup = _backup(path)
            yield Item(
                what, Action.UPDATE, f"{path}; the old one becomes {backup.name}", partial(_replace, path, text)
            )
        else:
            detail = f"{path} differs: see it with --diff, overwrite it with --replace"
            yield Item(what, Action.MANUAL, detail)


def _replace(path: Path, text: str) -> None:
    path.replace(_backup(path))
    path.write_text(text, encoding="utf-8")


def _differences(folder: Path) -> str:
    """Return the differences between the installed DAG files and those of this version, as a unified diff."""
    lines: list[str] = []
    for path, text in _installed(folder):
        installed, new = _readable(path).splitlines(), text.splitlines()
        lines += difflib.unified_diff(installed, new, str(path), f"{path.name} of this version", lineterm="")
    return "\n".join(lines) or "The DAG files are those of this version."


def _routing_items(responders: Sequence[str]) -> Iterator[Item]:
    what, named = "routing table", settings().routing_table
    if named is None:
        home = Path(conf.get("core", "dags_folder")).parent
        detail = (
            f"set AIRFLOW__INCIDENT__ROUTING_TABLE={home / 'incident_routing.yaml'}, or [incident] routing_table"
        )
        yield Item(what, Action.MANUAL, f"{detail}; then run this again")
        return
    path = Path(named)
    if path.exists():
        yield Item(what, Action.KEEP, str(path))
    else:
        invited = (
            f"invites {', '.join(responders)}" if responders else "invites nobody yet: name people in responders"
        )
        yield Item(what, Action.CREATE, f"{path} {invited}", partial(_write_new, path, minimal_table(responders)))
    example = _example_path(path)
    if not example.exists():
        yield Item(
            "example of a routing table", Action.CREATE, str(example), partial(_write_new, example, _example())
        )


def minimal_table(responders: Sequence[str] = ()) -> str:
    """Return the text of the minimal routing table.

    :param responders: who is invited to every incident.
    """
    # JSON strings are YAML strings, and ensure_ascii=False keeps names readable.
    listed = json.dumps(list(responders), ensure_ascii=False)
    return _text(MINIMAL_TABLE).replace(NO_RESPONDERS, f"responders: {listed}")


def _example_path(table: Path) -> Path:
    return table.with_name(f"{table.stem}.example.yaml")


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _example() -> str:
    return files(f"{PACKAGE}.intake").joinpath("routing.example.yaml").read_text(encoding="utf-8")


def _write_new(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
