"""Commands for those who run it: check, setup, export, drill."""

from __future__ import annotations

from airflow.cli.cli_config import ARG_VERBOSE, ActionCommand, GroupCommand, lazy_load_command

from airflow_incident_provider.cli.arguments import BODIES, DAG, REMOTE, SHOWN, TIMEOUT, option

_CHECK_AREAS = "airflow, dag, pool, slack, clock, datadog, webhook, docker, routing"


def commands() -> tuple[ActionCommand | GroupCommand, ...]:
    """Return the commands."""
    return (_check(), _export(), _drill(), _setup())


def _check() -> ActionCommand:
    return ActionCommand(
        name="check",
        help="Check a production set-up: each line pass, warn or fail, with the fix",
        description=(
            "Run it where Airflow is configured, best on a worker: that is where Slack and Docker are reached from."
            "\nIt changes nothing, unless --write lets it create and archive one Slack channel. Exit code 1 if"
            " anything fails."
        ),
        epilog="Examples:\n  airflow incident check\n  airflow incident check --write --only slack,routing",
        func=lazy_load_command(f"{BODIES}.check.command.check"),
        args=(
            DAG,
            option("--write", help="Also create a Slack channel, and archive it", action="store_true"),
            option("--only", help=f"Only these areas: {_CHECK_AREAS}", metavar="AREAS"),
            *SHOWN,
        ),
    )


def _export() -> ActionCommand:
    return ActionCommand(
        name="export",
        help="Write the workflow as JSON or as a Mermaid diagram",
        description=(
            "Steps, what each depends on, operators, images and outputs, as Airflow has the DAG, or as a file says"
            " it."
        ),
        epilog="Example:\n  airflow incident export --format mermaid --file dags/incident_response.py",
        func=lazy_load_command(f"{BODIES}.export.command.export"),
        args=(
            DAG,
            option("--format", help="json or mermaid", choices=("json", "mermaid"), default="json"),
            option("--file", help="Read the DAG from this file; no database is needed", metavar="FILE"),
            ARG_VERBOSE,
        ),
    )


def _drill() -> ActionCommand:
    return ActionCommand(
        name="drill",
        help="Rehearse an incident, and score how it went",
        description=(
            "Sends a recorded alert through the whole workflow, marked as a drill: its title begins with DRILL and"
            " its tag is drill:true.\nWith --sandbox everything is on this machine. Without it the room is in your"
            " Slack, and the people of the routing table\nare invited: a rule that matches the tag drill:true must"
            " set the channel prefix drill. Exit code 1 if a goal was missed."
        ),
        epilog=(
            "Examples:\n  airflow incident drill --sandbox\n"
            "  airflow incident drill --from-file alert.json --room-within 15"
        ),
        func=lazy_load_command(f"{BODIES}.drill.command.drill"),
        args=(
            option("--sandbox", help="Rehearse on this machine, with a stand-in Slack", action="store_true"),
            option("--from-file", help="The alert to rehearse with (default: a recorded one)", metavar="FILE"),
            option("--room-within", help="Goal: seconds to the room", type=float, default=30.0, metavar="SECONDS"),
            option("--home", help="With --sandbox: where everything is kept", default=".demo"),
            option("--dags", help="With --sandbox: where incident_response.py is", default="dags"),
            DAG,
            TIMEOUT,
            *REMOTE,
            *SHOWN,
        ),
    )


def _setup() -> GroupCommand:
    return GroupCommand(
        name="setup",
        help="Put the files in their places; connect Slack, Datadog and Airflow",
        description="What to do once; airflow incident check tells afterwards whether it is right.",
        subcommands=(_setup_files(), _setup_slack(), _setup_datadog(), _setup_airflow()),
    )


def _setup_files() -> ActionCommand:
    return ActionCommand(
        name="files",
        help="Copy the DAG files into the DAGs folder, and an example routing table to its place",
        description=(
            "Prints what it would do, and does it with --yes. A DAG file that you changed is kept, and so is a"
            " routing table that is there."
        ),
        func=lazy_load_command(f"{BODIES}.setup.files.setup_files"),
        args=(
            option("--to", help="The DAGs folder (default: [core] dags_folder)", metavar="FOLDER"),
            option("--replace", help="Overwrite DAG files that you changed", action="store_true"),
            option("--yes", help="Do it", action="store_true"),
            *SHOWN,
        ),
    )


def _setup_slack() -> ActionCommand:
    return ActionCommand(
        name="slack",
        help="Print the manifest of the Slack app, with exactly the scopes that are used",
        description="Paste it at api.slack.com/apps, 'Create New App', 'From a manifest'; then install the app.",
        func=lazy_load_command(f"{BODIES}.setup.slack.setup_slack"),
        args=(
            option("--app-name", help="The app's name (default: War Room)", default="War Room", metavar="NAME"),
            option("-o", "--output", help="yaml or json", choices=("yaml", "json"), default="yaml"),
        ),
    )


def _setup_datadog() -> ActionCommand:
    return ActionCommand(
        name="datadog",
        help="Create or update Datadog's webhook, its payload template and its secret",
        description=(
            "Uses the keys of the connection datadog_default, and the secret of the connection incident_webhook.\n"
            "The secret becomes a hidden custom variable in Datadog; it is never shown."
        ),
        epilog="Example:\n  airflow incident setup datadog --url https://airflow.acme.example/incidents/webhook/datadog",
        func=lazy_load_command(f"{BODIES}.setup.datadog.setup_datadog"),
        args=(
            option(
                "--url",
                help="Where Datadog reaches the webhook (default: from [api] base_url)",
                metavar="URL",
            ),
            option(
                "--name",
                help="The webhook's name, mentioned in monitors as @webhook-NAME (default: airflow-incident)",
                default="airflow-incident",
                metavar="NAME",
            ),
            option("--print", help="Change nothing: say how to do it by hand", action="store_true", dest="by_hand"),
            ARG_VERBOSE,
        ),
    )


def _setup_airflow() -> ActionCommand:
    return ActionCommand(
        name="airflow",
        help="Create the connections and pools, and unpause the DAG",
        description=(
            "Prints what it would do, and does it with --yes. Secrets are taken from the environment:\n"
            "SLACK_BOT_TOKEN; DD_API_KEY and DD_APP_KEY, with DD_SITE outside datadoghq.com;\n"
            "INCIDENT_WEBHOOK_SECRET, or one is made. A connection is kept as it is unless its variable is set."
        ),
        func=lazy_load_command(f"{BODIES}.setup.airflow.setup_airflow"),
        args=(
            DAG,
            option("--pool-slots", help="Slots of a pool that is made", type=int, default=64, metavar="N"),
            option("--yes", help="Do it", action="store_true"),
            *SHOWN,
        ),
    )
