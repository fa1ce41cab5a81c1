"""Commands about incidents: trigger, watch, list, show, resolve, archive."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, Arg, lazy_load_command

from airflow_incident_provider.cli.arguments import (
    BODIES,
    DAG_BY_ROUTE,
    ONE_OF_THE_DAGS,
    REMOTE,
    SHOWN,
    TIMEOUT,
    option,
)

_RUN = option(
    "run",
    help="A run id, an incident's key or id, its room's name, or 'latest'",
    metavar="RUN",
)

_CLOSING_ARGS = (
    _RUN,
    ONE_OF_THE_DAGS,
    option("--yes", help="Do not ask", action="store_true"),
    option("--timeout", help="Seconds to wait for it (default: 120)", type=float, default=120.0, metavar="SECONDS"),
    *REMOTE,
    *SHOWN,
)


def commands() -> tuple[ActionCommand, ...]:
    """Return the commands."""
    return (_trigger(), _watch(), _list(), _show(), _resolve(), _archive())


def _trigger() -> ActionCommand:
    return ActionCommand(
        name="trigger",
        help="Start incident response",
        description=(
            "Reads an incident from the options, a file or your answers, checks it as Airflow will, and starts the"
            " run.\nThe same --incident-id, or the same Datadog alert, leads to the same run: sending it twice does"
            " no harm."
        ),
        epilog=(
            "Examples:\n"
            "  airflow incident trigger --title 'Checkout is down' --severity P1 --users @sre-oncall --watch\n"
            "  airflow incident trigger --from-file alert.json --dry-run\n"
            "  airflow incident trigger --interactive\n"
            "  AIRFLOW_CLI_TOKEN=... airflow incident trigger --api-url https://airflow.acme.example --title ..."
        ),
        func=lazy_load_command(f"{BODIES}.trigger.command.trigger"),
        args=(*_fields(), *_sources(), DAG_BY_ROUTE, TIMEOUT, *REMOTE, *SHOWN),
    )


def _fields() -> tuple[Arg, ...]:
    """Return an option for each field of the trigger form."""
    return (
        option("--title", help="What people see, in a few words"),
        option("--incident-id", help="An id that it has elsewhere, such as a ticket's", metavar="ID"),
        option("--severity", help="critical, high, medium or low; P1 and SEV-1 are understood"),
        option("--description", help="What is known so far"),
        option("--started-at", help="When it began, such as 2026-11-23T09:35:00Z", metavar="TIME"),
        _many("--users", "Who comes: e-mail address (the surest), Slack name, id or @group"),
        _many("--service", "The service"),
        _many("--host", "The host"),
        _many("--team", "Whose it is; the routing table goes by it"),
        _many("--tag", "A tag, such as data:customer"),
        option("--env", help="The environment, such as prod"),
        _many("--target", "What to probe: https://host/path, host, or host:port"),
        _many("--link", "A dashboard, runbook or the like: a URL", several="may be repeated"),
        option("--private", help="Make the room private", action="store_true"),
    )


def _many(flag: str, help_text: str, *, several: str = "may be repeated, or hold several with commas") -> Arg:
    return option(flag, help=f"{help_text} ({several})", action="append", metavar=flag.strip("-").upper())


def _sources() -> tuple[Arg, ...]:
    return (
        option(
            "--from-file",
            help="JSON or YAML with the fields, or a Datadog payload; - reads standard input. Options add to it",
            metavar="FILE",
        ),
        option("--interactive", help="Ask for the fields, and ask before starting", action="store_true"),
        option("--dry-run", help="Post nothing to Slack: show what would be posted", action="store_true"),
        option("--watch", help="Show the steps as they happen; exit code 1 if the run fails", action="store_true"),
    )


def _watch() -> ActionCommand:
    return ActionCommand(
        name="watch",
        help="Show a run's steps as they happen, then its summary",
        description=(
            "In a terminal the steps are a table that changes; elsewhere each is a line when it has ended.\n"
            "Exit code 0 if the room stands, 1 if the run failed."
        ),
        epilog="Example:\n  airflow incident watch latest",
        func=lazy_load_command(f"{BODIES}.watch.command.watch"),
        args=(_RUN, ONE_OF_THE_DAGS, TIMEOUT, *REMOTE, *SHOWN),
    )


def _list() -> ActionCommand:
    return ActionCommand(
        name="list",
        help="List the latest incidents",
        description="The latest runs, the newest first: how bad, where, and what became of them.",
        epilog="Example:\n  airflow incident list --limit 5 --output json",
        func=lazy_load_command(f"{BODIES}.incidents.command.list_incidents"),
        args=(
            option("--limit", help="How many at the most (default: 20)", type=int, default=20, metavar="N"),
            ONE_OF_THE_DAGS,
            *REMOTE,
            *SHOWN,
        ),
    )


def _show() -> ActionCommand:
    return ActionCommand(
        name="show",
        help="Show one incident: people, room, findings, timeline",
        description="Everything that a run left: what is known and not known, who came, what went wrong, and when.",
        epilog="Example:\n  airflow incident show 148275309",
        func=lazy_load_command(f"{BODIES}.incidents.command.show_incident"),
        args=(_RUN, ONE_OF_THE_DAGS, *REMOTE, *SHOWN),
    )


def _resolve() -> ActionCommand:
    return ActionCommand(
        name="resolve",
        help="Say that an incident is over",
        description=(
            "Marks it resolved, and has its room told by whom: brief, topic, summary and a message.\n"
            "An alert that fires again reopens it. A run of incident_update does it: who may start one may do so.\n"
            "Exit code 0 if it is resolved, now or before; 1 if not."
        ),
        epilog=(
            "Examples:\n  airflow incident resolve 148275309\n  airflow incident resolve latest --yes --output json"
        ),
        func=lazy_load_command(f"{BODIES}.incidents.closing.resolve_incident"),
        args=_CLOSING_ARGS,
    )


def _archive() -> ActionCommand:
    return ActionCommand(
        name="archive",
        help="Archive the room of an incident that is resolved",
        description=(
            "Says in the room who archives it, and archives it. Slack lets no app open it again.\n"
            "A room that another tool made, or that people put the app out of, is left alone.\n"
            "Exit code 0 if it is archived, now or before; 1 if not."
        ),
        epilog="Example:\n  airflow incident archive 148275309",
        func=lazy_load_command(f"{BODIES}.incidents.closing.archive_room"),
        args=_CLOSING_ARGS,
    )
