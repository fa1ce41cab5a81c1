"""
What is known about an incident: its record in the registry, and what its run returned.

The record is authoritative for the incident itself. What the run found out (links, people, findings) is in its
XComs; where they are missing, the record has to do. One reader, :func:`read_snapshot`, serves the tasks, the API
server and the command line: each brings its own :class:`XComSource`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow.sdk.exceptions import AirflowRuntimeError
from pydantic import ValidationError

from airflow_incident_provider.config import STEPS, ConfKey, DagId, TaskId, XComKey, run_url
from airflow_incident_provider.evidence.model import Evidence
from airflow_incident_provider.evidence.probe_rules import weigh_probes
from airflow_incident_provider.lifecycle.closing import CloseRequest
from airflow_incident_provider.lifecycle.coordination import ActionKind
from airflow_incident_provider.lifecycle.records import IncidentRecord, Room, Status, Visibility
from airflow_incident_provider.messages.findings import count_verdicts
from airflow_incident_provider.messages.status_changes import status_text
from airflow_incident_provider.models import (
    Finding,
    Incident,
    IncidentSummary,
    Mode,
    Route,
    SlackWorkspace,
    ThreadUpdates,
    UserResolution,
    Verdict,
    WarRoom,
    XComValue,
)
from airflow_incident_provider.registry.records import StoredIncident
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.room.xcom import returned

if TYPE_CHECKING:
    from airflow.sdk import Context

UNFINISHED = frozenset({"queued", "running"})
"""The states of a run that has not ended."""

Value = TypeVar("Value", bound=XComValue)


@dataclass(frozen=True, kw_only=True)
class RunRef:
    """A DAG run: the one that opens an incident's room.

    :param state: the Airflow state, if the source knows it: ``queued``, ``running``, ``success`` or ``failed``.
    :param requested_at: when the run was requested, if the source knows it.
    """

    dag_id: str
    run_id: str
    state: str | None = None
    requested_at: datetime | None = None

    @property
    def url(self) -> str | None:
        """The address of the run in Airflow's UI, if Airflow knows its own address."""
        return run_url(self.dag_id, self.run_id)


@dataclass(frozen=True, kw_only=True)
class IncidentSnapshot:
    """An incident at one moment. Everything is optional: a run may not have got that far, or may be gone.

    :param run: the run that opens the room.
    :param stored: the incident's record, with the version it was read at.
    :param incident: the incident as its run parsed it, with what has changed since.
    :param room: where the incident is discussed: its channel, or its thread in the triage channel.
    """

    run: RunRef | None = None
    stored: StoredIncident | None = None
    incident: Incident | None = None
    workspace: SlackWorkspace | None = None
    people: UserResolution | None = None
    room: WarRoom | None = None
    findings: tuple[Finding, ...] = ()
    evidence: Evidence | None = None
    updates: ThreadUpdates | None = None
    summary: IncidentSummary | None = None

    @property
    def key(self) -> str | None:
        """The incident key, once it is known."""
        if self.stored is not None:
            return self.stored.record.key
        return self.incident.key if self.incident is not None else None

    @property
    def record(self) -> IncidentRecord | None:
        """The record of the incident."""
        return self.stored.record if self.stored is not None else None

    @property
    def is_registered(self) -> bool:
        """Whether the registry stores the incident: one that a person started may be known by its run alone."""
        return self.stored is not None and self.stored.version > 0

    @property
    def status(self) -> str:
        """The status as text."""
        return status_text(self.record) if self.record is not None else "open"

    @property
    def has_ended(self) -> bool:
        """Whether the incident has recovered or is resolved."""
        return self.record is not None and self.record.ended_at is not None

    @property
    def has_own_room(self) -> bool:
        """Whether the incident has a channel, and not a thread in the triage channel."""
        is_thread = self.record is not None and self.record.visibility is Visibility.THREAD
        return self.room is not None and not is_thread

    @property
    def is_in_triage(self) -> bool:
        """Whether triage keeps the incident out of rooms."""
        return self.record is not None and self.record.visibility is not Visibility.ROOM

    @property
    def times_fired(self) -> int:
        """How often the incident has fired, the first time included; a person who reopens it is no alert."""
        if self.record is None:
            return 1
        by_hand = sum(entry.kind is ActionKind.REOPEN for entry in self.record.coordination.actions)
        return max(1, self.record.reopened + 1 - by_hand)

    @property
    def run_url(self) -> str | None:
        """The address of the run in Airflow's UI."""
        return self.run.url if self.run is not None else None

    @property
    def verdicts(self) -> Mapping[Verdict, int]:
        """The number of findings for each verdict."""
        if self.summary is not None:
            return self.summary.findings
        return count_verdicts(self.findings)

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        """The findings of the probes and of the evidence."""
        return (*self.findings, *(self.evidence.findings if self.evidence is not None else ()))

    def with_room(self, room: WarRoom) -> IncidentSnapshot:
        """Return the snapshot with another room."""
        return replace(self, room=room)

    def with_record(self, **changes: Any) -> IncidentSnapshot:
        """Return the snapshot with changes to its record, for an incident that is not in the registry."""
        assert self.stored is not None
        record = self.stored.record.model_copy(update=changes)
        return replace(self, stored=self.stored.model_copy(update={"record": record}))


