"""``airflow incident check``: run the checks, and print one line for each result."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence

from sqlalchemy.exc import SQLAlchemyError

from airflow_incident_provider.cli.arguments import listed
from airflow_incident_provider.cli.checks import airflow, alerts, docker, routing, settings, slack
from airflow_incident_provider.cli.checks.context import (
    CheckContext,
    NotCheckableError,
    Outcome,
    Result,
    Results,
    Subject,
)
from airflow_incident_provider.cli.output import Line, is_document, print_document, print_lines
from airflow_incident_provider.cli.run import ExitCode, UsageError, command
from airflow_incident_provider.exceptions import IncidentError

Check = Callable[[CheckContext, Subject], Result | Results]

log = logging.getLogger(__name__)

CHECKS: tuple[tuple[str, str, Check], ...] = (
    ("airflow", "version", airflow.airflow_version),
    ("airflow", "database", airflow.database),
    ("airflow", "components", airflow.components),
    ("airflow", "executor", airflow.executor),
    ("airflow", "parallelism", airflow.concurrency),
    ("airflow", "preload", airflow.preload),
    ("airflow", "idle sleep", airflow.idle_sleep),
    ("airflow", "base URL", airflow.base_url),
    ("airflow", "tasks' API", airflow.task_api),
    ("airflow", "Fernet key", airflow.fernet_key),
    ("airflow", "state store", airflow.state_backend),
    ("airflow", "plugins", airflow.plugins),
    ("airflow", "[incident]", settings.own_settings),
    ("dag", "DAGs folder", airflow.dag_folder),
    ("dag", "DAGs", airflow.dags),
    ("dag", "unparsed files", airflow.unparsed_files),
    ("dag", "DAG files", airflow.file_versions),
    ("dag", "import errors", airflow.import_errors),
    ("pool", "pools", airflow.pools),
    ("slack", "token", slack.token),
    ("slack", "scopes", slack.scopes),
    ("slack", "interactivity", slack.interactivity),
    ("slack", "Socket Mode", slack.socket_mode),
    ("slack", "API", slack.base_url),
    ("slack", "directory", slack.directory),
    ("slack", "rooms", slack.rooms),
    ("clock", "clock", slack.clock),
    ("datadog", "keys", alerts.keys),
    ("datadog", "webhook", alerts.webhook),
    ("webhook", "secret", alerts.secret),
    ("webhook", "reachable", alerts.reachable),
    ("docker", "engine", docker.engine),
    ("docker", "images", docker.images),
    ("docker", "network", docker.network),
    ("docker", "hardened container", docker.hardened),
    ("routing", "table", routing.table),
    ("routing", "people", routing.people),
    ("routing", "responders", routing.coverage),
    ("routing", "probes", routing.probes),
    ("routing", "dags", routing.dags),
    ("routing", "drill rule", routing.drill_rule),
    ("routing", "triage channel", routing.triage_channel),
    ("routing", "announcement channel", routing.announcement_channel),
    ("routing", "client certificates", routing.client_certificates),
)
"""The area, the subject of the line if the check cannot be made, and the check; in the order of the report."""

AREAS = tuple(dict.fromkeys(area for area, _, _ in CHECKS))

_STYLES = {Outcome.PASS: "green", Outcome.WARN: "yellow", Outcome.FAIL: "bold red", Outcome.SKIP: "dim"}
_INDENT = 2
_HANGING = 6


@command
def check(args: Namespace) -> ExitCode:
    """Check the installation; return ``FAILED`` if a check fails."""
    context = CheckContext([args.dag_id] if args.dag_id else (), may_write=args.write)
    results = list(run_checks(context, _areas(args.only)))
    counts = Counter(result.outcome for _, result in results)
    if is_document(args.output):
        print_document([_row(area, result) for area, result in results], args.output)
    else:
        print_lines([*_report(results)])
        totals = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome])
        print_lines([Line(""), Line(totals)])
    return ExitCode.FAILED if counts[Outcome.FAIL] else ExitCode.OK


def run_checks(context: CheckContext, areas: Collection[str] = AREAS) -> Iterator[tuple[str, Result]]:
    """Yield each result with its area. A check that raises becomes a failing line and stops no other check."""
    for area, subject, make in CHECKS:
        if area in areas:
            yield from ((area, result) for result in _results(make, context, Subject(subject)))


def _results(make: Check, context: CheckContext, subject: Subject) -> Iterator[Result]:
    try:
        made = make(context, subject)
        yield from [made] if isinstance(made, Result) else made
    except NotCheckableError as reason:
        yield subject.skipped(f"not checked: {reason}")
    except SQLAlchemyError:
        yield subject.skipped("not checked: the database does not work")
    except IncidentError as error:
        yield subject.failure(error.message, error.fix or "See the line before.")
    except Exception as error:
        # Only the class is shown: the message of another library may quote a secret.
        log.exception("The check %s raised an error", subject.name)
        yield subject.failure(f"it could not be checked: {type(error).__name__}", "See its log with --verbose.")


def _row(area: str, result: Result) -> dict[str, object]:
    return {
        "area": area,
        "check": result.subject,
        "result": result.outcome.value,
        "found": result.found,
        "fix": result.fix,
        "command": result.command,
    }


def _report(results: Sequence[tuple[str, Result]]) -> Iterator[Line]:
    """Return the report: a heading for each area, a line for each result, its fix below it."""
    shown = None
    for area, result in results:
        if area != shown:
            shown = area
            yield Line(area, style="bold")
        yield Line(
            f"{result.outcome.value}  {result.subject}: {result.found}",
            style=_STYLES[result.outcome],
            indent=_INDENT,
            hanging=_HANGING,
        )
        if result.fix:
            yield Line(result.fix, indent=_INDENT + _HANGING)
        if result.command:
            # On a line of its own, and never wrapped: it can be copied and pasted.
            yield Line(result.command, indent=_INDENT + _HANGING + 2, wrap=False)


def _areas(only: str | None) -> tuple[str, ...]:
    """Return the requested areas.

    :raises UsageError: there is no such area.
    """
    if only is None:
        return AREAS
    wanted = tuple(listed([only]))
    unknown = [area for area in wanted if area not in AREAS]
    if unknown or not wanted:
        raise UsageError(
            f"--only {only}: there is no area {', '.join(unknown)}.", fix=f"The areas are {', '.join(AREAS)}."
        )
    return wanted
