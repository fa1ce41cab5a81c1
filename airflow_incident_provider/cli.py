"""
``airflow incident ...``: what the commands are called and what they take.

Airflow imports this at every start of its command line, so it imports nothing of ours; each command's body is
loaded when it is run.
"""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

_COMMANDS = "airflow_incident_provider.commands"


def get_cli_commands() -> list[GroupCommand]:
    """Return the command group ``incident``."""
    return [
        GroupCommand(
            name="incident",
            help="Run, rehearse and look at incident response",
            subcommands=(_demo(), _sandbox(), _explain()),
        )
    ]


def _demo() -> ActionCommand:
    return ActionCommand(
        name="demo",
        help="Show the seven steps on this machine, with no account anywhere",
        description=(
            "Starts a stand-in Slack, a real Airflow and a small service that is half broken, posts a Datadog alert"
            " about it to Airflow's REST API, and shows the war room filling up. Writes only below --home."
        ),
        func=lazy_load_command(f"{_COMMANDS}.demo.demo"),
        args=(
            Arg(("--home",), help="Where everything is kept (default: .demo here)", default=".demo"),
            Arg(("--dags",), help="Where incident_response.py is (default: dags here)", default="dags"),
            Arg(("--once",), help="End by itself; exit code 1 if anything failed", action="store_true"),
            Arg(("--runs",), help="How many incidents, one after another", type=int, default=1),
            Arg(("--airflow-port",), help="Airflow's port (default: a free one)", type=int, default=None),
            Arg(("--sandbox-port",), help="The sandbox's port (default: a free one)", type=int, default=0),
        ),
    )


def _sandbox() -> ActionCommand:
    return ActionCommand(
        name="sandbox",
        help="Serve a stand-in for Slack and Datadog, with a page that shows the rooms",
        description=(
            "Nothing that is sent to it leaves this machine. Point a Slack connection's base_url at it to try the "
            "incident DAG without an account."
        ),
        func=lazy_load_command(f"{_COMMANDS}.sandbox.sandbox"),
        args=(
            Arg(("--host",), help="Address to listen on", default="127.0.0.1"),
            Arg(("--port",), help="Port to listen on", type=int, default=8765),
        ),
    )


def _explain() -> ActionCommand:
    return ActionCommand(
        name="explain",
        help="Say what an alert would be: a new incident, an update, a recovery or noise, and why",
        description=(
            "Reads a Datadog payload, or the fields of an incident, and decides on it as the webhook would. Nothing"
            " is stored, started or sent."
        ),
        func=lazy_load_command(f"{_COMMANDS}.explain.explain"),
        args=(
            Arg(("payload",), help="A file with the payload's JSON; - reads standard input"),
            Arg(("--routing-table",), help="Path of the routing table (default: [incident] routing_table)"),
            Arg(("--records",), help="A file with a JSON list of the incidents that there are (default: none)"),
            Arg(("-o", "--output"), help="table or json", choices=("table", "json"), default="table"),
        ),
    )
