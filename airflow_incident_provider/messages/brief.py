"""
The brief: the pinned message that says how bad it is, what fails, who is here, and what to do next.

It is read on a phone, within ten seconds, so the most important comes first and a usual brief has at most twelve
lines. It always fits into one message, because it is updated in place. Lists that are too long for it say how many
entries are left out; :func:`brief_details` returns these lists in full, to be posted in the thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.lifecycle.coordination import Coordination, Role
from airflow_incident_provider.messages.blocks import (
    Block,
    Message,
    TruncatedList,
    context,
    fallback_text,
    first_few,
    header,
    image,
    is_image_url,
    sections,
    split_into_messages,
)
from airflow_incident_provider.messages.controls import controls, invite_controls
from airflow_incident_provider.messages.coordination import roles_line
from airflow_incident_provider.messages.findings import (
    SERIOUS,
    VERDICT_SYMBOLS,
    about_service,
    checked_at,
    finding_line,
    own_network_failure,
    subject,
)
from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    bold,
    clock,
    code_span,
    duration,
    inline,
    join,
    link,
    mention,
    quote,
    truncate,
    utc_and_local,
)
from airflow_incident_provider.models import (
    Finding,
    Incident,
    Invitation,
    LinkKind,
    MatchMethod,
    Measurement,
    MissingScope,
    Model,
    NotInvited,
    ParseWarning,
    Problem,
    Resolution,
    ResolutionOutcome,
    Severity,
    SlackWorkspace,
    UserResolution,
    UtcDatetime,
    Verdict,
)
from airflow_incident_provider.text import one_line, url_problem

DESCRIPTION_LIMIT = 240
DESCRIPTION_LINES = 3
FULL_DESCRIPTION_LIMIT = 2_900
FINDINGS_SHOWN = 3
_NAME = 80
_IMAGE_URL_LIMIT = 1_000
_FALLBACK_PART = 300
_FINDING = 160

SEVERITY_SYMBOLS = {
    Severity.CRITICAL: "🔴",
    Severity.HIGH: "🔶",
    Severity.MEDIUM: "🟡",
    Severity.LOW: "🔹",
}
"""Symbols in front of the severity, which is always written out too."""

_LINK_ORDER = (
    LinkKind.MONITOR,
    LinkKind.INCIDENT,
    LinkKind.DASHBOARD,
    LinkKind.EVENT,
    LinkKind.RUNBOOK,
    LinkKind.OTHER,
)


# --- people -----------------------------------------------------------------------------------------------

_REASONS = {
    ResolutionOutcome.AMBIGUOUS: "more than one match",
    ResolutionOutcome.NOT_FOUND: "no exact match",
    ResolutionOutcome.DEACTIVATED: "deactivated in Slack",
    ResolutionOutcome.NOT_ALLOWED: "not allowed in this room",
}
_SUGGESTED_OUTCOMES = frozenset({ResolutionOutcome.AMBIGUOUS, ResolutionOutcome.NOT_FOUND})
_NAMES_SUGGESTED = 3


def unresolved_people(resolution: UserResolution) -> tuple[NotInvited, ...]:
    """Return each unresolved query as not invited, with its reason and the closest matches.

    A query one of whose closest matches is invited anyway, by another query or a user group, is no gap.
    """
    invited = {user.id for resolved in resolution.resolved for user in resolved.users}
    return tuple(
        NotInvited(
            query=r.query,
            reason=_reason(r),
            suggestion=" or ".join(_suggested(r).values()) or None,
            suggested=_suggested(r),
        )
        for r in resolution.unresolved
        if not invited & {candidate.id for candidate in r.candidates}
    )


def _reason(resolution: Resolution) -> str:
    """Return why a query has no result; if it has a suggestion, without naming the suggested people twice."""
    if resolution.candidates and resolution.outcome in _SUGGESTED_OUTCOMES:
        return _REASONS[resolution.outcome]
    return resolution.reason or _REASONS[resolution.outcome]


def _suggested(resolution: Resolution) -> dict[str, str]:
    """Return the closest matches by id; people with the same name are distinguished by their username."""
    people = resolution.candidates[:_NAMES_SUGGESTED]
    labels = [person.label for person in people]
    return {
        person.id: f"{person.label} (@{person.name})" if labels.count(person.label) > 1 else person.label
        for person in people
    }


def invited_entries(invitations: Sequence[Invitation]) -> list[Mrkdwn]:
    """Return an entry for each person, the surest match first, and then one for each user group."""
    order = list(MatchMethod)
    people = [i for i in invitations if i.method is not MatchMethod.USERGROUP]
    people.sort(key=lambda invitation: order.index(invitation.method))
    groups = dict.fromkeys(i.query for i in invitations if i.method is MatchMethod.USERGROUP)
    return [_person(invitation) for invitation in people] + [
        Mrkdwn(f"@{inline(group.lstrip('@'), 80)}") for group in groups
    ]


def suggestion_controls(key: str, people: Iterable[NotInvited]) -> list[Block]:
    """Return a button for each suggested person, which invites them."""
    return invite_controls(key, {user_id: name for one in people for user_id, name in one.suggested.items()})


def _person(invitation: Invitation) -> Mrkdwn:
    """Return a person; for a close match with the query."""
    person = mention(invitation.user.id, invitation.user.label)
    if invitation.method is MatchMethod.FUZZY:
        return Mrkdwn(f'{person} (closest match for "{inline(invitation.query, 80)}")')
    return person


def not_invited_entries(people: Iterable[NotInvited]) -> list[Mrkdwn]:
    """Return an entry for each person who was not invited: the query, the reason, and a suggestion."""
    return [_not_invited(person) for person in people]


def _not_invited(person: NotInvited) -> Mrkdwn:
    line = f'"{inline(person.query, 100)}": {inline(person.reason, 200)}'
    if person.suggestion is None:
        return Mrkdwn(line)
    return Mrkdwn(f"{line}. Did you mean {inline(person.suggestion, 200)}?")


def mention_names(invitations: Iterable[Invitation]) -> dict[str, str]:
    """Return the names of mentioned people, for readers outside Slack."""
    return {invitation.user.id: one_line(invitation.user.label) for invitation in invitations}


# --- progress and problems --------------------------------------------------------------------------------


class StepState(StrEnum):
    """The state of a step, as the brief shows it."""

    TO_COME = "to come"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class StepProgress(Model):
    """
    A step of the run.

    :param step: the task id.
    :param done: how many of ``total`` parts are complete, for a step with parts.
    """

    step: str
    state: StepState = StepState.TO_COME
    duration_ms: Annotated[int, Field(ge=0)] | None = None
    done: int | None = None
    total: int | None = None


_STEP_NAMES: dict[str, str] = {
    TaskId.PARSE_INCIDENT: "alert",
    TaskId.SETUP_SLACK: "Slack",
    TaskId.RESOLVE_USERS: "people",
    TaskId.CREATE_WAR_ROOM: "room",
    TaskId.INVESTIGATE: "checks",
    TaskId.POST_UPDATES: "findings",
    TaskId.FINAL_SUMMARY: "summary",
}


def step_name(step: str) -> str:
    """Return the display name of a step; the task id for a step of another DAG."""
    return _STEP_NAMES.get(step, step)


def step_line(progress: StepProgress) -> Mrkdwn:
    """Return a step with its state, its completed parts or its duration."""
    name = inline(step_name(progress.step), 80)
    elapsed = duration(progress.duration_ms) if progress.duration_ms is not None else None
    match progress.state:
        case StepState.DONE:
            return Mrkdwn(f"{name} {elapsed or 'done'}")
        case StepState.FAILED:
            return Mrkdwn(f"{name} failed after {elapsed}" if elapsed else f"{name} failed")
        case StepState.RUNNING if progress.total is not None:
            return Mrkdwn(f"{name} {progress.done or 0} of {progress.total} done")
        case _:
            return Mrkdwn(f"{name} {progress.state.value}")


def problem_lines(problems: Iterable[Problem]) -> list[Mrkdwn]:
    """Return a line for each cause: what failed because of it, the error, and the fix."""
    by_cause: dict[tuple[str | None, str | None], list[str]] = {}
    for problem in problems:
        failed = by_cause.setdefault((problem.error, problem.fix), [])
        if problem.what not in failed:
            failed.append(problem.what)
    return [_problem_line(failed, error, fix) for (error, fix), failed in by_cause.items()]


def _problem_line(failed: Sequence[str], error: str | None, fix: str | None) -> Mrkdwn:
    line = str(first_few([inline(what) for what in failed], 4))
    if error:
        line += f": {inline(error)}"
    return Mrkdwn(f"{line} ({inline(fix)})" if fix else line)


def missing_scope_line(scope: MissingScope) -> Mrkdwn:
    """Return a scope that the Slack app lacks, and the consequence."""
    return Mrkdwn(f"{code_span(scope.scope)}: {inline(scope.costs)}")


def warning_line(warning: ParseWarning) -> Mrkdwn:
    """Return a parse warning: the field, its value, and how it was handled."""
    return Mrkdwn(f'{inline(warning.field, 80)} "{inline(warning.value, 100)}" {inline(warning.note, 200)}')


# --- the brief --------------------------------------------------------------------------------------------


class BriefState(Model):
    """
    The content of the brief, at one moment of the run.

    :param opened_at: when the room was opened; absent before.
    :param pending: people who are about to be invited.
    :param findings: the latest findings; empty while there are none.
    :param investigated: whether the probes have run, so that no findings means that nothing was checked.
    :param status: shown next to the service unless it is ``open``.
    :param recovered_at: when the last alert recovered, while none fires.
    :param repeats: the number of repeated notifications.
    :param interactive: whether the brief has buttons.
    :param closed: whether the incident is resolved.
    :param coordination: roles, and what people did.
    :param with_picture: false if Slack could not fetch the alert's graph; it is linked then.
    """

    incident: Incident
    workspace: SlackWorkspace | None = None
    opened_at: UtcDatetime | None = None
    invited: tuple[Invitation, ...] = ()
    pending: tuple[Invitation, ...] = ()
    not_invited: tuple[NotInvited, ...] = ()
    findings: tuple[Finding, ...] = ()
    investigated: bool = False
    steps: tuple[StepProgress, ...] = ()
    problems: tuple[Problem, ...] = ()
    status: str = "open"
    recovered_at: UtcDatetime | None = None
    commander: str | None = None
    repeats: int = 0
    run_url: str | None = None
    with_picture: bool = True
    interactive: bool = False
    closed: bool = False
    coordination: Coordination = Coordination()


def brief(state: BriefState) -> Message:
    """Return the brief as one message, for posting and for updating it in place."""
    lists = _Lists(state)
    blocks = [header(_title(state.incident)), *sections(_scope_lines(state))]
    blocks += sections(_observed_lines(state, lists), accessory=_picture(state))
    blocks += sections([lists.links.short()])
    if state.interactive:
        blocks.append(controls(state.incident.key, has_commander=state.commander is not None, closed=state.closed))
    blocks += sections(_people_lines(state, lists))
    if state.interactive and not state.closed:
        shown = state.not_invited[: len(lists.not_invited.shown)]
        blocks += suggestion_controls(state.incident.key, shown)[:1]
    blocks += [context(line) for line in _small_print(state, lists) if line]
    return Message(_fallback(state), tuple(blocks), mention_names((*state.invited, *state.pending)))


def brief_details(state: BriefState) -> list[Message]:
    """Return the lists that the brief shortens, in full, for the thread; usually there are none."""
    lists = _Lists(state)
    shortened = [listed for listed in lists.all if listed.hidden]
    lines = [line for listed in shortened for line in listed.full()]
    description = state.incident.description or ""
    short = quote(description, DESCRIPTION_LIMIT, lines=DESCRIPTION_LINES)
    if (full := quote(description, FULL_DESCRIPTION_LIMIT)) != short:
        lines += [Mrkdwn("*Description*"), *full]
    if not lines:
        return []
    blocks = sections([Mrkdwn("*More of the brief*"), *lines])
    if state.interactive and not state.closed and lists.not_invited.hidden:
        blocks += suggestion_controls(state.incident.key, state.not_invited)
    return split_into_messages("More of the brief", blocks, mention_names((*state.invited, *state.pending)))


class _Lists:
    """The lists of the brief, each with a maximum size; together they leave space for the rest."""

    def __init__(self, state: BriefState) -> None:
        incident, scopes = state.incident, state.workspace.scopes_missing if state.workspace else ()
        self.hosts = TruncatedList(Mrkdwn("*Hosts*"), _hosts(incident), 2, 450, ", ")
        links = Mrkdwn("*Next* 📖" if _runbook(incident) else "*Links*")
        self.links = TruncatedList(links, _links(state), 8, 1_200)
        self.invited = TruncatedList(Mrkdwn("*People*"), tuple(invited_entries(state.invited)), 12, 900, " ")
        self.pending = TruncatedList(Mrkdwn("*Inviting*"), tuple(invited_entries(state.pending)), 12, 900, " ")
        self.not_invited = TruncatedList(
            Mrkdwn("*Missing*"), tuple(not_invited_entries(state.not_invited)), 4, 1_000
        )
        self.passing = TruncatedList(Mrkdwn(VERDICT_SYMBOLS[Verdict.OK]), _by_verdict(state, Verdict.OK), 5, 400)
        self.steps = TruncatedList(Mrkdwn("⏳"), tuple(map(step_line, _open_steps(state.steps))), 12, 600)
        self.problems = TruncatedList(Mrkdwn("⚠️"), tuple(problem_lines(state.problems)), 4, 1_000)
        self.scopes = TruncatedList(Mrkdwn("⚠️ The Slack app lacks"), tuple(map(missing_scope_line, scopes)), 4, 700)
        self.warnings = TruncatedList(Mrkdwn("Note:"), tuple(map(warning_line, incident.flags)), 3, 700)

    @property
    def all(self) -> tuple[TruncatedList, ...]:
        """Every list, in the order of the brief."""
        return (
            *(self.hosts, self.links, self.invited, self.pending, self.not_invited),
            *(self.passing, self.steps, self.problems, self.scopes, self.warnings),
        )


def _title(incident: Incident) -> str:
    """Return the title with its severity; a drill says so instead."""
    if incident.is_drill:
        return f"🟣 DRILL: {incident.title}"
    return f"{SEVERITY_SYMBOLS[incident.severity]} {incident.severity.upper()}: {incident.title}"


def _scope_lines(state: BriefState) -> list[Mrkdwn]:
    """Return the service, environment and team, since when, and the beginning of the description."""
    incident = state.incident
    scope = [
        Mrkdwn(f"*{first_few([inline(service, _NAME) for service in incident.services])}*")
        if incident.services
        else inline(incident.scope or "", _NAME),
        inline(incident.env or "", _NAME),
        first_few([inline(team, _NAME) for team in incident.teams]),
        bold(state.status, 60) if state.status != "open" else Mrkdwn(""),
    ]
    drill = Mrkdwn("*This is a drill. Nothing is wrong.*") if incident.is_drill else Mrkdwn("")
    seen_from = state.opened_at or incident.received_at
    by = f", reported by {inline(incident.reporter, _NAME)}" if incident.reporter else ""
    since = Mrkdwn(f"Since {utc_and_local(incident.occurred_at, seen_from=seen_from)}{by}")
    return [
        drill,
        join(scope),
        since,
        *quote(incident.description or "", DESCRIPTION_LIMIT, lines=DESCRIPTION_LINES),
    ]


def _observed_lines(state: BriefState, lists: _Lists) -> list[Mrkdwn]:
    """Return what the checks found and what the monitor measured."""
    lines = _finding_lines(state, lists)
    if state.recovered_at:
        since = clock(state.recovered_at, seconds=False, seen_from=state.incident.occurred_at)
        lines = [Mrkdwn(f"✅ No alert has fired since {since} UTC"), *lines]
    lines += [_measured(state.incident.metrics), lists.hosts.short(), lists.steps.short()]
    at = checked_at(state.findings)
    heading = f"*What we see* (checked {clock(at, seconds=False)} UTC)" if at else "*What we see*"
    return [Mrkdwn(heading), *lines] if any(lines) else []


def _finding_lines(state: BriefState, lists: _Lists) -> list[Mrkdwn]:
    if failure := own_network_failure(state.findings):
        return [
            finding_line(failure, limit=_FINDING, details=False),
            Mrkdwn("No check reached the service"),
        ]
    found = about_service(state.findings)
    serious = [f for f in found if f.verdict in SERIOUS]
    shown = serious if len(serious) <= FINDINGS_SHOWN + 1 else serious[:FINDINGS_SHOWN]
    lines = [finding_line(finding, limit=_FINDING, details=False) for finding in shown]
    if len(shown) < len(serious):
        lines.append(Mrkdwn(f"and {len(serious) - len(shown)} more, in the thread"))
    lines.append(lists.passing.short())
    if state.investigated and not any(lines):
        lines = [_nothing_checked(state.incident, found)]
    return lines


def _nothing_checked(incident: Incident, found: Sequence[Finding]) -> Mrkdwn:
    """Return that nothing was checked, and why."""
    symbol = VERDICT_SYMBOLS[Verdict.SKIPPED]
    if found:
        reasons = [inline(finding.summary, _FINDING) for finding in found]
        return Mrkdwn(f"{symbol} Nothing was checked: {first_few(reasons, 2)}")
    services = first_few([code_span(service, _NAME) for service in incident.services], 2)
    return Mrkdwn(f"{symbol} Nothing was checked: no target is known{f' for {services}' if services else ''}")


def _by_verdict(state: BriefState, verdict: Verdict) -> tuple[Mrkdwn, ...]:
    if own_network_failure(state.findings):
        return ()
    return tuple(subject(f) for f in about_service(state.findings) if f.verdict is verdict)


def _measured(metrics: tuple[Measurement, ...]) -> Mrkdwn:
    """Return the first measurement, value first, and the number of others."""
    if not metrics:
        return Mrkdwn("")
    first = metrics[0]
    parts = [join([bold(first.value or "", _NAME), code_span(first.metric)], " ")]
    if first.threshold:
        limit = f"{first.comparison or ''} {first.threshold}"
        parts.append(Mrkdwn(f"limit {inline(limit, _NAME)}"))
    if first.window:
        parts.append(inline(first.window, _NAME))
    if len(metrics) > 1:
        parts.append(Mrkdwn(f"and {len(metrics) - 1} more"))
    return join(parts, ", ")


def _hosts(incident: Incident) -> tuple[Mrkdwn, ...]:
    return tuple(code_span(host) for host in incident.hosts)


def _runbook(incident: Incident) -> Mrkdwn | None:
    """Return the runbook of the alert or of the routing table, which may name one without a URL."""
    if found := incident.link(LinkKind.RUNBOOK):
        return Mrkdwn(f"*{link(found.url, found.label)}*")
    runbook = incident.route.runbook
    if not runbook:
        return None
    return Mrkdwn(f"Runbook {bold(runbook)}") if url_problem(runbook) else Mrkdwn(f"*{link(runbook, 'Runbook')}*")


def _links(state: BriefState) -> tuple[Mrkdwn, ...]:
    """Return the links, the runbook first, with the run, and with the graph if it is not shown."""
    incident, runbook = state.incident, _runbook(state.incident)
    first = incident.link(LinkKind.RUNBOOK)
    others = sorted(
        (each for each in incident.links if each is not first), key=lambda each: _LINK_ORDER.index(each.kind)
    )
    found = [runbook] if runbook else []
    found += [link(each.url, each.label) for each in others]
    if incident.snapshot_url and not _picture(state):
        found.append(link(incident.snapshot_url, "Graph"))
    if state.run_url:
        found.append(link(state.run_url, "Airflow run"))
    return tuple(found)


def _picture(state: BriefState) -> Block | None:
    """Return the alert's graph, if Slack can be asked to show it."""
    url = state.incident.snapshot_url
    if not state.with_picture or url is None or len(url) > _IMAGE_URL_LIMIT or not is_image_url(url):
        return None
    return image(url, f"Graph of the alert: {state.incident.title}")


