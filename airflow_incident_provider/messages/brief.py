"""
The brief: the pinned message that says what happened, who is here, and how far the run is.

It always fits into one message, because it is updated in place. Lists that are too long for it say how many entries
are left out; :func:`brief_details` returns these lists in full, to be posted in the thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from airflow_incident_provider.config import TaskId
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
from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    between,
    bold,
    clock,
    code_span,
    cut,
    duration,
    inline,
    join,
    link,
    mention,
    quote,
    utc_and_local,
)
from airflow_incident_provider.models import (
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
    SlackWorkspace,
    UserResolution,
    UtcDatetime,
)
from airflow_incident_provider.text import one_line, url_problem

_HOW = {
    MatchMethod.ID: "id",
    MatchMethod.EMAIL: "email",
    MatchMethod.USERGROUP: "user group",
    MatchMethod.DISPLAY_NAME: "display name",
    MatchMethod.USERNAME: "username",
    MatchMethod.FUZZY: "close match",
}
_WHY = {
    ResolutionOutcome.AMBIGUOUS: "more than one person it could be",
    ResolutionOutcome.NOT_FOUND: "no sure match",
    ResolutionOutcome.DEACTIVATED: "deactivated in Slack",
    ResolutionOutcome.NOT_ALLOWED: "not allowed in this room",
}
_WITH_NAMES_BESIDE = frozenset({ResolutionOutcome.AMBIGUOUS, ResolutionOutcome.NOT_FOUND})
_NAMES_SUGGESTED = 3


def unresolved_people(resolution: UserResolution) -> tuple[NotInvited, ...]:
    """Return every query that found nobody, as somebody who is not invited, with the likeliest names."""
    return tuple(
        NotInvited(query=r.query, reason=_reason(r), suggestion=_suggestion(r)) for r in resolution.unresolved
    )


def _reason(resolution: Resolution) -> str:
    """Return why nobody is invited; where names are suggested beside it, without naming them twice."""
    if resolution.candidates and resolution.outcome in _WITH_NAMES_BESIDE:
        return _WHY[resolution.outcome]
    return resolution.reason or _WHY[resolution.outcome]


def _suggestion(resolution: Resolution) -> str | None:
    """Return the people that a query might mean, or nothing; those who share a name by their handle as well."""
    people = resolution.candidates[:_NAMES_SUGGESTED]
    labels = [person.label for person in people]
    names = [
        f"{person.label} (@{person.name})" if labels.count(person.label) > 1 else person.label for person in people
    ]
    return " or ".join(names) if names else None


def invited_entries(invitations: Sequence[Invitation]) -> list[Mrkdwn]:
    """Return one entry for each person, the surest match first, then one for each user group with its size."""
    order = list(MatchMethod)
    people = [i for i in invitations if i.method is not MatchMethod.USERGROUP]
    people.sort(key=lambda invitation: order.index(invitation.method))
    return [_person(invitation) for invitation in people] + _groups(invitations)


def _person(invitation: Invitation) -> Mrkdwn:
    """Return somebody with how they were found; for a close match also what was looked for."""
    how = _HOW[invitation.method]
    if invitation.method is MatchMethod.FUZZY:
        how = f'{how} for "{inline(invitation.query, 80)}"'
    return Mrkdwn(f"{mention(invitation.user.id, invitation.user.label)} ({how})")


def _groups(invitations: Iterable[Invitation]) -> list[Mrkdwn]:
    """Return the user groups that were asked, with how many of their members."""
    sizes: dict[str, int] = {}
    for invitation in invitations:
        if invitation.method is MatchMethod.USERGROUP:
            sizes[invitation.query] = sizes.get(invitation.query, 0) + 1
    return [Mrkdwn(f"@{inline(group.lstrip('@'), 80)} ({size})") for group, size in sizes.items()]


def not_invited_entries(people: Iterable[NotInvited]) -> list[Mrkdwn]:
    """Return one entry for each person who was not asked, with the reason and whom it might mean."""
    return [_left_out(person) for person in people]


def _left_out(person: NotInvited) -> Mrkdwn:
    """Return what was looked for, why nobody was invited for it, and a suggestion to judge."""
    line = f'"{inline(person.query, 100)}": {inline(person.reason, 200)}'
    if person.suggestion is None:
        return Mrkdwn(line)
    return Mrkdwn(f"{line}; might be {inline(person.suggestion, 200)}, invite by hand if so")


def mention_names(invitations: Iterable[Invitation]) -> dict[str, str]:
    """Return who the mentions of these people are, for readers outside Slack."""
    return {invitation.user.id: one_line(invitation.user.label) for invitation in invitations}


class StepState(StrEnum):
    """Where a step is."""

    TO_COME = "to come"
    RUNNING = "under way"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class StepProgress(Model):
    """
    One step of the run as the brief shows it.

    :param step: the task id.
    :param done: how many of ``total`` parts are finished, for a step that has parts.
    """

    step: str
    state: StepState = StepState.TO_COME
    duration_ms: Annotated[int, Field(ge=0)] | None = None
    done: int | None = None
    total: int | None = None


_SHORT_NAMES: dict[str, str] = {
    TaskId.PARSE_INCIDENT: "parsed",
    TaskId.SETUP_SLACK: "Slack",
    TaskId.RESOLVE_USERS: "people",
    TaskId.CREATE_WAR_ROOM: "room",
    TaskId.INVESTIGATE: "investigation",
    TaskId.POST_UPDATES: "findings",
    TaskId.FINAL_SUMMARY: "summary",
}
_UNDER_WAY: dict[str, str] = {TaskId.PARSE_INCIDENT: "parsing", TaskId.INVESTIGATE: "investigating"}


def step_name(step: str) -> str:
    """Return what the room calls a step: a short name for ours, the task id for another DAG's."""
    return _SHORT_NAMES.get(step, step)


