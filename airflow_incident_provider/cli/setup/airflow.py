"""``airflow incident setup airflow``: connections, pools, and the DAGs: parsed and unpaused; ``setup remove``."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from airflow.api.common.delete_dag import delete_dag
from airflow.configuration import conf
from airflow.exceptions import DagNotFound
from airflow.models.asset import AssetModel, TaskInletAssetReference
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.dag import DagModel
from airflow.models.pool import Pool
from airflow.utils.retries import run_with_db_retries
from airflow.utils.session import create_session
from sqlalchemy import Executable, delete, func, select, update

from airflow_incident_provider.cli.installation import (
    PARSE_COMMAND,
    DagState,
    IncidentDag,
    files_to_parse,
    incident_dags,
)
from airflow_incident_provider.cli.run import ExitCode, UsageError, command
from airflow_incident_provider.cli.setup import files
from airflow_incident_provider.cli.setup.connections import (
    connection_items,
    missing_slack_items,
    removal_items,
    sandbox_items,
    slack_is_sandbox,
)
from airflow_incident_provider.cli.setup.datadog import datadog_removal_items
from airflow_incident_provider.cli.setup.plan import Action, Item, apply_and_print
from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, DagId, settings
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.registry.keys import REGISTRY

POOL_DESCRIPTION = "Incident response"
PARSE_SECONDS = 300


@command
def setup_airflow(args: Namespace) -> ExitCode:
    """Show the changes, and apply them with ``--yes``; ``FAILED`` if something is left for a person."""
    if args.pool_slots < 1:
        raise UsageError(f"--pool-slots {args.pool_slots} is not 1 or more.")
    if args.sandbox and args.slack_conn_id != DEFAULT_SLACK_CONN_ID:
        raise UsageError("--sandbox connects slack_api_default; leave out --slack-conn-id.")
    if args.remove:
        return apply_and_print([*_removal_items()], args)
    connections = [*(sandbox_items(args.sandbox) if args.sandbox else connection_items(args.slack_conn_id))]
    only = [args.dag_id] if args.dag_id else ()
    dags = incident_dags(only)
    if args.yes and files_to_parse():
        # Which DAGs a file defines, and what they need, is only known once it is parsed.
        _parse()
        dags = incident_dags(only)
    # The DAGs in a file that is not parsed yet are not known.
    unparsed = [
        Item(f"DAG file {path.name}", Action.UPDATE, "parse it, then unpause its incident DAGs", _parse)
        for path in ([] if args.yes else files_to_parse(dags))
    ]
    others = {conn_id for dag in dags for conn_id in dag.slack_conn_ids} - {args.slack_conn_id}
    connections += missing_slack_items(sorted(others))
    items = [*connections, *_pool_items(dags, args.pool_slots), *_dag_items(dags), *unparsed, _setting_item()]
    return apply_and_print(items, args, then=("Next: airflow incident check",))


@command
def setup_remove(args: Namespace) -> ExitCode:
    """Show everything that setup did, and revert it with ``--yes``. Files first: they would be parsed again."""
    folder = Path(args.to or conf.get("core", "dags_folder"))
    items = [
        *files.removal_items(folder, replace=args.replace),
        *datadog_removal_items(args.name),
        *_removal_items(),
    ]
    then = ("Remove the settings of [incident], then: pip uninstall airflow-incident-provider",)
    return apply_and_print(items, args, then=then)


def _removal_items() -> Iterator[Item]:
    """Yield the removal of what setup made in Airflow's database, and of the DAGs' history."""
    dags = incident_dags()
    conn_ids = [conn_id for dag in dags for conn_id in dag.slack_conn_ids]
    yield from removal_items(list(dict.fromkeys([DEFAULT_SLACK_CONN_ID, *conn_ids])))
    with create_session() as session:
        ours = list(session.scalars(select(Pool.pool).where(Pool.description == POOL_DESCRIPTION)))
        known = set(session.scalars(select(DagModel.dag_id).where(DagModel.dag_id.in_([*DagId]))))
        registry = session.scalar(select(AssetModel.id).where(AssetModel.name == REGISTRY.name))
        entries = session.scalar(select(func.count()).where(AssetStateStoreModel.asset_id == registry))
    for pool in ours:
        statement = delete(Pool).where(Pool.pool == pool, Pool.pool != "default_pool")
        yield Item(f"pool {pool}", Action.REMOVE, "created by setup", partial(_execute, statement))
    for dag_id in DagId:
        if dag_id in known:
            yield Item(f"DAG {dag_id}", Action.REMOVE, "with the history of its runs", partial(_delete_dag, dag_id))
    if registry is not None:
        yield Item("incident registry", Action.REMOVE, f"{entries} entries", partial(_delete_registry, registry))
    if not slack_is_sandbox(DEFAULT_SLACK_CONN_ID):
        yield Item("Slack app", Action.MANUAL, "delete it at api.slack.com/apps: Settings, Basic Information")


def _parse() -> None:
    """Parse all DAG files now.

    :raises IncidentError: it failed.
    """
    command_line = [sys.executable, "-m", *PARSE_COMMAND.split()]
    done = subprocess.run(  # noqa: S603 - a constant
        command_line, capture_output=True, text=True, check=False, timeout=PARSE_SECONDS
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        raise IncidentError(f"{PARSE_COMMAND} failed: {''.join(last)}", fix=f"Run: {PARSE_COMMAND}")


def _pool_items(dags: list[IncidentDag], slots: int) -> Iterator[Item]:
    """Yield the change for each pool of the DAGs' tasks; also for DAGs that are not parsed yet."""
    with create_session() as session:
        existing = {str(pool): count for pool, count in session.execute(select(Pool.pool, Pool.slots)).tuples()}
    for name in sorted({settings().slack_pool, *(pool for dag in dags for pool in dag.pools)}):
        if name in existing:
            yield Item(f"pool {name}", Action.KEEP, f"{existing[name]} slots")
        else:
            yield Item(f"pool {name}", Action.CREATE, f"{slots} slots", partial(_create_pool, name, slots))


