"""
The runs that a decision asks for, created in the decision's own transaction: both are committed, or neither is.

Airflow's ``trigger_dag`` looks for a duplicate with a session of its own and checks neither that a DAG is unpaused
nor that its file can be imported. So this does what Airflow's REST API does, and refuses where a run would wait.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from airflow_incident_provider.exceptions import IncidentError

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG
    from sqlalchemy.orm import Session

    from airflow_incident_provider.lifecycle.records import RunRequest

TRIGGERED_BY = "incident webhook"


class DagNotReadyError(IncidentError):
    """A DAG whose runs would wait, or could not be created: missing, paused, or broken."""


class Runs:
    """Creates DAG runs. Keeps the DAGs that it has read, so one for the process is enough."""

    def __init__(self) -> None:
        self._dags = DBDagBag()

    def start(self, session: Session, request: RunRequest) -> bool:
        """Create a run within the session's transaction.

        :return: whether it is new: false if a run of this id is there already.
        :raises DagNotReadyError: the DAG is missing, paused or broken.
        :raises ValueError: the DAG does not accept the run's conf.
        """
        dag = self.ready_dag(session, request.dag_id)
        if _exists(session, request):
            return False
        try:
            # A savepoint: if another writer was faster, only this is undone.
            with session.begin_nested():
                dag.create_dagrun(
                    run_id=request.run_id,
                    run_after=request.run_after or datetime.now(UTC),
                    conf=request.conf,
                    run_type=DagRunType.MANUAL,
                    triggered_by=DagRunTriggeredByType.REST_API,
                    triggering_user_name=TRIGGERED_BY,
                    state=DagRunState.QUEUED,
                    session=session,
                )
        except IntegrityError:
            if not _exists(session, request):
                raise
            return False
        return True

    def ready_dag(self, session: Session, dag_id: str) -> SerializedDAG:
        """Return the DAG as it was parsed last.

        :raises DagNotReadyError: it is missing, paused or broken.
        """
        found = session.execute(
            select(
                DagModel.is_stale, DagModel.is_paused, DagModel.has_import_errors, DagModel.allowed_run_types
            ).where(DagModel.dag_id == dag_id)
        ).one_or_none()
        # A DAG whose file cannot be imported counts as stale too; that it is broken says more.
        if found is not None and found.has_import_errors:
            raise DagNotReadyError(f"The DAG {dag_id} has import errors.", fix="See them in Airflow's UI.")
        if found is None or found.is_stale:
            raise DagNotReadyError(f"The DAG {dag_id} is missing.", fix="Put its file into the DAGs folder.")
        if found.is_paused:
            raise DagNotReadyError(f"The DAG {dag_id} is paused.", fix="Unpause it.")
        if found.allowed_run_types is not None and DagRunType.MANUAL not in found.allowed_run_types:
            raise DagNotReadyError(f"The DAG {dag_id} does not allow manual runs.", fix="Allow them in its file.")
        version = DagVersion.get_latest_version(dag_id, session=session)
        dag = self._dags.get_dag(version.id, session=session) if version is not None else None
        if dag is None:
            raise DagNotReadyError(f"The DAG {dag_id} is not serialized yet.", fix="Wait until it was parsed.")
        return dag


def existing_runs(session: Session, dag_id: str, run_ids: Collection[str]) -> set[str]:
    """Return those of some run ids of a DAG that are there."""
    runs = select(DagRun.run_id).where(DagRun.dag_id == dag_id, DagRun.run_id.in_(run_ids))
    return set(session.scalars(runs))


def _exists(session: Session, request: RunRequest) -> bool:
    return bool(existing_runs(session, request.dag_id, [request.run_id]))