def _people_lines(state: BriefState, lists: _Lists) -> list[Mrkdwn]:
    """Return who leads, who was invited, who is being invited, and who is missing."""
    lines = [
        _lead(state),
        _latest_update(state),
        lists.invited.short(),
        lists.pending.short(),
        lists.not_invited.short(),
    ]
    if not (state.invited or state.pending):
        nobody = "nobody could be invited" if state.not_invited else "nobody was invited: no responders are named"
        lines.insert(2, Mrkdwn(f"*People* {nobody}"))
    return lines


def _lead(state: BriefState) -> Mrkdwn:
    """Return who leads, and the other roles that are taken; with buttons also that nobody leads."""
    roles = roles_line(state.coordination)
    if Role.COMMANDER in state.coordination.roles:
        return roles
    commander = state.commander or state.incident.commander
    if commander is None and not (state.interactive and not state.closed):
        return roles
    return join([Mrkdwn(f"*Lead* {inline(commander or 'nobody yet', _NAME)}"), roles])


def _latest_update(state: BriefState) -> Mrkdwn:
    updates = state.coordination.updates
    if not updates:
        return Mrkdwn("")
    latest = updates[-1]
    seen_from = state.opened_at or state.incident.received_at
    return Mrkdwn(f"*Update {clock(latest.at, seconds=False, seen_from=seen_from)}* {inline(latest.text, 300)}")


