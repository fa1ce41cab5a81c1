"""The routing table as Airflow is configured with it: for tasks, for the webhook, and for commands."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.config import settings
from airflow_incident_provider.exceptions import RoutingTableError

if TYPE_CHECKING:
    from airflow_incident_provider.intake.routing_table import RoutingTable


def read_routing_table(source: str | Mapping[str, Any] | None = None) -> RoutingTable:
    """Return the routing table; an empty one if there is no file.

    :param source: the file, or what it would hold; default: ``[incident] routing_table``.
    :raises RoutingTableError: the file cannot be read, or does not say what it should.
    """
    from airflow_incident_provider.intake.routing_table import RoutingTable, build_routing_table

    if isinstance(source, Mapping):
        return build_routing_table(source)
    path = source or settings().routing_table
    return _read(Path(path)) if path else RoutingTable()


class RoutingTableFile:
    """The table that ``[incident] routing_table`` names, for a process that outlives many versions of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[Path, int, int, RoutingTable] | None = None

    def table(self) -> RoutingTable:
        """Return the table as it is now; an empty one if none is named.

        :raises RoutingTableError: the file cannot be read, or does not say what it should.
        """
        name = settings().routing_table
        if not name:
            return read_routing_table()
        path = Path(name)
        with self._lock:
            try:
                stat = path.stat()
            except OSError as error:
                raise _unreadable(path, error) from error
            if self._known is None or self._known[:3] != (path, stat.st_mtime_ns, stat.st_size):
                self._known = (path, stat.st_mtime_ns, stat.st_size, _read(path))
            return self._known[3]


def _read(path: Path) -> RoutingTable:
    from airflow_incident_provider.intake.routing_table import load_routing_table

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    return load_routing_table(text)


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> RoutingTableError:
    reason = (error.strerror or type(error).__name__) if isinstance(error, OSError) else "it is not UTF-8"
    return RoutingTableError(
        f"The routing table {path} cannot be read: {reason}.",
        fix="Correct [incident] routing_table, or the file's permissions.",
    )
