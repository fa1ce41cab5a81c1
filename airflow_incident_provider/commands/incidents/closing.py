"""
``airflow incident resolve`` and ``airflow incident archive``: asked, started, waited for.

A run of ``incident_update`` does it, as for every other turn of an incident's life; so both work from a laptop as
well, and the room is told by whom as Airflow knows them.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_incident_provider.commands.access.airflow import Airflow, Run
from airflow_incident_provider.commands.access.opening import opened
from airflow_incident_provider.commands.incidents.records import RecordedIncident, record_of, recorded
from airflow_incident_provider.commands.output import print_rows, print_text
from airflow_incident_provider.commands.running import ExitCode, UsageError, command, complain
from airflow_incident_provider.commands.trigger.questions import confirm
from airflow_incident_provider.commands.watch.finding_runs import find_run
from airflow_incident_provider.config import ConfKey, DagId, TaskId
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.lifecycle.closing import Closing
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.room.close_request import AskedClosing

POLL_SECONDS = 0.5

_TASKS = {Closing.RESOLVE: TaskId.RESOLVE_INCIDENT, Closing.ARCHIVE: TaskId.ARCHIVE_WAR_ROOM}
_DONE: Mapping[Closing, tuple[Status, ...]] = {
    Closing.RESOLVE: (Status.RESOLVED, Status.ARCHIVED),
    Closing.ARCHIVE: (Status.ARCHIVED,),
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The incident that is meant; ``record`` only if the registry knows it, ``told`` only if found by its run."""

    key: str
    record: IncidentRecord | None
    told: RecordedIncident | None

    @property
    def title(self) -> str:
        """What people see."""
        if self.record is not None:
            return self.record.title
        return self.told.incident.title if self.told is not None and self.told.incident is not None else self.key

    @property
    def room(self) -> str | None:
        """The room's name, if there is one."""
        if self.record is not None and self.record.room.channel_name:
            return self.record.room.channel_name
        return self.told.room.channel_name if self.told is not None and self.told.room is not None else None


@command
def resolve_incident(args: Namespace) -> ExitCode:
    """Say that an incident is over."""
    return _close(args, Closing.RESOLVE)


@command
def archive_room(args: Namespace) -> ExitCode:
    """Archive an incident's room."""
    return _close(args, Closing.ARCHIVE)


def _close(args: Namespace, closing: Closing) -> ExitCode:
    with opened(args) as airflow:
        subject = _find(airflow, args.run, args.dag_id)
        if _is_done(subject.record, closing):
            _tell(args, subject, state="known already", run_id=None)
            return ExitCode.OK
        if (
            closing is Closing.ARCHIVE
            and subject.record is not None
            and subject.record.status is not Status.RESOLVED
        ):
            complain(f"{subject.title} is {subject.record.status}. Resolve it first: airflow incident resolve.")
            return ExitCode.NOT_WELL
        if not args.yes and not _agreed(subject, closing):
            print_text("Nothing was done.")
            return ExitCode.INTERRUPTED
        airflow.require_ready(DagId.INCIDENT_UPDATE)
        run = _wait(airflow, _start(airflow, subject, closing), args.timeout)
        return _outcome(args, airflow, subject, closing, run)


def _find(airflow: Airflow, named: str, dag_id: str | None) -> Subject:
    """Return the incident: by its key in the registry, else by its run as the other commands find it.

    :raises UsageError: there is none, or it cannot be closed yet.
    """
    record = record_of(airflow, named) if dag_id is None else None
    if record is not None:
        return Subject(key=record.key, record=record, told=None)
    told = recorded(airflow, find_run(airflow, named, dag_id))
    if told.incident is None:
        raise UsageError(
            f"The run {told.run.run_id} has read no incident (yet).", fix="See: airflow incident list."
        )
    return Subject(key=told.incident.key, record=told.record, told=told)


def _is_done(record: IncidentRecord | None, closing: Closing) -> bool:
    return record is not None and record.status in _DONE[closing]


def _agreed(subject: Subject, closing: Closing) -> bool:
    """Ask, as long as there is somebody to ask.

    :raises UsageError: there is nobody.
    """
    if not sys.stdin.isatty():
        raise UsageError("This asks before it acts, and this is no terminal.", fix="Use --yes.")
    if closing is Closing.RESOLVE and subject.record is not None and (firing := subject.record.firing_count):
        print_text(f"Alerts still firing: {firing}. The next that is told of reopens it.")
    room = f" (#{subject.room})" if subject.room else ""
    return confirm(f"{closing.capitalize()} {subject.title!r}{room}?")


def _start(airflow: Airflow, subject: Subject, closing: Closing) -> str:
    """Start the run that does it, and return its id."""
    first = subject.told.run if subject.told is not None else None
    asked = AskedClosing(
        closing=closing, dag_id=first.dag_id if first else None, run_id=first.run_id if first else None
    )
    run_id = f"{closing}.{subject.key}.{datetime.now(UTC):%Y%m%dT%H%M%S}"
    return airflow.start(
        DagId.INCIDENT_UPDATE, {ConfKey.INCIDENT_KEY: subject.key, **asked.as_conf()}, run_id=run_id
    ).run_id


def _wait(airflow: Airflow, run_id: str, timeout: float) -> Run:
    """Return the run when it is over.

    :raises IncidentError: it is not over in time; it goes on.
    """
    deadline = time.monotonic() + timeout
    while (run := airflow.run(DagId.INCIDENT_UPDATE, run_id)) is None or not run.is_over:
        if time.monotonic() > deadline:
            raise IncidentError(
                f"The run {run_id} of {DagId.INCIDENT_UPDATE} is not over after {timeout:.0f} s.",
                fix="It goes on; look whether Airflow's scheduler runs.",
            )
        time.sleep(POLL_SECONDS)
    return run


def _outcome(args: Namespace, airflow: Airflow, subject: Subject, closing: Closing, run: Run) -> ExitCode:
    """Tell what came of it: what the registry says, and for what it does not know what the task came to."""
    record = record_of(airflow, subject.key)
    states = {step.task_id: step.state for step in airflow.steps(DagId.INCIDENT_UPDATE, run.run_id)}
    done = _is_done(record, closing) if record is not None else states.get(_TASKS[closing]) == "success"
    state = _DONE[closing][0].value if done else "not done"
    _tell(args, subject, state=state, run_id=run.run_id)
    if not done or run.state != "success":
        complain(
            f"Not all of it was done: the log of {_TASKS[closing]} in {run.run_id} of {DagId.INCIDENT_UPDATE} "
            "tells why."
        )
        return ExitCode.NOT_WELL
    return ExitCode.OK


def _tell(args: Namespace, subject: Subject, *, state: str, run_id: str | None) -> None:
    row = {"incident": subject.key, "title": subject.title, "room": subject.room, "state": state, "run_id": run_id}
    print_rows([row], args.output)
