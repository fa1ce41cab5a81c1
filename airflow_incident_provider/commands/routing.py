"""The routing table that this Airflow is configured with."""

from __future__ import annotations

from pathlib import Path

from airflow.configuration import conf

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.intake.routing import RoutingTable, load_routing_table


def routing_table_path() -> str | None:
    """Return what ``[incident] routing_table`` names, if anything."""
    return conf.get("incident", "routing_table", fallback=None) or None


def configured_routing() -> RoutingTable:
    """Return the table; an empty one if none is configured.

    :raises RoutingTableError: it cannot be read, or does not say what it should.
    """
    path = routing_table_path()
    if path is None:
        return RoutingTable()
    try:
        return load_routing_table(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RoutingTableError(
            f"The routing table {path} cannot be read: {type(error).__name__}.",
            fix="Correct [incident] routing_table, or the file's permissions.",
        ) from error