def _open_steps(steps: Iterable[StepProgress]) -> list[StepProgress]:
    """Return the steps that a reader waits for, and those that failed."""
    return [step for step in steps if step.state in (StepState.RUNNING, StepState.TO_COME, StepState.FAILED)]


def _small_print(state: BriefState, lists: _Lists) -> list[Mrkdwn]:
    """Return what is of use only to some readers: problems, missing scopes, warnings, repetitions and the id."""
    repeats = f"repeated {state.repeats} time{'' if state.repeats == 1 else 's'}" if state.repeats else ""
    id_ = Mrkdwn(f"ID {inline(state.incident.id, _NAME)}")
    last = join([Mrkdwn(repeats), id_, Mrkdwn("updates itself"), Mrkdwn("details in the thread")])
    return [lists.problems.short(), lists.scopes.short(), lists.warnings.short(), last]


def _fallback(state: BriefState) -> Mrkdwn:
    """Return the brief for a notification or a screen reader: how bad, what, where, what fails, since when."""
    incident = state.incident
    place = " ".join([*incident.services[:3], *([incident.env] if incident.env else [])])
    failing = next((f for f in about_service(state.findings) if f.verdict is Verdict.FAIL), None)
    observed = f"{failing.summary} {failing.target}" if failing and not own_network_failure(state.findings) else ""
    status = "" if state.status == "open" else state.status
    since = f"since {clock(incident.occurred_at, seconds=False)} UTC"
    words = (incident.title, place, status, observed, since)
    line = " · ".join(truncate(word, _FALLBACK_PART) for word in map(one_line, words) if word)
    return fallback_text(f"{'DRILL' if incident.is_drill else incident.severity.upper()}: {line}")