class XComSource(Protocol):
    """The XComs of one run."""

    def value(self, task_id: str) -> Any:
        """Return the return value of a task, or ``None``."""

    def values(self, task_ids: Sequence[str]) -> Iterable[Any]:
        """Return the return values of all instances of mapped tasks."""


class TaskXComs:
    """XComs as a task reads them.

    :param ti: the task instance that reads.
    :param run: another run to read from; default: the task's own.
    """

    def __init__(self, ti: Any, run: RunRef | None = None) -> None:
        self._ti = ti
        self._run = run

    def value(self, task_id: str) -> Any:
        """Return the return value of a task; of the own run each is fetched only once."""
        return returned(self._ti, task_id) if self._run is None else self._pull(task_id)

    def values(self, task_ids: Sequence[str]) -> Iterable[Any]:
        """Return the return values of all instances of mapped tasks."""
        return self._pull(list(task_ids)) or ()

    def _pull(self, task_ids: str | list[str]) -> Any:
        if self._run is None:
            return self._ti.xcom_pull(task_ids=task_ids)
        return self._ti.xcom_pull(dag_id=self._run.dag_id, run_id=self._run.run_id, task_ids=task_ids)


def read_snapshot(
    source: XComSource | None,
    *,
    run: RunRef | None = None,
    stored: StoredIncident | None = None,
    tasks: Collection[str] = STEPS,
    finding_tasks: Sequence[str] = (TaskId.INVESTIGATE,),
) -> IncidentSnapshot:
    """Return what is known about an incident. A value that cannot be read counts as missing.

    :param source: the XComs of its run; none if there is no run.
    :param run: that run.
    :param stored: its record, if the registry has one.
    :param tasks: the tasks whose values are needed; each may cost a call.
    :param finding_tasks: the tasks that return findings; read if ``investigate`` is among ``tasks``.
    """

    def value(model: type[Value], task_id: TaskId) -> Value | None:
        if source is None or task_id not in tasks:
            return None
        return _validated(model, source.value(task_id))

    record = stored.record if stored is not None else None
    incident = value(Incident, TaskId.PARSE_INCIDENT)
    found: Iterable[Any] = ()
    evidence: Evidence | None = None
    if source is not None and TaskId.INVESTIGATE in tasks:
        found = source.values(finding_tasks)
        evidence = _validated(Evidence, source.value(TaskId.COLLECT_EVIDENCE))
    findings = tuple(each for each in (_validated(Finding, one) for one in found) if each is not None)
    return IncidentSnapshot(
        run=run,
        stored=stored,
        incident=_current(incident, record),
        workspace=value(SlackWorkspace, TaskId.SETUP_SLACK),
        people=value(UserResolution, TaskId.RESOLVE_USERS),
        room=_room(
            value(WarRoom, TaskId.CREATE_WAR_ROOM), record.room if record else Room(), private=_is_private(record)
        ),
        findings=findings,
        evidence=weigh_probes(evidence, findings) if evidence is not None else None,
        updates=value(ThreadUpdates, TaskId.POST_UPDATES),
        summary=value(IncidentSummary, TaskId.FINAL_SUMMARY),
    )


def snapshot_of_run(context: Context, *, finding_tasks: Sequence[str] = (TaskId.INVESTIGATE,)) -> IncidentSnapshot:
    """Return what is known about the incident that this run opened, for a task of ``incident_response``."""
    ti = context["ti"]
    source = TaskXComs(ti)
    incident = _validated(Incident, source.value(TaskId.PARSE_INCIDENT))
    return read_snapshot(
        source,
        run=RunRef(dag_id=ti.dag_id, run_id=ti.run_id),
        stored=_stored(context, incident.key) if incident is not None else None,
        finding_tasks=finding_tasks,
    )


def snapshot_of_incident(context: Context) -> IncidentSnapshot | None:
    """Return what is known about the incident that this run's conf names, for a task of ``incident_update``.

    :returns: ``None`` if neither the registry nor the conf identifies an incident.
    """
    ti = context["ti"]
    stored = TaskRegistry.of(context).incident(incident_key(context)) or _unregistered(context)
    if stored is None:
        return None
    record = stored.record
    if record.run_id is None:
        return read_snapshot(None, stored=stored)
    run = RunRef(dag_id=record.dag_id, run_id=record.run_id)
    snapshot = read_snapshot(TaskXComs(ti, run), run=run, stored=stored)
    opened_later = _opened_later(ti, record)
    return snapshot if opened_later is None else snapshot.with_room(opened_later)


def incident_key(context: Context) -> str:
    """Return the incident key in this run's conf; empty if there is none."""
    return str((context["dag_run"].conf or {}).get(ConfKey.INCIDENT_KEY) or "")


