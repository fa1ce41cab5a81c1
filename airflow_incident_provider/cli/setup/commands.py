"""The commands of ``airflow incident setup``. Airflow imports this module at every start of its command line."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, GroupCommand

from airflow_incident_provider.cli.arguments import SHOWN, YES, lazy, option, repeatable


def setup_group() -> GroupCommand:
    """Return the command group ``setup``."""
    return GroupCommand(
        name="setup",
        help="Install the DAG files; connect Slack, Datadog and Airflow; revert all of it",
        description="What to do once. Every command shows its changes, and applies them with --yes.",
        subcommands=(_setup_files(), _setup_slack(), _setup_airflow(), _setup_datadog(), _setup_remove()),
    )


REMOVE = option("--remove", help="Revert what this command did", action="store_true")
TO = option("--to", help="The DAGs folder (default: [core] dags_folder)", metavar="FOLDER")
WEBHOOK = option(
    "--name",
    help="The webhook's name, mentioned in monitors as @webhook-NAME (default: airflow-incident)",
    default="airflow-incident",
    metavar="NAME",
)


def _setup_files() -> ActionCommand:
    return ActionCommand(
        name="files",
        help="Copy the DAG files into the DAGs folder, and a routing table to its place",
        description=(
            "Show the changes, and apply them with --yes. DAG files that you edited and an existing routing table"
            " are kept.\nThe routing table is minimal and safe; an example with every setting is put beside it."
        ),
        epilog="Example:\n  airflow incident setup files --responders @sre-oncall --yes",
        func=lazy("setup.files.setup_files"),
        args=(
            TO,
            repeatable("--responders", "Who the new routing table invites to every incident"),
            option(
                "--diff", help="Show how the installed DAG files differ, and change nothing", action="store_true"
            ),
            option("--replace", help="Also overwrite, or remove, files that you edited", action="store_true"),
            REMOVE,
            YES,
            *SHOWN,
        ),
    )


def _setup_slack() -> ActionCommand:
    return ActionCommand(
        name="slack",
        help="Print the manifest of the Slack app, with exactly the scopes that are used",
        description=(
            "Print the manifest of the Slack app. Paste it at api.slack.com/apps, 'Create New App', 'From a"
            " manifest'; then install the app."
        ),
        func=lazy("setup.slack.setup_slack"),
        args=(
            option("--app-name", help="The app's name (default: War Room)", default="War Room", metavar="NAME"),
            option(
                "--socket-mode",
                help="For Socket Mode: buttons and /incident without a public address",
                action="store_true",
            ),
            option("-o", "--output", help="yaml (default) or json", choices=("yaml", "json"), default="yaml"),
        ),
    )


def _setup_airflow() -> ActionCommand:
    return ActionCommand(
        name="airflow",
        help="Create the connections and pools, parse and unpause every incident DAG",
        description=(
            "Show the changes, and apply them with --yes. Secrets are read from the environment:\n"
            "SLACK_BOT_TOKEN, with SLACK_SIGNING_SECRET and SLACK_APP_TOKEN (optional) for an interactive room;\n"
            "DD_API_KEY and DD_APP_KEY (optional), with DD_SITE outside datadoghq.com;\n"
            "INCIDENT_WEBHOOK_SECRET (default: generated). A connection is kept unless its variable is set.\n"
            "Exit code 1 if something is left for a person, and the output says what."
        ),
        epilog=(
            "Examples:\n  airflow incident setup airflow --sandbox http://127.0.0.1:8765 --yes\n"
            "  SLACK_BOT_TOKEN=xoxb-... airflow incident setup airflow --slack-conn-id slack_payments --yes"
        ),
        func=lazy("setup.airflow.setup_airflow"),
        args=(
            option("--dag-id", help="Only this incident DAG (default: every one)", metavar="DAG"),
            option(
                "--sandbox", help="Connect to a running airflow incident sandbox instead of Slack", metavar="URL"
            ),
            option(
                "--slack-conn-id",
                help="The Slack connection that gets SLACK_BOT_TOKEN (default: slack_api_default)",
                default="slack_api_default",
                metavar="ID",
            ),
            option("--pool-slots", help="Slots of a new pool (default: 64)", type=int, default=64, metavar="N"),
            REMOVE,
            YES,
            *SHOWN,
        ),
    )


def _setup_datadog() -> ActionCommand:
    return ActionCommand(
        name="datadog",
        help="Create or update Datadog's webhook, its payload template and its secret",
        description=(
            "Show the changes, and apply them with --yes. The command uses the keys of the connection"
            " datadog_default and the secret of\nincident_webhook, which becomes a hidden custom variable in"
            " Datadog; it is never printed."
        ),
        epilog=(
            "Example:\n  airflow incident setup datadog --url"
            " https://airflow.acme.example/incidents/webhook/datadog --yes"
        ),
        func=lazy("setup.datadog.setup_datadog"),
        args=(
            option("--url", help="The webhook's public address (default: from [api] base_url)", metavar="URL"),
            WEBHOOK,
            option("--print", help="Change nothing; print the manual steps", action="store_true", dest="by_hand"),
            option("--terraform", help="Change nothing; print Terraform resources", action="store_true"),
            REMOVE,
            YES,
            *SHOWN,
        ),
    )


def _setup_remove() -> ActionCommand:
    return ActionCommand(
        name="remove",
        help="Revert everything: files, connections, pools, DAGs, Datadog's webhook",
        description=(
            "Show what would be removed, and remove it with --yes. Do this before uninstalling the package: the DAG"
            " files need it.\nConnections and pools that setup did not create are kept and listed."
        ),
        epilog="Example:\n  airflow incident setup remove --yes",
        func=lazy("setup.remove.setup_remove"),
        args=(
            TO,
            WEBHOOK,
            option("--replace", help="Also remove files that you edited", action="store_true"),
            YES,
            *SHOWN,
        ),
    )
