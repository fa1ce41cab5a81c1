"""
Read the runs of incident DAGs, and what their tasks returned, from Airflow's database.

For processes with database access: scheduler and API server. XComs are read as the default XCom backend stores
them, as JSON. A value in another backend, or one that no longer validates, counts as missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from airflow_incident_provider.config import INCIDENT_TAG, TaskId
from airflow_incident_provider.models import Finding, Incident, IncidentSummary, Verdict, WarRoom, XComValue
from airflow_incident_provider.plugins.incident_dags import key_in_conf

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_RETURN_VALUE = "return_value"

Value = TypeVar("Value", bound=XComValue)
Values = Mapping[tuple[str, int], Any]
"""The return values of a run's tasks, by task id and map index."""


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """
    A run of an incident DAG, and what its tasks have returned so far.

    :param state: the Airflow state: ``queued``, ``running``, ``success`` or ``failed``.
    :param requested_at: when the run was requested.
    :param key: the incident key, once it is known.
    """

    dag_id: str
    run_id: str
    state: str
    requested_at: datetime
    key: str | None = None
    incident: Incident | None = None
    room: WarRoom | None = None
    findings: Mapping[Verdict, int] = field(default_factory=dict)
    summary: IncidentSummary | None = None


def incident_dag_ids(session: Session) -> list[str]:
    """Return the ids of the DAGs with the incident tag, sorted."""
    from airflow.models.dag import DagTag
    from sqlalchemy import select

    return list(session.scalars(select(DagTag.dag_id).where(DagTag.name == INCIDENT_TAG).order_by(DagTag.dag_id)))


def latest_runs(session: Session, dag_ids: Sequence[str], *, limit: int) -> list[RecordedRun]:
    """
    Return the latest runs that parse an incident, newest first.

    :param dag_ids: only runs of these DAGs.
    :param limit: the maximum number of runs.
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import exists, select

    parses_incident = exists().where(
        TaskInstance.dag_id == DagRun.dag_id,
        TaskInstance.run_id == DagRun.run_id,
        TaskInstance.task_id == TaskId.PARSE_INCIDENT,
    )
    wanted = DagRun.dag_id.in_(dag_ids), parses_incident
    return _read(session, select(DagRun).where(*wanted).order_by(DagRun.run_after.desc()).limit(limit))


def one_run(session: Session, dag_id: str, run_id: str) -> RecordedRun | None:
    """Return a run, or ``None`` if it does not exist."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    found = _read(session, select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    return found[0] if found else None


def _read(session: Session, selected: Any) -> list[RecordedRun]:
    rows = list(session.scalars(selected))
    left = _returned(
        session, [row.id for row in rows], (TaskId.PARSE_INCIDENT, TaskId.CREATE_WAR_ROOM, TaskId.FINAL_SUMMARY)
    )
    # A summary has the counts, so findings, which are large, are read only while there is no summary.
    unfinished = [row.id for row in rows if (TaskId.FINAL_SUMMARY, -1) not in left.get(row.id, {})]
    findings = _returned(session, unfinished, (TaskId.INVESTIGATE,))
    return [_run(row, left.get(row.id, {}), findings.get(row.id, {})) for row in rows]


def _returned(session: Session, run_ids: Sequence[int], task_ids: Sequence[str]) -> dict[int, dict[Any, Any]]:
    """Return the return values of these tasks, by the run's database id."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    if not run_ids:
        return {}
    entries = session.execute(
        select(XComModel.dag_run_id, XComModel.task_id, XComModel.map_index, XComModel.value).where(
            XComModel.dag_run_id.in_(run_ids), XComModel.key == _RETURN_VALUE, XComModel.task_id.in_(task_ids)
        )
    )
    found: dict[int, dict[Any, Any]] = {}
    for dag_run_id, task_id, map_index, value in entries:
        found.setdefault(dag_run_id, {})[task_id, map_index] = value
    return found


def _run(row: Any, left: Values, findings: Values) -> RecordedRun:
    incident = _value(Incident, left.get((TaskId.PARSE_INCIDENT, -1)))
    summary = _value(IncidentSummary, left.get((TaskId.FINAL_SUMMARY, -1)))
    return RecordedRun(
        dag_id=row.dag_id,
        run_id=row.run_id,
        state=str(row.state),
        requested_at=row.run_after,
        key=incident.key if incident else key_in_conf(row.conf),
        incident=incident,
        room=_value(WarRoom, left.get((TaskId.CREATE_WAR_ROOM, -1))),
        findings=summary.findings if summary else _counts(findings),
        summary=summary,
    )


def _counts(findings: Values) -> Mapping[Verdict, int]:
    read = (_value(Finding, value) for value in findings.values())
    return Counter(finding.verdict for finding in read if finding is not None)


def _value(model: type[Value], stored: Any) -> Value | None:
    try:
        return model.model_validate(stored)
    except ValidationError:
        return None
