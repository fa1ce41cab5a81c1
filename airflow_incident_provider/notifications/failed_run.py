"""Which run failed, and which of its tasks: out of what Airflow gives a callback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_incident_provider.events.event import describe_error
from airflow_incident_provider.text import digest

_LONGEST_DAG_ID = 150
"""Characters of a DAG's id that an incident's key holds; the digest tells the rest apart."""


@dataclass(frozen=True, kw_only=True)
class FailedTask:
    """A task instance that failed; ``error`` is the error's class, and its words only if they are ours."""

    task_id: str
    map_index: int = -1
    try_number: int = 1
    error: str | None = None
    log_url: str | None = None

    @property
    def name(self) -> str:
        """The task as people call it."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


@dataclass(frozen=True, kw_only=True)
class FailedRun:
    """A run that failed.

    :param began_at: when it began; the moment of the callback where Airflow does not tell.
    :param task: the task that failed; absent where the callback is the whole DAG's.
    :param reason: Airflow's word for why the run failed, where the callback is the whole DAG's.
    """

    dag_id: str
    run_id: str
    began_at: datetime
    task: FailedTask | None = None
    reason: str | None = None

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> FailedRun:
        """Read the context of a callback: a task's, a DAG's, or the little that is left of one.

        :raises LookupError: it does not tell which run it is about.
        """
        ti, dag_run, dag = (context.get(name) for name in ("ti", "dag_run", "dag"))
        dag_id = _first("dag_id", ti, dag_run, dag)
        run_id = _first("run_id", ti, dag_run) or context.get("run_id")
        if not dag_id or not run_id:
            raise LookupError("The context names no DAG run.")
        # A DAG's callback is given one of the run's tasks, which need not be one that failed.
        is_of_dag = "reason" in context
        return cls(
            dag_id=str(dag_id),
            run_id=str(run_id),
            began_at=_moment(_first("start_date", dag_run)),
            task=None if is_of_dag or ti is None else _task(ti, context),
            reason=str(context["reason"]) if context.get("reason") else None,
        )

    @property
    def digest(self) -> str:
        """What tells this run from all others, in eight characters."""
        return digest(f"{self.dag_id}/{self.run_id}", 8)

    @property
    def key(self) -> str:
        """The key of the incident that this run is: the same for each of its failures."""
        return f"dag.{self.dag_id[:_LONGEST_DAG_ID]}.{self.digest}"


def _task(ti: Any, context: Mapping[str, Any]) -> FailedTask:
    return FailedTask(
        task_id=str(ti.task_id),
        map_index=getattr(ti, "map_index", -1),
        try_number=getattr(ti, "try_number", 1),
        error=describe_error(context.get("exception")),
        log_url=getattr(ti, "log_url", None),
    )


def _first(name: str, *things: Any) -> Any:
    """Return the first of some things' attributes, or items, of this name."""
    found = (
        thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
        for thing in things
        if thing is not None
    )
    return next((value for value in found if value is not None), None)


def _moment(told: Any) -> datetime:
    if isinstance(told, str):
        told = datetime.fromisoformat(told)
    return told if isinstance(told, datetime) and told.tzinfo is not None else datetime.now(UTC)
