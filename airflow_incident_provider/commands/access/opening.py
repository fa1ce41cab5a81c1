"""Which Airflow the arguments name, and with what it is let in."""

from __future__ import annotations

import getpass
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_incident_provider.commands.access.airflow import Airflow
from airflow_incident_provider.commands.running import UsageError

TOKEN_VARIABLE = "AIRFLOW_CLI_TOKEN"  # noqa: S105 - the variable's name, as Airflow's own remote command line has it


@contextmanager
def opened(args: Namespace) -> Iterator[Airflow]:
    """Open the Airflow that ``--api-url`` names, or the one that is configured here."""
    if args.api_url is None:
        from airflow_incident_provider.commands.access.local import ConfiguredAirflow

        yield ConfiguredAirflow()
        return
    from airflow_incident_provider.airflow_api import AirflowApi
    from airflow_incident_provider.commands.access.remote import RemoteAirflow

    api = AirflowApi(_address(args.api_url), trust_env=True, **_credentials(args))
    try:
        yield RemoteAirflow(api)
    finally:
        api.close()


def _address(given: str) -> str:
    if not given.startswith(("http://", "https://")):
        raise UsageError(f"--api-url {given} is no address.", fix="Begin it with https:// (or http://).")
    return given


def _credentials(args: Namespace) -> dict[str, str]:
    """Return a token, or a name with a password that a person types: never one that was an argument."""
    if args.username is not None:
        if not sys.stdin.isatty():
            raise UsageError(
                "--username asks for a password, and this is no terminal.",
                fix=f"Use --token-file or {TOKEN_VARIABLE}.",
            )
        return {"username": args.username, "password": getpass.getpass(f"Password of {args.username}: ")}
    token = _from_file(args.token_file) if args.token_file else os.environ.get(TOKEN_VARIABLE, "")
    if not token.strip():
        raise UsageError(
            "There is no token for --api-url.",
            fix=f"Set {TOKEN_VARIABLE}, or name a file with --token-file, or log in with --username.",
        )
    return {"token": token.strip()}


def _from_file(name: str) -> str:
    try:
        return Path(name).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {name} cannot be read: {type(error).__name__}.") from None
