"""``airflow incident lead``, ``severity``, ``update`` and the other actions; the postmortem draft; the report."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from airflow_incident_provider.cli.access import connect, local_user
from airflow_incident_provider.cli.output import Column, is_document, print_document, print_rows, print_text
from airflow_incident_provider.cli.run import ExitCode, UsageError, command, print_error
from airflow_incident_provider.cli.view import find_incident, read_views, require_key
from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID
from airflow_incident_provider.events.datadog import DatadogEvents, Metric, MetricsNotSentError
from airflow_incident_provider.exceptions import InvalidPayloadError, SlackError
from airflow_incident_provider.interaction.commands import parse_command
from airflow_incident_provider.interaction.metrics import MeasuredIncident, ReportRow, report
from airflow_incident_provider.interaction.postmortem import Postmortem, draft, to_markdown
from airflow_incident_provider.lifecycle.actions import Outcome
from airflow_incident_provider.lifecycle.coordination import Feedback
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.messages.mrkdwn import duration
from airflow_incident_provider.slack.access import live_slack_client
from airflow_incident_provider.slack.document import share_document
from airflow_incident_provider.text import one_line, shorten

TIMES = ("median_s", "p90_s")
REPORT_COLUMNS = (
    Column("group", flexible=True),
    *(Column(name) for name in ("time_to", "incidents", "measured", *TIMES)),
)


@command
def act(args: Namespace) -> ExitCode:
    """Apply the action that the subcommand names."""
    text = " ".join([args.subcommand, *args.words])
    try:
        parse_command(text)
    except InvalidPayloadError as error:
        raise UsageError(error.message, fix=error.fix) from None
    with connect(args) as airflow:
        view = find_incident(airflow, args.run, args.dag_id)
        outcome, reply = airflow.act(require_key(view, args.run), text, actor=args.actor or local_user())
    if outcome is Outcome.REFUSED:
        print_error(reply)
        return ExitCode.FAILED
    print_text(reply)
    return ExitCode.OK


@command
def postmortem(args: Namespace) -> ExitCode:
    """Print the draft of a postmortem."""
    with connect(args) as airflow:
        view = find_incident(airflow, args.run, args.dag_id)
    if view.record is None:
        print_error(f"There is no record of {args.run}: nothing to draft from.")
        return ExitCode.FAILED
    drafted = draft(view.record, summary=view.summary, findings=view.worst_first)
    if args.share:
        return _share(view.record, drafted)
    if is_document(args.output):
        print_document(drafted.model_dump(mode="json"), args.output)
    else:
        print(to_markdown(drafted), end="")
    return ExitCode.OK


def _share(record: IncidentRecord, drafted: Postmortem) -> ExitCode:
    """Share the draft in the incident's room: a canvas where Slack offers one, otherwise a file."""
    if record.room.channel_id is None:
        print_error(f"{record.key} has no room to share the draft in.")
        return ExitCode.FAILED
    client = live_slack_client(record.room.conn_id or DEFAULT_SLACK_CONN_ID)
    try:
        form, refusal = share_document(
            client,
            record.room.channel_id,
            name=f"postmortem-{record.key}.md",
            title=f"Postmortem draft: {shorten(one_line(drafted.title), 100)}",
            markdown=to_markdown(drafted),
        )
    except SlackError as error:
        print_error(f"{error.message} {error.fix or ''}".strip())
        return ExitCode.FAILED
    reason = f" (Slack created no canvas: {refusal})" if refusal else ""
    print_text(f"The draft is a {form} in the room{reason}.")
    return ExitCode.OK


@command
def print_report(args: Namespace) -> ExitCode:
    """Print response times, and how useful findings were."""
    with connect(args) as airflow:
        views = [view for view in read_views(airflow, args.dag_id) if not (view.is_dry_run or view.is_drill)]
    recorded = [(view.record, view) for view in views if view.record is not None]
    reported = report([MeasuredIncident.from_run(record, view.room, view.summary) for record, view in recorded])
    if args.datadog:
        return _send(reported)
    rows = [row for group in reported for row in _rows(group)]
    answers = [answer for record, _ in recorded for answer in record.coordination.feedback]
    if is_document(args.output):
        print_document({"response_times": rows, "feedback": _counted(answers)}, args.output)
        return ExitCode.OK
    in_terminal = args.output == "table" and sys.stdout.isatty()
    shown = [{**row, **{name: _shown(row[name]) for name in TIMES}} for row in rows] if in_terminal else rows
    print_rows(shown, REPORT_COLUMNS, args.output)
    for finding, counts in _counted(answers).items():
        print_text(f"{finding}: useful {counts['useful']}, not useful {counts['not_useful']}")
    return ExitCode.OK


def report_metrics(rows: Iterable[ReportRow]) -> list[Metric]:
    """Return the report as metric points, in seconds; what is not recorded has none."""
    points: list[Metric] = []
    for row in rows:
        tags = (":".join(row.group.split(" ", 1)) if " " in row.group else f"group:{row.group}",)
        for milestone, times in row.times.items():
            name = f"incident.report.time_to_{milestone}"
            figures = {"count": times.count, "median": times.median_s, "p90": times.p90_s}
            points += [
                Metric(f"{name}.{kind}", value, tags) for kind, value in figures.items() if value is not None
            ]
    return points


def _send(rows: Iterable[ReportRow]) -> ExitCode:
    points = report_metrics(rows)
    try:
        DatadogEvents().send(points)
    except MetricsNotSentError as error:
        print_error(error.message)
        return ExitCode.FAILED
    print_text(f"{len(points)} metric points are sent to Datadog.")
    return ExitCode.OK


def _rows(group: ReportRow) -> Iterator[dict[str, Any]]:
    """Yield a row for each milestone of a group; what is not recorded has no times."""
    for milestone, times in group.times.items():
        figures = {"measured": times.count, "median_s": times.median_s, "p90_s": times.p90_s}
        yield {"group": group.group, "incidents": group.incidents, "time_to": milestone.value, **figures}


def _shown(seconds: float | None) -> str | None:
    return None if seconds is None else duration(round(seconds * 1000))


def _counted(answers: Iterable[Feedback]) -> dict[str, dict[str, int]]:
    """Return how often each check was rated useful and not useful."""
    counts = Counter((answer.finding.partition(" ")[0], answer.useful) for answer in answers)
    checks = sorted({check for check, _ in counts})
    return {check: {"useful": counts[check, True], "not_useful": counts[check, False]} for check in checks}
