"""``airflow incident lead``, ``severity``, ``update`` and the other actions; the postmortem draft; the report."""

from __future__ import annotations

import getpass
from argparse import Namespace
from collections.abc import Iterable

from airflow_incident_provider.cli.access import connect
from airflow_incident_provider.cli.output import Column, is_document, print_document, print_rows, print_text
from airflow_incident_provider.cli.run import ExitCode, UsageError, command, print_error
from airflow_incident_provider.cli.view import IncidentView, find_incident, read_views
from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID
from airflow_incident_provider.events.datadog import DatadogEvents, Metric, MetricsNotSentError
from airflow_incident_provider.exceptions import InvalidPayloadError, SlackError
from airflow_incident_provider.interaction.commands import parse_command
from airflow_incident_provider.interaction.metrics import (
    Distribution,
    MeasuredIncident,
    Milestone,
    ReportRow,
    report,
)
from airflow_incident_provider.interaction.postmortem import Postmortem, draft, to_markdown
from airflow_incident_provider.lifecycle.actions import Outcome
from airflow_incident_provider.lifecycle.coordination import Feedback
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.messages.mrkdwn import duration
from airflow_incident_provider.slack.access import live_slack_client
from airflow_incident_provider.slack.document import share_document
from airflow_incident_provider.text import one_line, shorten


@command
def act(args: Namespace) -> ExitCode:
    """Apply the action that the subcommand names."""
    text = " ".join([args.action, *args.words])
    try:
        parse_command(text)
    except InvalidPayloadError as error:
        raise UsageError(error.message, fix=error.fix) from None
    with connect(args) as airflow:
        view = find_incident(airflow, args.run, args.dag_id)
        outcome, reply = airflow.act(_key(view, args.run), text, actor=args.actor or getpass.getuser())
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
    drafted = draft(view.record, summary=view.snapshot.summary, findings=view.findings)
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
        views = [view for view in read_views(airflow, args.dag_id) if view.record is not None]
    measured = [
        MeasuredIncident.from_run(view.record, view.snapshot.room, view.snapshot.summary)
        for view in views
        if view.record is not None
    ]
    reported = report(measured)
    if args.datadog:
        return _send(reported)
    rows = [_row(row) for row in reported]
    answers = [answer for view in views if view.record for answer in view.record.coordination.feedback]
    if is_document(args.output):
        print_document({"response_times": rows, "feedback": _counted(answers)}, args.output)
        return ExitCode.OK
    columns = [Column("group", flexible=True), Column("incidents"), *(Column(str(each)) for each in Milestone)]
    print_rows(rows, columns, args.output)
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


def _key(view: IncidentView, name: str) -> str:
    if view.key is None:
        raise UsageError(f"The run {name} has not read an incident (yet).", fix="See: airflow incident list")
    return view.key


def _row(row: ReportRow) -> dict[str, object]:
    return {"group": row.group, "incidents": row.incidents, **{str(m): _times(t) for m, t in row.times.items()}}


def _times(times: Distribution) -> str:
    """Return the median, the 90th percentile, and of how many incidents."""
    if times.median_s is None or times.p90_s is None:
        return "not recorded"
    median, p90 = (duration(round(seconds * 1000)) for seconds in (times.median_s, times.p90_s))
    return f"{median} (p90 {p90}, n {times.count})"


def _counted(answers: Iterable[Feedback]) -> dict[str, dict[str, int]]:
    """Return how often each check was rated useful and not useful."""
    counts: dict[str, dict[str, int]] = {}
    for answer in answers:
        check = counts.setdefault(answer.finding.partition(" ")[0], {"useful": 0, "not_useful": 0})
        check["useful" if answer.useful else "not_useful"] += 1
    return dict(sorted(counts.items()))
