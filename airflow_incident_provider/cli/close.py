"""``airflow incident resolve`` and ``airflow incident archive``: a run of ``incident_update``, and its result.

Both work from any machine with access to Airflow's API, and everybody who may trigger that DAG may use them.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime

from airflow_incident_provider.cli.access import Airflow, Run, connect, local_user, wait_for_run
from airflow_incident_provider.cli.output import counted, is_document, print_document, print_text
from airflow_incident_provider.cli.run import ExitCode, UsageError, command, print_error
from airflow_incident_provider.cli.trigger import confirm
from airflow_incident_provider.cli.view import IncidentView, find_incident, read_findings, read_stored, require_key
from airflow_incident_provider.config import ConfKey, DagId, TaskId
from airflow_incident_provider.lifecycle.closing import CloseRequest, Closing
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.messages.mrkdwn import clock
from airflow_incident_provider.models import Finding, Verdict
from airflow_incident_provider.probes import CONTROL
from airflow_incident_provider.text import one_line

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
