"""
Read the runs of incident DAGs, and what their tasks returned, from Airflow's database.

For processes with database access: scheduler and API server. XComs are read as the default XCom backend stores
them, as JSON. A value in another backend, or one that no longer validates, counts as missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_incident_provider.config import INCIDENT_TAG, TaskId, XComKey
from airflow_incident_provider.models import Problem
from airflow_incident_provider.plugins.incident_dags import key_in_conf
from airflow_incident_provider.room.snapshot import IncidentSnapshot, RunRef, read_snapshot
from airflow_incident_provider.text import one_line, shorten

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

RETURN_VALUE = "return_value"
TITLE_LIMIT = 200

_LISTED_TASKS = (TaskId.PARSE_INCIDENT, TaskId.CREATE_WAR_ROOM, TaskId.FINAL_SUMMARY)
_ROOM_TASKS = (TaskId.PARSE_INCIDENT, TaskId.SETUP_SLACK, TaskId.CREATE_WAR_ROOM)

Values = Mapping[tuple[str, int], Any]
"""The return values of a run's tasks, by task id and map index."""


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """
    A run of an incident DAG, and what its tasks have returned so far.

    :param key: the incident key, once it is known.
    :param reported_title: the title in the run's conf, before anything is parsed. Untrusted text.
    :param problem: why there is no room, if a task reported it.
    """

    run: RunRef
    snapshot: IncidentSnapshot
    key: str | None = None
    reported_title: str | None = None
    problem: Problem | None = None


class StoredXComs:
    """The XComs of one run, as they were read from the database.

    :param values: by task id and map index.
    """

    def __init__(self, values: Values) -> None:
        self._values = values

    def value(self, task_id: str) -> Any:
        """Return the return value of a task, or ``None``."""
        return self._values.get((task_id, -1))

    def values(self, task_ids: Sequence[str]) -> Iterable[Any]:
        """Return the return values of all instances of these tasks."""
        return [value for (task_id, _), value in sorted(self._values.items()) if task_id in task_ids]


def incident_dag_ids(session: Session) -> list[str]:
    """Return the ids of the DAGs with the incident tag, sorted."""
    from airflow.models.dag import DagTag
    from sqlalchemy import select

    return list(session.scalars(select(DagTag.dag_id).where(DagTag.name == INCIDENT_TAG).order_by(DagTag.dag_id)))


def latest_runs(session: Session, dag_ids: Sequence[str], *, limit: int) -> list[RecordedRun]:
    """
    Return the latest runs that parse an incident, newest first; without the evidence of their findings.

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
    return _listed(session, select(DagRun).where(*wanted).order_by(DagRun.run_after.desc()).limit(limit))


def runs_with_ids(session: Session, runs: Collection[tuple[str, str]]) -> list[RecordedRun]:
    """
    Return the runs that exist, without the evidence of their findings.

    :param runs: pairs of DAG id and run id.
    """
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select, tuple_

    if not runs:
        return []
    return _listed(session, select(DagRun).where(tuple_(DagRun.dag_id, DagRun.run_id).in_(list(runs))))


def one_run(session: Session, dag_id: str, run_id: str, *, evidence: bool = False) -> RecordedRun | None:
    """Return a run, or ``None`` if it does not exist.

    :param evidence: whether to read the findings of all its tasks, with their evidence.
    """
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    selected = select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    if not evidence:
        return next(iter(_listed(session, selected)), None)
    row = session.scalar(selected)
    if row is None:
        return None
    values = _returned(session, [row.id]).get(row.id, {})
    problems = _returned(session, [row.id], _ROOM_TASKS, key=XComKey.PROBLEM)
    # Any task may return a finding; the values of other tasks do not validate as one.
    tasks = tuple({task_id for task_id, _ in values})
    return _run(row, values, problems.get(row.id, {}), finding_tasks=tasks)


def _listed(session: Session, selected: Any) -> list[RecordedRun]:
    rows = list(session.scalars(selected))
    values = _returned(session, [row.id for row in rows], _LISTED_TASKS)
    # A summary has the counts, so findings, which are large, are read only while there is no summary.
    unfinished = [row.id for row in rows if (TaskId.FINAL_SUMMARY, -1) not in values.get(row.id, {})]
    findings = _returned(session, unfinished, (TaskId.INVESTIGATE,))
    without_room = [row.id for row in rows if (TaskId.CREATE_WAR_ROOM, -1) not in values.get(row.id, {})]
    problems = _returned(session, without_room, _ROOM_TASKS, key=XComKey.PROBLEM)
    return [
        _run(row, {**values.get(row.id, {}), **findings.get(row.id, {})}, problems.get(row.id, {})) for row in rows
    ]


def _returned(
    session: Session, run_ids: Sequence[int], task_ids: Sequence[str] = (), *, key: str = RETURN_VALUE
) -> dict[int, dict[tuple[str, int], Any]]:
    """Return the XComs of these tasks, by the run's database id; without task ids those of all tasks."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    if not run_ids:
        return {}
    wanted = [XComModel.dag_run_id.in_(run_ids), XComModel.key == key]
    if task_ids:
        wanted.append(XComModel.task_id.in_(task_ids))
    entries = session.execute(
        select(XComModel.dag_run_id, XComModel.task_id, XComModel.map_index, XComModel.value).where(*wanted)
    )
    found: dict[int, dict[tuple[str, int], Any]] = {}
    for dag_run_id, task_id, map_index, value in entries:
        found.setdefault(dag_run_id, {})[task_id, map_index] = value
    return found


def _run(
    row: Any, values: Values, problems: Values, *, finding_tasks: Sequence[str] = (TaskId.INVESTIGATE,)
) -> RecordedRun:
    run = RunRef(dag_id=row.dag_id, run_id=row.run_id, state=str(row.state), requested_at=row.run_after)
    snapshot = read_snapshot(StoredXComs(values), run=run, finding_tasks=finding_tasks)
    return RecordedRun(
        run=run,
        snapshot=snapshot,
        key=snapshot.key or key_in_conf(row.conf),
        reported_title=_reported_title(row.conf),
        problem=_problem(problems),
    )


def _reported_title(conf: Any) -> str | None:
    """Return the title in a conf: the reporter's, or that of the Datadog payload."""
    if not isinstance(conf, Mapping):
        return None
    payload = conf.get("datadog")
    titles = (conf.get("title"), payload.get("title") if isinstance(payload, Mapping) else None)
    return next((shorten(one_line(t), TITLE_LIMIT) for t in titles if isinstance(t, str) and t.strip()), None)


def _problem(problems: Values) -> Problem | None:
    """Return the problem of the first step that reported one."""
    for task_id in _ROOM_TASKS:
        try:
            return Problem.model_validate(problems[task_id, -1]["problem"])
        except (KeyError, TypeError, ValidationError):
            continue
    return None
