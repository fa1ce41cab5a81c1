"""The routing table as a task sees it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import conf

from airflow_incident_provider.exceptions import RoutingTableError

if TYPE_CHECKING:
    from airflow_incident_provider.intake.routing import RoutingTable


def read_routing_table(path: str | None = None) -> RoutingTable:
    """Return the routing table; an empty one if there is no file.

    :param path: the file; default: ``[incident] routing_table``.
    :raises RoutingTableError: the file cannot be read, or does not say what it should.
    """
    from airflow_incident_provider.intake.routing import RoutingTable, load_routing_table

    path = path or conf.get("incident", "routing_table", fallback=None)
    if not path:
        return RoutingTable()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RoutingTableError(
            f"The routing table {path} cannot be read: {error}.",
            fix="Correct [incident] routing_table, or the file's permissions.",
        ) from error
    return load_routing_table(text)
