"""``airflow incident setup airflow``: connections, pools and paused DAGs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from functools import partial

from airflow.models.dag import DagModel
from airflow.models.pool import Pool
from airflow.utils.session import create_session
from sqlalchemy import select, update

from airflow_incident_provider.cli.parsed_dags import pools_of
from airflow_incident_provider.cli.run import ExitCode, UsageError, command
from airflow_incident_provider.cli.setup.connections import connection_items
from airflow_incident_provider.cli.setup.plan import Action, Item, apply_and_print
from airflow_incident_provider.config import settings


@command
def setup_airflow(args: Namespace) -> ExitCode:
    """Show the changes, and apply them with ``--yes``; ``FAILED`` if something is left for a person."""
    if args.pool_slots < 1:
        raise UsageError(f"--pool-slots {args.pool_slots} is not 1 or more.")
    items = [
        *connection_items(),
        *pool_items(args.dag_id, args.pool_slots),
        *dag_items(args.dag_id),
        *setting_items(),
    ]
    apply_and_print(items, args)
    left = any(item.action is Action.MANUAL for item in items)
    return ExitCode.FAILED if args.yes and left else ExitCode.OK


def pool_items(dag_id: str, slots: int) -> Iterator[Item]:
    """Yield the change for each pool of the DAG's tasks, also of a DAG that is not parsed yet."""
    with create_session() as session:
        named = sorted({*pools_of(session, dag_id), settings().slack_pool})
        existing = dict(session.execute(select(Pool.pool, Pool.slots)).tuples().all())
    for name in named:
        if name in existing:
            yield Item(f"pool {name}", Action.KEEP, f"{existing[name]} slots")
        else:
            yield Item(f"pool {name}", Action.CREATE, f"{slots} slots", partial(_create_pool, name, slots))


def dag_items(dag_id: str) -> Iterator[Item]:
    """Yield the change for the DAG: it is unpaused."""
    with create_session() as session:
        paused = session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id, ~DagModel.is_stale))
    what = f"DAG {dag_id}"
    if paused is None:
        yield Item(what, Action.MANUAL, "run: airflow incident setup files --yes, and start the DAG processor")
    elif paused:
        yield Item(what, Action.UPDATE, "unpause it", partial(_unpause, dag_id))
    else:
        yield Item(what, Action.KEEP, "unpaused")


def setting_items() -> Iterator[Item]:
    """Yield the settings a person has to make: Airflow's configuration is not in its database."""
    path, what = settings().routing_table, "setting [incident] routing_table"
    if path is not None:
        yield Item(what, Action.KEEP, path)
    else:
        yield Item(what, Action.MANUAL, "set it to the path of the routing table; then run setup files")


def _create_pool(name: str, slots: int) -> None:
    with create_session() as session:
        session.add(Pool(pool=name, slots=slots, description="Incident response", include_deferred=False))


def _unpause(dag_id: str) -> None:
    with create_session() as session:
        session.execute(update(DagModel).where(DagModel.dag_id == dag_id).values(is_paused=False))
