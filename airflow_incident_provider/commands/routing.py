"""Where the routing table is that this Airflow is configured with."""

from __future__ import annotations

from airflow.configuration import conf


def routing_table_path() -> str | None:
    """Return what ``[incident] routing_table`` names, if anything."""
    return conf.get("incident", "routing_table", fallback=None) or None
