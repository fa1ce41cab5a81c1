"""Which run a person means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_incident_provider.commands.access.airflow import Airflow, Run
from airflow_incident_provider.commands.running import UsageError
from airflow_incident_provider.config import DagId, TaskId

LATEST = "latest"
LOOKED_AT = 100
"""Runs of a DAG, the newest, whose incidents are looked at for a key, an id or a room."""


def incident_dags(airflow: Airflow, dag_id: str | None) -> list[str]:
    """Return the DAGs whose runs are incidents: the one that is named, else all but that for their later life."""
    if dag_id is not None:
        return [dag_id]
    return [found for found in airflow.incident_dag_ids() if found != DagId.INCIDENT_UPDATE]


def find_run(airflow: Airflow, named: str, dag_id: str | None) -> Run:
    """Return the run that is meant: by run id, else the newest whose incident has this key, id or room.

    :param named: what the person wrote; ``latest`` is the newest run.
    :param dag_id: a run of this DAG; none for every incident DAG.
    :raises UsageError: there is none.
    """
    dag_ids = incident_dags(airflow, dag_id)
    if not dag_ids:
        raise UsageError("No DAG is tagged incident.", fix="Name one with --dag-id.")
    found = (
        next(iter(newest_runs(airflow, dag_ids, 1)), None)
        if named == LATEST
        else _by_run_id(airflow, named, dag_ids) or _by_incident(airflow, named.removeprefix("#"), dag_ids)
    )
    if found is None:
        raise UsageError(
            f"No run of {', '.join(dag_ids)} is, or is about, {named!r}.", fix="See: airflow incident list."
        )
    return found


def newest_runs(airflow: Airflow, dag_ids: Sequence[str], limit: int) -> list[Run]:
    """Return the newest runs of all these DAGs, the newest first."""
    runs = [run for dag_id in dag_ids for run in airflow.latest_runs(dag_id, limit)]
    return sorted(runs, key=lambda run: run.asked_at, reverse=True)[:limit]


def _by_run_id(airflow: Airflow, run_id: str, dag_ids: Sequence[str]) -> Run | None:
    return next((run for dag_id in dag_ids if (run := airflow.run(dag_id, run_id)) is not None), None)


def _by_incident(airflow: Airflow, named: str, dag_ids: Sequence[str]) -> Run | None:
    return next((run for run in newest_runs(airflow, dag_ids, LOOKED_AT) if named in _names(airflow, run)), None)


def _names(airflow: Airflow, run: Run) -> Iterator[str]:
    incident = airflow.value(run.dag_id, run.run_id, TaskId.PARSE_INCIDENT) or {}
    yield from (str(incident[name]) for name in ("key", "id") if name in incident)
    room = airflow.value(run.dag_id, run.run_id, TaskId.CREATE_WAR_ROOM) or {}
    if "channel_name" in room:
        yield str(room["channel_name"])
