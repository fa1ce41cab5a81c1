"""
The runs that a decision requests, created in the decision's own transaction: both are committed, or neither is.

Airflow's ``trigger_dag`` looks for a duplicate with a session of its own, and checks neither that a DAG is unpaused
nor that its file can be imported. So this does what Airflow's REST API does, and refuses a run that would wait,
unless it may: a room is needed now, an update of one may be late.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbag import CachedDBDagBag
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
CACHED_DAGS = 64
CACHE_SECONDS = 600


class DagNotReadyError(IncidentError):
    """A DAG whose runs would wait, or cannot be created: missing, paused, or broken."""

    def __init__(self, message: str, *, fix: str | None = None, dag_id: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.dag_id = dag_id


class Runs:
    """Creates DAG runs. Caches the DAGs that it reads; several threads may share one."""

    def __init__(self) -> None:
        self._dags = CachedDBDagBag(
            cache_size=CACHED_DAGS, cache_ttl=CACHE_SECONDS, stats_prefix="incident_webhook.dag_bag"
        )

    def start(self, session: Session, request: RunRequest) -> bool:
        """Create a run within the session's transaction.

        :returns: whether it is new: false if a run of this id exists already.
        :raises DagNotReadyError: the DAG is paused or broken and the run may not wait, or it was never parsed.
        :raises ParamValidationError: the DAG does not accept the run's conf.
        """
        dag = self._dag(session, request.dag_id) if request.may_wait else self.ready_dag(session, request.dag_id)
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
        """Return the latest parsed version of the DAG.

        :raises DagNotReadyError: it is missing, paused or broken.
        """
        problem = dag_problem(session, dag_id)
        if problem is not None:
            raise problem
        return self._dag(session, dag_id)

    def _dag(self, session: Session, dag_id: str) -> SerializedDAG:
        version = DagVersion.get_latest_version(dag_id, session=session)
        dag = self._dags.get_dag(version.id, session=session) if version is not None else None
        if dag is None:
            raise _not_ready(dag_id, "is not serialized yet", "Wait until it was parsed.")
        return dag


def dag_problem(session: Session, dag_id: str) -> DagNotReadyError | None:
    """Return why runs of a DAG would wait, or cannot be created; ``None`` if they start."""
    found = session.execute(
        select(DagModel.is_stale, DagModel.is_paused, DagModel.has_import_errors, DagModel.allowed_run_types).where(
            DagModel.dag_id == dag_id
        )
    ).one_or_none()
    # A DAG whose file cannot be imported counts as stale, too; that it is broken says more.
    if found is not None and found.has_import_errors:
        return _not_ready(dag_id, "has import errors", "See: airflow dags list-import-errors")
    if found is None or found.is_stale:
        fix = "Put its file into the DAGs folder, and parse it: airflow incident setup airflow --yes"
        return _not_ready(dag_id, "is missing", fix)
    if found.is_paused:
        return _not_ready(dag_id, "is paused", f"Run: airflow dags unpause {dag_id}")
    if found.allowed_run_types is not None and DagRunType.MANUAL not in found.allowed_run_types:
        return _not_ready(dag_id, "does not allow manual runs", "Allow them in its file.")
    return None


def _not_ready(dag_id: str, what: str, fix: str) -> DagNotReadyError:
    return DagNotReadyError(f"The DAG {dag_id} {what}.", fix=fix, dag_id=dag_id)


def existing_runs(session: Session, dag_id: str, run_ids: Collection[str]) -> set[str]:
    """Return those of some run ids of a DAG that exist."""
    runs = select(DagRun.run_id).where(DagRun.dag_id == dag_id, DagRun.run_id.in_(run_ids))
    return set(session.scalars(runs))


def started_runs(session: Session, dag_id: str, run_ids: Collection[str]) -> set[str]:
    """Return those of some run ids of a DAG whose runs have started."""
    if not run_ids:
        return set()
    runs = select(DagRun.run_id).where(
        DagRun.dag_id == dag_id, DagRun.run_id.in_(run_ids), DagRun.start_date.is_not(None)
    )
    return set(session.scalars(runs))


def run_confs(session: Session, runs: Collection[tuple[str, str]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return the confs of runs, by DAG and run id; those of runs that exist and have one."""
    run_ids = sorted({run_id for _, run_id in runs})
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for start in range(0, len(run_ids), 500):
        part = run_ids[start : start + 500]
        rows = session.execute(select(DagRun.dag_id, DagRun.run_id, DagRun.conf).where(DagRun.run_id.in_(part)))
        found |= {(row.dag_id, row.run_id): row.conf for row in rows if isinstance(row.conf, Mapping)}
    return found


def _exists(session: Session, request: RunRequest) -> bool:
    return bool(existing_runs(session, request.dag_id, [request.run_id]))
