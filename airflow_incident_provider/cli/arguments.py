"""What several commands take, and how an argument is written down."""

from __future__ import annotations

from typing import Any

from airflow.cli.cli_config import ARG_OUTPUT, ARG_VERBOSE, Arg

from airflow_incident_provider.config import DagId

BODIES = "airflow_incident_provider.commands"
"""Where the commands' bodies are; nothing of it is imported here."""

DEFAULT_DAG = DagId.INCIDENT_RESPONSE.value


def option(*flags: str, **description: Any) -> Arg:
    """Return an argument, described as :mod:`argparse` describes one."""
    return Arg(flags, **description)  # type: ignore[no-untyped-call]  # Airflow's own class is not typed


REMOTE = (
    option(
        "--api-url",
        help="A remote Airflow, such as https://airflow.acme.example (default: the one that is configured here)",
        metavar="URL",
    ),
    option(
        "--token-file",
        help="File with a token for --api-url; else the token is taken from AIRFLOW_CLI_TOKEN",
        metavar="FILE",
    ),
    option("--username", help="Log in to --api-url as this user; the password is asked for", metavar="NAME"),
)
"""Which Airflow. A secret is never an argument: other users of the machine could read it."""

SHOWN = (ARG_OUTPUT, ARG_VERBOSE)
"""How results are shown, as Airflow's own commands have it."""

DAG = option("--dag-id", help=f"The incident DAG (default: {DEFAULT_DAG})", default=DEFAULT_DAG, metavar="DAG")
DAG_BY_ROUTE = option(
    "--dag-id",
    help=f"The incident DAG (default: the one that the routing table here names, else {DEFAULT_DAG})",
    metavar="DAG",
)
ONE_OF_THE_DAGS = option("--dag-id", help="Only runs of this DAG (default: each tagged incident)", metavar="DAG")
TIMEOUT = option("--timeout", help="Seconds to watch at the most", type=float, default=600.0, metavar="SECONDS")
