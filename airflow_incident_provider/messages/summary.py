"""
The first look: what the first minutes showed, what is not known, and what to do next.

Once the incident recovers or ends, the same message is rewritten in the past tense, because what was found in the
first minutes may no longer be true.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_incident_provider.messages.blocks import (
    LINE_LIMIT,
    Message,
    bullet_list,
    context,
    first_few,
    sections,
    split_into_messages,
)
from airflow_incident_provider.messages.findings import probe_name, verdict_counts
from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    bold,
    clock,
    duration,
    inline,
    join,
    link,
    mention,
    mention_group,
    wrap,
)
from airflow_incident_provider.messages.people import mention_names, not_invited_entries
from airflow_incident_provider.messages.progress import problem_lines, step_name
from airflow_incident_provider.models import (
    Incident,
    IncidentSummary,
    Invitation,
    LinkKind,
    Mode,
    Problem,
    RunOutcome,
    Statement,
)
from airflow_incident_provider.text import url_problem

_OUTCOMES = {
    RunOutcome.COMPLETE: "",
    RunOutcome.DEGRADED: "some steps failed",
    RunOutcome.FAILED: "failed: there is no complete room",
    RunOutcome.NOT_RAISED: "no incident was opened",
}
_HYPOTHESES = Mrkdwn("*Possible causes* (hypotheses, not facts)")
_FAILED_STATES = frozenset({"failed", "upstream_failed"})
_SENTENCE = 500

MAX_CALLED = 30
"""How many people and user groups are mentioned."""


def summary_message(
    summary: IncidentSummary, incident: Incident | None = None, *, called: Sequence[Invitation] = ()
) -> list[Message]:
    """
    Return the first look as one message, or more if much failed.

    :param incident: what the summary is about; absent if the payload could not be parsed.
    :param called: the people in the room to mention: Slack notifies them once, when the message is posted. Those of
        a user group are mentioned as the group.
    """
    now = summary.status is None
    known = Mrkdwn("*What we know*" if now else "*What we knew in the first minutes*")
    unknown = Mrkdwn("*Not known*" if now else "*Not known then*")
    has_room = summary.room_url is not None
    lines = [
        _headline(summary),
        _called(called),
        *_title(summary, incident),
        *bullet_list(known, [_known(statement) for statement in summary.known]),
        _findings(summary),
        _recovery(summary),
        *bullet_list(unknown, [inline(text, _SENTENCE) for text in summary.unknown]),
        *bullet_list(_HYPOTHESES, [_known(statement) for statement in summary.hypotheses]),
        *([] if has_room else bullet_list(Mrkdwn("*Not invited*"), not_invited_entries(summary.not_invited))),
        _next_step(incident) if now else Mrkdwn(""),
    ]
    blocks = sections(lines)
    blocks += [context(line) for line in wrap(_problem_entries(summary), LINE_LIMIT)]
    blocks += [context(line) for line in _timeline(summary)]
    return split_into_messages(_fallback(summary, incident), blocks, mention_names(called))


def _called(people: Sequence[Invitation]) -> Mrkdwn:
    """Return mentions of the people and user groups, which notify them."""
    if not people:
        return Mrkdwn("")
    mentions = list(dict.fromkeys(_mention(one) for one in people))
    more = f" and {len(mentions) - MAX_CALLED} more" if len(mentions) > MAX_CALLED else ""
    return Mrkdwn(f"For {join(mentions[:MAX_CALLED], ' ')}{more}")


def _mention(one: Invitation) -> Mrkdwn:
    if one.group_id is not None:
        return mention_group(one.group_id, one.query)
    return mention(one.user.id, one.user.label)


def _headline(summary: IncidentSummary) -> Mrkdwn:
    """Return when the first look was taken, and the status or what is incomplete."""
    title = "First look" if summary.status is None else "Summary"
    at = max((entry.at for entry in summary.timeline), default=None)
    time = f", {clock(at, seconds=False)} UTC" if at and summary.status is None else ""
    dry_run = Mrkdwn("dry run: nothing was posted" if summary.mode is Mode.DRY_RUN else "")
    return join([bold(f"{title}{time}"), inline(_status(summary), 80), dry_run])


def _status(summary: IncidentSummary) -> str:
    """Return the incident's status; before it has one, the outcome of its first run."""
    return summary.status or _OUTCOMES[summary.outcome]


