"""The page of one incident: its row, timeline, people, findings with evidence, and what people wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from airflow_incident_provider.lifecycle.coordination import ActionEntry, Role
from airflow_incident_provider.lifecycle.records import IncidentRecord, TimelineEvent, UpdateKind
from airflow_incident_provider.messages.findings import about_service, probe_name
from airflow_incident_provider.models import Finding, MatchMethod, NotInvited, UtcDatetime, Verdict
from airflow_incident_provider.plugins.incidents_page.entries import Incident
from airflow_incident_provider.room.snapshot import IncidentSnapshot

_EVENTS = {
    UpdateKind.OPENED: "opened",
    UpdateKind.JOINED: "another alert joined",
    UpdateKind.FIRING_AGAIN: "an alert fires again",
    UpdateKind.ALERT_RECOVERED: "an alert recovered",
    UpdateKind.RECOVERED: "recovered",
    UpdateKind.REOPENED: "reopened",
    UpdateKind.SEVERITY: "severity",
    UpdateKind.VISIBILITY: "room",
    UpdateKind.TITLE: "title",
    UpdateKind.STATUS: "status in Datadog",
    UpdateKind.COMMANDER: "lead",
    UpdateKind.ROLE: "role",
    UpdateKind.STATUS_UPDATE: "update",
    UpdateKind.ITEM: "action item",
    UpdateKind.RESOLVED: "resolved",
    UpdateKind.ARCHIVED: "archived",
    UpdateKind.EXPIRED: "expired",
}


class TimelineItem(BaseModel):
    """Something that happened. Untrusted text."""

    at: UtcDatetime
    what: str
    by: str | None = None


class InvitedPerson(BaseModel):
    """A person who was invited, and the user group that named them, if one did."""

    name: str
    group: str | None = None


class FindingDetail(BaseModel):
    """A finding with its evidence. Untrusted text."""

    probe: str
    target: str
    verdict: Verdict
    summary: str
    at: UtcDatetime
    duration_ms: int
    command: tuple[str, ...] = ()
    evidence: str = ""


class PersonUpdate(BaseModel):
    """What a person wrote: a status update or an action item. Untrusted text."""

    at: UtcDatetime
    by: str
    text: str


class IncidentDetail(BaseModel):
    """Everything that the page of one incident shows. What is private is withheld, as in the list."""

    incident: Incident
    now: Annotated[UtcDatetime, Field(description="The server's clock, to compute ages.")]
    known: tuple[str, ...] = ()
    hypotheses: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    findings: tuple[FindingDetail, ...] = ()
    timeline: tuple[TimelineItem, ...] = ()
    roles: dict[Role, str] = {}
    invited: tuple[InvitedPerson, ...] = ()
    missing: tuple[NotInvited, ...] = ()
    updates: tuple[PersonUpdate, ...] = ()
    items: tuple[PersonUpdate, ...] = ()


def incident_detail(
    incident: Incident, snapshot: IncidentSnapshot, record: IncidentRecord | None, now: datetime
) -> IncidentDetail:
    """Return the page of an incident.

    :param incident: its row.
    :param snapshot: its latest run.
    :param record: its record, if there is one.
    """
    if incident.private:
        return IncidentDetail(incident=incident, now=now)
    summary, room = snapshot.summary, snapshot.room
    coordination = record.coordination if record is not None else None
    invited = (*(room.invited if room else ()), *(summary.invited_later if summary else ()))
    return IncidentDetail(
        incident=incident,
        now=now,
        known=tuple(statement.text for statement in summary.known) if summary else (),
        hypotheses=tuple(statement.text for statement in summary.hypotheses) if summary else (),
        unknown=summary.unknown if summary else (),
        problems=tuple(_problems(snapshot)),
        findings=tuple(map(_finding, _shown_findings(snapshot.all_findings))),
        timeline=tuple(sorted(_timeline(snapshot, record), key=lambda item: item.at)),
        roles={role: person.name for role, person in coordination.roles.items()} if coordination else {},
        invited=tuple(
            InvitedPerson(name=one.user.label, group=one.query if one.method is MatchMethod.USERGROUP else None)
            for one in invited
        ),
        missing=summary.not_invited if summary else room.not_invited if room else (),
        updates=tuple(
            PersonUpdate(at=update.at, by=update.actor, text=update.text) for update in coordination.updates
        )
        if coordination
        else (),
        items=tuple(PersonUpdate(at=item.at, by=item.actor, text=item.text) for item in coordination.items)
        if coordination
        else (),
    )


def _shown_findings(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings worst first; those about our own network only if they do not pass."""
    listed = tuple(findings)
    yield from (f for f in listed if f.is_control and f.verdict is not Verdict.OK)
    yield from about_service(listed)


def _finding(finding: Finding) -> FindingDetail:
    return FindingDetail(
        probe=probe_name(finding.probe),
        target="" if finding.is_control else finding.target,
        verdict=finding.verdict,
        summary=finding.summary,
        at=finding.started_at,
        duration_ms=finding.duration_ms,
        command=finding.command,
        evidence=finding.evidence,
    )


def _problems(snapshot: IncidentSnapshot) -> Iterator[str]:
    """Yield what did not work, each once, with its fix."""
    summary, room = snapshot.summary, snapshot.room
    problems = [*(summary.problems if summary else room.problems if room else ())]
    problems += [step.problem for step in summary.steps if step.problem] if summary else []
    seen = dict.fromkeys(
        ": ".join(part for part in (problem.what, problem.error) if part)
        + (f" ({problem.fix})" if problem.fix else "")
        for problem in problems
    )
    yield from seen


def _timeline(snapshot: IncidentSnapshot, record: IncidentRecord | None) -> Iterator[TimelineItem]:
    if snapshot.summary is not None:
        yield from (TimelineItem(at=event.at, what=event.what) for event in snapshot.summary.timeline)
    elif snapshot.incident is not None:
        yield TimelineItem(at=snapshot.incident.received_at, what="received")
    if record is None:
        return
    yield from (_event(event) for event in record.timeline)
    known = {(event.at, event.by) for event in record.timeline}
    yield from (_action(a) for a in record.coordination.actions if (a.at, a.actor) not in known)


def _event(event: TimelineEvent) -> TimelineItem:
    what = _EVENTS.get(event.kind, str(event.kind))
    if event.before or event.after:
        what += f": {event.before or 'none'} → {event.after or 'none'}"
    return TimelineItem(at=event.at, what=what, by=event.by)


def _action(action: ActionEntry) -> TimelineItem:
    what = f"{action.kind}: {action.detail}" if action.detail else str(action.kind)
    return TimelineItem(at=action.at, what=what, by=action.actor)