def step_line(progress: StepProgress) -> Mrkdwn:
    """Return one step with how long it took, how far it is, or that it failed."""
    name = inline(step_name(progress.step), 80)
    took = duration(progress.duration_ms) if progress.duration_ms is not None else None
    match progress.state:
        case StepState.DONE:
            return Mrkdwn(f"{name} {took or 'done'}")
        case StepState.FAILED:
            return Mrkdwn(f"{name} failed after {took}" if took else f"{name} failed")
        case StepState.RUNNING:
            name = inline(_UNDER_WAY.get(progress.step, step_name(progress.step)), 80)
            parts = None if progress.total is None else f"{progress.done or 0} of {progress.total}"
            return Mrkdwn(f"{name} {parts or 'under way'}")
        case _:
            return Mrkdwn(f"{name} {progress.state.value}")


def problem_line(found: Problem) -> Mrkdwn:
    """Return what did not work, what was said, and what would mend it."""
    line = str(inline(found.what))
    if found.error:
        line += f": {inline(found.error)}"
    return Mrkdwn(f"{line} ({inline(found.fix)})" if found.fix else line)


def missing_scope_line(scope: MissingScope) -> Mrkdwn:
    """Return a scope that the app lacks and what the room lacks for it."""
    return Mrkdwn(f"{code_span(scope.scope)}: {inline(scope.costs)}")


def warning_line(oddity: ParseWarning) -> Mrkdwn:
    """Return an oddity of the payload and what was made of it."""
    return Mrkdwn(f'{inline(oddity.field, 80)} "{inline(oddity.value, 100)}" {inline(oddity.note, 200)}')


DESCRIPTION_LIMIT = 700
_NAME = 80
_PICTURE_URL_LIMIT = 1_000
_FALLBACK_PART = 300


class BriefState(Model):
    """
    Everything the brief says, at one moment of the run.

    :param opened_at: when the room was opened; absent before that.
    :param pending: people who are about to be invited.
    :param status: what the room shows beside the severity unless it is ``open``.
    :param retriggered_at: when the same incident was reported again, the latest last.
    :param repeats: how often it was, where it is not known when each time was.
    :param with_picture: false when Slack could not fetch the alert's graph; it is linked then.
    """

    incident: Incident
    workspace: SlackWorkspace | None = None
    opened_at: UtcDatetime | None = None
    invited: tuple[Invitation, ...] = ()
    pending: tuple[Invitation, ...] = ()
    not_invited: tuple[NotInvited, ...] = ()
    steps: tuple[StepProgress, ...] = ()
    problems: tuple[Problem, ...] = ()
    status: str = "open"
    commander: str | None = None
    retriggered_at: tuple[UtcDatetime, ...] = ()
    repeats: int = 0
    run_url: str | None = None
    with_picture: bool = True


