"""Commands for trying it out: demo, sandbox, explain."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, lazy_load_command

from airflow_incident_provider.cli.arguments import BODIES, option


def commands() -> tuple[ActionCommand, ...]:
    """Return the commands."""
    return (_demo(), _sandbox(), _explain())


def _demo() -> ActionCommand:
    return ActionCommand(
        name="demo",
        help="Show the seven steps on this machine, with no account anywhere",
        description=(
            "Starts a stand-in Slack, a real Airflow and a small service that is half broken, posts a Datadog alert"
            " about it to Airflow's REST API, and shows the war room filling up. Writes only below --home."
        ),
        func=lazy_load_command(f"{BODIES}.demo.demo"),
        args=(
            option("--home", help="Where everything is kept (default: .demo here)", default=".demo"),
            option("--dags", help="Where incident_response.py is (default: dags here)", default="dags"),
            option("--once", help="End by itself; exit code 1 if anything failed", action="store_true"),
            option("--runs", help="How many incidents, one after another", type=int, default=1),
            option("--airflow-port", help="Airflow's port (default: a free one)", type=int, default=None),
            option("--sandbox-port", help="The sandbox's port (default: a free one)", type=int, default=0),
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
        func=lazy_load_command(f"{BODIES}.sandbox.sandbox"),
        args=(
            option("--host", help="Address to listen on", default="127.0.0.1"),
            option("--port", help="Port to listen on", type=int, default=8765),
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
        func=lazy_load_command(f"{BODIES}.explain.explain"),
        args=(
            option("payload", help="A file with the payload's JSON; - reads standard input"),
            option("--routing-table", help="Path of the routing table (default: [incident] routing_table)"),
            option("--records", help="A file with a JSON list of the incidents that there are (default: none)"),
            option("-o", "--output", help="table or json", choices=("table", "json"), default="table"),
        ),
    )
