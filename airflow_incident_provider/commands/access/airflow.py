"""What the commands need of an Airflow, whichever way they reach it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from airflow_incident_provider.airflow_api import FINAL_RUN_STATES

RETURN_VALUE = "return_value"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of a DAG; ``state`` is Airflow's word for it."""

    dag_id: str
    run_id: str
    state: str
    asked_at: datetime

    @property
    def is_over(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.state in FINAL_RUN_STATES


@dataclass(frozen=True, kw_only=True)
class Step:
    """A task instance of a run: its latest try. ``label`` is what tells the instances of a mapped task apart."""

    task_id: str
    map_index: int = -1
    label: str | None = None
    state: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def name(self) -> tuple[str, int]:
        """What identifies it within its run."""
        return self.task_id, self.map_index


@dataclass(frozen=True, kw_only=True)
class Started:
    """What became of the wish to start a run; ``new`` is false if a run of this id was there already."""

    run_id: str
    new: bool


class Airflow(Protocol):
    """An Airflow.

    Errors: :class:`~airflow_incident_provider.exceptions.IncidentError` with its fix, or those of the database.
    """

    def require_ready(self, dag_id: str) -> None:
        """Return if a run of this DAG would start; raise, with the fix, if it is missing, paused or broken."""

    def start(self, dag_id: str, conf: Mapping[str, Any], *, run_id: str | None) -> Started:
        """Start a run.

        :param run_id: what makes it unique; none to let Airflow name it.
        """

    def incident_dag_ids(self) -> Sequence[str]:
        """Return the DAGs that are about incidents."""

    def run(self, dag_id: str, run_id: str) -> Run | None:
        """Return a run, if it is there."""

    def latest_runs(self, dag_id: str, limit: int) -> list[Run]:
        """Return a DAG's newest runs, the newest first."""

    def steps(self, dag_id: str, run_id: str) -> list[Step]:
        """Return a run's task instances."""

    def value(
        self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1, key: str = RETURN_VALUE
    ) -> Any | None:
        """Return what a task left in XCom, if it did."""

    def url(self, dag_id: str, run_id: str) -> str | None:
        """Return the run's address in Airflow's UI, if it is known."""

    def registry_value(self, key: str) -> Any | None:
        """Return an entry of the registry of incidents; nothing if there is none, or no registry."""
