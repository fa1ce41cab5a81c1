"""A remote Airflow, through its REST API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from typing import Any, TypeVar

from airflow_incident_provider.cli.access import REPORT, RETURN_VALUE, Run, Started, Step
from airflow_incident_provider.cli.airflow_api import AirflowApi, AirflowApiError
from airflow_incident_provider.cli.run import UsageError
from airflow_incident_provider.config import INCIDENT_TAG, run_url
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.lifecycle.actions import Outcome
from airflow_incident_provider.registry.keys import REGISTRY, REPORTS

T = TypeVar("T")


class RemoteAirflow:
    """An :class:`~airflow_incident_provider.cli.access.Airflow` through the REST API."""

    def __init__(self, api: AirflowApi) -> None:
        self.api = api

    def require_ready(self, dag_id: str) -> None:
        """See :meth:`.Airflow.require_ready`."""
        dag = self.api.dag(dag_id)
        if dag is None:
            raise IncidentError(
                f"The DAG {dag_id} is missing in {self.api.base_url}.",
                fix="Put its file into the DAGs folder there, and run: airflow dags reserialize. Or give --dag-id.",
            )
        if dag.get("has_import_errors"):
            raise IncidentError(f"The DAG {dag_id} has import errors.", fix="See: airflow dags list-import-errors")
        if dag.get("is_paused"):
            raise IncidentError(
                f"The DAG {dag_id} is paused: its runs would wait.", fix=f"Run: airflow dags unpause {dag_id}"
            )

    def start(self, dag_id: str, conf: Mapping[str, Any], *, run_id: str | None) -> Started:
        """Start a run, unless one with this id exists."""
        try:
            answer = self.api.trigger(dag_id, dict(conf), run_id=run_id)
        except AirflowApiError as error:
            if error.status == HTTPStatus.CONFLICT and run_id is not None:
                return Started(run_id=run_id, new=False)
            if error.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
                raise UsageError(error.message) from None
            raise
        return Started(run_id=answer["dag_run_id"], new=True)

    def act(self, key: str, command: str, *, actor: str) -> tuple[Outcome, str]:  # noqa: ARG002 - it is the user
        """Request the action from Airflow's API server."""
        try:
            answer = self.api.act(key, command)
        except AirflowApiError as error:
            if error.status == HTTPStatus.CONFLICT:
                return Outcome.REFUSED, error.message
            raise
        return Outcome(answer["outcome"]), str(answer["reply"])

    def incident_dag_ids(self) -> Sequence[str]:
        """Request the DAGs with the tag."""
        return self.api.dag_ids(tag=INCIDENT_TAG)

    def run(self, dag_id: str, run_id: str) -> Run | None:
        """Request one run."""
        return _if_found(lambda: _run(self.api.run(dag_id, run_id)))

    def latest_runs(self, dag_id: str, limit: int) -> list[Run]:
        """Request the newest runs."""
        return [_run(run) for run in self.api.latest_runs(dag_id, limit=limit)]

    def steps(self, dag_id: str, run_id: str) -> list[Step]:
        """Request the task instances."""
        return [
            Step(
                task_id=task["task_id"],
                map_index=task["map_index"],
                label=task.get("rendered_map_index"),
                state=task["state"],
                started_at=_parse_time(task["start_date"]),
                ended_at=_parse_time(task["end_date"]),
            )
            for task in self.api.task_instances(dag_id, run_id)
        ]

    def value(
        self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1, key: str = RETURN_VALUE
    ) -> Any | None:
        """Request an XCom."""
        return _if_found(lambda: self.api.xcom(dag_id, run_id, task_id, map_index=map_index, key=key))

    def url(self, dag_id: str, run_id: str) -> str | None:
        """Return the run's page."""
        return run_url(dag_id, run_id, base_url=self.api.base_url)

    def registry_value(self, key: str) -> Any | None:
        """Request an entry of the state store of the registry's assets."""
        asset, name = (REPORTS, key.removeprefix(REPORT)) if key.startswith(REPORT) else (REGISTRY, key)
        asset_id = self._asset_ids[asset.name]
        return None if asset_id is None else _if_found(lambda: self.api.asset_state(asset_id, name))

    def registry_values(self) -> Mapping[str, Any]:
        """Request all entries of the state store of the registry's assets."""
        found: dict[str, Any] = {}
        for asset, prefix in ((REGISTRY, ""), (REPORTS, REPORT)):
            asset_id = self._asset_ids[asset.name]
            if asset_id is not None:
                found |= {f"{prefix}{key}": value for key, value in self.api.asset_states(asset_id).items()}
        return found

    @cached_property
    def _asset_ids(self) -> Mapping[str, int | None]:
        return {asset.name: self.api.asset_id(asset.name, asset.uri) for asset in (REGISTRY, REPORTS)}


def _run(run: Mapping[str, Any]) -> Run:
    run_after = datetime.fromisoformat(run["run_after"])
    return Run(dag_id=run["dag_id"], run_id=run["dag_run_id"], state=run["state"], run_after=run_after)


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _if_found(call: Callable[[], T]) -> T | None:
    """Return the answer of a call; ``None`` if the object does not exist."""
    try:
        return call()
    except AirflowApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None
