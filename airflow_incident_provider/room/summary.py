"""What a run left in XCom becomes the summary of the first minutes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.config import TaskId, run_url
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.messages.brief import BriefState, brief
from airflow_incident_provider.models import (
    Finding,
    Incident,
    IncidentSummary,
    Invitation,
    Mode,
    Problem,
    RunOutcome,
    SlackWorkspace,
    StepReport,
    ThreadUpdates,
    TimelineEntry,
    UserResolution,
    Verdict,
    WarRoom,
)
from airflow_incident_provider.probes import conclude
from airflow_incident_provider.room.opener import brief_key
from airflow_incident_provider.room.progress import step_progress, step_reports
from airflow_incident_provider.room.standing import Standing, standing
from airflow_incident_provider.room.xcom import read_value

if TYPE_CHECKING:
    from airflow.sdk import Context

WOULD_POST_BYTES = 24_000
"""How much of a dry-run's texts the summary repeats: an XCom is to stay below 48 KB."""

_FAILED = frozenset({"failed", "upstream_failed"})


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Everything that a run left, and how its steps went.

    :param standing: how the incident stands by now.
    :param invited_later: who was invited only at the end of the run.
    :param here: how many of those invited are in the room, if that is known.
    """

    run_id: str
    now: datetime
    steps: tuple[StepReport, ...]
    incident: Incident | None = None
    standing: Standing | None = None
    workspace: SlackWorkspace | None = None
    people: UserResolution | None = None
    room: WarRoom | None = None
    invited_later: tuple[Invitation, ...] = ()
    findings: tuple[Finding, ...] = ()
    updates: ThreadUpdates | None = None
    run_url: str | None = None
    here: int | None = None


def read_run(context: Context) -> RunRecord:
    """Return what the steps of this run left in XCom."""
    ti: Any = context["ti"]
    findings = ti.xcom_pull(task_ids=_probe_tasks(context)) or ()
    incident = read_value(Incident, None, context, TaskId.PARSE_INCIDENT)
    return RunRecord(
        run_id=ti.run_id,
        now=datetime.now(UTC),
        steps=step_reports(context),
        incident=incident,
        standing=standing(context, incident) if incident else None,
        workspace=read_value(SlackWorkspace, None, context, TaskId.SETUP_SLACK),
        people=read_value(UserResolution, None, context, TaskId.RESOLVE_USERS),
        room=read_value(WarRoom, None, context, TaskId.CREATE_WAR_ROOM),
        findings=tuple(Finding.model_validate(finding) for finding in findings if finding is not None),
        updates=read_value(ThreadUpdates, None, context, TaskId.POST_UPDATES),
        run_url=run_url(context["ti"].dag_id, context["ti"].run_id),
    )


def _probe_tasks(context: Context) -> list[str]:
    """Return the tasks of this DAG that find something: those of the catalogue's probes, and a team's own."""
    from airflow_incident_provider.operators.investigate import InvestigateInContainerOperator

    return [
        task.task_id
        for task in context["dag"].tasks
        if issubclass(getattr(task, "operator_class", type(task)), InvestigateInContainerOperator)
    ]


def summary_key(record: RunRecord) -> str:
    """Return the key that this run's summary carries in its metadata."""
    return f"{record.incident.key if record.incident else 'unread'}/{record.run_id}/summary"


def summarise(record: RunRecord) -> IncidentSummary:
    """Return the summary of a run."""
    incident, room = record.incident, record.room
    conclusions = conclude(incident, record.findings) if incident else None
    problems = _problems(record)
    return IncidentSummary(
        key=incident.key if incident else None,
        title=incident.title if incident else None,
        severity=incident.severity if incident else None,
        status=record.standing.ended if record.standing else None,
        outcome=_outcome(record, problems),
        mode=record.workspace.mode if record.workspace else Mode.LIVE,
        room_url=room.url if room else None,
        channel_name=room.channel_name if room else None,
        steps=record.steps,
        timeline=_timeline(record),
        findings=dict(Counter(finding.verdict for finding in record.findings)),
        known=conclusions.known if conclusions else (),
        unknown=conclusions.unknown if conclusions else (),
        invited=len(room.invited) + len(record.invited_later) if room else 0,
        invited_later=record.invited_later,
        here=record.here,
        not_invited=room.not_invited if room else (),
        problems=problems,
        total_ms=_since_received(record, record.now),
        time_to_room_ms=_since_received(record, room.opened_at) if room and room.mode is Mode.LIVE else None,
        time_to_first_evidence_ms=_since_received(record, _first_evidence(record)),
    )