def first_run_is_under_way(context: Context, snapshot: IncidentSnapshot) -> bool:
    """Return whether the run that opens the incident's room has not ended."""
    if snapshot.run is None:
        return False
    ti: Any = context["ti"]
    return str(ti.get_dagrun_state(snapshot.run.dag_id, snapshot.run.run_id)).lower() in UNFINISHED


def room_location(room: WarRoom) -> Room:
    """Return where a room is, as the registry stores it."""
    return Room(
        channel_id=room.channel_id,
        channel_name=room.channel_name,
        brief_ts=room.brief_ts,
        url=room.url,
        dry_run=room.mode is Mode.DRY_RUN,
    )


def _validated(model: type[Value], value: Any) -> Value | None:
    try:
        return model.model_validate(value) if value is not None else None
    except ValidationError:
        return None


def _stored(context: Context, key: str) -> StoredIncident | None:
    """Return the record of the incident, if it has one."""
    try:
        return TaskRegistry.of(context).incident(key)
    except (KeyError, AirflowRuntimeError):
        # A DAG of a user's own may not name the registry, and what is displayed is not worth a failed task.
        return None


def _opened_later(ti: Any, record: IncidentRecord) -> WarRoom | None:
    """Return the room as the run of ``incident_update`` left it that opened it, if it was one."""
    location = record.room
    if location.opened_in is None:
        return None
    value = ti.xcom_pull(
        dag_id=DagId.INCIDENT_UPDATE, run_id=location.opened_in, task_ids=TaskId.POST_UPDATE, key=XComKey.ROOM
    )
    return _room(_validated(WarRoom, value), location, private=_is_private(record))


def _unregistered(context: Context) -> StoredIncident | None:
    """Return a record made from the first run, for an incident that only that run knows."""
    conf = context["dag_run"].conf or {}
    request, first = CloseRequest.of(conf), conf.get(ConfKey.FIRST_RUN) or {}
    dag_id = first.get("dag_id") or (request.dag_id if request else None)
    run_id = first.get("run_id") or (request.run_id if request else None)
    if dag_id is None or run_id is None:
        return None
    value = context["ti"].xcom_pull(dag_id=dag_id, run_id=run_id, task_ids=TaskId.PARSE_INCIDENT)
    incident = _validated(Incident, value)
    if incident is None or incident.key != incident_key(context):
        return None
    record = IncidentRecord(
        key=incident.key,
        dag_id=dag_id,
        run_id=run_id,
        source=incident.source,
        opened_by=incident.key,
        title=incident.title,
        severity=incident.severity,
        services=incident.services,
        env=incident.env,
        teams=incident.teams,
        opened_at=incident.received_at,
        last_signal_at=incident.received_at,
        commander=incident.commander,
        room=TaskRegistry.of(context).room(incident.key) or Room(),
    )
    return StoredIncident(version=0, record=record)


def _current(parsed: Incident | None, record: IncidentRecord | None) -> Incident | None:
    """Return the incident with what has changed since it was parsed."""
    if record is None:
        return parsed
    incident = parsed or _from_record(record)
    return incident.model_copy(
        update={
            "severity": record.severity,
            "title": record.title,
            "services": record.services or incident.services,
            "teams": record.teams or incident.teams,
            "commander": record.commander or incident.commander,
        }
    )


def _from_record(record: IncidentRecord) -> Incident:
    """Return the incident as far as its record describes it."""
    monitors = dict.fromkeys(alert.monitor_id for alert in record.alerts.values() if alert.monitor_id)
    return Incident(
        key=record.key,
        id=next(iter(monitors), record.key),
        source=record.source,
        title=record.title,
        severity=record.severity,
        occurred_at=min((alert.first_at for alert in record.alerts.values()), default=record.opened_at),
        received_at=record.opened_at,
        monitor_ids=tuple(monitors),
        env=record.env,
        services=record.services,
        teams=record.teams,
        route=Route(private=_is_private(record)),
    )


def _is_private(record: IncidentRecord | None) -> bool:
    """Return whether an incident is private, by its record; one of which that is not known counts as private."""
    return record is not None and record.private is not False


def _room(opened: WarRoom | None, location: Room, *, private: bool) -> WarRoom | None:
    """Return the room as the run left it, or by the registry if it has moved or was opened later.

    :param private: whether the incident is private, if the run that opened the room is gone.
    """
    if opened is not None and (location.brief_ts is None or location.brief_ts == opened.brief_ts):
        return opened
    if location.channel_id is None or location.brief_ts is None:
        return None
    moved = {"channel_id": location.channel_id, "channel_name": location.channel_name or "", "url": location.url}
    at = datetime.fromtimestamp(float(location.brief_ts), tz=UTC)
    if opened is not None:
        # The permalink is that of the earlier brief.
        return opened.model_copy(
            update={**moved, "brief_ts": location.brief_ts, "brief_url": None, "opened_at": at}
        )
    return WarRoom(mode=Mode.LIVE, brief_ts=location.brief_ts, opened_at=at, private=private, **moved)


def is_over(snapshot: IncidentSnapshot) -> bool:
    """Return whether the incident is resolved."""
    return snapshot.record is not None and snapshot.record.status in (Status.RESOLVED, Status.ARCHIVED)
