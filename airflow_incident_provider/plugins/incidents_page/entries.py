"""What the page tells of each incident, from the runs and, where the webhook keeps one, the incident's record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from airflow_incident_provider.config import run_url
from airflow_incident_provider.lifecycle.records import IncidentRecord, Visibility
from airflow_incident_provider.models import Mode, RunOutcome, Severity, UtcDatetime, Verdict
from airflow_incident_provider.plugins.run_history import RecordedRun

OPEN_FOR = timedelta(hours=24)
"""How long an incident that nobody follows is shown among the open ones: nobody will say that it is over."""

_UNFINISHED = frozenset({"queued", "running"})


class State(StrEnum):
    """How far an incident's life has come, as far as is known."""

    OPEN = "open"
    RECOVERED = "recovered"
    RESOLVED = "resolved"
    ARCHIVED = "archived"
    NOT_FOLLOWED = "not_followed"


class Incident(BaseModel):
    """One incident, as the page shows it. Durations are in milliseconds."""

    key: Annotated[str | None, Field(description="Absent until its payload has been read.")]
    title: str
    severity: Severity | None
    state: State
    is_open: Annotated[bool, Field(description="Whether it belongs among the open incidents.")]
    followed: Annotated[
        bool, Field(description="Whether the webhook keeps a record; nobody tells of the recovery of others.")
    ]
    services: tuple[str, ...] = ()
    env: str | None = None
    commander: str | None = None
    private: Annotated[bool, Field(description="Whether its texts are hidden: only its room has them.")] = False
    began_at: Annotated[UtcDatetime | None, Field(description="When the trouble began, as it was reported.")] = None
    opened_at: Annotated[UtcDatetime, Field(description="When it was first reported here.")]
    ended_at: UtcDatetime | None = None
    times: Annotated[int, Field(description="How often it was reported.")] = 1
    reopened: int = 0
    alerts: Annotated[int, Field(description="How many different alerts it has.")] = 1
    storm: Annotated[bool, Field(description="Whether it gathers the alerts of a storm.")] = False
    presence: Annotated[Visibility, Field(description="Where it is discussed, by triage.")] = Visibility.ROOM
    room_name: str | None = None
    room_url: str | None = None
    dag_id: str
    run_id: str | None = None
    run_state: Annotated[str | None, Field(description="Airflow's word for its latest run.")] = None
    run_url: str | None = None
    outcome: RunOutcome | None = None
    time_to_room_ms: int | None = None
    findings: Annotated[dict[Verdict, int], Field(description="How many probes came to each verdict.")] = {}
    known: Annotated[str | None, Field(description="The first thing that the findings prove.")] = None


def incidents(
    runs: Iterable[RecordedRun], records: Mapping[str, IncidentRecord], *, base_path: str, now: datetime
) -> list[Incident]:
    """
    Return the incidents, those that were opened last first.

    :param runs: the newest first.
    :param records: by key.
    :param base_path: Airflow's own path, such as ``/``.
    """
    by_incident: dict[str, list[RecordedRun]] = {}
    for run in runs:
        if run.summary is None or run.summary.outcome is not RunOutcome.NOT_RAISED:
            by_incident.setdefault(_identity(run), []).append(run)
    found = [_entry(its, records.get(key), base_path, now) for key, its in by_incident.items()]
    told = {incident.key for incident in found}
    found += [_entry([], record, base_path, now) for key, record in records.items() if key not in told]
    return sorted(found, key=lambda incident: incident.opened_at, reverse=True)


def _identity(run: RecordedRun) -> str:
    """Return what runs of one incident have in common: its key, once that is known."""
    return run.key or f"run/{run.dag_id}/{run.run_id}"


def _entry(runs: list[RecordedRun], record: IncidentRecord | None, base_path: str, now: datetime) -> Incident:
    """Return one incident: what its record says counts, and its latest run says what the record does not."""
    entry: dict[str, object] = {}
    if runs:
        entry |= _from_runs(runs, base_path)
    if record is not None:
        entry |= _from_record(record, base_path, has_run=bool(runs))
    followed = record is not None
    state = State(record.status) if record is not None else _presumed_state(runs[0], now)
    if _is_private(runs, record):
        entry |= _PRIVATE
    is_open = state in (State.OPEN, State.RECOVERED) and not _is_dry_run(runs)
    return Incident.model_validate({**entry, "followed": followed, "state": state, "is_open": is_open})


_PRIVATE: dict[str, object] = {
    "private": True,
    "title": "Private incident",
    "known": None,
    "commander": None,
    "room_name": "private room",
}
"""What is shown instead: whoever may read the runs of a DAG need not be one of the people invited to the room."""


def _is_private(runs: list[RecordedRun], record: IncidentRecord | None) -> bool:
    if record is not None and record.private is not None:
        return record.private
    return any(run.incident is not None and run.incident.route.private for run in runs)


def _is_dry_run(runs: list[RecordedRun]) -> bool:
    """Return whether nothing is posted about the incident: it is neither open nor counted."""
    return bool(runs) and runs[0].room is not None and runs[0].room.mode is Mode.DRY_RUN


def _from_runs(runs: list[RecordedRun], base_path: str) -> dict[str, object]:
    run = runs[0]
    incident, room, summary = run.incident, run.room, run.summary
    entry: dict[str, object] = {
        "key": run.key,
        "title": incident.title if incident else _unread(run),
        "severity": incident.severity if incident else None,
        "opened_at": runs[-1].incident.received_at if runs[-1].incident else runs[-1].requested_at,
        "times": len(runs),
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "run_state": run.state,
        "run_url": run_url(run.dag_id, run.run_id, base_url=base_path),
        "findings": dict(run.findings),
    }
    if incident is not None:
        entry |= {"services": incident.services, "env": incident.env, "commander": incident.commander}
        entry["began_at"] = incident.occurred_at
    if room is not None:
        entry |= {"room_name": room.channel_name, "room_url": room.url}
        if incident is not None and room.channel_id is not None:
            entry["time_to_room_ms"] = _ms(incident.received_at, room.opened_at)
    if summary is not None:
        entry |= {"outcome": summary.outcome, "known": summary.known[0].text if summary.known else None}
    return entry


def _from_record(record: IncidentRecord, base_path: str, *, has_run: bool) -> dict[str, object]:
    entry: dict[str, object] = {
        "key": record.key,
        "title": record.title,
        "severity": record.severity,
        "services": record.services,
        "env": record.env,
        "began_at": record.began_at,
        "opened_at": record.opened_at,
        "ended_at": record.ended_at,
        "times": record.times_fired,
        "reopened": record.reopened,
        "storm": record.storm,
        "presence": record.visibility,
        "alerts": max(1, record.alert_count),
    }
    if record.commander:
        entry["commander"] = record.commander
    if record.room.url:
        entry |= {"room_name": record.room.channel_name, "room_url": record.room.url}
    if not has_run:
        entry |= {"dag_id": record.dag_id, "run_id": record.run_id}
        if record.run_id:
            entry["run_url"] = run_url(record.dag_id, record.run_id, base_url=base_path)
    return entry


def _presumed_state(run: RecordedRun, now: datetime) -> State:
    """Return the state of an incident without a record: open for a day, and then not followed any more."""
    fresh = run.state in _UNFINISHED or now - run.requested_at < OPEN_FOR
    return State.OPEN if fresh else State.NOT_FOLLOWED


def _unread(run: RecordedRun) -> str:
    return "A report that is being read" if run.state in _UNFINISHED else "A report that could not be read"


def _ms(since: datetime, until: datetime) -> int:
    return max(0, round((until - since).total_seconds() * 1000))
