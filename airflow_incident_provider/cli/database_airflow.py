"""The Airflow that is configured on this machine, through its database."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from airflow.exceptions import DagNotFound, DagRunAlreadyExists
from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel as Entry
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk import Asset
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from airflow_incident_provider.cli.access import REPORT, RETURN_VALUE, Run, Started, Step
from airflow_incident_provider.cli.run import UsageError
from airflow_incident_provider.config import run_url
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.interaction.commands import parse_command
from airflow_incident_provider.lifecycle.actions import Outcome
from airflow_incident_provider.lifecycle.coordination import Actor, ActorSource, IncidentAction
from airflow_incident_provider.plugins.run_history import incident_dag_ids
from airflow_incident_provider.registry.actions import DatabaseIncidents
from airflow_incident_provider.registry.keys import REGISTRY, REPORTS
from airflow_incident_provider.registry.runs import Runs
from airflow_incident_provider.routing_file import RoutingTableFile


class DatabaseAirflow:
    """An :class:`~airflow_incident_provider.cli.access.Airflow` through the database."""

    def __init__(self) -> None:
        self._runs = Runs()

    def require_ready(self, dag_id: str) -> None:
        """See :meth:`.Airflow.require_ready`."""
        with create_session() as session:
            self._runs.ready_dag(session, dag_id)

    def start(self, dag_id: str, conf: Mapping[str, Any], *, run_id: str | None) -> Started:
        """Start a run, unless one with this id exists."""
        from airflow.api.common.trigger_dag import trigger_dag

        try:
            run = trigger_dag(
                dag_id=dag_id,
                triggered_by=DagRunTriggeredByType.CLI,
                # Without the host: an address would be looked up in Slack, and reported as a person not found.
                triggering_user_name=getpass.getuser(),
                run_id=run_id,
                conf=dict(conf),
                replace_microseconds=False,
            )
        except (DagRunAlreadyExists, IntegrityError):
            if run_id is None:
                raise
            return Started(run_id=run_id, new=False)
        except DagNotFound as error:
            raise IncidentError(f"The DAG {dag_id} is missing.") from error
        except ValueError as error:
            raise UsageError(f"The DAG does not accept this: {error}") from None
        assert run is not None
        return Started(run_id=run.run_id, new=True)

    def act(self, key: str, command: str, *, actor: str) -> tuple[Outcome, str]:
        """Apply an action in the database."""
        parsed = parse_command(command)
        if parsed is None:
            raise UsageError("An action is required.")
        action = IncidentAction(
            id=uuid4().hex,
            kind=parsed.kind,
            at=datetime.now(UTC),
            actor=Actor(name=actor, source=ActorSource.COMMAND_LINE),
            **parsed.arguments,
        )
        applied = DatabaseIncidents(self._runs).apply(key, action, RoutingTableFile().table())
        return applied.outcome, applied.reply

    def incident_dag_ids(self) -> Sequence[str]:
        """Query the tags of the DAGs."""
        with create_session() as session:
            return incident_dag_ids(session)

    def run(self, dag_id: str, run_id: str) -> Run | None:
        """Query one run."""
        with create_session() as session:
            found = session.scalar(select(DagRun).filter_by(dag_id=dag_id, run_id=run_id))
            return _run(found) if found is not None else None

    def latest_runs(self, dag_id: str, limit: int) -> list[Run]:
        """Query the newest runs."""
        newest = select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(limit)
        with create_session() as session:
            return [_run(found) for found in session.scalars(newest)]

    def steps(self, dag_id: str, run_id: str) -> list[Step]:
        """Query the task instances."""
        wanted = select(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id)
        with create_session() as session:
            return [
                Step(
                    task_id=found.task_id,
                    map_index=found.map_index,
                    label=found.rendered_map_index,
                    state=str(found.state) if found.state else None,
                    started_at=found.start_date,
                    ended_at=found.end_date,
                )
                for found in session.scalars(wanted)
            ]

    def value(
        self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1, key: str = RETURN_VALUE
    ) -> Any | None:
        """Query an XCom as Airflow's default backend stores it."""
        place = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index, "key": key}
        with create_session() as session:
            stored = session.scalar(select(XComModel.value).filter_by(**place))
        return json.loads(stored) if isinstance(stored, str) else stored

    def url(self, dag_id: str, run_id: str) -> str | None:
        """Return the run's page, if ``[api] base_url`` is set."""
        return run_url(dag_id, run_id)

    def registry_value(self, key: str) -> Any | None:
        """Query the state store of the registry's assets."""
        asset, name = (REPORTS, key.removeprefix(REPORT)) if key.startswith(REPORT) else (REGISTRY, key)
        with create_session() as session:
            stored = session.scalar(_entries(asset, Entry.value).where(Entry.key == name))
        return json.loads(stored) if stored is not None else None

    def registry_values(self) -> Mapping[str, Any]:
        """Query the state store of the registry's assets."""
        found: dict[str, Any] = {}
        with create_session() as session:
            for asset, prefix in ((REGISTRY, ""), (REPORTS, REPORT)):
                rows = session.execute(_entries(asset, Entry.key, Entry.value))
                found |= {f"{prefix}{key}": json.loads(value) for key, value in rows}
        return found


def _entries(asset: Asset, *columns: Any) -> Any:
    """Return a query for columns of an asset's entries."""
    return (
        select(*columns)
        .join(AssetModel, AssetModel.id == Entry.asset_id)
        .where(AssetModel.name == asset.name, AssetModel.uri == asset.uri)
    )


def _run(found: DagRun) -> Run:
    return Run(dag_id=found.dag_id, run_id=found.run_id, state=str(found.state), run_after=found.run_after)
