"""The commands of ``airflow incident`` and their arguments.

Airflow imports this module at every start of its command line, so it is light: the function of a command is
imported when the command runs.

Other distributions add commands through the entry point group :data:`COMMANDS_GROUP`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from airflow.cli.cli_config import ARG_VERBOSE, ActionCommand, GroupCommand

from airflow_incident_provider.cli.arguments import (
    ANY_DAG,
    DAG,
    ONE_DAG,
    REMOTE,
    ROUTED_DAG,
    RUN,
    SHOWN,
    TIMEOUT,
    choice,
    flag,
    lazy,
    option,
    repeatable,
)
from airflow_incident_provider.cli.setup.commands import SETUP

COMMANDS_GROUP = "airflow_incident_provider.commands"
"""Entry points that name a function returning a sequence of :class:`~airflow.cli.cli_config.ActionCommand`.

The function is called at every start of Airflow's command line: its module has to be as light as this one.
"""

CHECK_AREAS = "airflow, dag, pool, slack, clock, datadog, webhook, docker, routing"

_EXTRAS = {
    "demo": ("--home", "--dags", "--once", "--runs", "--airflow-port", "--sandbox-port"),
    "sandbox": ("--host", "--port"),
}
"""Commands of another distribution, which the extra of the same name installs, with their options."""


def get_cli_commands() -> list[GroupCommand]:
    """Return the command group ``incident``."""
    return [
        GroupCommand(
            name="incident",
            help="Start, follow, rehearse and check incident response",
            description=(
                "Turn an alert into a staffed Slack war room: start incidents, follow them, rehearse them,"
                " and check the installation."
            ),
            epilog=(
                "Exit codes: 0 success; 1 failure: a failed run, a failed check, no room; 2 wrong arguments or"
                "\npayload; 3 Airflow, Slack or Datadog is unavailable or refused; 130 interrupted."
            ),
            subcommands=(
                *_STARTING,
                *(_action(*action) for action in _ACTIONS),
                *_ENDING,
                *_INSTALLATION,
                *_REHEARSAL,
                *_of_other_distributions(),
            ),
        )
    ]


# --- incidents -------------------------------------------------------------------------------------------


_INCIDENT_FIELDS = (
    option("--title", "A short title"),
    option("--incident-id", "An external id, such as a ticket's", "ID", dest="id"),
    option("--severity", "critical, high (default), medium or low; P1 and SEV-1 are understood"),
    option("--description", "What is known so far"),
    option("--started-at", "When it started, such as 2026-11-23T09:35:00Z (default: now)", "TIME"),
    repeatable("--users", "People to invite: e-mail address (safest), Slack name, id or @group"),
    repeatable("--service", "An affected service", dest="services"),
    repeatable("--host", "An affected host", dest="hosts"),
    repeatable("--team", "The owning team; the routing table matches it", dest="teams"),
    repeatable("--tag", "A tag, such as data:customer", dest="tags"),
    option("--env", "The environment, such as prod"),
    repeatable("--target", "What to probe: https://host/path, host, or host:port", dest="targets"),
    repeatable("--link", "A link to a dashboard or runbook", several="repeatable", dest="links"),
    flag("--private", "Open a private channel"),
)
"""An option for each field of the trigger form, whose name it has in the namespace."""

_INCIDENT_SOURCES = (
    option(
        "--from-file",
        "JSON or YAML with the fields, or a Datadog payload; - reads standard input. Options override it",
        "FILE",
    ),
    flag("--interactive", "Ask for the fields, and confirm before starting"),
    flag("--dry-run", "Post nothing to Slack; show what would be posted"),
    flag("--watch", "Show the steps as they finish; exit code 1 if the run fails"),
)

_STARTING = (
    ActionCommand(
        name="trigger",
        help="Start incident response",
        description=(
            "Read an incident from options, a file or your answers, validate it as Airflow will, and start its run."
            "\nThe same --incident-id, or the same Datadog alert, always leads to the same run: triggering twice is"
            " harmless."
        ),
        epilog=(
            "Examples:\n"
            "  airflow incident trigger --title 'Checkout is down' --severity P1 --users @sre-oncall --watch\n"
            "  airflow incident trigger --from-file alert.json --dry-run\n"
            "  airflow incident trigger --interactive\n"
            "  AIRFLOW_CLI_TOKEN=... airflow incident trigger --api-url https://airflow.acme.example --title ..."
        ),
        func=lazy("trigger.trigger"),
        args=(*_INCIDENT_FIELDS, *_INCIDENT_SOURCES, ROUTED_DAG, TIMEOUT, *REMOTE, *SHOWN),
    ),
    ActionCommand(
        name="watch",
        help="Show a run's steps as they finish, then the incident",
        description=(
            "Show the steps as they finish: a live table in a terminal, elsewhere a line for each.\n"
            "Exit code 0 if the run did what it should, 1 if it failed."
        ),
        epilog="Example:\n  airflow incident watch latest",
        func=lazy("watch.watch"),
        args=(RUN, ANY_DAG, TIMEOUT, *REMOTE, *SHOWN),
    ),
    ActionCommand(
        name="list",
        help="List incidents, worst first",
        description=(
            "List open incidents first, the worst of them on top, then the others; newest first within a severity."
            "\nIn a pipe every field is whole and tab-separated; JSON has all fields, with times in UTC."
        ),
        epilog=(
            "Examples:\n"
            "  airflow incident list --open --severity critical,high\n"
            "  airflow incident list --team payments --since 7d --output json"
        ),
        func=lazy("show.list_incidents"),
        args=(
            flag("--open", "Only incidents that are not resolved yet"),
            repeatable("--severity", "Only this severity"),
            repeatable("--service", "Only this service"),
            repeatable("--team", "Only this team"),
            option("--since", "Only what began since: 30m, 2h, 7d, or a date or time in UTC", "TIME"),
            option("--limit", "How many at most", "N", 20),
            flag("--records", "Print the registry's records as JSON, for explain"),
            ANY_DAG,
            *REMOTE,
            *SHOWN,
        ),
    ),
    ActionCommand(
        name="show",
        help="Show one incident: state, room, findings, people, timeline",
        description=(
            "Show the state, why there is no room if there is none, what fails, what is known and not known,"
            " people, and the timeline."
        ),
        epilog="Example:\n  airflow incident show 148275309",
        func=lazy("show.show_incident"),
        args=(RUN, ANY_DAG, *REMOTE, *SHOWN),
    ),
)

_ACTIONS = (
    ("lead", "Take command of an incident, or hand it over", "[@person]"),
    ("role", "Take or give another role", "communications|scribe [@person]"),
    ("severity", "Change an incident's severity; it is routed again", "critical|high|medium|low"),
    ("update", "Post a status update into the room", "text [next 15m]"),
    ("recheck", "Run an incident's checks again", ""),
    ("invite", "Invite people or a team into the room", "@person @group"),
    ("item", "Add an action item for afterwards", "text"),
    ("snooze", "Pause an incident's reminders", "[30m]"),
    ("reopen", "Reopen a resolved incident", ""),
)
"""The actions that are also buttons and /incident commands in Slack, with the syntax of their arguments."""


def _action(name: str, help_text: str, syntax: str) -> ActionCommand:
    arguments = f"{syntax}, as after /incident {name} in Slack" if syntax else "None: the command needs only RUN"
    return ActionCommand(
        name=name,
        help=help_text,
        description=(
            f"{help_text}. The same as /incident {name} in the room.\n"
            "Exit code 0 if it is done, now or before; 1 if the incident's state does not allow it."
        ),
        func=lazy("act.act"),
        args=(
            RUN,
            option("words", arguments, "ARGUMENT", nargs="*"),
            option("--as", "The person who acts (default: you)", "NAME", dest="actor"),
            ANY_DAG,
            *REMOTE,
            ARG_VERBOSE,
        ),
    )


_CLOSING_ARGS = (
    RUN,
    ANY_DAG,
    flag("--yes", "Do not ask for confirmation"),
    option(
        "--as",
        "Who does it, such as dana@acme.example (default: the Airflow user; without --api-url, user@host)",
        "NAME",
        dest="requester",
    ),
    option("--timeout", "Seconds to wait", "SECONDS", 120.0),
    *REMOTE,
    *SHOWN,
)

_ENDING = (
    ActionCommand(
        name="resolve",
        help="Resolve an incident",
        description=(
            "Mark the incident resolved and update its room: brief, topic, summary, and a message that says who did"
            " it.\nA later alert reopens it. A run of incident_update does the work, so all who may trigger that"
            " DAG may resolve.\n"
            "Exit code 0 if it is resolved, now or before; 1 if not."
        ),
        epilog=(
            "Examples:\n  airflow incident resolve 148275309\n  airflow incident resolve latest --yes --output json"
        ),
        func=lazy("act.close"),
        args=_CLOSING_ARGS,
    ),
    ActionCommand(
        name="archive",
        help="Archive the room of a resolved incident",
        description=(
            "Post who archives the room, and archive it. Slack does not let an app unarchive it.\n"
            "A channel that another tool created, or that the app was removed from, is left alone.\n"
            "Exit code 0 if it is archived, now or before; 1 if not."
        ),
        epilog="Example:\n  airflow incident archive 148275309",
        func=lazy("act.close"),
        args=_CLOSING_ARGS,
    ),
    ActionCommand(
        name="postmortem",
        help="Draft a postmortem from what is recorded",
        description=(
            "Print a draft as Markdown: timeline, findings, action items, unchecked items, and open questions.\n"
            "Every line names the record that it comes from. --share puts it into the incident's room, with the\n"
            "Slack connection of this machine: a canvas if Slack offers one and the room has none, else a file."
        ),
        func=lazy("act.postmortem"),
        args=(RUN, ANY_DAG, flag("--share", "Share the draft in the incident's room"), *REMOTE, *SHOWN),
    ),
    ActionCommand(
        name="report",
        help="Show response times, and how useful findings were",
        description=(
            "Print median and 90th percentile of the times to room, first evidence, command, mitigation and\n"
            "resolution, by severity and service. A time is computed only if both of its events are recorded.\n"
            "With --datadog the same figures become metrics, with the connection datadog_default of this machine."
        ),
        func=lazy("act.print_report"),
        args=(ANY_DAG, flag("--datadog", "Send the times to Datadog instead of printing them"), *REMOTE, *SHOWN),
    ),
)


# --- the installation ------------------------------------------------------------------------------------


_INSTALLATION = (
    ActionCommand(
        name="check",
        help="Check the installation: each line passes, warns or fails, with its fix",
        description=(
            "Check Airflow, Slack, Docker, Datadog and the routing table. Run it on a worker: Slack and Docker are"
            " reached from there.\nIt changes nothing, except that --write creates and archives one Slack channel."
            " Exit code 1 if a check fails."
        ),
        epilog="Examples:\n  airflow incident check\n  airflow incident check --write --only slack,routing",
        func=lazy("checks.command.check"),
        args=(
            ONE_DAG,
            flag("--write", "Also create and archive a Slack channel"),
            option("--only", f"Only these areas, comma-separated: {CHECK_AREAS}", "AREAS"),
            *SHOWN,
        ),
    ),
    SETUP,
    ActionCommand(
        name="socket",
        help="Receive Slack's buttons, forms and /incident without a public address (Socket Mode)",
        description=(
            "Keep a WebSocket to Slack open and hand every interaction to the API server, signed as Slack signs"
            " it;\nacknowledge it once the API server has accepted it. It needs app_token and signing_secret in"
            " the extra of the\nSlack connection. It runs until SIGTERM, reconnects whenever it is disconnected,"
            " and prints a line for each change of\nthe connection. Exit code 0 after SIGTERM; 3 if a token is"
            " missing or Slack refuses it; 130 after Ctrl-C."
        ),
        epilog="Example:\n  airflow incident socket --api-url http://airflow-api-server:8080",
        func=lazy("socket_mode.socket"),
        args=(
            option(
                "--conn-id", "The Slack connection with app_token and signing_secret", "ID", "slack_api_default"
            ),
            option(
                "--api-url",
                "The API server (default: that of [core] execution_api_server_url, or [api] base_url)",
                "URL",
            ),
            option("--ready-file", "A file that exists while a connection is open: a health check", "FILE"),
            ARG_VERBOSE,
        ),
    ),
)


# --- rehearsal and inspection ----------------------------------------------------------------------------


_REHEARSAL = (
    ActionCommand(
        name="explain",
        help="Explain what an alert would do, why, and who would be invited",
        description=(
            "Read a Datadog payload, or the fields of an incident, and decide as the webhook would, with the"
            " incidents that Airflow has on record now.\nShow the decision and its reasons, the rules that match,"
            " the room, the people with the rule that names them,\nthe probes and the evidence. Nothing is"
            " stored, started or sent."
        ),
        epilog="Examples:\n  airflow incident explain\n  airflow incident explain alert.json",
        func=lazy("explain.explain"),
        args=(
            option(
                "payload",
                "A file with the payload's JSON; - reads standard input (default: a recorded alert)",
                nargs="?",
            ),
            option("--routing-table", "Path of the routing table (default: [incident] routing_table)"),
            option("--records", "Decide with the incidents of this file, as list --records prints them", "FILE"),
            flag("--no-records", "Decide as if no incident existed"),
            *REMOTE,
            *SHOWN,
        ),
    ),
    ActionCommand(
        name="drill",
        help="Rehearse an incident, and score it",
        description=(
            "Send a recorded alert through the whole workflow, marked as a drill: its title begins with DRILL and"
            " its tag is drill:true.\nWith --sandbox everything runs on this machine. Without it the room is in"
            " your Slack, and the routing table's people\nare invited: a rule that matches the tag drill:true"
            " must set the channel prefix drill. Exit code 1 if a goal was missed."
        ),
        epilog=(
            "Examples:\n  airflow incident drill --sandbox\n  airflow incident drill --sandbox --story canary\n"
            "  airflow incident drill --from-file alert.json --room-within 15"
        ),
        func=lazy("drill.drill"),
        args=(
            flag("--sandbox", "Rehearse on this machine, with a stand-in for Slack"),
            option(
                "--story",
                "With --sandbox: the story that Datadog plays, such as bad_deploy, canary or healthy",
                "NAME",
            ),
            option("--from-file", "The alert to rehearse with (default: a recorded one)", "FILE"),
            option("--room-within", "Goal: seconds to the room", "SECONDS", 30.0),
            option("--home", "With --sandbox: the working folder", default=".demo"),
            option("--dags", "With --sandbox: the DAGs folder (default: the packaged one)", "FOLDER"),
            ROUTED_DAG,
            TIMEOUT,
            *REMOTE,
            *SHOWN,
        ),
    ),
    ActionCommand(
        name="export",
        help="Export the workflow as JSON or as a Mermaid diagram",
        description="Print steps, dependencies, operators, images and outputs of a parsed DAG, or of a DAG file.",
        epilog="Example:\n  airflow incident export --format mermaid --file dags/incident_response.py",
        func=lazy("export.export"),
        args=(
            DAG,
            choice(("--format",), "json (default) or mermaid", ("json", "mermaid")),
            option("--file", "Read the DAG from this file, without the database", "FILE"),
            ARG_VERBOSE,
        ),
    ),
)


# --- commands of other distributions ---------------------------------------------------------------------


def _of_other_distributions() -> Iterator[ActionCommand]:
    """Yield the commands of installed distributions; a stand-in for each known one that is missing."""
    found = [command for entry_point in entry_points(group=COMMANDS_GROUP) for command in entry_point.load()()]
    by_name = {command.name: command for command in found}
    yield from by_name.values()
    yield from (_missing(name) for name in _EXTRAS if name not in by_name)


def _missing(name: str) -> ActionCommand:
    """Return a command that says what to install."""
    install = f"pip install 'airflow-incident-provider[{name}]'"

    def say(_: Any) -> None:
        raise SystemExit(f"airflow incident {name} is in a distribution of its own. Install it with: {install}")

    return ActionCommand(
        name=name,
        help=f"Not installed: {install}".replace("[", r"\["),
        description=f"Not installed. Install it with: {install}".replace("[", r"\["),
        func=say,
        # Without the options, argparse would reject the documented command before it says what to install.
        args=tuple(option(flag_name, "Only once it is installed", nargs="?") for flag_name in _EXTRAS[name]),
    )
