"""DAGs as Airflow has parsed them, whether or not their runs would start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.models.dag_version import DagVersion
from airflow.models.dagbag import DBDagBag

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG
    from sqlalchemy.orm import Session


def parsed_dag(session: Session, dag_id: str) -> SerializedDAG | None:
    """Return the latest version of a DAG; ``None`` if Airflow has none with this id."""
    version = DagVersion.get_latest_version(dag_id, session=session)
    return DBDagBag().get_dag(version.id, session=session) if version is not None else None
