"""
The brief: the one pinned message that says what happened, who is here and how far the run is.

It always fits one message, because it is updated in place. Lists that are too long for it say how much more
there is; ``brief_details`` returns that, to be posted under it.
"""

from __future__ import annotations

from airflow_incident_provider.messages.blocks import Block, can_be_shown, context, header, image, sections
from airflow_incident_provider.messages.escaping import (
    Mrkdwn,
    bold,
    code_span,
    cut,
    inline,
    join,
    link,
    moment,
    quote,
)
from airflow_incident_provider.messages.limits import Message, fallback, fit
from airflow_incident_provider.messages.listing import Listing, few
from airflow_incident_provider.messages.people import invited_people, names, not_invited_people
from airflow_incident_provider.messages.progress import StepProgress, flag, missing_scope, problem, step_progress
from airflow_incident_provider.messages.times import between, clock, duration
from airflow_incident_provider.models import (
    Incident,
    Invitation,
    LinkKind,
    Measurement,
    Model,
    NotInvited,
    Problem,
    SlackWorkspace,
    UtcDatetime,
)
from airflow_incident_provider.text import one_line, url_problem

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
    return Message(_fallback(state), tuple(blocks), names((*state.invited, *state.pending)))


def brief_details(state: BriefState) -> list[Message]:
    """Return the lists that the brief had to shorten, in full, for the thread; mostly there are none."""
    shortened = [listing for listing in _Lists(state).all if listing.hidden]
    lines = [line for listing in shortened for line in listing.full()]
    if not lines:
        return []
    blocks = sections([Mrkdwn("*More of the brief*"), *lines])
    return fit("More of the brief", blocks, names((*state.invited, *state.pending)))


class _Lists:
    """The lists of the brief, each with the room it gets; together they leave room for all the rest."""

    def __init__(self, state: BriefState) -> None:
        incident, scopes = state.incident, state.workspace.scopes_missing if state.workspace else ()
        self.where = Listing(Mrkdwn("*Where*"), _places(incident), 2, 450, ", ")
        self.links = Listing(Mrkdwn("*Links*"), _links(state), 8, 1_200)
        self.invited = Listing(Mrkdwn("invited:"), tuple(invited_people(state.invited)), 12, 900, ", ")
        self.pending = Listing(Mrkdwn("inviting:"), tuple(invited_people(state.pending)), 12, 900, ", ")
        self.not_invited = Listing(Mrkdwn("not invited:"), tuple(not_invited_people(state.not_invited)), 5, 1_100)
        self.steps = Listing(Mrkdwn("*Steps*"), tuple(map(step_progress, state.steps)), 12, 600)
        self.problems = Listing(Mrkdwn("*Did not work*"), tuple(map(problem, state.problems)), 4, 1_000)
        self.scopes = Listing(Mrkdwn("*Missing Slack scopes*"), tuple(map(missing_scope, scopes)), 4, 700)
        self.flags = Listing(Mrkdwn("*Note*"), tuple(map(flag, incident.flags)), 3, 700)

    @property
    def all(self) -> tuple[Listing, ...]:
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
    return Mrkdwn(f"{plural if len(values) > 1 else singular} {few(shown)}")


def _since_line(state: BriefState) -> Mrkdwn:
    """Return since when, how long before the room that was, and what the monitor measured."""
    incident = state.incident
    until, what = (state.opened_at, "this room") if state.opened_at else (incident.received_at, "it reached us")
    earlier = between(incident.occurred_at, until)
    since = f"Since {moment(incident.occurred_at, seen_from=until)}"
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
    if not state.with_picture or url is None or len(url) > _PICTURE_URL_LIMIT or not can_be_shown(url):
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
    return fallback(f"{incident.severity.value.capitalize()}: {line}")
