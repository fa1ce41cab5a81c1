"""
The rows of the incidents page: one per incident, from its record and its latest run.

The record is authoritative; the run adds what the record does not store, such as findings. Lifecycle state and run
outcome are separate. Dry runs, drills and reports that could not be parsed are never counted as open incidents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from airflow_incident_provider.config import TaskId, run_url
from airflow_incident_provider.interaction.metrics import MeasuredIncident, Milestone, distribution
from airflow_incident_provider.lifecycle.coordination import Role
from airflow_incident_provider.lifecycle.records import IncidentRecord, Visibility
from airflow_incident_provider.messages.findings import checked_at
from airflow_incident_provider.models import (
    IncidentSummary,
    Mode,
    RunOutcome,
    Severity,
    UtcDatetime,
    Verdict,
)
from airflow_incident_provider.plugins.run_history import RecordedRun
from airflow_incident_provider.registry.records import Rejection
from airflow_incident_provider.room.snapshot import IncidentSnapshot

OPEN_FOR = timedelta(hours=24)
"""How long an incident without a record is shown as open: its end is never reported."""

LEAD_WITHIN = timedelta(minutes=10)
ROOM_WITHIN = timedelta(seconds=30)
"""After this time an incident without a room needs attention, although its run still tries."""

"""Time after which a critical incident without a lead needs attention."""

PRIVATE_TITLE = "Private incident"
_UNFINISHED = frozenset({"queued", "running"})
_ROOM_STEPS = frozenset({TaskId.PARSE_INCIDENT, TaskId.SETUP_SLACK, TaskId.CREATE_WAR_ROOM})


class State(StrEnum):
    """The lifecycle state, as far as it is known."""

    OPEN = "open"
    RECOVERED = "recovered"
    RESOLVED = "resolved"
    ARCHIVED = "archived"
    UNTRACKED = "untracked"


class AttentionReason(StrEnum):
    """Why an open incident needs attention."""

    NO_ROOM = "no_room"
    NOBODY = "nobody"
    NO_LEAD = "no_lead"
    RUN_FAILED = "run_failed"


class Attention(BaseModel):
    """A reason why an open incident needs attention, and its explanation. Untrusted text."""

    reason: AttentionReason
    text: str


class Incident(BaseModel):
    """A row of the page. Durations are in milliseconds."""

    key: Annotated[str | None, Field(description="Absent until the payload has been parsed.")]
    title: str
    severity: Severity | None
    state: State
    is_open: Annotated[bool, Field(description="Whether it is counted as an open incident.")]
    tracked: Annotated[bool, Field(description="Whether there is a record, so that its end is known.")]
    drill: bool = False
    dry_run: bool = False
    private: Annotated[bool, Field(description="Title, service and room name are withheld.")] = False
    services: tuple[str, ...] = ()
    env: str | None = None
    teams: tuple[str, ...] = ()
    lead: str | None = None
    began_at: UtcDatetime
    opened_at: Annotated[UtcDatetime, Field(description="When the first report was received.")]
    ended_at: UtcDatetime | None = None
    updated_at: UtcDatetime
    fired: Annotated[int, Field(description="How often it was reported as firing.")] = 1
    reopened: int = 0
    alerts: Annotated[int, Field(description="The number of alerts.")] = 1
    storm: Annotated[bool, Field(description="Whether it collects the alerts of a storm.")] = False
    visibility: Annotated[Visibility, Field(description="Where it is discussed.")] = Visibility.ROOM
    room_name: str | None = None
    room_url: str | None = None
    invited: int | None = None
    dag_id: str
    run_id: str | None = None
    run_state: Annotated[str | None, Field(description="The Airflow state of its latest run.")] = None
    run_url: str | None = None
    outcome: Annotated[RunOutcome | None, Field(description="The outcome of its latest run.")] = None
    findings: Annotated[dict[Verdict, int], Field(description="The number of checks by verdict.")] = {}
    checked_at: UtcDatetime | None = None
    known: Annotated[str | None, Field(description="The first statement that the findings prove.")] = None
    attention: tuple[Attention, ...] = ()


class ResponseTime(BaseModel):
    """How long the incidents of the list took from their receipt to a milestone; drills are not counted."""

    milestone: Milestone
    count: Annotated[int, Field(description="The incidents for which both events are recorded.")]
    missing: int
    median_s: float | None
    p90_s: float | None


class UnreadableReport(BaseModel):
    """An alert or report that could not become an incident. Untrusted text."""

    id: str
    at: UtcDatetime
    source: str
    title: str
    reason: str
    url: str | None = None
    run_url: str | None = None

    @classmethod
    def of(cls, rejection: Rejection, base_path: str) -> UnreadableReport:
        """Return a rejected alert or report."""
        has_run = rejection.dag_id is not None and rejection.run_id is not None
        return cls(
            id=rejection.id,
            at=rejection.at,
            source=rejection.source,
            title=rejection.title,
            reason=rejection.reason,
            url=rejection.monitor_url,
            run_url=run_url(str(rejection.dag_id), str(rejection.run_id), base_url=base_path) if has_run else None,
        )


def incidents(
    runs: Iterable[RecordedRun], records: Mapping[str, IncidentRecord], *, base_path: str, now: datetime
) -> list[Incident]:
    """
    Return the incidents: those that need attention first, then the worst, then the latest.

    :param runs: newest first.
    :param records: by key.
    :param base_path: the path of Airflow's UI, such as ``/``.
    """
    by_incident: dict[str, list[RecordedRun]] = {}
    for run in runs:
        outcome = run.snapshot.summary.outcome if run.snapshot.summary else None
        if outcome is not RunOutcome.NOT_RAISED and not is_unreadable(run):
            by_incident.setdefault(run.key or f"run/{run.run.dag_id}/{run.run.run_id}", []).append(run)
    found = [entry(found, records.get(key), base_path=base_path, now=now) for key, found in by_incident.items()]
    shown = {incident.key for incident in found}
    found += [entry([], record, base_path=base_path, now=now) for k, record in records.items() if k not in shown]
    return sorted(found, key=_rank)


def is_unreadable(run: RecordedRun) -> bool:
    """Return whether a run ended without an incident: its report could not be parsed."""
    return run.snapshot.incident is None and run.key is None and run.run.state == "failed"


def response_times(
    rows: Iterable[Incident], runs: Iterable[RecordedRun], records: Mapping[str, IncidentRecord]
) -> list[ResponseTime]:
    """Return how long the incidents of these rows took, by milestone; drills and dry runs are not counted."""
    first_runs = {run.run.run_id: run.snapshot for run in runs}
    measured = []
    for incident in rows:
        record = records.get(incident.key or "")
        if record is not None and not incident.drill and not incident.dry_run:
            snapshot = first_runs.get(record.run_id or "", IncidentSnapshot())
            measured.append(MeasuredIncident.from_run(record, snapshot.room, snapshot.summary))
    return [ResponseTime(milestone=each, **asdict(distribution(measured, each))) for each in Milestone]


def entry(runs: list[RecordedRun], record: IncidentRecord | None, *, base_path: str, now: datetime) -> Incident:
    """Return an incident from its record, if there is one, and its runs, newest first."""
    values: dict[str, object] = {}
    if runs:
        values |= _from_runs(runs, base_path)
    if record is not None:
        values |= _from_record(record, base_path, has_run=bool(runs))
    state = State(record.status) if record is not None else _presumed_state(runs[0], now)
    values |= {"tracked": record is not None, "state": state, "is_open": _is_open(state, record, values)}
    incident = Incident.model_validate(values)
    attention = _attention(incident, runs, now) if incident.is_open else ()
    return _without_private_text(incident.model_copy(update={"attention": tuple(attention)}))


def _from_runs(runs: list[RecordedRun], base_path: str) -> dict[str, object]:
    latest, first = runs[0], runs[-1]
    snapshot = latest.snapshot
    incident, room, summary = snapshot.incident, snapshot.room, snapshot.summary
    received = first.snapshot.incident.received_at if first.snapshot.incident else first.run.requested_at
    values: dict[str, object] = {
        "key": latest.key,
        "title": incident.title if incident else latest.reported_title or "Report being parsed",
        "severity": incident.severity if incident else None,
        "began_at": first.snapshot.incident.occurred_at if first.snapshot.incident else received,
        "opened_at": received,
        "updated_at": latest.run.requested_at,
        "fired": len(runs),
        "dag_id": latest.run.dag_id,
        "run_id": latest.run.run_id,
        "run_state": latest.run.state,
        "run_url": run_url(latest.run.dag_id, latest.run.run_id, base_url=base_path),
        "findings": dict(snapshot.verdicts),
        "checked_at": checked_at(snapshot.findings) or _summarized_at(summary),
    }
    if incident is not None:
        values |= {"services": incident.services, "env": incident.env, "teams": incident.teams}
        values |= {"lead": incident.commander, "drill": incident.is_drill, "private": incident.route.private}
    if room is not None:
        values |= {"room_name": room.channel_name, "room_url": room.url, "invited": len(room.invited)}
        values |= {"dry_run": room.mode is Mode.DRY_RUN, "private": room.private or values.get("private", False)}
    if summary is not None:
        values |= {"outcome": summary.outcome, "known": summary.known[0].text if summary.known else None}
        values |= {"dry_run": summary.mode is Mode.DRY_RUN, "invited": summary.invited}
    return values


def _summarized_at(summary: IncidentSummary | None) -> datetime | None:
    if summary is None or not any(summary.findings.values()):
        return None
    return max((event.at for event in summary.timeline), default=None)


def _from_record(record: IncidentRecord, base_path: str, *, has_run: bool) -> dict[str, object]:
    commander = record.coordination.roles.get(Role.COMMANDER)
    values: dict[str, object] = {
        "key": record.key,
        "title": record.title,
        "severity": record.severity,
        "services": record.services,
        "env": record.env,
        "opened_at": record.opened_at,
        "ended_at": record.ended_at,
        "updated_at": _updated_at(record),
        "fired": record.times_fired,
        "reopened": record.reopened,
        "storm": record.storm,
        "visibility": record.visibility,
        "alerts": max(1, record.alert_count),
    }
    if record.began_at or not has_run:
        values["began_at"] = record.began_at or record.opened_at
    if record.teams or not has_run:
        values["teams"] = record.teams
    if commander or record.commander:
        values["lead"] = commander.name if commander else record.commander
    if record.private is not None:
        values["private"] = record.private
    if record.room.url:
        values |= {"room_name": record.room.channel_name, "room_url": record.room.url}
    if record.is_dry_run:
        values["dry_run"] = True
    if record.drill:
        values["drill"] = True
    if not has_run:
        values |= {"dag_id": record.dag_id, "run_id": record.run_id}
        values["run_url"] = run_url(record.dag_id, record.run_id, base_url=base_path) if record.run_id else None
    return values


def _updated_at(record: IncidentRecord) -> datetime:
    """Return when something last happened: a notification, an action of a person, or its end."""
    times = [record.last_signal_at, *(event.at for event in record.timeline)]
    times += [action.at for action in record.coordination.actions]
    return max(times)


def _presumed_state(run: RecordedRun, now: datetime) -> State:
    """Return the state of an incident without a record: open for a day, and then untracked."""
    requested_at = run.run.requested_at
    is_recent = requested_at is not None and now - requested_at < OPEN_FOR
    return State.OPEN if run.run.state in _UNFINISHED or is_recent else State.UNTRACKED


def _is_open(state: State, record: IncidentRecord | None, values: Mapping[str, object]) -> bool:
    if values.get("dry_run"):
        return False
    if record is not None and record.visibility is Visibility.RECORD:
        return state is State.OPEN
    return state in (State.OPEN, State.RECOVERED)


def _attention(incident: Incident, runs: list[RecordedRun], now: datetime) -> Iterable[Attention]:
    """Yield why an open incident needs attention, most urgent first."""
    if incident.visibility is not Visibility.ROOM:
        return
    has_room = incident.room_url is not None or incident.room_name is not None
    if incident.run_state in _UNFINISHED:
        if not has_room and now - incident.opened_at > ROOM_WITHIN:
            yield Attention(reason=AttentionReason.NO_ROOM, text=_why_no_room(runs))
        return
    if not has_room:
        yield Attention(reason=AttentionReason.NO_ROOM, text=_why_no_room(runs))
    elif incident.invited == 0:
        yield Attention(reason=AttentionReason.NOBODY, text="nobody was invited")
    elif incident.run_state == "failed":
        yield Attention(reason=AttentionReason.RUN_FAILED, text="the run failed")
    is_late = incident.state is State.OPEN and now - incident.opened_at > LEAD_WITHIN
    if incident.severity is Severity.CRITICAL and incident.lead is None and is_late and not incident.drill:
        yield Attention(reason=AttentionReason.NO_LEAD, text="nobody leads")


def _why_no_room(runs: list[RecordedRun]) -> str:
    """Return why there is no room, as the steps of the latest run reported it."""
    if not runs:
        return "no room"
    latest = runs[0]
    problems = [latest.problem] if latest.problem else []
    summary = latest.snapshot.summary
    if summary is not None:
        problems += [step.problem for step in summary.steps if step.problem and step.task_id in _ROOM_STEPS]
        problems += [problem for problem in summary.problems if problem.step in _ROOM_STEPS]
    reason = next((problem.error or problem.what for problem in problems), "")
    return f"no room: {reason}" if reason else "no room"


def _without_private_text(incident: Incident) -> Incident:
    """Return the incident without what would reveal a private one to a reader of the list."""
    if not incident.private:
        return incident
    hidden = {"title": PRIVATE_TITLE, "services": (), "known": None, "room_name": None, "lead": None}
    return incident.model_copy(update=hidden)


def _rank(incident: Incident) -> tuple[bool, bool, int, float]:
    severities = list(Severity)
    severity = severities.index(incident.severity) if incident.severity else len(severities)
    return (not incident.is_open, not incident.attention, severity, -incident.opened_at.timestamp())