def brief(state: BriefState) -> Message:
    """Return the brief as one message, for posting and for updating it in place."""
    incident, lists = state.incident, _Lists(state)
    facts = [_severity_line(state), _since_line(state), lists.where.short(), lists.links.short()]
    work = [lists.steps.short(), lists.problems.short(), lists.scopes.short(), lists.flags.short()]
    blocks = [header(incident.title), *sections(facts), *_picture(state)]
    blocks += sections([*_people_lines(lists), *work])
    blocks += sections(quote(incident.description or "", DESCRIPTION_LIMIT))
    blocks.append(context(_key_line(state)))
    return Message(_fallback(state), tuple(blocks), mention_names((*state.invited, *state.pending)))


def brief_details(state: BriefState) -> list[Message]:
    """Return the lists that the brief had to shorten, in full, for the thread; mostly there are none."""
    shortened = [listing for listing in _Lists(state).all if listing.hidden]
    lines = [line for listing in shortened for line in listing.full()]
    if not lines:
        return []
    blocks = sections([Mrkdwn("*More of the brief*"), *lines])
    return split_into_messages("More of the brief", blocks, mention_names((*state.invited, *state.pending)))


class _Lists:
    """The lists of the brief, each with the room it gets; together they leave room for all the rest."""

    def __init__(self, state: BriefState) -> None:
        incident, scopes = state.incident, state.workspace.scopes_missing if state.workspace else ()
        self.where = TruncatedList(Mrkdwn("*Where*"), _places(incident), 2, 450, ", ")
        self.links = TruncatedList(Mrkdwn("*Links*"), _links(state), 8, 1_200)
        self.invited = TruncatedList(Mrkdwn("invited:"), tuple(invited_entries(state.invited)), 12, 900, ", ")
        self.pending = TruncatedList(Mrkdwn("inviting:"), tuple(invited_entries(state.pending)), 12, 900, ", ")
        self.not_invited = TruncatedList(
            Mrkdwn("not invited:"), tuple(not_invited_entries(state.not_invited)), 5, 1_100
        )
        self.steps = TruncatedList(Mrkdwn("*Steps*"), tuple(map(step_line, state.steps)), 12, 600)
        self.problems = TruncatedList(Mrkdwn("*Did not work*"), tuple(map(problem_line, state.problems)), 4, 1_000)
        self.scopes = TruncatedList(
            Mrkdwn("*Missing Slack scopes*"), tuple(map(missing_scope_line, scopes)), 4, 700
        )
        self.flags = TruncatedList(Mrkdwn("*Note*"), tuple(map(warning_line, incident.flags)), 3, 700)

    @property
    def all(self) -> tuple[TruncatedList, ...]:
        """Every list, in the order of the brief."""
        return (
            *(self.where, self.links, self.invited, self.pending, self.not_invited),
            *(self.steps, self.problems, self.scopes, self.flags),
        )


def _severity_line(state: BriefState) -> Mrkdwn:
    """Return how bad it is, and for what: severity, service, environment, team, commander."""
    incident = state.incident
    commander = state.commander or incident.commander
    return join(
        [
            bold(incident.severity.value.capitalize()),
            Mrkdwn("") if state.status == "open" else inline(state.status, 40),
            _named("service", "services", incident.services),
            _named("env", "envs", (incident.env,) if incident.env else ()),
            _named("team", "teams", incident.teams, code=False),
            Mrkdwn(f"commander {inline(commander, _NAME)}") if commander else Mrkdwn(""),
        ]
    )


def _named(singular: str, plural: str, values: tuple[str, ...], *, code: bool = True) -> Mrkdwn:
    """Return up to three values behind their name, and how many more there are."""
    if not values:
        return Mrkdwn("")
    shown = [code_span(value, _NAME) if code else inline(value, _NAME) for value in values]
    return Mrkdwn(f"{plural if len(values) > 1 else singular} {first_few(shown)}")


