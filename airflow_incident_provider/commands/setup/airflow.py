"""``airflow incident setup airflow``: connections, pools and the DAG; first told, then done."""

from __future__ import annotations

from argparse import Namespace

from airflow_incident_provider.commands.output import print_rows, print_text
from airflow_incident_provider.commands.running import ExitCode, UsageError, command
from airflow_incident_provider.commands.setup.connections import connection_items
from airflow_incident_provider.commands.setup.plan import Action
from airflow_incident_provider.commands.setup.running_dags import dag_items, pool_items, setting_items


@command
def setup_airflow(args: Namespace) -> ExitCode:
    """Say what is to be done, and do it if that is wanted; exit with 1 if something is left for a person."""
    if args.pool_slots < 1:
        raise UsageError(f"--pool-slots {args.pool_slots} is not 1 or more.")
    items = [
        *connection_items(),
        *pool_items(args.dag_id, args.pool_slots),
        *dag_items(args.dag_id),
        *setting_items(),
    ]
    if args.yes:
        for item in items:
            item.carry_out()
    print_rows([item.row(done=args.yes) for item in items], args.output)
    open_items = any(item.action is not Action.KEEP for item in items)
    if args.output in ("table", "plain") and open_items and not args.yes:
        print_text("Nothing was changed. Do it with --yes.")
    left = any(item.action is Action.BY_HAND for item in items)
    return ExitCode.NOT_WELL if args.yes and left else ExitCode.OK
