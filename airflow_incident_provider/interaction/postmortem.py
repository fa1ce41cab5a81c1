"""
The draft of a postmortem, from recorded events only: every line names its source.

The draft concludes nothing. It lists what is recorded, what was not checked, and the questions that only people can
answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from airflow_incident_provider.lifecycle.coordination import ActionKind
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.models import Finding, IncidentSummary, Model, UtcDatetime, Verdict
from airflow_incident_provider.text import one_line

_OPEN_QUESTIONS = (
    "What was the impact on customers, and for how long?",
    "What was the cause? (The findings are observations, not causes.)",
    "What made it worse, and what made it better?",
    "What would have detected it earlier?",
)
_ACTION_TEXT = {
    ActionKind.LEAD: "took or handed over command",
    ActionKind.ROLE: "assigned a role",
    ActionKind.SEVERITY: "changed the severity",
    ActionKind.UPDATE: "posted an update",
    ActionKind.CHECK: "ran the checks again",
    ActionKind.INVITE: "invited",
    ActionKind.RESOLVE: "resolved the incident",
    ActionKind.REOPEN: "reopened the incident",
    ActionKind.SNOOZE: "snoozed reminders",
    ActionKind.FEEDBACK: "rated a finding",
    ActionKind.ITEM: "added an action item",
}


class EventSource(StrEnum):
    """Where an event is recorded."""

    ALERT = "alert"
    RECORD = "incident record"
    RUN = "Airflow run"
    ACTION = "action"
    MESSAGE = "message in the room"


class TimelineEvent(Model):
    """One recorded event. ``text`` is untrusted; ``reference`` identifies the event in its source."""

    at: UtcDatetime
    text: str
    source: EventSource
    reference: str


class Postmortem(Model):
    """The draft. Durations are in seconds and absent if one of their events is not recorded."""

    key: str
    title: str
    severity: str
    services: tuple[str, ...] = ()
    started_at: UtcDatetime
    recovered_at: UtcDatetime | None = None
    resolved_at: UtcDatetime | None = None
    duration_s: int | None = None
    responders: tuple[str, ...] = ()
    timeline: tuple[TimelineEvent, ...] = ()
    findings: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    action_items: tuple[str, ...] = ()
    open_questions: tuple[str, ...] = _OPEN_QUESTIONS


def draft(
    record: IncidentRecord,
    *,
    summary: IncidentSummary | None = None,
    findings: Iterable[Finding] = (),
    messages: Iterable[TimelineEvent] = (),
) -> Postmortem:
    """Return the draft of an incident.

    :param summary: the last XCom of the run that opened the room.
    :param findings: the findings of all its checks.
    :param messages: messages that people pinned or marked.
    """
    found = tuple(findings)
    started = min((alert.first_at for alert in record.alerts.values()), default=record.opened_at)
    ended = record.resolved_at or record.recovered_at
    return Postmortem(
        key=record.key,
        title=record.title,
        severity=record.severity,
        services=record.services,
        started_at=started,
        recovered_at=record.recovered_at,
        resolved_at=record.resolved_at,
        duration_s=round((ended - started).total_seconds()) if ended is not None and ended >= started else None,
        responders=tuple(sorted({entry.actor for entry in record.coordination.actions})),
        timeline=tuple(_timeline(record, summary, messages)),
        findings=tuple(_finding(finding) for finding in found if finding.verdict in (Verdict.FAIL, Verdict.WARN)),
        not_checked=(
            *(_finding(finding) for finding in found if finding.verdict in (Verdict.UNKNOWN, Verdict.SKIPPED)),
            *(summary.unknown if summary is not None else ()),
        ),
        action_items=tuple(f"{item.text} (noted by {item.actor})" for item in record.coordination.items),
    )


def to_markdown(postmortem: Postmortem) -> str:
    """Return the draft as Markdown. Recorded texts are escaped: none of them is read as markup."""
    lines = [
        f"# Postmortem draft: {_escape(postmortem.title)}",
        "",
        f"- Incident: `{postmortem.key}`",
        f"- Severity: {postmortem.severity}",
        f"- Services: {', '.join(map(_escape, postmortem.services)) or 'not recorded'}",
        f"- Started: {_time(postmortem.started_at)}",
        f"- Recovered: {_time(postmortem.recovered_at)}",
        f"- Resolved: {_time(postmortem.resolved_at)}",
        f"- Duration: {_duration(postmortem.duration_s)}",
        f"- Responders with recorded actions: {', '.join(map(_escape, postmortem.responders)) or 'none'}",
        *_section("Timeline", (_event(event) for event in postmortem.timeline)),
        *_section("Findings", map(_escape, postmortem.findings)),
        *_section("Not checked", map(_escape, postmortem.not_checked)),
        *_section("Action items", map(_escape, postmortem.action_items)),
        *_section("Open questions", postmortem.open_questions),
    ]
    return "\n".join(lines) + "\n"


def _timeline(
    record: IncidentRecord, summary: IncidentSummary | None, messages: Iterable[TimelineEvent]
) -> list[TimelineEvent]:
    events = [
        TimelineEvent(at=record.opened_at, text="Incident opened", source=EventSource.RECORD, reference="opened_at")
    ]
    events += [
        TimelineEvent(
            at=alert.first_at, text=f"Alert: {one_line(alert.title)}", source=EventSource.ALERT, reference=alert.key
        )
        for alert in record.alerts.values()
    ]
    for name, text, times in (
        ("earlier_recoveries", "Recovered", record.earlier_recoveries),
        ("reopened_at", "Reopened", record.reopened_at),
        ("recovered_at", "Recovered", (record.recovered_at,)),
        ("resolved_at", "Resolved", (record.resolved_at,)),
        ("archived_at", "Room archived", (record.archived_at,)),
    ):
        events += [
            TimelineEvent(at=at, text=text, source=EventSource.RECORD, reference=name)
            for at in times
            if at is not None
        ]
    events += [
        TimelineEvent(
            at=entry.at,
            text=f"{entry.actor} {_ACTION_TEXT[entry.kind]}" + (f": {entry.detail}" if entry.detail else ""),
            source=EventSource.ACTION,
            reference=entry.id,
        )
        for entry in record.coordination.actions
    ]
    if summary is not None:
        events += [
            TimelineEvent(at=entry.at, text=entry.what, source=EventSource.RUN, reference=record.run_id or "")
            for entry in summary.timeline
        ]
    return sorted((*events, *messages), key=lambda event: (event.at, event.source, event.reference))


def _finding(finding: Finding) -> str:
    return f"{finding.verdict} {finding.probe} {finding.target or ''}: {one_line(finding.summary)}".replace(
        "  ", " "
    )


def _section(title: str, lines: Iterable[str]) -> list[str]:
    shown = [f"- {line}" for line in lines]
    return ["", f"## {title}", "", *(shown or ["Nothing recorded."])]


def _event(event: TimelineEvent) -> str:
    return f"{_time(event.at)} {_escape(event.text)} _({event.source} `{event.reference.replace('`', '')}`)_"


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else "not recorded"


def _duration(seconds: int | None) -> str:
    return str(timedelta(seconds=seconds)) if seconds is not None else "not recorded"


def _escape(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!" else char for char in one_line(text))