def final_brief(record: RunRecord, summary: IncidentSummary) -> tuple[str, Message]:
    """Return the key of the brief and the brief as the run leaves it."""
    assert record.standing is not None
    assert record.room is not None
    stands = record.standing
    done = tuple(
        report.model_copy(update={"state": "success"}) if report.task_id == TaskId.FINAL_SUMMARY else report
        for report in record.steps
    )
    state = BriefState(
        incident=stands.incident,
        status=stands.status,
        commander=stands.commander,
        repeats=stands.repeats,
        workspace=record.workspace,
        opened_at=record.room.opened_at,
        invited=(*record.room.invited, *summary.invited_later),
        not_invited=summary.not_invited,
        steps=step_progress(done),
        problems=summary.problems,
        run_url=record.run_url,
        with_picture=record.room.picture,
    )
    return brief_key(stands.incident), brief(state)


def all_that_would_be_posted(record: RunRecord, summary: Iterable[str]) -> tuple[str, ...]:
    """Return what a dry-run would have posted, from the brief to the summary, within what an XCom should hold.

    :param summary: the texts of the summary itself.
    """
    brief = record.room.would_post if record.room else ()
    findings = record.updates.would_post if record.updates else ()
    shown, room = [], WOULD_POST_BYTES
    for text in (*brief, *findings, *summary):
        room -= len(text.encode())
        shown.append(
            text if room >= 0 else f"{text.partition(chr(10))[0]}\n(too long for here: in the step's own XCom)"
        )
    return tuple(shown)


def _outcome(record: RunRecord, problems: tuple[Problem, ...]) -> RunOutcome:
    states = {report.task_id: report.state for report in record.steps}
    if states.get(TaskId.PARSE_INCIDENT) == "skipped":
        return RunOutcome.NOT_RAISED
    if any(state in _FAILED for state in states.values()):
        return RunOutcome.FAILED
    return RunOutcome.DEGRADED if problems else RunOutcome.COMPLETE


def _problems(record: RunRecord) -> tuple[Problem, ...]:
    """Return all that did not work, each once: what the steps noted, and probes that could not run."""
    noted: list[Problem] = list(record.room.problems if record.room else ())
    if record.people and not record.room:
        noted += record.people.problems
    noted += record.updates.problems if record.updates else ()
    noted += (
        Problem(
            step=TaskId.INVESTIGATE,
            what=f"{finding.probe} {finding.target} could not be checked",
            error=finding.summary,
        )
        for finding in record.findings
        if finding.verdict is Verdict.UNKNOWN
    )
    if record.workspace is not None and record.workspace.dry_run:
        noted.insert(
            0, Problem(step=TaskId.SETUP_SLACK, what="nothing was posted to Slack", error=record.workspace.reason)
        )
    return tuple(dict.fromkeys(noted))


def _timeline(record: RunRecord) -> tuple[TimelineEntry, ...]:
    """Return the moments that can be proved, in their order."""
    incident = record.incident
    moments = [
        (incident.occurred_at if incident else None, "alert"),
        (incident.received_at if incident else None, "received"),
        (record.room.opened_at if record.room and record.room.channel_id else None, "room"),
        (_first_evidence(record), "first finding"),
        (
            record.updates.timing.finished_at if record.updates and record.updates.timing else None,
            "findings posted",
        ),
        (record.now, "summary"),
    ]
    entries = (TimelineEntry(at=at, what=what) for at, what in moments if at is not None)
    return tuple(sorted(entries, key=lambda entry: entry.at))


def _first_evidence(record: RunRecord) -> datetime | None:
    """Return when the first probe that could run had its finding."""
    ends = [
        finding.started_at + timedelta(milliseconds=finding.duration_ms)
        for finding in record.findings
        if finding.verdict not in (Verdict.SKIPPED, Verdict.UNKNOWN)
    ]
    return min(ends, default=None)


def _since_received(record: RunRecord, at: datetime | None) -> int | None:
    """Return the milliseconds from when the alert reached us."""
    if at is None or record.incident is None:
        return None
    return max(0, round((at - record.incident.received_at).total_seconds() * 1000))
