"""All of one incident, for a person and for a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from airflow_incident_provider.commands.incidents.records import RecordedIncident
from airflow_incident_provider.messages.mrkdwn import clock, duration
from airflow_incident_provider.models import Finding, Incident, IncidentSummary, Problem, TimelineEntry, WarRoom
from airflow_incident_provider.text import one_line


def as_document(entry: RecordedIncident, found: Sequence[Finding], url: str | None) -> dict[str, Any]:
    """Return it as JSON: the models as the steps left them."""
    return {
        "dag_id": entry.run.dag_id,
        "run_id": entry.run.run_id,
        "state": entry.run.state,
        "status": entry.status,
        "url": url,
        "incident": entry.incident.to_xcom() if entry.incident else None,
        "room": entry.room.to_xcom() if entry.room else None,
        "findings": [finding.to_xcom() for finding in found],
        "summary": entry.summary.to_xcom() if entry.summary else None,
        "record": entry.record.to_json() if entry.record else None,
    }


def in_words(entry: RecordedIncident, found: Sequence[Finding], url: str | None) -> str:
    """Return it as text."""
    lines = [
        *_head(entry, url),
        *(_incident(entry.incident) if entry.incident else ()),
        *(_room(entry.room) if entry.room else ()),
        *(_findings(found)),
        *(_summary(entry.summary) if entry.summary else ()),
    ]
    return "\n".join(one_line(line) if line else "" for line in lines)


def _head(entry: RecordedIncident, url: str | None) -> Iterator[str]:
    yield entry.incident.title if entry.incident else entry.run.run_id
    severity = f"{entry.incident.severity} · " if entry.incident else ""
    yield f"{severity}{entry.status} · run {entry.run.run_id} ({entry.run.state})"
    if url:
        yield url
    if entry.record is not None:
        record = entry.record
        reopened = f", reopened {record.reopened} times" if record.reopened else ""
        yield (
            f"Alerts: {record.alert_count}, {record.firing_count} firing; told of {record.notifications}"
            f" times{reopened}"
        )


def _incident(incident: Incident) -> Iterator[str]:
    yield ""
    yield f"Began {incident.occurred_at:%Y-%m-%d} {clock(incident.occurred_at)} UTC · key {incident.key}"
    where = [*incident.services, *incident.hosts, *([incident.env] if incident.env else []), *incident.teams]
    if where:
        yield f"Where: {', '.join(where)}"
    yield from (f"{link.label}: {link.url}" for link in incident.links)


def _room(room: WarRoom) -> Iterator[str]:
    yield ""
    yield f"Room: #{room.channel_name} {room.url or ''}"
    if room.invited:
        yield "Invited: " + ", ".join(f"{each.user.label} ({each.method})" for each in room.invited)
    for left_out in room.not_invited:
        suggestion = f" (perhaps {left_out.suggestion})" if left_out.suggestion else ""
        yield f"Not invited: {left_out.query}: {left_out.reason}{suggestion}"


def _findings(found: Sequence[Finding]) -> Iterator[str]:
    if found:
        yield ""
    for finding in found:
        yield f"{finding.verdict.upper()} {finding.probe} {finding.target}: {finding.summary}"


def _summary(summary: IncidentSummary) -> Iterator[str]:
    yield ""
    yield from (f"Known: {statement.text}" for statement in summary.known)
    yield from (f"Not known: {text}" for text in summary.unknown)
    yield from (_wrong(problem) for problem in summary.problems)
    if summary.time_to_room_ms is not None:
        yield f"Room after {duration(summary.time_to_room_ms)}"
    if summary.total_ms is not None:
        yield f"All of it took {duration(summary.total_ms)}"
    yield from _timeline(summary.timeline)


def _wrong(problem: Problem) -> str:
    return f"Went wrong: {problem.what}{f': {problem.error}' if problem.error else ''} {problem.fix or ''}"


def _timeline(entries: Sequence[TimelineEntry]) -> Iterator[str]:
    if entries:
        yield ""
        yield "Timeline (UTC)"
    earlier = entries[0].at if entries else None
    for entry in entries:
        yield f"{clock(entry.at, seen_from=earlier)} {entry.what}"
        earlier = entry.at
