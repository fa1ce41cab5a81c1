"""The summary of an incident's first minutes, from the snapshot of its run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status, TimelineEvent, UpdateKind
from airflow_incident_provider.messages.evidence import hypothesis_statements, known_statements, unknown_texts
from airflow_incident_provider.messages.findings import count_verdicts, plain_subject
from airflow_incident_provider.messages.status_changes import status_text
from airflow_incident_provider.models import (
    Incident,
    IncidentSummary,
    Invitation,
    Mode,
    Problem,
    ProblemCode,
    RunOutcome,
    Source,
    StepReport,
    TimelineEntry,
    Verdict,
)
from airflow_incident_provider.probes import conclude
from airflow_incident_provider.room.progress import FAILED_STATES, completed
from airflow_incident_provider.room.snapshot import IncidentSnapshot

MAX_WOULD_POST_BYTES = 24_000
"""How much of a dry run's texts the summary repeats: an XCom is to stay below 48 KB."""


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """How a run went, beside what its steps returned.

    :param snapshot: what the steps returned; its room without the failures that have been made up for since.
    :param now: when the summary is made.
    :param invited_later: who was invited only at the end of the run.
    :param unanswered: the queries for people that Slack has not answered until now.
    :param here: how many of those invited are in the room, if that is known.
    """

    snapshot: IncidentSnapshot
    steps: tuple[StepReport, ...]
    now: datetime
    invited_later: tuple[Invitation, ...] = ()
    unanswered: tuple[str, ...] = ()
    here: int | None = None


def summary_key(snapshot: IncidentSnapshot) -> str:
    """Return the prefix of the keys of a run's summary messages."""
    assert snapshot.run is not None
    return f"{snapshot.key or 'unread'}/{snapshot.run.run_id}/summary"


def summarize(report: RunReport) -> IncidentSummary:
    """Return the summary of a run."""
    snapshot = report.snapshot
    incident, room, workspace = snapshot.incident, snapshot.room, snapshot.workspace
    conclusions = conclude(incident, snapshot.findings) if incident else None
    problems = _problems(report)
    return IncidentSummary(
        key=incident.key if incident else None,
        title=incident.title if incident else None,
        severity=incident.severity if incident else None,
        status=snapshot.status if snapshot.has_ended else None,
        outcome=_outcome(report.steps, problems),
        mode=workspace.mode if workspace else Mode.LIVE,
        room_url=room.url if room else None,
        channel_name=room.channel_name if room else None,
        steps=report.steps,
        timeline=_timeline(report),
        findings=count_verdicts(snapshot.all_findings),
        known=(*(conclusions.known if conclusions else ()), *known_statements(snapshot.evidence)),
        unknown=(*conclusions.unknown, *unknown_texts(snapshot.evidence)) if conclusions else (),
        hypotheses=hypothesis_statements(snapshot.evidence),
        invited=len(room.invited) + len(report.invited_later) if room else 0,
        invited_later=report.invited_later,
        unanswered=report.unanswered,
        here=report.here,
        not_invited=room.not_invited if room else (),
        problems=problems,
        total_ms=_since_received(snapshot, report.now),
        time_to_room_ms=_since_received(snapshot, room.opened_at) if room and room.mode is Mode.LIVE else None,
        time_to_first_evidence_ms=_since_received(snapshot, _first_evidence(snapshot)),
    )


def summary_so_far(snapshot: IncidentSnapshot, *, invited_since: int = 0) -> IncidentSummary | None:
    """Return the summary of the first minutes with what became of the incident since.

    :param invited_since: how many responders have joined since.
    """
    summary, record = snapshot.summary, snapshot.record
    if summary is None or record is None or snapshot.incident is None:
        return None
    ended = None if record.status is Status.OPEN else record.recovered_at
    unchanged = record.status is Status.OPEN and not record.reopened
    return summary.model_copy(
        update={
            "severity": record.severity,
            "status": None if unchanged else status_text(record),
            "steps": completed(summary.steps),
            "timeline": (*summary.timeline, *_timeline_since(record)),
            "invited": summary.invited + invited_since,
            # Somebody who was there in the first minutes may have left since.
            "here": None,
            "time_to_recovery_ms": _since_received(snapshot, ended),
        }
    )


def dry_run_texts(snapshot: IncidentSnapshot, summary: Iterable[str]) -> tuple[str, ...]:
    """Return what a dry run would have posted, from the brief to the summary, within the size of an XCom.

    :param summary: the texts of the summary itself.
    """
    brief = snapshot.room.would_post if snapshot.room else ()
    findings = snapshot.updates.would_post if snapshot.updates else ()
    shown, left = [], MAX_WOULD_POST_BYTES
    for text in (*brief, *findings, *summary):
        left -= len(text.encode())
        first_line = text.partition("\n")[0]
        shown.append(text if left >= 0 else f"{first_line}\n(too long for the summary: see the XCom of the step)")
    return tuple(shown)


def _outcome(steps: Sequence[StepReport], problems: tuple[Problem, ...]) -> RunOutcome:
    states = {report.task_id: report.state for report in steps}
    if states.get(TaskId.PARSE_INCIDENT) == "skipped":
        return RunOutcome.NOT_RAISED
    if any(state in FAILED_STATES for state in states.values()):
        return RunOutcome.FAILED
    return RunOutcome.DEGRADED if problems else RunOutcome.COMPLETE


