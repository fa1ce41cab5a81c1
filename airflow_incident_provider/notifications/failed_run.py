"""Read the context of a failure callback: which run failed, and which of its tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_incident_provider.events.event import describe_error
from airflow_incident_provider.text import digest

_MAX_DAG_ID = 150
"""Characters of a DAG id in an incident's key; the digest identifies the rest."""

_NOT_IN_KEY = re.compile(r"[^A-Za-z0-9_.~:+-]+")
"""Airflow allows letters of any script in a DAG id, an incident's key only these."""


@dataclass(frozen=True, kw_only=True)
class FailedTask:
    """A task instance that failed; ``error`` is the error's class, with its message if this package wrote it."""

    task_id: str
    map_index: int = -1
    try_number: int = 1
    error: str | None = None
    log_url: str | None = None

    @property
    def name(self) -> str:
        """The task id, with its map index."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


@dataclass(frozen=True, kw_only=True)
class FailedRun:
    """A run that failed.

    :param began_at: when it started; the time of the callback if Airflow does not say.
    :param task: the task that failed; ``None`` in the callback of a DAG.
    :param start_known: whether Airflow says when it started.
    :param reason: why the run failed, in Airflow's words, in the callback of a DAG.
    :param destination: which of the run's rooms it belongs to, if not to the public one of the default connection:
        what is posted in a private room must not be posted in a public one, or in another workspace.
    """

    dag_id: str
    run_id: str
    began_at: datetime
    start_known: bool = True
    task: FailedTask | None = None
    reason: str | None = None
    destination: str | None = None

    @classmethod
    def of(cls, context: Mapping[str, Any], *, destination: str | None = None) -> FailedRun:
        """Read the context of a task's or a DAG's callback, however little of it there is.

        :param destination: which of the run's rooms it belongs to.
        :raises LookupError: it does not name the run.
        """
        ti, dag_run, dag = (context.get(name) for name in ("ti", "dag_run", "dag"))
        dag_id = _first("dag_id", ti, dag_run, dag)
        run_id = _first("run_id", ti, dag_run) or context.get("run_id")
        if not dag_id or not run_id:
            raise LookupError("The context names no DAG run.")
        began_at = _moment(_first("start_date", dag_run))
        # A DAG's callback gets one of the run's tasks, which may not be one that failed.
        is_of_dag = "reason" in context
        return cls(
            dag_id=str(dag_id),
            run_id=str(run_id),
            began_at=began_at or datetime.now(UTC),
            start_known=began_at is not None,
            task=None if is_of_dag or ti is None else _task(ti, context),
            reason=str(context["reason"]) if context.get("reason") else None,
            destination=destination,
        )

    @property
    def digest(self) -> str:
        """Eight characters that identify the run, and which of its rooms."""
        return digest("/".join(filter(None, (self.dag_id, self.run_id, self.destination))), 8)

    @property
    def key(self) -> str:
        """The key of the run's incident: the same for all of its failures with the same destination."""
        return f"dag.{_NOT_IN_KEY.sub('-', self.dag_id)[:_MAX_DAG_ID]}.{self.digest}"

    @property
    def failure_key(self) -> str:
        """The key of this failure of the run."""
        if self.task is None:
            # A run that was cleared and fails again has begun again.
            return f"{self.key}/run/{self.began_at.timestamp():.0f}" if self.start_known else f"{self.key}/run"
        return f"{self.key}/{self.task.task_id}/{self.task.map_index}/{self.task.try_number}"


def _task(ti: Any, context: Mapping[str, Any]) -> FailedTask:
    return FailedTask(
        task_id=str(ti.task_id),
        map_index=getattr(ti, "map_index", -1),
        try_number=getattr(ti, "try_number", 1),
        error=describe_error(context.get("exception")),
        log_url=getattr(ti, "log_url", None),
    )


def _first(name: str, *things: Any) -> Any:
    """Return the first attribute or item of this name that is not ``None``."""
    found = (
        thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
        for thing in things
        if thing is not None
    )
    return next((value for value in found if value is not None), None)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value if isinstance(value, datetime) and value.tzinfo is not None else None
