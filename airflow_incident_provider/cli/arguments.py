"""The arguments that several commands share. Airflow imports this module at every start of its command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.cli.cli_config import ARG_VERBOSE, Arg, lazy_load_command

_PACKAGE = "airflow_incident_provider.cli"
DEFAULT_DAG = "incident_response"


def option(*flags: str, **description: Any) -> Arg:
    """Return an argument, described as :mod:`argparse` describes one.

    Brackets in the help are escaped, because Airflow prints help as rich markup, which drops ``[core]``.
    """
    if "help" in description:
        description["help"] = description["help"].replace("[", r"\[")
    return Arg(flags, **description)


def lazy(name: str) -> Callable[..., Any]:
    """Return a function that imports the body of a command when it is called."""
    return lazy_load_command(f"{_PACKAGE}.{name}")


OUTPUT = option(
    "-o",
    "--output",
    help="table (default; tab-separated lines in a pipe), plain (always tab-separated), json or yaml",
    choices=("table", "plain", "json", "yaml"),
    default="table",
)
SHOWN = (OUTPUT, ARG_VERBOSE)

REMOTE = (
    option(
        "--api-url",
        help="A remote Airflow, such as https://airflow.acme.example (default: the one configured here)",
        metavar="URL",
    ),
    option(
        "--token-file",
        help="File with a token for --api-url (default: the variable AIRFLOW_CLI_TOKEN)",
        metavar="FILE",
    ),
    option("--username", help="Log in to --api-url as this user, with a password prompt", metavar="NAME"),
)
"""Which Airflow to use. A secret is never an argument: other users of the machine could read it."""

DAG = option("--dag-id", help=f"The incident DAG (default: {DEFAULT_DAG})", default=DEFAULT_DAG, metavar="DAG")
ROUTED_DAG = option(
    "--dag-id", help="The incident DAG (default: the one the routing table names for the incident)", metavar="DAG"
)
ANY_DAG = option("--dag-id", help="Only runs of this DAG (default: every DAG tagged incident)", metavar="DAG")
TIMEOUT = option(
    "--timeout", help="Seconds to wait for the run (default: 600)", type=float, default=600.0, metavar="SECONDS"
)
RUN = option("run", help="A run id, an incident's key or id, its channel's name, or latest", metavar="RUN")
YES = option("--yes", help="Apply the changes (default: only show them)", action="store_true")


def repeatable(flag: str, help_text: str, *, several: str = "repeatable, or comma-separated") -> Arg:
    """Return an option with a list of values."""
    return option(flag, help=f"{help_text} ({several})", action="append", metavar=flag.strip("-").upper())
