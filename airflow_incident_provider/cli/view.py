"""What the commands show of an incident: a snapshot of it, its run, and why it has no room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydantic import ValidationError

from airflow_incident_provider.cli.access import (
    LATEST,
    NEVER,
    REPORT,
    SEARCHED_RUNS,
    Airflow,
    Run,
    Step,
    find_run,
    incident_dags,
    newest_runs,
)
from airflow_incident_provider.cli.airflow_api import FINAL_RUN_STATES
from airflow_incident_provider.cli.run import UsageError
from airflow_incident_provider.config import STEPS, TaskId, XComKey
from airflow_incident_provider.lifecycle.records import IncidentRecord, Room, Status, UpdateKind, Visibility
from airflow_incident_provider.models import Finding, Problem, RunOutcome, Severity, Verdict
from airflow_incident_provider.registry.keys import Kind
from airflow_incident_provider.registry.records import StoredIncident, Transition
from airflow_incident_provider.room.snapshot import IncidentSnapshot, RunRef, read_snapshot

DRY_RUN = "dry run"
UNREADABLE = "unreadable"
NOT_RAISED = "not raised"
"""Statuses of runs that are no incidents; an incident has a :class:`~.records.Status`."""

LISTED = tuple(step for step in STEPS if step is not TaskId.INVESTIGATE)
"""The steps that a list reads: a summary has the counts of the findings."""


@dataclass(frozen=True, kw_only=True)
class IncidentView(IncidentSnapshot):
    """An incident as far as Airflow knows it. It has no run if triage kept it without one.

    :param run_url: the run's page in Airflow's UI.
    :param failure: the problem of the first step that failed, if one did.
    """

    run_url: str | None = None
    failure: Problem | None = None

    @property
    def worst_first(self) -> tuple[Finding, ...]:
        """What the probes and the evidence found, worst first."""
        verdicts = list(Verdict)
        return tuple(sorted(self.all_findings, key=lambda finding: verdicts.index(finding.verdict)))

    @property
    def run_is_finished(self) -> bool:
        """Whether it has a run, which has succeeded or failed."""
        return self.run is not None and self.run.state in FINAL_RUN_STATES

    @property
    def title(self) -> str:
        """The incident's title, else the id of its run."""
        if self.incident is not None:
            return self.incident.title
        return self.run.run_id if self.run is not None else "?"

    @property
    def severity(self) -> Severity | None:
        """The current severity."""
        return self.incident.severity if self.incident is not None else None

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing was posted."""
        if self.record is not None and self.record.is_dry_run:
            return True
        return self.workspace is not None and self.workspace.dry_run

    @property
    def dry_run_was_requested(self) -> bool:
        """Whether somebody asked for the dry run."""
        return self.workspace is not None and self.workspace.dry_run_requested

    @property
    def is_drill(self) -> bool:
        """Whether it is a drill."""
        if self.record is not None and self.record.drill:
            return True
        return self.incident is not None and self.incident.is_drill

    @property
    def firing(self) -> tuple[int, int]:
        """How many of its alerts fire, and how many it has. What a person reported is no alert."""
        if self.record is None:
            return 0, 0
        is_reported = self.incident is not None and self.incident.reporter is not None
        report = self.record.alerts.get(self.record.opened_by) if is_reported else None
        if report is None:
            return self.record.firing_count, self.record.alert_count
        return self.record.firing_count - report.firing, self.record.alert_count - 1

    @property
    def status(self) -> str:
        """The incident's status, or what its run was instead of an incident."""
        if self.summary is not None and self.summary.outcome is RunOutcome.NOT_RAISED:
            return NOT_RAISED
        if self.is_dry_run:
            return DRY_RUN
        if self.record is not None:
            return str(self.record.status)
        if self.incident is None and self.run_is_finished:
            return UNREADABLE
        return str(Status.OPEN)

    @property
    def resolved_by(self) -> str | None:
        """The person who resolved it, if one did and it was not reopened."""
        if self.record is None or self.record.ended_at is None:
            return None
        ends = [event for event in self.record.timeline if event.kind is UpdateKind.RESOLVED]
        return ends[-1].by if ends else None

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to deal with it: a drill is no incident."""
        return not self.is_drill and self.status in (Status.OPEN, Status.RECOVERED)

    @property
    def outcome(self) -> str | None:
        """The outcome of the run: ``complete``, ``degraded`` or ``failed``; until then the run's state."""
        if self.summary is not None:
            return str(self.summary.outcome)
        return self.run.state if self.run is not None else None

    @property
    def began_at(self) -> datetime:
        """When it began, as far as is known."""
        if self.incident is not None:
            return self.incident.occurred_at
        requested_at = self.run.requested_at if self.run is not None else None
        return requested_at or datetime.now(UTC)

    @property
    def channel_name(self) -> str | None:
        """The name of the channel, if one exists."""
        return self.room.channel_name if self.room is not None and self.room.channel_id else None

    @property
    def room_url(self) -> str | None:
        """The address of the channel, if one exists."""
        return self.room.url if self.room is not None and self.room.channel_id else None

    @property
    def no_room(self) -> Problem | None:
        """Why there is no room; ``None`` if there is one."""
        if self.channel_name is not None:
            return None
        pending = self.record.room if self.record is not None else Room()
        if pending.problem is not None:
            next_try = f" Next try at {pending.next_try_at:%H:%M:%S} UTC." if pending.next_try_at else ""
            return Problem(step=TaskId.CREATE_WAR_ROOM, what=pending.problem + next_try, fix=pending.fix)
        return Problem(step=TaskId.CREATE_WAR_ROOM, what=self._no_room(), fix=self._fix())

    def _no_room(self) -> str:
        if self.record is not None and self.record.visibility is not Visibility.ROOM:
            return f"triage keeps it as a {self.record.visibility}"
        if self.is_dry_run:
            return (self.workspace.reason if self.workspace is not None else None) or "this is a dry run"
        if self.failure is not None:
            return " ".join(filter(None, (self.failure.what, self.failure.error)))
        if self.summary is not None and self.summary.outcome is RunOutcome.NOT_RAISED:
            return "the payload opens no incident"
        if self.run is not None and self.run_is_finished:
            return f"the run ended without one ({self.run.state})"
        return "not opened yet"

    def _fix(self) -> str | None:
        if self.failure is not None:
            return self.failure.fix
        if self.is_dry_run and not self.dry_run_was_requested:
            return "Run: airflow incident check --only slack"
        return None

    @property
    def went_wrong(self) -> bool:
        """Whether the run is finished and people did not get what it promises."""
        if self.run is None or not self.run_is_finished:
            return False
        if self.summary is not None and self.summary.outcome is RunOutcome.NOT_RAISED:
            return False
        if self.is_dry_run and not self.dry_run_was_requested:
            return True
        return self.run.state != "success" or self.outcome == RunOutcome.FAILED


