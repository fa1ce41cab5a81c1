"""The commands of ``airflow incident`` and their arguments.

Airflow imports this module at every start of its command line, so it is light: the function of a command is
imported when the command runs.

Other distributions add commands through the entry point group :data:`COMMANDS_GROUP`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from typing import Any

from airflow.cli.cli_config import ARG_VERBOSE, ActionCommand, Arg, GroupCommand

from airflow_incident_provider.cli.arguments import (
    ANY_DAG,
    DAG,
    REMOTE,
    ROUTED_DAG,
    RUN,
    SHOWN,
    TIMEOUT,
    lazy,
    option,
    repeatable,
)
from airflow_incident_provider.cli.setup.commands import setup_group

COMMANDS_GROUP = "airflow_incident_provider.commands"
"""Entry points that name a function returning a sequence of :class:`~airflow.cli.cli_config.ActionCommand`.

The function is called at every start of Airflow's command line: its module has to be as light as this one.
"""

CHECK_AREAS = "airflow, dag, pool, slack, clock, datadog, webhook, docker, routing"

_EXTRAS = {"demo": "demo", "sandbox": "sandbox"}
"""Commands of another distribution, with the extra that installs it."""


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
                _trigger(), _watch(), _list(), _show(), *_actions(), _resolve(), _archive(),
                _postmortem(), _report(), _check(), setup_group(), _socket(), _explain(), _drill(), _export(),
                *_of_other_distributions(),
            ),
        )
    ]  # fmt: skip


# --- incidents -------------------------------------------------------------------------------------------


def _trigger() -> ActionCommand:
    return ActionCommand(
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
        args=(*_incident_fields(), *_incident_sources(), ROUTED_DAG, TIMEOUT, *REMOTE, *SHOWN),
    )


def _incident_fields() -> tuple[Arg, ...]:
    """Return an option for each field of the trigger form."""
    return (
        option("--title", help="A short title"),
        option("--incident-id", help="An external id, such as a ticket's", metavar="ID"),
        option("--severity", help="critical, high (default), medium or low; P1 and SEV-1 are understood"),
        option("--description", help="What is known so far"),
        option("--started-at", help="When it started, such as 2026-11-23T09:35:00Z (default: now)", metavar="TIME"),
        repeatable("--users", "People to invite: e-mail address (safest), Slack name, id or @group"),
        repeatable("--service", "An affected service"),
        repeatable("--host", "An affected host"),
        repeatable("--team", "The owning team; the routing table matches it"),
        repeatable("--tag", "A tag, such as data:customer"),
        option("--env", help="The environment, such as prod"),
        repeatable("--target", "What to probe: https://host/path, host, or host:port"),
        repeatable("--link", "A link to a dashboard or runbook", several="repeatable"),
        option("--private", help="Open a private channel", action="store_true"),
    )


def _incident_sources() -> tuple[Arg, ...]:
    return (
        option(
            "--from-file",
            help="JSON or YAML with the fields, or a Datadog payload; - reads standard input. Options override it",
            metavar="FILE",
        ),
        option("--interactive", help="Ask for the fields, and confirm before starting", action="store_true"),
        option("--dry-run", help="Post nothing to Slack; show what would be posted", action="store_true"),
        option("--watch", help="Show the steps as they finish; exit code 1 if the run fails", action="store_true"),
    )


def _watch() -> ActionCommand:
    return ActionCommand(
        name="watch",
        help="Show a run's steps as they finish, then the incident",
        description=(
            "Show the steps as they finish: a live table in a terminal, elsewhere a line for each.\n"
            "Exit code 0 if the run did what it should, 1 if it failed."
        ),
        epilog="Example:\n  airflow incident watch latest",
        func=lazy("watch.watch"),
        args=(RUN, ANY_DAG, TIMEOUT, *REMOTE, *SHOWN),
    )


def _list() -> ActionCommand:
    return ActionCommand(
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
            option("--open", help="Only incidents that are not resolved yet", action="store_true"),
            repeatable("--severity", "Only this severity"),
            repeatable("--service", "Only this service"),
            repeatable("--team", "Only this team"),
            option("--since", help="Only what began since: 30m, 2h, 7d, or a date or time in UTC", metavar="TIME"),
            option("--limit", help="How many at most (default: 20)", type=int, default=20, metavar="N"),
            option("--records", help="Print the registry's records as JSON, for explain", action="store_true"),
            ANY_DAG,
            *REMOTE,
            *SHOWN,
        ),
    )


def _show() -> ActionCommand:
    return ActionCommand(
        name="show",
        help="Show one incident: state, room, findings, people, timeline",
        description=(
            "Show the state, why there is no room if there is none, what fails, what is known and not known,"
            " people, and the timeline."
        ),
        epilog="Example:\n  airflow incident show 148275309",
        func=lazy("show.show_incident"),
        args=(RUN, ANY_DAG, *REMOTE, *SHOWN),
    )


_CLOSING_ARGS = (
    RUN,
    ANY_DAG,
    option("--yes", help="Do not ask for confirmation", action="store_true"),
    option(
        "--as",
        help="Who does it, such as dana@acme.example (default: the Airflow user; without --api-url, user@host)",
        dest="requester",
        metavar="NAME",
    ),
    option("--timeout", help="Seconds to wait (default: 120)", type=float, default=120.0, metavar="SECONDS"),
    *REMOTE,
    *SHOWN,
)


_ACTIONS = {
    "lead": ("Take command of an incident, or hand it over", "[@person]"),
    "role": ("Take or give another role", "communications|scribe [@person]"),
    "severity": ("Change an incident's severity; it is routed again", "critical|high|medium|low"),
    "update": ("Post a status update into the room", "text [next 15m]"),
    "recheck": ("Run an incident's checks again", ""),
    "invite": ("Invite people or a team into the room", "@person @group"),
    "item": ("Add an action item for afterwards", "text"),
    "snooze": ("Pause an incident's reminders", "[30m]"),
    "reopen": ("Reopen a resolved incident", ""),
}
"""The actions that are also buttons and /incident commands in Slack, with the syntax of their arguments."""


def _actions() -> list[ActionCommand]:
    return [_action(name, help_text, syntax) for name, (help_text, syntax) in _ACTIONS.items()]


def _arguments(name: str, syntax: str) -> str:
    return f"{syntax}, as after /incident {name} in Slack" if syntax else "None: the command needs only RUN"


def _action(name: str, help_text: str, syntax: str) -> ActionCommand:
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
            option("words", nargs="*", help=_arguments(name, syntax), metavar="ARGUMENT"),
            option("--action", help=argparse.SUPPRESS, default=name),
            option("--as", dest="actor", help="The person who acts (default: you)", metavar="NAME"),
            ANY_DAG,
            *REMOTE,
            ARG_VERBOSE,
        ),
    )


def _postmortem() -> ActionCommand:
    return ActionCommand(
        name="postmortem",
        help="Draft a postmortem from what is recorded",
        description=(
            "Print a draft as Markdown: timeline, findings, action items, unchecked items, and open questions.\n"
            "Every line names the record that it comes from. --share puts it into the incident's room, with the\n"
            "Slack connection of this machine: a canvas if Slack offers one and the room has none, else a file."
        ),
        func=lazy("act.postmortem"),
        args=(
            RUN,
            ANY_DAG,
            option("--share", help="Share the draft in the incident's room", action="store_true"),
            *REMOTE,
            *SHOWN,
        ),
    )


def _report() -> ActionCommand:
    return ActionCommand(
        name="report",
        help="Show response times, and how useful findings were",
        description=(
            "Print median and 90th percentile of the times to room, first evidence, command, mitigation and\n"
            "resolution, by severity and service. A time is computed only if both of its events are recorded.\n"
            "With --datadog the same figures become metrics, with the connection datadog_default of this machine."
        ),
        func=lazy("act.print_report"),
        args=(
            ANY_DAG,
            option("--datadog", help="Send the times to Datadog instead of printing them", action="store_true"),
            *REMOTE,
            *SHOWN,
        ),
    )


def _resolve() -> ActionCommand:
    return ActionCommand(
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
        func=lazy("close.resolve_incident"),
        args=_CLOSING_ARGS,
    )


def _archive() -> ActionCommand:
    return ActionCommand(
        name="archive",
        help="Archive the room of a resolved incident",
        description=(
            "Post who archives the room, and archive it. Slack does not let an app unarchive it.\n"
            "A channel that another tool created, or that the app was removed from, is left alone.\n"
            "Exit code 0 if it is archived, now or before; 1 if not."
        ),
        epilog="Example:\n  airflow incident archive 148275309",
        func=lazy("close.archive_room"),
        args=_CLOSING_ARGS,
    )


# --- the installation ------------------------------------------------------------------------------------


def _check() -> ActionCommand:
    return ActionCommand(
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
            option("--dag-id", help="Only this incident DAG (default: every one)", metavar="DAG"),
            option("--write", help="Also create and archive a Slack channel", action="store_true"),
            option("--only", help=f"Only these areas, comma-separated: {CHECK_AREAS}", metavar="AREAS"),
            *SHOWN,
        ),
    )


def _socket() -> ActionCommand:
    return ActionCommand(
        name="socket",
        help="Receive Slack's buttons, forms and /incident without a public address (Socket Mode)",
        description=(
            "Keep a WebSocket to Slack open and hand every interaction to the API server, signed as Slack signs"
            " it;\nacknowledge it once the API server has accepted it. It needs app_token and signing_secret in"
            " the extra of the\nSlack connection. It runs until SIGTERM, reconnects for ever, and prints a line for"
            " each change of the connection.\nExit code 0 after SIGTERM; 3 if a token is missing or Slack refuses"
            " it; 130 after Ctrl-C."
        ),
        epilog="Example:\n  airflow incident socket --api-url http://airflow-api-server:8080",
        func=lazy("socket_mode.socket"),
        args=(
            option(
                "--conn-id",
                help="The Slack connection with app_token and signing_secret (default: slack_api_default)",
                default="slack_api_default",
                metavar="ID",
            ),
            option(
                "--api-url",
                help="The API server (default: that of [core] execution_api_server_url, or [api] base_url)",
                metavar="URL",
            ),
            option(
                "--ready-file", help="A file that exists while a connection is open: a health check", metavar="FILE"
            ),
            ARG_VERBOSE,
        ),
    )


# --- rehearsal and inspection ----------------------------------------------------------------------------


def _explain() -> ActionCommand:
    return ActionCommand(
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
                help="A file with the payload's JSON; - reads standard input (default: a recorded alert)",
                nargs="?",
            ),
            option("--routing-table", help="Path of the routing table (default: [incident] routing_table)"),
            option(
                "--records",
                help="Decide with the incidents of this file, as list --records prints them",
                metavar="FILE",
            ),
            option("--no-records", help="Decide as if no incident existed", action="store_true"),
            *REMOTE,
            *SHOWN,
        ),
    )


def _drill() -> ActionCommand:
    return ActionCommand(
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
            option("--sandbox", help="Rehearse on this machine, with a stand-in for Slack", action="store_true"),
            option(
                "--story",
                help="With --sandbox: the story that Datadog plays, such as bad_deploy, canary or healthy",
                metavar="NAME",
            ),
            option("--from-file", help="The alert to rehearse with (default: a recorded one)", metavar="FILE"),
            option(
                "--room-within",
                help="Goal: seconds to the room (default: 30)",
                type=float,
                default=30.0,
                metavar="SECONDS",
            ),
            option("--home", help="With --sandbox: the working folder (default: .demo)", default=".demo"),
            option("--dags", help="With --sandbox: the DAGs folder (default: the packaged one)", metavar="FOLDER"),
            ROUTED_DAG,
            TIMEOUT,
            *REMOTE,
            *SHOWN,
        ),
    )


def _export() -> ActionCommand:
    return ActionCommand(
        name="export",
        help="Export the workflow as JSON or as a Mermaid diagram",
        description="Print steps, dependencies, operators, images and outputs of a parsed DAG, or of a DAG file.",
        epilog="Example:\n  airflow incident export --format mermaid --file dags/incident_response.py",
        func=lazy("export.export"),
        args=(
            DAG,
            option("--format", help="json (default) or mermaid", choices=("json", "mermaid"), default="json"),
            option("--file", help="Read the DAG from this file, without the database", metavar="FILE"),
            ARG_VERBOSE,
        ),
    )


# --- commands of other distributions ---------------------------------------------------------------------


def _of_other_distributions() -> Iterator[ActionCommand]:
    """Yield the commands of installed distributions; a stand-in for each known one that is missing."""
    found: dict[str, ActionCommand] = {}
    for entry_point in entry_points(group=COMMANDS_GROUP):
        commands: Sequence[ActionCommand] = entry_point.load()()
        found |= {command.name: command for command in commands}
    yield from found.values()
    for name, extra in _EXTRAS.items():
        if name not in found:
            yield _missing(name, extra)


def _missing(name: str, extra: str) -> ActionCommand:
    """Return a command that says what to install."""
    install = f"pip install 'airflow-incident-provider[{extra}]'"

    def say(_: Any) -> None:
        raise SystemExit(f"airflow incident {name} is in a distribution of its own. Install it with: {install}")

    return ActionCommand(
        name=name,
        help=f"Not installed: {install}".replace("[", r"\["),
        description=f"Not installed. Install it with: {install}".replace("[", r"\["),
        func=say,
        args=(option("arguments", help="Ignored", nargs="*"),),
    )
