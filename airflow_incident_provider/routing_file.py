"""
The routing table file: the table that is in use, also while the file is invalid.

A wrong edit must not cost an alert. The last valid table stays in use until the file is valid again, as monitoring
systems do with their own configuration; the brief, the health endpoint and the incidents page report the error and
its time. A copy of each valid table is kept in ``AIRFLOW_HOME`` for task processes and a restarted API server.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_incident_provider.config import settings
from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.intake.routing_table import RoutingTable, build_routing_table, load_routing_table
from airflow_incident_provider.models import ParseWarning
from airflow_incident_provider.text import digest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoutingProblem:
    """Why the table in use is not the one in the file.

    :param error: what is wrong with the file.
    :param since: when the file was left invalid.
    :param in_use: which table is in use instead.
    """

    error: RoutingTableError
    since: datetime
    in_use: str

    def __str__(self) -> str:
        """Return the error, its time, and the table in use."""
        return f"{self.error.message} Invalid {self._consequence()}."

    def _consequence(self) -> str:
        return f"since {self.since:%Y-%m-%d %H:%M:%S} UTC; {self.in_use} is in use"

    def warning(self) -> ParseWarning:
        """Return the problem as a warning of an incident that is routed while it lasts."""
        # The consequence first: a long path must not push it out of the brief.
        note = f"{self._consequence()}: {self.error.message}"
        return ParseWarning(field="routing table", value="invalid", note=note)


@dataclass(frozen=True)
class ActiveTable:
    """The table in use, and, if it is not the file's, why."""

    table: RoutingTable
    problem: RoutingProblem | None = None


def read_routing_table(source: str | Mapping[str, Any] | None = None) -> RoutingTable:
    """Return the routing table of a source; an empty one if no file is configured.

    :param source: the file's path, or its content as a mapping; default: ``[incident] routing_table``.
    :raises RoutingTableError: the file cannot be read, or is invalid.
    """
    if isinstance(source, Mapping):
        return build_routing_table(source)
    path = source or settings().routing_table
    return load_routing_table(_text_of(Path(path))) if path else RoutingTable()


def active_routing_table(source: str | Mapping[str, Any] | None = None, *, keep: bool = True) -> ActiveTable:
    """Return the routing table in use: as :func:`read_routing_table`, or the last valid one of an invalid file.

    :param keep: keep a copy of a valid version; a person's command does not, for it may run as another user.
    :raises RoutingTableError: ``source`` is a mapping, and invalid: there is no earlier version of it.
    """
    if isinstance(source, Mapping):
        return ActiveTable(build_routing_table(source))
    path = source or settings().routing_table
    return _active(Path(path), keep=keep) if path else ActiveTable(RoutingTable())


class RoutingTableFile:
    """The table that ``[incident] routing_table`` names, read again when the file changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[Path, tuple[int, int] | None, ActiveTable] | None = None

    def active(self) -> ActiveTable:
        """Return the table in use; an empty one if no file is named."""
        name = settings().routing_table
        if not name:
            return ActiveTable(RoutingTable())
        path = Path(name)
        with self._lock:
            version = _version(path)
            if self._known is None or self._known[:2] != (path, version):
                active = _active(path)
                if active.problem is not None:
                    log.error("The routing table is invalid: %s", active.problem)
                self._known = (path, version, active)
            return self._known[2]

    def table(self) -> RoutingTable:
        """Return the table in use."""
        return self.active().table

    def require_valid(self) -> None:
        """Check the file, for the health endpoint.

        :raises RoutingTableError: it is invalid: since when, why, and what is in use instead.
        """
        problem = self.active().problem
        if problem is not None:
            raise RoutingTableError(str(problem), fix=problem.error.fix)


def _active(path: Path, *, keep: bool = True) -> ActiveTable:
    last_valid = _LastValid(path)
    try:
        text = _text_of(path)
        if not _has_content(text) and last_valid.exists():
            raise RoutingTableError(
                f"The routing table {path} is empty, and was not.",
                fix="If that is meant, write `version: 1` into it.",
            )
        table = load_routing_table(text)
    except RoutingTableError as error:
        return last_valid.instead_of(error)
    if keep and _has_content(text):
        last_valid.keep(text)
    return ActiveTable(table)


class _LastValid:
    """The copy of the last valid version of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._copy = settings().state_folder / f"routing_table_{digest(str(path.absolute()))}.yaml"

    def exists(self) -> bool:
        return self._copy.is_file()

    def keep(self, text: str) -> None:
        """Keep a valid version. Where the folder cannot be written, there is none: that costs no alert."""
        with contextlib.suppress(OSError):
            if self.exists() and self._copy.read_text(encoding="utf-8") == text:
                return
            self._copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(dir=self._copy.parent, prefix=self._copy.stem)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(self._copy)

    def instead_of(self, error: RoutingTableError) -> ActiveTable:
        """Return the last valid table, or without one an empty table, and why the file's is not in use."""
        try:
            table, in_use = (
                load_routing_table(_text_of(self._copy)),
                f"the last valid table, of {self._modified()},",
            )
        except RoutingTableError:
            table, in_use = RoutingTable(), "no table"
        return ActiveTable(table, RoutingProblem(error, _invalid_since(self._path), in_use))

    def _modified(self) -> str:
        return f"{datetime.fromtimestamp(self._copy.stat().st_mtime, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"


def _has_content(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())


def _version(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _invalid_since(path: Path) -> datetime:
    """Return when a file was left as it is: when it was written, or its folder if it is gone."""
    for place in (path, path.parent):
        with contextlib.suppress(OSError):
            return datetime.fromtimestamp(place.stat().st_mtime, tz=UTC)
    return datetime.now(UTC)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or type(error).__name__) if isinstance(error, OSError) else "it is not UTF-8"
        raise RoutingTableError(
            f"The routing table {path} cannot be read: {reason}.",
            fix="Correct [incident] routing_table, or the file's permissions.",
        ) from error
