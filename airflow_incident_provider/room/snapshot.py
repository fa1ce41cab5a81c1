"""
What is known of an incident when something happens to it after its first minutes.

The registry's record is the truth about the incident itself. What the first run found out (links, people, findings)
is in that run's XComs; where those are gone, what the record holds has to do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.config import ConfKey, TaskId
from airflow_incident_provider.lifecycle.records import IncidentRecord, Room, Status, Visibility
from airflow_incident_provider.models import (
    Finding,
    Incident,
    IncidentSummary,
    Mode,
    SlackWorkspace,
    UserResolution,
    WarRoom,
)
from airflow_incident_provider.registry.records import StoredIncident
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.room.close_request import asked_closing
from airflow_incident_provider.room.xcom import Value

if TYPE_CHECKING:
    from airflow.sdk import Context

"""What a run's conf calls the key of the incident that it is about."""

_UNFINISHED = frozenset({"queued", "running"})


@dataclass(frozen=True, kw_only=True)
class KnownIncident:
    """An incident as it stands.

    :param stored: its record, with the version that it was read at.
    :param incident: as its first run read it, with what has changed since.
    :param first_responders: for whom its first run looked.
    :param room: where it is talked about; absent as long as there is no such place.
    :param summary: what its first run came to; absent while that still runs.
    """

    stored: StoredIncident
    incident: Incident
    workspace: SlackWorkspace | None = None
    first_responders: tuple[str, ...] = ()
    people: UserResolution | None = None
    room: WarRoom | None = None
    findings: tuple[Finding, ...] = ()
    summary: IncidentSummary | None = None

    @property
    def record(self) -> IncidentRecord:
        """The registry's record."""
        return self.stored.record

    @property
    def is_registered(self) -> bool:
        """Whether the registry remembers it: an incident that a person started is known by its run alone."""
        return self.stored.version > 0

    def resolved(self, at: datetime) -> KnownIncident:
        """Return the incident as it is once it is resolved, for one that no registry says it of."""
        record = self.record.model_copy(update={"status": Status.RESOLVED, "resolved_at": at})
        return replace(self, stored=self.stored.model_copy(update={"record": record}))

    @property
    def times(self) -> int:
        """How often it has fired, the first time included."""
        return self.record.reopened + 1

    @property
    def has_room_of_its_own(self) -> bool:
        """Whether it has a channel, and not a thread in the triage channel."""
        return self.record.visibility is Visibility.ROOM and self.room is not None


def incident_key(context: Context) -> str:
    """Return the key of the incident that this run is about; empty if the conf names none."""
    return str((context["dag_run"].conf or {}).get(ConfKey.INCIDENT_KEY) or "")


def read_known(context: Context) -> KnownIncident | None:
    """Return what is known of this run's incident; nothing if neither registry nor conf tell which it is."""
    stored = TaskRegistry.of(context).incident(incident_key(context)) or _unregistered(context)
    if stored is None:
        return None
    left = _FirstRun(context["ti"], stored.record)
    told = left.value(Incident, TaskId.PARSE_INCIDENT)
    return KnownIncident(
        stored=stored,
        incident=as_it_stands(told or _from_record(stored.record), stored.record),
        workspace=left.value(SlackWorkspace, TaskId.SETUP_SLACK),
        first_responders=told.responders if told else (),
        people=left.value(UserResolution, TaskId.RESOLVE_USERS),
        room=_room(left.value(WarRoom, TaskId.CREATE_WAR_ROOM), stored.record),
        findings=left.findings(),
        summary=left.value(IncidentSummary, TaskId.FINAL_SUMMARY),
    )


def _unregistered(context: Context) -> StoredIncident | None:
    """Return an incident that the registry does not know, by its first run, if the conf names that."""
    asked = asked_closing(context)
    if asked is None or asked.dag_id is None or asked.run_id is None:
        return None
    value = context["ti"].xcom_pull(dag_id=asked.dag_id, run_id=asked.run_id, task_ids=TaskId.PARSE_INCIDENT)
    incident = Incident.model_validate(value) if isinstance(value, dict) else None
    if incident is None or incident.key != incident_key(context):
        return None
    record = IncidentRecord(
        key=incident.key,
        dag_id=asked.dag_id,
        run_id=asked.run_id,
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
    )
    return StoredIncident(version=0, record=record)


def first_run_is_under_way(context: Context, record: IncidentRecord) -> bool:
    """Return whether the run that makes the incident's room has not ended."""
    if record.run_id is None:
        return False
    ti: Any = context["ti"]
    return str(ti.get_dagrun_state(record.dag_id, record.run_id)).lower() in _UNFINISHED


class _FirstRun:
    """The XComs of the run that made the room."""

    def __init__(self, ti: Any, record: IncidentRecord) -> None:
        self._ti = ti
        self._record = record

    def value(self, model: type[Value], task_id: str) -> Value | None:
        """Return what a task of it returned."""
        value = self._pull(task_id)
        return None if not isinstance(value, dict) else model.model_validate(value)

    def findings(self) -> tuple[Finding, ...]:
        """Return what its probes found."""
        found = self._pull([TaskId.INVESTIGATE]) or ()
        return tuple(Finding.model_validate(value) for value in found if isinstance(value, dict))

    def _pull(self, task_ids: str | list[str]) -> Any:
        if self._record.run_id is None:
            return None
        return self._ti.xcom_pull(dag_id=self._record.dag_id, run_id=self._record.run_id, task_ids=task_ids)


def _from_record(record: IncidentRecord) -> Incident:
    """Return the incident as far as the record tells of it."""
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
    )


def as_it_stands(incident: Incident, record: IncidentRecord) -> Incident:
    """Return an incident as its first run read it, with what has changed since."""
    return incident.model_copy(
        update={
            "severity": record.severity,
            "title": record.title,
            "services": record.services or incident.services,
            "teams": record.teams or incident.teams,
            "commander": record.commander or incident.commander,
        }
    )


def _room(opened: WarRoom | None, record: IncidentRecord) -> WarRoom | None:
    """Return the room: as its first run left it, or where it has moved since."""
    told = record.room
    if opened is not None and (told.brief_ts is None or told.brief_ts == opened.brief_ts):
        return opened
    if told.channel_id is None or told.brief_ts is None:
        return None
    moved = {"channel_id": told.channel_id, "channel_name": told.channel_name or "", "url": told.url}
    at = datetime.fromtimestamp(float(told.brief_ts), tz=UTC)
    if opened is not None:
        # The brief's address was that of the brief in the first room.
        return opened.model_copy(update={**moved, "brief_ts": told.brief_ts, "brief_url": None, "opened_at": at})
    return WarRoom(mode=Mode.LIVE, brief_ts=told.brief_ts, opened_at=at, **moved)


def where(room: WarRoom) -> Room:
    """Return where a room is, as the registry keeps it."""
    return Room(channel_id=room.channel_id, channel_name=room.channel_name, brief_ts=room.brief_ts, url=room.url)