class RunXComs:
    """The XComs of a run as :func:`~airflow_incident_provider.room.snapshot.read_snapshot` reads them."""

    def __init__(self, airflow: Airflow, run: Run, steps: Sequence[Step]) -> None:
        self._value = partial(airflow.value, run.dag_id, run.run_id)
        self._steps = steps

    def value(self, task_id: str) -> Any:
        """Return what a task returned, or ``None``."""
        return self._value(task_id)

    def values(self, task_ids: Sequence[str]) -> Iterable[Any]:
        """Return what the finished instances of mapped tasks returned."""
        for step in self._steps:
            if step.task_id in task_ids and step.state == "success":
                yield self._value(step.task_id, map_index=step.map_index)


def read_incident_view(
    airflow: Airflow, run: Run, *, records: Mapping[str, StoredIncident] | None = None, findings: bool = True
) -> IncidentView:
    """Read everything a run left, and its record.

    :param records: the registry's incidents by key, if they were read already.
    :param findings: whether to read each finding; otherwise only the summary's counts.
    """
    steps = airflow.steps(run.dag_id, run.run_id)
    source = RunXComs(airflow, run, steps)
    parsed = source.value(TaskId.PARSE_INCIDENT)
    key = parsed.get("key") if isinstance(parsed, Mapping) else None
    stored = None
    if isinstance(key, str):
        stored = records.get(key) if records is not None else read_stored(airflow, key)
    snapshot = read_snapshot(
        source,
        run=RunRef(dag_id=run.dag_id, run_id=run.run_id, state=run.state, requested_at=run.run_after),
        stored=stored,
        tasks=STEPS if findings else LISTED,
    )
    run_url, failure = airflow.url(run.dag_id, run.run_id), _first_failure(airflow, run, steps)
    return IncidentView(**vars(snapshot), run_url=run_url, failure=failure)


def find_incident(airflow: Airflow, name: str, dag_id: str | None) -> IncidentView:
    """Return the incident with this run id, key, id or channel name; ``latest`` is the newest run.

    :raises UsageError: there is none.
    """
    if name != LATEST and dag_id is None and (stored := _find_stored(airflow, name.removeprefix("#"))) is not None:
        return read_stored_view(airflow, stored)
    return read_incident_view(airflow, find_run(airflow, name, dag_id))


