"""What the DAG needs beside connections: its pools, being unpaused, and a routing table."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from airflow.models.dag import DagModel
from airflow.models.pool import Pool
from airflow.utils.session import create_session
from sqlalchemy import select, update

from airflow_incident_provider.commands.parsed_dags import pools_of
from airflow_incident_provider.commands.setup.plan import Action, Item
from airflow_incident_provider.config import settings


def pool_items(dag_id: str, slots: int) -> Iterable[Item]:
    """Return what is to become of each pool that the DAG's tasks name, or will name once the DAG is parsed."""
    with create_session() as session:
        named = sorted({*pools_of(session, dag_id), settings().slack_pool})
        there = dict(session.execute(select(Pool.pool, Pool.slots)).tuples().all())
    for name in named:
        if name in there:
            yield Item(f"pool {name}", Action.KEEP, f"{there[name]} slots")
        else:
            yield Item(f"pool {name}", Action.CREATE, f"{slots} slots", partial(_make_pool, name, slots))


def dag_items(dag_id: str) -> Iterable[Item]:
    """Return what is to become of the DAG: unpaused."""
    with create_session() as session:
        paused = session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id, ~DagModel.is_stale))
    what = f"DAG {dag_id}"
    if paused is None:
        yield Item(what, Action.BY_HAND, "run: airflow incident setup files --yes, and start the DAG processor")
    elif paused:
        yield Item(what, Action.UPDATE, "unpause it", partial(_unpause, dag_id))
    else:
        yield Item(what, Action.KEEP, "unpaused")


def setting_items() -> Iterable[Item]:
    """Return what is to become of the settings, which are files of Airflow's and not in its database."""
    path = settings().routing_table
    if path is not None:
        yield Item("setting [incident] routing_table", Action.KEEP, path)
    else:
        advice = "name its file there, or in the environment; then run: airflow incident setup files"
        yield Item("setting [incident] routing_table", Action.BY_HAND, advice)


def _make_pool(name: str, slots: int) -> None:
    with create_session() as session:
        session.add(Pool(pool=name, slots=slots, description="Incident response", include_deferred=False))


def _unpause(dag_id: str) -> None:
    with create_session() as session:
        session.execute(update(DagModel).where(DagModel.dag_id == dag_id).values(is_paused=False))
