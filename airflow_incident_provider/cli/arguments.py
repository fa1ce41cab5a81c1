"""The arguments that several commands share. Airflow imports this module at every start of its command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from airflow.cli.cli_config import ARG_VERBOSE, Arg, lazy_load_command


def option(name: str, help_text: str, metavar: str | None = None, default: Any = None, **more: Any) -> Arg:
    """Return an argument with a value.

    Brackets in the help are escaped, because Airflow prints help as rich markup, which drops ``[core]``.

    :param default: the help ends with it, and its type is that of the value.
    :param more: the rest, as :mod:`argparse` takes it.
    """
    if default is not None:
        help_text = f"{help_text} (default: {f'{default:g}' if isinstance(default, float) else default})"
        more["default"] = default
        if not isinstance(default, str):
            more["type"] = type(default)
    if metavar is not None:
        more["metavar"] = metavar
    return Arg((name,), help=help_text.replace("[", r"\["), **more)


def flag(name: str, help_text: str, **more: Any) -> Arg:
    """Return an option without a value."""
    return option(name, help_text, action="store_true", **more)


def choice(flags: tuple[str, ...], help_text: str, choices: tuple[str, ...]) -> Arg:
    """Return an option with one of several values; the first is the default."""
    return Arg(flags, help=help_text, choices=choices, default=choices[0])


def repeatable(name: str, help_text: str, *, several: str = "repeatable, or comma-separated", **more: Any) -> Arg:
    """Return an option with a list of values."""
    return option(name, f"{help_text} ({several})", name.strip("-").upper(), action="append", **more)


def listed(values: Iterable[str] | None) -> list[str]:
    """Return the values of a repeatable option, also those that are comma-separated."""
    return [name.strip() for value in values or () for name in value.split(",") if name.strip()]


def lazy(name: str) -> Callable[..., Any]:
    """Return a function that imports the body of a command when it is called."""
    return lazy_load_command(f"airflow_incident_provider.cli.{name}")


OUTPUT = choice(
    ("-o", "--output"),
    "table (default; tab-separated lines in a pipe), plain (always tab-separated), json or yaml",
    ("table", "plain", "json", "yaml"),
)
SHOWN = (OUTPUT, ARG_VERBOSE)

REMOTE = (
    option(
        "--api-url",
        "A remote Airflow, such as https://airflow.acme.example (default: the one configured here)",
        "URL",
    ),
    option("--token-file", "File with a token for --api-url (default: the variable AIRFLOW_CLI_TOKEN)", "FILE"),
    option("--username", "Log in to --api-url as this user, with a password prompt", "NAME"),
)
"""Which Airflow to use. A secret is never an argument: other users of the machine could read it."""

DAG = option("--dag-id", "The incident DAG", "DAG", "incident_response")
ROUTED_DAG = option(
    "--dag-id", "The incident DAG (default: the one the routing table names for the incident)", "DAG"
)
ANY_DAG = option("--dag-id", "Only runs of this DAG (default: every DAG tagged incident)", "DAG")
ONE_DAG = option("--dag-id", "Only this incident DAG (default: every one)", "DAG")
TIMEOUT = option("--timeout", "Seconds to wait for the run", "SECONDS", 600.0)
RUN = option("run", "A run id, an incident's key or id, its channel's name, or latest", "RUN")
YES = flag("--yes", "Apply the changes (default: only show them)")
