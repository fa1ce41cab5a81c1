"""Which DAGs are about incidents: those with the tag; and which incident a run is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from airflow_incident_provider.config import INCIDENT_TAG, ConfKey
from airflow_incident_provider.models import IncidentKey


def is_incident_dag(dag: Any) -> bool:
    """Return whether a DAG, as a task or a scheduler knows it, has the tag; ``None`` has not."""
    return INCIDENT_TAG in (getattr(dag, "tags", None) or ())


def key_in_conf(conf: Any) -> str | None:
    """Return the key of the incident that the webhook started a run for; a run of somebody else's names none."""
    if not isinstance(conf, Mapping):
        return None
    assignment = conf.get(ConfKey.ASSIGNMENT)
    key = assignment.get("key") if isinstance(assignment, Mapping) else conf.get(ConfKey.INCIDENT_KEY)
    try:
        return _KEY.validate_python(key)
    except ValidationError:
        return None


_KEY = TypeAdapter(IncidentKey)
