"""``airflow incident setup remove``: revert everything that setup did, before the package is uninstalled."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from airflow.configuration import conf

from airflow_incident_provider.cli.run import ExitCode, command
from airflow_incident_provider.cli.setup import files
from airflow_incident_provider.cli.setup.airflow import airflow_removal_items
from airflow_incident_provider.cli.setup.datadog import datadog_removal_items
from airflow_incident_provider.cli.setup.plan import apply_and_print


@command
def setup_remove(args: Namespace) -> ExitCode:
    """Show what would be removed, and remove it with ``--yes``. Files first: they would be parsed again."""
    folder = Path(args.to or conf.get("core", "dags_folder"))
    items = [
        *files.removal_items(folder, replace=args.replace),
        *datadog_removal_items(args.name),
        *airflow_removal_items(),
    ]
    then = ("Remove the settings of [incident], then: pip uninstall airflow-incident-provider",)
    return apply_and_print(items, args, then=then)
