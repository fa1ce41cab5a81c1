"""The routing table as the API server sees it: read again when the file changes."""

from __future__ import annotations

import threading
from pathlib import Path

from airflow.configuration import conf

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.intake.routing import RoutingTable, load_routing_table


class RoutingTableFile:
    """The table that ``[incident] routing_table`` names; an empty one if it names none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: tuple[Path, int, int, RoutingTable] | None = None

    def table(self) -> RoutingTable:
        """Return the table as it is now.

        :raises RoutingTableError: the file cannot be read, or does not say what it should.
        """
        name = conf.get("incident", "routing_table", fallback=None)
        if not name:
            return RoutingTable()
        path = Path(name)
        with self._lock:
            try:
                stat = path.stat()
                if self._read is None or self._read[:3] != (path, stat.st_mtime_ns, stat.st_size):
                    table = load_routing_table(path.read_text(encoding="utf-8"))
                    self._read = (path, stat.st_mtime_ns, stat.st_size, table)
            except (OSError, UnicodeDecodeError) as error:
                raise RoutingTableError(
                    f"The routing table {path} cannot be read: {type(error).__name__}.",
                    fix="Correct [incident] routing_table, or the file's permissions.",
                ) from error
            return self._read[3]
