"""``airflow incident lead``, ``severity``, ``resolve`` and the other actions; the postmortem draft; the report."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_incident_provider.cli.access import Airflow, Run, connect, local_user, wait_for_run
from airflow_incident_provider.cli.output import (
    Column,
    counted,
    is_document,
    print_document,
    print_rows,
    print_text,
)
from airflow_incident_provider.cli.run import ExitCode, UsageError, command, print_error
from airflow_incident_provider.cli.trigger import confirm
from airflow_incident_provider.cli.view import (
    IncidentView,
    find_incident,
    read_findings,
    read_stored,
    read_views,
    require_key,
)
from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, ConfKey, DagId, TaskId
from airflow_incident_provider.events.datadog import DatadogEvents, Metric, MetricsNotSentError
from airflow_incident_provider.exceptions import InvalidPayloadError, SlackError
from airflow_incident_provider.interaction.commands import parse_command
from airflow_incident_provider.interaction.metrics import MeasuredIncident, ReportRow, report
from airflow_incident_provider.interaction.postmortem import Postmortem, draft, to_markdown
from airflow_incident_provider.lifecycle.actions import Outcome
from airflow_incident_provider.lifecycle.closing import CloseRequest, Closing
from airflow_incident_provider.lifecycle.coordination import Feedback
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.messages.mrkdwn import clock, duration
from airflow_incident_provider.models import Finding, Verdict
from airflow_incident_provider.probes import CONTROL
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


# --- resolve and archive: a run of incident_update, which everybody may start who may trigger that DAG ------------


UPDATE_RUNS = 100
"""How many of the newest update runs are searched for the latest check."""

KNOWN = "known already"
"""The state of an incident that was resolved or archived before."""

_TASKS = {Closing.RESOLVE: TaskId.RESOLVE_INCIDENT, Closing.ARCHIVE: TaskId.ARCHIVE_WAR_ROOM}
_DONE: Mapping[Closing, tuple[Status, ...]] = {
    Closing.RESOLVE: (Status.RESOLVED, Status.ARCHIVED),
    Closing.ARCHIVE: (Status.ARCHIVED,),
}


@command
def close(args: Namespace) -> ExitCode:
    """Resolve an incident, or archive its room: whichever the subcommand names."""
    closing = Closing(args.subcommand)
    with connect(args) as airflow:
        view = find_incident(airflow, args.run, args.dag_id)
        require_key(view, args.run)
        if _is_done(view.record, closing):
            _print_result(args, view, state=KNOWN, run_id=None)
            return ExitCode.OK
        if closing is Closing.ARCHIVE and view.record is not None and view.record.status is not Status.RESOLVED:
            print_error(
                f"{view.title} is {view.record.status}. Resolve it first: airflow incident resolve {view.key}"
            )
            return ExitCode.FAILED
        if not args.yes and not _confirmed(airflow, view, closing):
            print_text("Nothing was done.")
            return ExitCode.INTERRUPTED
        airflow.require_ready(DagId.INCIDENT_UPDATE)
        run = wait_for_run(
            airflow,
            DagId.INCIDENT_UPDATE,
            _start(airflow, view, closing, by=_requester(args)),
            timeout=args.timeout,
            fix="It keeps running; check that Airflow's scheduler is running.",
        )
        return _result(args, airflow, view, closing, run)


def _is_done(record: IncidentRecord | None, closing: Closing) -> bool:
    return record is not None and record.status in _DONE[closing]


def _confirmed(airflow: Airflow, view: IncidentView, closing: Closing) -> bool:
    """Show what speaks against it, and ask.

    :raises UsageError: standard input is no terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError("This asks for confirmation, which needs a terminal.", fix="Use --yes.")
    if closing is Closing.RESOLVE:
        _print_doubts(airflow, view)
    room = f" (#{view.channel_name})" if view.channel_name else ""
    return confirm(f"{closing.capitalize()} {view.title!r}{room}?")


def _print_doubts(airflow: Airflow, view: IncidentView) -> None:
    """Print the alerts that still fire, and what failed at the latest check."""
    firing, _ = view.firing
    if firing:
        print_text(f"{counted(firing, 'alert')} still firing. The next notification reopens the incident.")
    _, latest = latest_check(airflow, view)
    findings = [finding for finding in latest if finding.probe != CONTROL]
    failing = [finding for finding in findings if finding.verdict is Verdict.FAIL]
    if not failing:
        return
    at = max(finding.started_at for finding in findings)
    print_text(f"{len(failing)} of {counted(len(findings), 'check')} failed at the latest check ({clock(at)} UTC):")
    for finding in failing:
        print_text(f"  {finding.probe} {finding.target}: {finding.summary}")


def latest_check(airflow: Airflow, view: IncidentView) -> tuple[str | None, list[Finding]]:
    """Return the newest update run that ran probes, with its findings; without one, those of the first run."""
    for run in airflow.latest_runs(DagId.INCIDENT_UPDATE, UPDATE_RUNS):
        if run.run_id.startswith(f"upd.{view.key}.") and (found := read_findings(airflow, run)):
            return run.run_id, found
    return None, list(view.worst_first)


def _requester(args: Namespace) -> str | None:
    """Return who closes the incident; ``None`` for the Airflow user whose token is used."""
    if args.requester:
        return one_line(args.requester)
    return None if args.api_url else local_user()


def _start(airflow: Airflow, view: IncidentView, closing: Closing, *, by: str | None) -> str:
    """Start the run that closes the incident, and return its id."""
    # An incident without a record is known by its first run alone.
    first = view.run if view.record is None else None
    request = CloseRequest(
        closing=closing, by=by, dag_id=first.dag_id if first else None, run_id=first.run_id if first else None
    )
    checked_by, _ = latest_check(airflow, view)
    conf = {
        ConfKey.INCIDENT_KEY.value: view.key,
        **request.as_conf(),
        **({ConfKey.CHECKED_BY.value: checked_by} if checked_by else {}),
    }
    run_id = f"{closing}.{view.key}.{datetime.now(UTC):%Y%m%dT%H%M%S}"
    return airflow.start(DagId.INCIDENT_UPDATE, conf, run_id=run_id).run_id


def _result(args: Namespace, airflow: Airflow, view: IncidentView, closing: Closing, run: Run) -> ExitCode:
    """Print the result: the registry's status, or the task's state for an incident without a record."""
    stored = read_stored(airflow, view.key or "")
    record = stored.record if stored is not None else None
    states = {step.task_id: step.state for step in airflow.steps(DagId.INCIDENT_UPDATE, run.run_id)}
    done = _is_done(record, closing) if record is not None else states.get(_TASKS[closing]) == "success"
    _print_result(args, view, state=_DONE[closing][0].value if done else "not done", run_id=run.run_id)
    if not done or run.state != "success":
        print_error(
            f"Not everything was done: see the log of {_TASKS[closing]} in the run {run.run_id}"
            f" of {DagId.INCIDENT_UPDATE}."
        )
        return ExitCode.FAILED
    return ExitCode.OK


def _print_result(args: Namespace, view: IncidentView, *, state: str, run_id: str | None) -> None:
    row = {"incident": view.key, "title": view.title, "room": view.channel_name, "state": state, "run_id": run_id}
    if is_document(args.output):
        print_document([row], args.output)
        return
    room = f" (#{view.channel_name})" if view.channel_name else ""
    shown = f"already {view.status}" if state == KNOWN else state
    print_text(f"{shown.capitalize()}: {view.title}{room}")