def _title(summary: IncidentSummary, incident: Incident | None) -> list[Mrkdwn]:
    """Return the title if no brief shows it, because there is no room."""
    title = summary.title or (incident.title if incident else "")
    return [inline(title)] if title and summary.room_url is None else []


def _findings(summary: IncidentSummary) -> Mrkdwn:
    """Return the counts of the findings; nothing if there was no investigation."""
    if not any(summary.findings.values()):
        return Mrkdwn("")
    label = "*Checks*" if summary.status is None else "*Checks of the first minutes*"
    return Mrkdwn(f"{label} {verdict_counts(summary.findings)}")


def _recovery(summary: IncidentSummary) -> Mrkdwn:
    """Return how long it took to recover, once it has."""
    if summary.time_to_recovery_ms is None:
        return Mrkdwn("")
    return Mrkdwn(f"Recovered after *{duration(summary.time_to_recovery_ms)}*")


def _known(statement: Statement) -> Mrkdwn:
    """Return a statement with the probes that it follows from."""
    sentence = inline(statement.text, _SENTENCE)
    probes = first_few([inline(probe_name(probe), 80) for probe in statement.probes], most=10)
    return Mrkdwn(f"{sentence} ({probes})") if probes else sentence


def _next_step(incident: Incident | None) -> Mrkdwn:
    """Return the runbook as the next step."""
    if incident is None:
        return Mrkdwn("")
    if found := incident.link(LinkKind.RUNBOOK):
        return Mrkdwn(f"*Next* 📖 {link(found.url, found.label)}")
    runbook = incident.route.runbook
    if not runbook:
        return Mrkdwn("")
    return Mrkdwn(f"*Next* 📖 {inline(runbook) if url_problem(runbook) else link(runbook, 'Runbook')}")


def _problem_entries(summary: IncidentSummary) -> list[Mrkdwn]:
    """Return every problem once, followed by the steps that failed without a reason."""
    problems: list[Problem] = list(summary.problems)
    unexplained = []
    for step in summary.steps:
        if step.problem is not None:
            problems.append(step.problem)
        elif step.state in _FAILED_STATES:
            unexplained.append(Mrkdwn(f"{inline(step_name(step.task_id))}: the step {_state(step.state)}"))
    return [Mrkdwn(f"⚠️ {entry}") for entry in (*problem_lines(problems), *unexplained)]


def _state(state: str) -> str:
    """Return the name of an Airflow task state for readers."""
    return "failed" if state == "failed" else "did not run because an earlier step failed"


def _timeline(summary: IncidentSummary) -> list[Mrkdwn]:
    """Return the timeline in UTC; the date is included where it changes."""
    entries = sorted(summary.timeline, key=lambda entry: entry.at)
    if not entries:
        return []
    days = [entries[0].at, *(entry.at for entry in entries)]
    moments = [
        Mrkdwn(f"{clock(entry.at, seen_from=before)} {inline(entry.what, 150)}")
        for before, entry in zip(days, entries, strict=False)
    ]
    return wrap([Mrkdwn(f"Timeline (UTC) {moments[0]}"), *moments[1:]], LINE_LIMIT)


def _fallback(summary: IncidentSummary, incident: Incident | None) -> str:
    """Return the first look for a notification or a screen reader."""
    title = summary.title or (incident.title if incident else "")
    if summary.status is not None:
        return "\n".join(line for line in (f"Summary: {summary.status}", title) if line)
    status = _status(summary)
    head = f"First look: {status}" if status else "First look"
    lines = [head, title, *(f"Known: {statement.text}" for statement in summary.known)]
    return "\n".join(line for line in lines if line)