def _dag_items(dags: list[IncidentDag]) -> Iterator[Item]:
    """Yield the change for each DAG: it is unpaused."""
    for dag in dags:
        what = f"DAG {dag.dag_id}"
        unpause = partial(_execute, update(DagModel).where(DagModel.dag_id == dag.dag_id).values(is_paused=False))
        match dag.state:
            case DagState.READY:
                yield Item(what, Action.KEEP, "ready")
            case DagState.PAUSED:
                yield Item(what, Action.UPDATE, "unpause it", unpause)
            case DagState.UNPARSED:
                yield Item(what, Action.UPDATE, f"parse {dag.file}, then unpause it", unpause)
            case _:
                found, fix, paste = dag.problem() or ("", "", None)
                yield Item(what, Action.MANUAL, f"{found}. {fix} {paste or ''}".strip())


def _setting_item() -> Item:
    """Return the setting that a person has to make: Airflow's configuration is not in its database."""
    path, what = settings().routing_table, "setting [incident] routing_table"
    if path is not None:
        return Item(what, Action.KEEP, path)
    return Item(what, Action.MANUAL, "set it to the path of the routing table; then run setup files")


def _execute(statement: Executable) -> None:
    with create_session() as session:
        session.execute(statement)


def _create_pool(name: str, slots: int) -> None:
    with create_session() as session:
        session.add(Pool(pool=name, slots=slots, description=POOL_DESCRIPTION, include_deferred=False))


def _delete_dag(dag_id: str) -> None:
    try:
        # A scheduler at work changes the same rows: the database ends a deadlock by refusing one of the two.
        run_with_db_retries()(delete_dag, dag_id)
    except DagNotFound:
        return
    except Exception as error:
        raise IncidentError(
            f"The DAG {dag_id} cannot be deleted: {type(error).__name__}.",
            fix="Remove its file first (airflow incident setup files --remove --yes), and let its runs finish.",
        ) from error


def _delete_registry(asset_id: int) -> None:
    with create_session() as session:
        session.execute(delete(AssetStateStoreModel).where(AssetStateStoreModel.asset_id == asset_id))
        in_use = session.scalar(select(func.count()).where(TaskInletAssetReference.asset_id == asset_id))
        if not in_use:
            session.execute(delete(AssetModel).where(AssetModel.id == asset_id))