def require_key(view: IncidentView, name: str) -> str:
    """Return the incident's key.

    :param name: what the user called the incident.
    :raises UsageError: its run has not read the payload.
    """
    if view.key is None:
        raise UsageError(f"The run {name} has not read an incident (yet).", fix="See: airflow incident list")
    return view.key


def read_stored_view(airflow: Airflow, stored: StoredIncident, *, findings: bool = True) -> IncidentView:
    """Return an incident by its record, with what its run left, if it has one."""
    record = stored.record
    run = airflow.run(record.dag_id, record.run_id) if record.run_id is not None else None
    if run is None:
        return IncidentView(**vars(read_snapshot(None, stored=stored)))
    return read_incident_view(airflow, run, records={record.key: stored}, findings=findings)


def read_views(airflow: Airflow, dag_id: str | None, *, limit: int = SEARCHED_RUNS) -> list[IncidentView]:
    """Return the incidents of the newest runs, and those of the registry that are open or without a run.

    :param dag_id: only runs of this DAG; ``None`` for every incident DAG.
    :param limit: how many runs are read.
    """
    records = read_all_stored(airflow)
    runs = newest_runs(airflow, incident_dags(airflow, dag_id), limit)
    views = [read_incident_view(airflow, run, records=records, findings=False) for run in runs]
    shown = {view.key for view in views}
    for key, stored in records.items():
        is_listed = stored.record.run_id is None or stored.record.ended_at is None
        if is_listed and key not in shown and dag_id in (None, stored.record.dag_id):
            views.append(read_stored_view(airflow, stored, findings=False))
    return views


def read_findings(airflow: Airflow, run: Run) -> list[Finding]:
    """Return what the probes of a run found, as far as they have finished."""
    steps = airflow.steps(run.dag_id, run.run_id)
    return list(read_snapshot(RunXComs(airflow, run, steps), tasks=[TaskId.INVESTIGATE]).findings)


def read_stored(airflow: Airflow, key: str) -> StoredIncident | None:
    """Return an incident of the registry, or of its inbox."""
    return merge_stored(key, airflow.registry_value)


def read_all_stored(airflow: Airflow) -> dict[str, StoredIncident]:
    """Return all incidents of the registry and its inbox, by key."""
    values = airflow.registry_values()
    prefixes = (REPORT, Kind.ARCHIVE.prefix, Kind.RECORD.prefix)
    keys = [name.removeprefix(prefix) for prefix in prefixes for name in values if name.startswith(prefix)]
    return {key: stored for key in keys if (stored := merge_stored(key, values.get)) is not None}


def merge_stored(key: str, get: Callable[[str], Any]) -> StoredIncident | None:
    """Return an incident with what tasks reported about it: the room, and whether it was resolved or archived.

    :param get: returns the value for a key of the registry, or ``None``.
    """
    value = get(Kind.RECORD.key(key)) or get(Kind.ARCHIVE.key(key)) or get(f"{REPORT}{key}")
    try:
        if value is None:
            return None
        room, transition = get(Kind.ROOM.key(key)), get(Kind.TRANSITION.key(key))
        return StoredIncident.model_validate(value).with_reports(
            Room.model_validate(room) if room else None,
            Transition.model_validate(transition) if transition else None,
        )
    except ValidationError:
        return None


def _find_stored(airflow: Airflow, name: str) -> StoredIncident | None:
    if (stored := read_stored(airflow, name)) is not None:
        return stored
    found = [stored for stored in read_all_stored(airflow).values() if name in _names(stored.record)]
    return max(found, key=lambda stored: stored.record.last_signal_at, default=None)


def _names(record: IncidentRecord) -> set[str | None]:
    monitors = {alert.monitor_id for alert in record.alerts.values()}
    return {record.run_id, record.room.channel_id, record.room.channel_name, *monitors} - {None}


def _first_failure(airflow: Airflow, run: Run, steps: Sequence[Step]) -> Problem | None:
    failed = (step for step in steps if step.state == "failed")
    first = min(failed, key=lambda step: step.ended_at or NEVER, default=None)
    if first is None:
        return None
    unknown = Problem(step=first.task_id, what=f"The task {first.task_id} failed; its log has the reason.")
    return read_problem(airflow, run, first) or unknown


def read_problem(airflow: Airflow, run: Run, step: Step) -> Problem | None:
    """Return why a step failed, if it left that."""
    stored = airflow.value(run.dag_id, run.run_id, step.task_id, map_index=step.map_index, key=XComKey.PROBLEM)
    try:
        return Problem.model_validate(stored["problem"]) if stored is not None else None
    except (ValidationError, TypeError, KeyError):
        return None
