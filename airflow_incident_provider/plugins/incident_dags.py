"""Which DAGs are about incidents: those with a tag, whoever wrote them."""

from __future__ import annotations

from typing import Any

INCIDENT_TAG = "incident"
"""A DAG with this tag has its events told and its runs shown on the incidents page."""


def is_incident_dag(dag: Any) -> bool:
    """Return whether a DAG, as a task or a scheduler knows it, has the tag; ``None`` has not."""
    return INCIDENT_TAG in (getattr(dag, "tags", None) or ())
