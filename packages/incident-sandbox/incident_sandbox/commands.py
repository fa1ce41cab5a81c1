"""``airflow incident demo`` and ``airflow incident sandbox``: added to the commands of the provider.

Airflow imports this module at every start of its command line, so it imports nothing else of this package.
"""

from __future__ import annotations

from argparse import Namespace

from airflow.cli.cli_config import ActionCommand, Arg, lazy_load_command


def commands() -> tuple[ActionCommand, ...]:
    """Return the commands, for the entry point group ``airflow_incident_provider.commands``."""
    return _demo(), _sandbox()


def _demo() -> ActionCommand:
    return ActionCommand(
        name="demo",
        help="Show the seven steps on this machine, without any account",
        description=(
            "Start a stand-in for Slack, a real Airflow and a half-broken service, post a Datadog alert about it to"
            " Airflow's REST API, and show the war room filling up. Writes only below --home."
        ),
        func=lazy_load_command("incident_sandbox.demo.command.demo"),
        args=(
            Arg(("--home",), help="The working folder (default: .demo)", default=".demo"),
            Arg(("--dags",), help="The DAGs folder (default: the packaged DAG files)", metavar="FOLDER"),
            Arg(("--once",), help="Stop when the run is finished; exit code 1 if it failed", action="store_true"),
            Arg(("--runs",), help="How many incidents, one after another (default: 1)", type=int, default=1),
            Arg(("--airflow-port",), help="Airflow's port (default: a free one)", type=int, default=None),
            Arg(("--sandbox-port",), help="The sandbox's port (default: a free one)", type=int, default=0),
        ),
    )


def _sandbox() -> ActionCommand:
    return ActionCommand(
        name="sandbox",
        help="Serve a stand-in for Slack and Datadog, with a page that shows the rooms",
        description=(
            "Serve a stand-in for Slack and Datadog until Ctrl-C; nothing that it receives leaves this machine.\n"
            "Connect Airflow to it with: airflow incident setup airflow --sandbox http://127.0.0.1:8765 --yes"
        ),
        func=lazy_load_command("incident_sandbox.commands.sandbox"),
        args=(
            Arg(("--host",), help="Address to listen on (default: 127.0.0.1)", default="127.0.0.1"),
            Arg(("--port",), help="Port to listen on (default: 8765)", type=int, default=8765),
        ),
    )


def sandbox(args: Namespace) -> None:
    """Serve the sandbox until it is interrupted."""
    # FastAPI and uvicorn take a second to import.
    from incident_sandbox.server import serve

    serve(args.host, args.port)