def _since_line(state: BriefState) -> Mrkdwn:
    """Return since when, how long before the room that was, and what the monitor measured."""
    incident = state.incident
    until, what = (state.opened_at, "this room") if state.opened_at else (incident.received_at, "it reached us")
    earlier = between(incident.occurred_at, until)
    since = f"Since {utc_and_local(incident.occurred_at, seen_from=until)}"
    # A sender's clock may run ahead of ours; then there is no "before" to speak of.
    if earlier > 0:
        since += f", {duration(earlier)} before {what}"
    return join([Mrkdwn(since), _measured(incident.metrics)], ". ")


def _measured(metrics: tuple[Measurement, ...]) -> Mrkdwn:
    """Return the first measurement, and how many more there are."""
    if not metrics:
        return Mrkdwn("")
    first = metrics[0]
    parts = [join([code_span(first.metric), inline(first.value or "", _NAME)], " ")]
    if first.threshold:
        limit = f"{first.comparison or ''} {first.threshold}"
        parts.append(Mrkdwn(f"threshold {inline(limit, _NAME)}"))
    if first.window:
        parts.append(Mrkdwn(f"over {inline(first.window, _NAME)}"))
    if len(metrics) > 1:
        parts.append(Mrkdwn(f"and {len(metrics) - 1} more"))
    return join(parts, ", ")


def _places(incident: Incident) -> tuple[Mrkdwn, ...]:
    """Return the hosts, or what the monitor was scoped to when it names none."""
    places = incident.hosts or ((incident.scope,) if incident.scope else ())
    return tuple(code_span(place) for place in places)


def _links(state: BriefState) -> tuple[Mrkdwn, ...]:
    """Return the links in the order of what they lead to, the run and a picture that is not shown among them."""
    incident, order = state.incident, list(LinkKind)
    found = [link(each.url, each.label) for each in sorted(incident.links, key=lambda each: order.index(each.kind))]
    runbook = incident.route.runbook
    if runbook and incident.link(LinkKind.RUNBOOK) is None:
        # A routing table may name a runbook without saying where it is.
        found.append(Mrkdwn(f"runbook {inline(runbook)}") if url_problem(runbook) else link(runbook, "Runbook"))
    if incident.snapshot_url and not _picture(state):
        found.append(link(incident.snapshot_url, "Graph"))
    if state.run_url:
        found.append(link(state.run_url, "Airflow run"))
    return tuple(found)


def _picture(state: BriefState) -> list[Block]:
    """Return the alert's graph, if there is one that Slack can be asked to show."""
    url = state.incident.snapshot_url
    if not state.with_picture or url is None or len(url) > _PICTURE_URL_LIMIT or not is_image_url(url):
        return []
    return [image(url, f"The alert's graph: {state.incident.title}")]


def _people_lines(lists: _Lists) -> list[Mrkdwn]:
    """Return who was invited, who is about to be, and who was not."""
    lines = [line for people in (lists.invited, lists.pending, lists.not_invited) if (line := people.short())]
    first, *rest = lines or [Mrkdwn("nobody is invited")]
    return [Mrkdwn(f"*People* {first}"), *rest]


def _key_line(state: BriefState) -> Mrkdwn:
    """Return the key that everything derives from, how often it was reported, and what this message is."""
    times = Mrkdwn("")
    if state.retriggered_at:
        last = clock(state.retriggered_at[-1], seconds=False, seen_from=state.incident.occurred_at)
        times = Mrkdwn(f"times {len(state.retriggered_at) + 1} (re-triggered {last} UTC)")
    elif state.repeats:
        times = Mrkdwn("re-triggered once" if state.repeats == 1 else f"re-triggered {state.repeats} times")
    key = code_span(f"key {state.incident.key}", 220)
    return join([key, times, Mrkdwn("this brief updates itself")])


def _fallback(state: BriefState) -> Mrkdwn:
    """Return the brief for a notification or a screen reader: what, how bad, where, since when."""
    incident = state.incident
    place = ", ".join([*incident.services[:3], *([incident.env] if incident.env else [])])
    since = f"since {clock(incident.occurred_at)} UTC"
    words = (one_line(incident.title), one_line(place), since, one_line(state.status))
    line = " · ".join(cut(word, _FALLBACK_PART) for word in words if word)
    return fallback_text(f"{incident.severity.value.capitalize()}: {line}")