def room_failure(steps: Sequence[StepReport]) -> Problem | None:
    """Return why there is no room, if its step failed."""
    step = next((step for step in steps if step.task_id == TaskId.CREATE_WAR_ROOM), None)
    if step is None or step.state not in FAILED_STATES:
        return None
    reason = step.problem
    return Problem(
        step=TaskId.CREATE_WAR_ROOM,
        what="there is no room",
        error=reason.what if reason else None,
        fix=reason.fix if reason else None,
        code=ProblemCode.NO_ROOM,
    )


def _problems(report: RunReport) -> tuple[Problem, ...]:
    """Return everything that did not work, each once: what the steps noted, and probes that could not run."""
    snapshot, workspace = report.snapshot, report.snapshot.workspace
    problems: list[Problem] = []
    if workspace is not None and workspace.dry_run and not workspace.dry_run_requested:
        problems.append(
            Problem(
                step=TaskId.SETUP_SLACK,
                what="there is no room: nothing was posted to Slack",
                error=workspace.reason,
                fix="Run: airflow incident check --only slack",
                code=ProblemCode.NO_ROOM,
            )
        )
    if (failure := room_failure(report.steps)) is not None:
        problems.append(failure)
    if snapshot.room is not None:
        problems += snapshot.room.problems
    elif snapshot.people is not None:
        problems += snapshot.people.problems
    problems += snapshot.updates.problems if snapshot.updates else ()
    problems += (
        Problem(
            step=TaskId.INVESTIGATE,
            what=f"{plain_subject(finding)} could not be checked",
            error=finding.summary,
        )
        for finding in snapshot.findings
        if finding.verdict is Verdict.UNKNOWN
    )
    return tuple(dict.fromkeys(problems))


def _start(incident: Incident | None) -> str:
    """Return what happened first: an alert, or what a person noticed."""
    return "started" if incident is not None and incident.source is Source.MANUAL else "alert"


def _timeline(report: RunReport) -> tuple[TimelineEntry, ...]:
    """Return the moments of the first run, in order; each of them was recorded when it happened."""
    snapshot = report.snapshot
    incident, room, updates = snapshot.incident, snapshot.room, snapshot.updates
    moments = [
        (incident.occurred_at if incident else None, _start(incident)),
        (incident.received_at if incident else None, "received"),
        (room.opened_at if room and room.channel_id else None, "room"),
        (_first_evidence(snapshot), "first finding"),
        (updates.timing.finished_at if updates and updates.timing else None, "findings posted"),
        (report.now, "summary"),
    ]
    entries = (TimelineEntry(at=at, what=what) for at, what in moments if at is not None)
    return tuple(sorted(entries, key=lambda entry: entry.at))


def _timeline_since(record: IncidentRecord) -> tuple[TimelineEntry, ...]:
    """Return what happened after the first minutes: every transition, also of the times before a reopening."""
    since = tuple(event for event in record.timeline if event.kind is not UpdateKind.OPENED)
    if since:
        return tuple(TimelineEntry(at=event.at, what=_transition_text(event)) for event in since)
    # A record of version 0.1.0 has no timeline.
    moments = [(at, "back") for at in record.reopened_at]
    moments += [(at, "recovered") for at in record.earlier_recoveries]
    if record.status is not Status.OPEN:
        ends = ((record.recovered_at, "recovered"), (record.resolved_at, "resolved"))
        moments += [(at, what) for at, what in ends if at is not None]
    return tuple(TimelineEntry(at=at, what=what) for at, what in moments)


_TRANSITIONS = {
    UpdateKind.JOINED: "another alert joined",
    UpdateKind.FIRING_AGAIN: "an alert fired again",
    UpdateKind.ALERT_RECOVERED: "an alert recovered",
    UpdateKind.RECOVERED: "recovered",
    UpdateKind.REOPENED: "back",
    UpdateKind.RESOLVED: "resolved",
    UpdateKind.ARCHIVED: "archived",
    UpdateKind.EXPIRED: "closed: no report for 30 days",
    UpdateKind.SEVERITY: "severity",
    UpdateKind.VISIBILITY: "shown as",
    UpdateKind.STATUS: "status",
    UpdateKind.COMMANDER: "commander",
    UpdateKind.TITLE: "title",
    UpdateKind.ROLE: "role",
}


def _transition_text(event: TimelineEvent) -> str:
    what = _TRANSITIONS.get(event.kind, event.kind.replace("_", " "))
    if event.kind in (UpdateKind.SEVERITY, UpdateKind.VISIBILITY, UpdateKind.STATUS):
        what = f"{what} {event.before or 'none'} → {event.after or 'none'}"
    return f"{what} by {event.by}" if event.by else what


def _first_evidence(snapshot: IncidentSnapshot) -> datetime | None:
    """Return when the first probe that could run had its finding."""
    ends = [
        finding.started_at + timedelta(milliseconds=finding.duration_ms)
        for finding in snapshot.all_findings
        if not finding.is_control and finding.verdict not in (Verdict.SKIPPED, Verdict.UNKNOWN)
    ]
    return min(ends, default=None)


def _since_received(snapshot: IncidentSnapshot, at: datetime | None) -> int | None:
    """Return the milliseconds since the alert was received."""
    if at is None or snapshot.incident is None:
        return None
    return max(0, round((at - snapshot.incident.received_at).total_seconds() * 1000))
