"""What the commands show of an incident: its run, what the steps left in XCom, and its record in the registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from airflow_incident_provider.cli.access import (
    LATEST,
    SEARCHED_RUNS,
    Airflow,
    Run,
    Step,
    find_run,
    incident_dags,
    newest_runs,
)
from airflow_incident_provider.config import TaskId, XComKey
from airflow_incident_provider.lifecycle.records import IncidentRecord, Room, Status, Visibility
from airflow_incident_provider.models import (
    Finding,
    Incident,
    IncidentSummary,
    Problem,
    RunOutcome,
    Severity,
    SlackWorkspace,
    Verdict,
    WarRoom,
    XComValue,
)
from airflow_incident_provider.probes import CONTROL
from airflow_incident_provider.registry.keys import Kind
from airflow_incident_provider.registry.records import StoredIncident, Transition

DRY_RUN = "dry run"
UNREADABLE = "unreadable"
NOT_RAISED = "not raised"
"""Statuses of runs that are no incidents; an incident has a :class:`~.records.Status`."""

Value = TypeVar("Value", bound=XComValue)


@dataclass(frozen=True, kw_only=True)
class IncidentView:
    """An incident as far as Airflow knows it.

    :param run: its first run; ``None`` for an incident that triage kept without one.
    :param failure: the problem of the first step that failed, if one did.
    :param findings: what the probes found, worst first.
    :param counts: the number of findings per verdict, without the control probe.
    :param record: the registry's record, if there is one.
    """

    run: Run | None
    run_url: str | None = None
    incident: Incident | None = None
    workspace: SlackWorkspace | None = None
    room: WarRoom | None = None
    summary: IncidentSummary | None = None
    failure: Problem | None = None
    findings: tuple[Finding, ...] = ()
    counts: Mapping[Verdict, int] = field(default_factory=dict)
    record: IncidentRecord | None = None

    @property
    def key(self) -> str | None:
        """The incident's key; ``None`` as long as its payload has not been read."""
        if self.record is not None:
            return self.record.key
        return self.incident.key if self.incident is not None else None

    @property
    def title(self) -> str:
        """The incident's title, else the id of its run."""
        if self.record is not None:
            return self.record.title
        if self.incident is not None:
            return self.incident.title
        return self.run.run_id if self.run is not None else "?"

    @property
    def severity(self) -> Severity | None:
        """The current severity."""
        if self.record is not None:
            return self.record.severity
        return self.incident.severity if self.incident is not None else None

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing was posted."""
        return self.workspace is not None and self.workspace.dry_run

    @property
    def status(self) -> str:
        """The incident's status, or what its run was instead of an incident."""
        if self.summary is not None and self.summary.outcome is RunOutcome.NOT_RAISED:
            return NOT_RAISED
        if self.is_dry_run:
            return DRY_RUN
        if self.record is not None:
            return str(self.record.status)
        if self.incident is None and self.run is not None and self.run.is_finished:
            return UNREADABLE
        return str(Status.OPEN)

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to deal with it."""
        return self.status in (Status.OPEN, Status.RECOVERED)

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
        if self.record is not None:
            return self.record.opened_at
        return self.run.run_after if self.run is not None else datetime.now(UTC)

    @property
    def channel_name(self) -> str | None:
        """The name of the channel, if one exists."""
        if self.record is not None and self.record.room.channel_id:
            return self.record.room.channel_name
        return self.room.channel_name if self.room is not None and self.room.channel_id else None

    @property
    def room_url(self) -> str | None:
        """The address of the channel, if one exists."""
        if self.record is not None and self.record.room.channel_id:
            return self.record.room.url
        return self.room.url if self.room is not None and self.room.channel_id else None

    @property
    def no_room(self) -> Problem | None:
        """Why there is no room; ``None`` if there is one."""
        if self.channel_name is not None:
            return None
        pending = self.record.room if self.record is not None else Room()
        if pending.problem is not None:
            tried = f" Next try at {pending.next_try_at:%H:%M:%S} UTC." if pending.next_try_at else ""
            return Problem(step=TaskId.CREATE_WAR_ROOM, what=pending.problem + tried, fix=pending.fix)
        return Problem(
            step=TaskId.CREATE_WAR_ROOM, what=self._no_room(), fix=self.failure.fix if self.failure else None
        )

    def _no_room(self) -> str:
        if self.record is not None and self.record.visibility is not Visibility.ROOM:
            return f"triage keeps it as a {self.record.visibility}"
        if self.is_dry_run:
            return (self.workspace.reason if self.workspace is not None else None) or "this is a dry run"
        if self.failure is not None:
            return " ".join(filter(None, (self.failure.what, self.failure.error)))
        if self.summary is not None and self.summary.outcome is RunOutcome.NOT_RAISED:
            return "the payload opens no incident"
        if self.run is not None and self.run.is_finished:
            return f"the run ended without one ({self.run.state})"
        return "not opened yet"

    @property
    def went_wrong(self) -> bool:
        """Whether the run is finished and people did not get what it promises."""
        if self.run is None or not self.run.is_finished:
            return False
        if self.summary is not None and self.summary.outcome is RunOutcome.NOT_RAISED:
            return False
        return self.run.state != "success" or self.outcome == RunOutcome.FAILED


def read_incident_view(
    airflow: Airflow, run: Run, *, records: Mapping[str, IncidentRecord] | None = None, findings: bool = True
) -> IncidentView:
    """Read everything a run left, and its record.

    :param records: the registry's records by key, if they were read already.
    :param findings: whether to read each finding; otherwise only the summary's counts.
    """
    incident = value_of(Incident, airflow, run, TaskId.PARSE_INCIDENT)
    room = value_of(WarRoom, airflow, run, TaskId.CREATE_WAR_ROOM)
    summary = value_of(IncidentSummary, airflow, run, TaskId.FINAL_SUMMARY)
    steps = airflow.steps(run.dag_id, run.run_id) if findings or room is None or summary is None else []
    found = read_findings(airflow, run, steps) if findings or summary is None else []
    record = None
    if incident is not None:
        record = records.get(incident.key) if records is not None else read_record(airflow, incident.key)
    return IncidentView(
        run=run,
        run_url=airflow.url(run.dag_id, run.run_id),
        incident=incident,
        workspace=value_of(SlackWorkspace, airflow, run, TaskId.SETUP_SLACK),
        room=room,
        summary=summary,
        failure=_first_failure(airflow, run, steps),
        findings=tuple(found),
        counts=_counts(found) if found else (summary.findings if summary is not None else {}),
        record=record,
    )


def find_incident(airflow: Airflow, name: str, dag_id: str | None) -> IncidentView:
    """Return the incident with this run id, key, id or channel name; ``latest`` is the newest run.

    :raises UsageError: there is none.
    """
    if name != LATEST and dag_id is None and (record := _find_record(airflow, name.removeprefix("#"))) is not None:
        return read_record_view(airflow, record)
    return read_incident_view(airflow, find_run(airflow, name, dag_id))


def read_record_view(airflow: Airflow, record: IncidentRecord) -> IncidentView:
    """Return an incident by its record, with what its run left, if it has one."""
    run = airflow.run(record.dag_id, record.run_id) if record.run_id is not None else None
    if run is None:
        return IncidentView(run=None, record=record)
    return read_incident_view(airflow, run, records={record.key: record})


def read_views(airflow: Airflow, dag_id: str | None, *, limit: int = SEARCHED_RUNS) -> list[IncidentView]:
    """Return the incidents of the newest runs, and those of the registry without a run.

    :param dag_id: only runs of this DAG; ``None`` for every incident DAG.
    :param limit: how many runs are read.
    """
    records = read_records(airflow)
    runs = newest_runs(airflow, incident_dags(airflow, dag_id), limit)
    views = [read_incident_view(airflow, run, records=records, findings=False) for run in runs]
    shown = {view.key for view in views}
    if dag_id is None:
        views += [
            IncidentView(run=None, record=record)
            for key, record in records.items()
            if record.run_id is None and key not in shown
        ]
    return views


def _find_record(airflow: Airflow, name: str) -> IncidentRecord | None:
    if (record := read_record(airflow, name)) is not None:
        return record
    found = [record for record in read_records(airflow).values() if name in _names(record)]
    return max(found, key=lambda record: record.last_signal_at, default=None)


def _names(record: IncidentRecord) -> set[str | None]:
    monitors = {alert.monitor_id for alert in record.alerts.values()}
    return {record.run_id, record.room.channel_id, record.room.channel_name, *monitors} - {None}


def value_of(model: type[Value], airflow: Airflow, run: Run, task_id: str) -> Value | None:
    """Return what a step returned; ``None`` if it returned nothing, or nothing readable."""
    value = airflow.value(run.dag_id, run.run_id, task_id)
    try:
        return model.model_validate(value) if value is not None else None
    except ValidationError:
        return None


def read_findings(airflow: Airflow, run: Run, steps: Sequence[Step]) -> list[Finding]:
    """Return what the probes that have finished found, worst first."""
    found = []
    for step in steps:
        if step.task_id == TaskId.INVESTIGATE and step.state == "success":
            value = airflow.value(run.dag_id, run.run_id, TaskId.INVESTIGATE, map_index=step.map_index)
            try:
                found.append(Finding.model_validate(value))
            except ValidationError:
                continue
    worst_first = list(Verdict)
    return sorted(found, key=lambda finding: worst_first.index(finding.verdict))


def read_record(airflow: Airflow, key: str) -> IncidentRecord | None:
    """Return the registry's record of an incident, if it has one."""
    return merge_record(key, airflow.registry_value)


