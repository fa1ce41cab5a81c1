"""The summary of the first minutes: what is known and unknown, what went wrong, and the timeline."""

from __future__ import annotations

from airflow_incident_provider.messages.blocks import (
    LINE_LIMIT,
    Message,
    bullet_list,
    context,
    first_few,
    sections,
    split_into_messages,
)
from airflow_incident_provider.messages.brief import not_invited_entries, problem_line, step_name
from airflow_incident_provider.messages.findings import verdict_counts
from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    bold,
    clock,
    code_span,
    duration,
    inline,
    join,
    link,
    wrap,
)
from airflow_incident_provider.models import Incident, IncidentSummary, Mode, RunOutcome, Statement

_STATUS = {
    RunOutcome.COMPLETE: "open",
    RunOutcome.DEGRADED: "open, with gaps",
    RunOutcome.FAILED: "failed: a step that the room depends on failed",
    RunOutcome.NOT_RAISED: "no incident was opened",
}
_NOW = (Mrkdwn("*What we know*"), Mrkdwn("*What we don't know*"), "*Findings*")
_THEN = (
    Mrkdwn("*What we knew in the first minutes*"),
    Mrkdwn("*What we didn't know then*"),
    "*Findings of the first minutes*",
)
"""How the parts are called while they are news, and once something became of the incident."""

_FAILED_STATES = frozenset({"failed", "upstream_failed"})
_SENTENCE = 500


def summary_message(summary: IncidentSummary, incident: Incident | None = None) -> list[Message]:
    """
    Return the summary as one message, or more when much went wrong.

    :param incident: what the summary is about; absent when the payload could not be read as an incident.
    """
    known, unknown, _ = _NOW if summary.status is None else _THEN
    lines = [
        _headline(summary),
        *_title(summary, incident),
        _speed(summary),
        *_findings(summary),
        *bullet_list(known, [_known(statement) for statement in summary.known]),
        *bullet_list(unknown, [inline(text, _SENTENCE) for text in summary.unknown]),
        *bullet_list(Mrkdwn("*Not invited*"), not_invited_entries(summary.not_invited)),
        *bullet_list(Mrkdwn("*What went wrong here*"), _wrongs(summary)),
        *_timeline(summary),
    ]
    blocks = sections(lines)
    if summary.key or summary.channel_name:
        blocks.append(context(_identity(summary)))
    return split_into_messages(_fallback(summary, incident), blocks)


def _headline(summary: IncidentSummary) -> Mrkdwn:
    """Return how long the first run took and how the incident stands."""
    after = f" after {duration(summary.total_ms)}" if summary.total_ms is not None else ""
    dry = Mrkdwn("dry-run: nothing was posted") if summary.mode is Mode.DRY_RUN else Mrkdwn("")
    return join([bold(f"Summary{after if summary.status is None else ''}"), inline(_status(summary), 80), dry])


def _status(summary: IncidentSummary) -> str:
    """Return what became of the incident; before anything did, how its first run ended."""
    return summary.status or _STATUS[summary.outcome]


def _title(summary: IncidentSummary, incident: Incident | None) -> list[Mrkdwn]:
    """Return the title where no brief shows it: when no room was made of it."""
    title = summary.title or (incident.title if incident else "")
    return [inline(title)] if title and summary.room_url is None else []


def _speed(summary: IncidentSummary) -> Mrkdwn:
    """Return how fast the room and the first evidence came, and who is here."""
    parts = []
    if summary.time_to_room_ms is not None:
        parts.append(f"room {duration(summary.time_to_room_ms)} after the alert reached us")
    if summary.time_to_first_evidence_ms is not None:
        parts.append(f"first evidence {duration(summary.time_to_first_evidence_ms)}")
    if summary.time_to_recovery_ms is not None:
        parts.append(f"recovery {duration(summary.time_to_recovery_ms)}")
    if summary.here is not None:
        parts.append(f"{summary.here} of {summary.invited} people here")
    elif summary.invited:
        parts.append(f"{summary.invited} invited")
    line = " · ".join(parts)
    return Mrkdwn(line[:1].upper() + line[1:])


def _findings(summary: IncidentSummary) -> list[Mrkdwn]:
    """Return the counts of the investigation; nothing when there was none."""
    _, _, label = _NOW if summary.status is None else _THEN
    return [Mrkdwn(f"{label} {verdict_counts(summary.findings)}")] if any(summary.findings.values()) else []


def _known(statement: Statement) -> Mrkdwn:
    """Return a sentence with the probes that it follows from."""
    sentence = inline(statement.text, _SENTENCE)
    probes = first_few([inline(probe, 80) for probe in statement.probes], most=10)
    return Mrkdwn(f"{sentence} (from {probes})") if probes else sentence


def _wrongs(summary: IncidentSummary) -> list[Mrkdwn]:
    """Return every problem once, then the steps that failed without saying why."""
    problems = dict.fromkeys(map(problem_line, summary.problems))
    for step in summary.steps:
        if step.problem is not None:
            problems[problem_line(step.problem)] = None
        elif step.state in _FAILED_STATES:
            problems[Mrkdwn(f"{inline(step_name(step.task_id))}: the step {_state(step.state)}")] = None
    return list(problems)


def _state(state: str) -> str:
    """Return Airflow's task state in words."""
    return "failed" if state == "failed" else "did not run, because an earlier one failed"


def _timeline(summary: IncidentSummary) -> list[Mrkdwn]:
    """Return the moments in order, in UTC; the date is written where it changes."""
    entries = sorted(summary.timeline, key=lambda entry: entry.at)
    if not entries:
        return []
    days = [entries[0].at, *(entry.at for entry in entries)]
    moments = [
        Mrkdwn(f"{clock(entry.at, seen_from=before)} {inline(entry.what, 150)}")
        for before, entry in zip(days, entries, strict=False)
    ]
    return wrap([Mrkdwn(f"*Timeline (UTC)* {moments[0]}"), *moments[1:]], LINE_LIMIT)


def _identity(summary: IncidentSummary) -> Mrkdwn:
    """Return the room and the key."""
    room = Mrkdwn("")
    if summary.channel_name:
        name = f"#{summary.channel_name}"
        room = link(summary.room_url, name) if summary.room_url else inline(name)
    key = code_span(f"key {summary.key}", 220) if summary.key else Mrkdwn("")
    return join([room, key])


def _fallback(summary: IncidentSummary, incident: Incident | None) -> str:
    """Return the summary for a notification or a screen reader."""
    title = summary.title or (incident.title if incident else "")
    if summary.status is not None:
        return "\n".join(line for line in (f"Summary: {summary.status}", title) if line)
    after = f" after {duration(summary.total_ms)}" if summary.total_ms is not None else ""
    lines = [f"Summary{after}: {_STATUS[summary.outcome]}", title, *(f"Known: {s.text}" for s in summary.known)]
    return "\n".join(line for line in lines if line)
