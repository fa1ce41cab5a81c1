"""The commands of ``airflow incident setup``. Airflow imports this module at every start of its command line."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, GroupCommand

from airflow_incident_provider.cli.arguments import ONE_DAG, SHOWN, YES, choice, flag, lazy, option, repeatable

APPLIED = (flag("--remove", "Revert what this command did"), YES, *SHOWN)
TO = option("--to", "The DAGs folder (default: [core] dags_folder)", "FOLDER")
WEBHOOK = option("--name", "The webhook's name, mentioned in monitors as @webhook-NAME", "NAME", "airflow-incident")

_FILES = ActionCommand(
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
        flag("--diff", "Show how the installed DAG files differ, and change nothing"),
        flag("--replace", "Also overwrite, or remove, files that you edited"),
        *APPLIED,
    ),
)

_SLACK = ActionCommand(
    name="slack",
    help="Print the manifest of the Slack app, with exactly the scopes that are used",
    description=(
        "Print the manifest of the Slack app. Paste it at api.slack.com/apps, 'Create New App', 'From a"
        " manifest'; then install the app."
    ),
    func=lazy("setup.slack.setup_slack"),
    args=(
        option("--app-name", "The app's name", "NAME", "War Room"),
        flag("--socket-mode", "For Socket Mode: buttons and /incident without a public address"),
        choice(("-o", "--output"), "yaml (default) or json", ("yaml", "json")),
    ),
)

_AIRFLOW = ActionCommand(
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
        ONE_DAG,
        option("--sandbox", "Connect to a running airflow incident sandbox instead of Slack", "URL"),
        option("--slack-conn-id", "The Slack connection that gets SLACK_BOT_TOKEN", "ID", "slack_api_default"),
        option("--pool-slots", "Slots of a new pool", "N", 64),
        *APPLIED,
    ),
)

_DATADOG = ActionCommand(
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
        option("--url", "The webhook's public address (default: from [api] base_url)", "URL"),
        WEBHOOK,
        flag("--print", "Change nothing; print the manual steps", dest="by_hand"),
        flag("--terraform", "Change nothing; print Terraform resources"),
        *APPLIED,
    ),
)

_REMOVE = ActionCommand(
    name="remove",
    help="Revert everything: files, connections, pools, DAGs, Datadog's webhook",
    description=(
        "Show what would be removed, and remove it with --yes. Do this before uninstalling the package: the DAG"
        " files need it.\nConnections and pools that setup did not create are kept and listed."
    ),
    epilog="Example:\n  airflow incident setup remove --yes",
    func=lazy("setup.airflow.setup_remove"),
    args=(TO, WEBHOOK, flag("--replace", "Also remove files that you edited"), YES, *SHOWN),
)

SETUP = GroupCommand(
    name="setup",
    help="Install the DAG files; connect Slack, Datadog and Airflow; revert all of it",
    description="What to do once. Every command shows its changes, and applies them with --yes.",
    subcommands=(_FILES, _SLACK, _AIRFLOW, _DATADOG, _REMOVE),
)