def read_records(airflow: Airflow) -> dict[str, IncidentRecord]:
    """Return all records of the registry, by key."""
    values = airflow.registry_values()
    keys = [
        name.removeprefix(kind.prefix)
        for kind in (Kind.ARCHIVE, Kind.RECORD)
        for name in values
        if name.startswith(kind.prefix)
    ]
    return {key: record for key in keys if (record := merge_record(key, values.get)) is not None}


def merge_record(key: str, get: Any) -> IncidentRecord | None:
    """Return a record with what tasks reported about it: the room, and whether it was resolved or archived.

    :param get: returns the registry's value for a key, or ``None``.
    """
    value = get(Kind.RECORD.key(key)) or get(Kind.ARCHIVE.key(key))
    try:
        if value is None:
            return None
        room, transition = get(Kind.ROOM.key(key)), get(Kind.TRANSITION.key(key))
        return (
            StoredIncident.model_validate(value)
            .with_reports(
                Room.model_validate(room) if room else None,
                Transition.model_validate(transition) if transition else None,
            )
            .record
        )
    except ValidationError:
        return None


def _counts(findings: Sequence[Finding]) -> Mapping[Verdict, int]:
    """Count the findings; the control probe looks at our own network and says nothing about the incident."""
    return Counter(finding.verdict for finding in findings if finding.probe != CONTROL)


def _first_failure(airflow: Airflow, run: Run, steps: Sequence[Step]) -> Problem | None:
    failed = [step for step in steps if step.state == "failed"]
    if not failed:
        return None
    first = min(failed, key=lambda step: step.ended_at or datetime.max.replace(tzinfo=UTC))
    stored = airflow.value(run.dag_id, run.run_id, first.task_id, map_index=first.map_index, key=XComKey.PROBLEM)
    try:
        if stored is None:
            raise KeyError(XComKey.PROBLEM)
        return Problem.model_validate(stored["problem"])
    except (ValidationError, TypeError, KeyError):
        return Problem(step=first.task_id, what=f"The task {first.task_id} failed; its log has the reason.")
